"""The `Credentials` port: each tool gets what its descriptor asks for."""

from datetime import datetime
from typing import Protocol, assert_never

from remit.adapters.credentials._exchange import Exchanges, Post, Proving
from remit.adapters.credentials._secrets import Secrets
from remit.catalogue import Exchanged, Minted, Secret, Tool
from remit.core import ToolCall
from remit.identity import Cut
from remit.pipeline import Clock, Credential


class Tokens(Proving, Protocol):
    """Mints for tools (see `ToolTokens`)."""

    def mint(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        """Return the token to send with `call`."""
        ...

    def forget(self, cut: Cut) -> int:
        """Hand out no token again that `cut` concerns."""
        ...


class ToolCredentials:
    """Gives what a tool knows our calls by (`pipeline.Credentials`)."""

    def __init__(self, tokens: Tokens, post: Post, secrets: Secrets, clock: Clock) -> None:
        self._tokens = tokens
        self._secrets = secrets
        self._exchanges = Exchanges(tokens, post, clock)

    async def credential(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        """See `Credentials.credential`."""
        match tool.credential:
            case Minted():
                return self._tokens.mint(tool, call, intent, now)
            case Exchanged() as how:
                token = await self._exchanges.token(tool.name, how, call.delegation, now)
                return Credential("authorization", f"Bearer {token}")
            case Secret() as secret:
                value = await self._secrets.value(secret, now)
                return Credential(secret.header.lower(), f"{secret.scheme} {value}" if secret.scheme else value)
            case _:
                assert_never(tool.credential)

    def forget(self, cut: Cut) -> int:
        """Use nothing again that was had for a delegation that `cut` concerns; say how many that were.

        A secret is nobody's, and stays.
        """
        return self._tokens.forget(cut) + self._exchanges.forget(cut)

    async def close(self) -> None:
        """End what is under way."""
        await self._exchanges.close()
        await self._secrets.close()
