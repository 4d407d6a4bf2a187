"""The running state, with somebody who is told how its approvals change.

live = ToldLive(clock, snapshot, controls, tenant=..., memory_key=..., entries_of=...)
live.tell = notices.changed         # from here on; what was read back from the store is no news
"""

from collections.abc import Callable

from remit.permissions import Approval
from remit.pipeline import Live

Tell = Callable[[Approval | None, Approval], None]
"""Takes an approval as it was and as it is. Never waits and never raises."""


class ToldLive(Live):
    """Live, and `tell` hears of every approval that is taken in."""

    tell: Tell | None = None

    def put(self, approval: Approval) -> None:
        """See `FactSource.put`."""
        before = self.approval(approval.id)
        super().put(approval)
        if self.tell is not None:
            self.tell(before, approval)
