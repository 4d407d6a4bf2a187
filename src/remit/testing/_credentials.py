"""A mint whose tokens say what they are for."""

from datetime import datetime

from remit.catalogue import Minted, Tool
from remit.core import Delegation, ToolCall
from remit.identity import Cut
from remit.pipeline import Credential


class PlainCredentials:
    """The `Credentials` port without cryptography: a token names its tool, user and agent. For tests alone.

    Calls are numbered where a tool asks for it, in run 0.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[str, Delegation], Credential] = {}
        self._numbers: dict[str, int] = {}

    async def credential(self, tool: Tool, call: ToolCall, intent: bytes, now: datetime) -> Credential:
        """See `Credentials.credential`."""
        del intent, now
        by = call.delegation
        value = f"Bearer {tool.name}:{by.user}:{by.agent}"
        if tool.credential == Minted(sequence=True):
            self._numbers[tool.name] = self._numbers.get(tool.name, 0) + 1
            return Credential("authorization", value, (0, self._numbers[tool.name]))
        return self._kept.setdefault((tool.name, by), Credential("authorization", value))

    def forget(self, cut: Cut) -> int:
        """See `ControlDesk.forget`: how many were kept whose delegation `cut` concerns."""
        gone = [key for key in self._kept if _concerns(cut, key[1])]
        for key in gone:
            del self._kept[key]
        return len(gone)


def _concerns(cut: Cut, by: Delegation) -> bool:
    return cut.concerns(user=by.user, agent=by.agent, task=by.task, chain=by.chain, keys=by.keys)
