"""Attachment: from what came with a request to the delegation it is made under, at its level (A, B or C).

A task token says its task. A plain MCP client has only its user's token from the organisation's issuer; it acts in an
implicit task of its own, and only reads.
"""

from dataclasses import dataclass

from remit.core import Delegation, Reason, RemitError
from remit.identity import Authenticator, Person, Presented, TokenRefusedError, Users, UserToken
from remit.pipeline.open_task import TaskDesk


class AttachmentRefusedError(RemitError):
    """A client that authenticated, and may not act here. `delegation` says who it is; it names no task."""

    def __init__(self, reason: Reason, delegation: Delegation) -> None:
        super().__init__(reason.code, reason.message, reason.fix)
        self.delegation = delegation


@dataclass(frozen=True, slots=True)
class Attachments:
    """The `Authenticator` of the agents' door. `audience` is what a client's token must be issued for."""

    tokens: Authenticator
    users: Users
    desk: TaskDesk
    audience: str

    async def delegation(self, presented: Presented) -> Delegation:
        """See `Authenticator.delegation`. `tokens` raises `token_foreign` for what one of the issuers signed.

        Raises:
            AttachmentRefusedError: the token authenticates, and its client or user may not act.
            StoreUnavailableError: an implicit task could not be kept.
        """
        try:
            return await self.tokens.delegation(presented)
        except TokenRefusedError as error:
            if error.code != "token_foreign":
                raise
        login = await self.users.user(presented, self.audience)
        attached = await self.desk.implicit(login)
        if isinstance(attached, Reason):
            raise AttachmentRefusedError(attached, login.unattached())
        return attached

    async def user(self, presented: Presented, audience: str) -> UserToken:
        """See `Authenticator.user`."""
        return await self.tokens.user(presented, audience)

    async def person(self, token: str, audience: str) -> Person:
        """See `Authenticator.person`."""
        return await self.tokens.person(token, audience)
