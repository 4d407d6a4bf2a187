"""Who may: every route but the login and the page that says how to decide depends on one of these."""

from typing import Annotated

from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from remit.core import RemitError
from remit.identity import Person, Presented
from remit.surfaces._http import Headers, bearer
from remit.surfaces.admin._control import Control

OPERATOR = "operator"
WHY_CHARS_MAX = 500


class Access:
    """Says who asks, and refuses who may not."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def person(self, request: Request) -> Person:
        """Return the person whose login came with the request.

        Raises:
            TokenRefusedError: there is none that authenticates.
            LoginRefusedError: it is an agent's, or of somebody who is cut off.
        """
        login = await self._control.door.login(Presented(bearer(Headers.of(request.scope))), self._control.audience)
        return login.person

    async def operator(self, request: Request) -> Person:
        """Return that person if they operate the gateway.

        Raises:
            TokenRefusedError: there is none that authenticates.
            RemitError: `role_missing`.
        """
        found = await self.person(request)
        if OPERATOR not in found.roles:
            raise RemitError("role_missing", f"`{found.name}` is not an {OPERATOR}", "ask one who is")
        return found


def _visible(text: str) -> str:
    """Take one line of visible characters: it goes on record, and into what others are told."""
    if not text.isprintable() or not text.strip():
        raise ValueError("expected one line of visible characters")
    return text


Why = Annotated[str, Field(max_length=WHY_CHARS_MAX), AfterValidator(_visible)]


class Told(BaseModel):
    """A body that says why."""

    model_config = ConfigDict(extra="forbid")

    why: Why
