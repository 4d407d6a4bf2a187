"""A mint whose tokens say what they are for."""

from datetime import datetime

from remit.catalogue import Tool
from remit.core import ToolCall


class PlainCredentials:
    """The `Credentials` port without cryptography: a token names its tool, user and agent. For tests alone."""

    def mint(self, tool: Tool, call: ToolCall, now: datetime) -> str:
        """See `Credentials.mint`."""
        del now
        return f"{tool.name}:{call.delegation.user}:{call.delegation.agent}"

    def forget_agent(self, agent: str) -> None:
        """See `ControlDesk.forget_agent`."""
