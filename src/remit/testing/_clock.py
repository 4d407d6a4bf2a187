"""Time and chance that a test decides."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
"""When every clock and every desk value begins."""


class ManualClock:
    """A clock that moves only when told."""

    def __init__(self, start: datetime = NOON) -> None:
        self._start = start
        self._gone = timedelta()

    def now(self) -> datetime:
        """See `Clock.now`."""
        return self._start + self._gone

    def elapsed_us(self) -> int:
        """See `Clock.elapsed_us`."""
        return self._gone // timedelta(microseconds=1)

    def advance(self, by: timedelta) -> None:
        """Let time pass."""
        self._gone += by


def seeded(seed: int) -> Callable[[int], bytes]:
    """Return a source of bytes that gives the same ones for the same seed. NEVER for anything secret."""
    return random.Random(seed).randbytes  # noqa: S311 - repeatable on purpose
