"""The door for people: whoever comes through it is a person who logged in themselves, and is not cut off."""

from dataclasses import dataclass
from typing import Protocol

from remit.core import Allow, Deny, Hold, Reason, RemitError, strictest
from remit.identity import EVERY_AGENT, Presented, TokenRefusedError, UserToken, is_cut_off, is_users_channel
from remit.pipeline import Live, Refusals


class Logins(Protocol):
    """What is asked of `Authenticator` here."""

    async def user(self, presented: Presented, audience: str, /) -> UserToken:
        """See `Authenticator.user`."""
        ...


class LoginRefusedError(RemitError):
    """A login that authenticates, and is not let in."""


@dataclass(frozen=True, slots=True)
class PeopleDoor:
    """Lets people in: at the channel's doors (tasks, consents) and at the admin port. Whom it turns away is on record.

    An agent that has its user's login must not open tasks as the user, consent to itself or approve its own calls.
    """

    logins: Logins
    live: Live
    refusals: Refusals

    async def login(self, presented: Presented, audience: str) -> UserToken:
        """Return who comes.

        Raises:
            TokenRefusedError: the token does not authenticate.
            LoginRefusedError: `login_of_agent`; `user_revoked`.
        """
        try:
            login = await self.logins.user(presented, audience)
        except TokenRefusedError as error:
            await self.refusals.record(error.delegation, Reason(error.code, error.message, error.fix))
            raise
        cut_off = self.live.user_revocation(login.person.name, EVERY_AGENT, login.issued_at)
        match strictest((is_users_channel(login, self.live.snapshot.registrations), is_cut_off(cut_off))):
            case Allow():
                return login
            case Deny(reason) | Hold(reason):
                await self.refusals.record(login.unattached(), reason)
                raise LoginRefusedError(reason.code, reason.message, reason.fix)
