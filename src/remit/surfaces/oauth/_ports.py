"""What the token service needs, in one value: the composition root fills it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from remit.core import Delegation, Json, Reason, Revocation, Task
from remit.identity import Cut, Exchange, Presented, Proofs, Registration, UserToken
from remit.pipeline import Clock, Ledger
from remit.surfaces._http import Bounds

FORM_BOUNDS = Bounds(body_bytes_max=16 << 10)


class Logins(Protocol):
    """What is asked of `Authenticator` here."""

    async def user(self, presented: Presented, audience: str, /) -> UserToken:
        """See `Authenticator.user`."""
        ...


class Assertions(Protocol):
    """What is asked of `Users` here."""

    async def assertion(self, token: str, audience: str, client_id: str, /) -> UserToken:
        """See `Users.assertion`."""
        ...


class Opening(Protocol):
    """What is asked of `TaskDesk` here. A `Reason` says why no task was opened."""

    async def open_for(self, login: UserToken, agent: str, details: Json, /, *, asserted: bool) -> Task | Reason:
        """See `TaskDesk.open_for`."""
        ...

    async def hand_on(self, delegation: Delegation, to: str, details: Json, /) -> Task | Reason:
        """See `TaskDesk.hand_on`."""
        ...


class Ending(Protocol):
    """What is asked of `ControlDesk` here."""

    async def cut(self, cut: Cut, by: str, why: str, /) -> object:
        """See `ControlDesk.cut`. A `Reason` says why nothing was cut off."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPorts:
    """What the token service at `issuer` (an address) works with. `audience` is that of task tokens, the MCP address.

    `assertions` is None where no issuer is configured. `registrations` are the agents', by name; `task_of` returns an
    open task; `revoked` says who or what of a delegation was cut off: an empty name in one was never cut off.
    """

    exchange: Exchange
    logins: Logins
    assertions: Assertions | None
    proofs: Proofs
    opening: Opening
    ending: Ending
    registrations: Callable[[], Mapping[str, Registration]]
    task_of: Callable[[str], Task | None]
    revoked: Callable[[Delegation], Revocation | None]
    issuer: str
    audience: str
    ledger: Ledger
    clock: Clock
    bounds: Bounds = FORM_BOUNDS

    def registration(self, agent: str) -> Registration:
        """Return what the organisation says of an agent; of one that it does not know, nothing."""
        return self.registrations().get(agent, Registration())
