"""What stays in the log of questions that were not understood, or whose token no longer counts."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit import records
from remit.core import Delegation, Reason, StoreUnavailableError
from remit.pipeline import Clock, Ledger

TOLD_PAUSE = timedelta(minutes=1)
TOLD_KEPT = 1_000

_Told = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class Refusals:
    """Records what was refused to somebody known: once a minute for each code, or it could fill the log."""

    ledger: Ledger
    clock: Clock
    told: dict[_Told, datetime] = field(default_factory=dict)  # who and what -> when it may be recorded again

    async def record(self, known: Delegation | None, reason: Reason) -> None:
        """Leave a record where a signature says who it was."""
        if known is None or not self._is_news((known.user, known.agent, known.task, reason.code)):
            return
        now = self.clock.now()
        entry = records.refused(known, at=now, surface="authzen", code=reason.code, message=reason.message)
        try:
            await self.ledger.append(entry)
        except StoreUnavailableError:
            return  # it is refused all the same, and the gateway's health says that the store is gone

    def _is_news(self, what: _Told) -> bool:
        now = self.clock.now()
        if now < self.told.get(what, now):
            return False
        if len(self.told) >= TOLD_KEPT:
            self.told.clear()
        self.told[what] = now + TOLD_PAUSE
        return True
