"""What stays in the log of refusals that came before any ruling: each once a minute, or they could fill it."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit import records
from remit.core import Delegation, Reason, StoreUnavailableError
from remit.pipeline._ports import Clock, Ledger

TOLD_PAUSE = timedelta(minutes=1)
TOLD_KEPT = 1_000

_Told = tuple[str, str, str, str, str]


@dataclass(frozen=True, slots=True)
class Refusals:
    """Records what was refused at one door (`surface`) to somebody known: once a minute for each of them and code."""

    ledger: Ledger
    clock: Clock
    surface: str
    told: dict[_Told, datetime] = field(default_factory=dict)  # who and what -> when it may be recorded again

    async def record(self, known: Delegation | None, reason: Reason) -> None:
        """Leave a record where a signature says who it was. It is refused all the same where the store is gone."""
        if known is None:
            return
        now = self.clock.now()
        if not self._is_news((known.user, known.agent, known.task, known.client, reason.code), now):
            return
        entry = records.refused(known, at=now, surface=self.surface, code=reason.code, message=reason.message)
        try:
            await self.ledger.append(entry)
        except StoreUnavailableError:
            return  # the gateway's health says so

    def _is_news(self, what: _Told, now: datetime) -> bool:
        if now < self.told.get(what, now):
            return False
        if len(self.told) >= TOLD_KEPT:
            self.told.clear()
        self.told[what] = now + TOLD_PAUSE
        return True
