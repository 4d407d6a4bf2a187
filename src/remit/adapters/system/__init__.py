"""The real clock and the real randomness, injected everywhere else.

clock = SystemClock()
clock.now(); clock.elapsed_us(); random(16)
"""

import time
from datetime import UTC, datetime
from os import urandom as random

__all__ = ["SystemClock", "random"]


class SystemClock:
    """Wall time for what is written down, monotonic time for what is measured."""

    def now(self) -> datetime:
        """See `Clock.now`."""
        return datetime.now(UTC)

    def elapsed_us(self) -> int:
        """See `Clock.elapsed_us`."""
        return time.monotonic_ns() // 1000
