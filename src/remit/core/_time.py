"""Time is aware UTC; in records it is text with microseconds (RFC 3339)."""

from datetime import UTC, datetime


def utc_text(moment: datetime) -> str:
    """Write `moment` as `2026-11-22T09:30:00.000000Z`. It must be aware and UTC."""
    return moment.isoformat(timespec="microseconds")[:26] + "Z"


def parse_utc(text: str) -> datetime:
    """Read what `utc_text` wrote.

    Raises:
        ValueError: `text` is not such a time.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)
