"""Time is aware UTC; in records it is text with microseconds (RFC 3339)."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum


class Window(StrEnum):
    """In what time something is counted: from each full minute, hour or day, UTC."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"


_WINDOW_FORMS = {
    Window.MINUTE: ("%Y-%m-%dT%H:%M", timedelta(minutes=1)),
    Window.HOUR: ("%Y-%m-%dT%H", timedelta(hours=1)),
    Window.DAY: ("%Y-%m-%d", timedelta(days=1)),
}


def window_at(window: Window, now: datetime) -> tuple[str, datetime]:
    """Return the name of the window that `now` is in, `2026-11-22T09`, and when it ends."""
    form, length = _WINDOW_FORMS[window]
    begun = now.replace(second=0, microsecond=0)
    if window is not Window.MINUTE:
        begun = begun.replace(minute=0)
    if window is Window.DAY:
        begun = begun.replace(hour=0)
    return begun.strftime(form), begun + length


def utc_text(moment: datetime) -> str:
    """Write `moment` as `2026-11-22T09:30:00.000000Z`. It must be aware and UTC."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse_utc(text: str) -> datetime:
    """Read what `utc_text` wrote.

    Raises:
        ValueError: `text` is not such a time.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
