"""A tool that does as it is told and remembers what it got."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from remit.catalogue import Descriptor, Tool
from remit.core import ToolCall
from remit.pipeline import Credential, Sent, UpstreamAnswer, UpstreamFailure

DONE = UpstreamAnswer(result=b'{"content":[{"text":"done","type":"text"}],"isError":false}', is_error=False)
"""What an operation without a script answers."""


@dataclass(frozen=True, slots=True)
class Received:
    """Exactly what arrived: the call's id, where it was sent, the tool's own name of the operation, the bytes.

    `credential` is what the tool would know the call by.
    """

    call: str
    tool: str
    upstream_name: str
    body: bytes
    credential: str


@dataclass(frozen=True, slots=True)
class Hang:
    """A line of a script that waits: `arrived` is set when a call does, `release` lets it end with `then`."""

    then: UpstreamAnswer | UpstreamFailure = DONE
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    release: asyncio.Event = field(default_factory=asyncio.Event)


Line = UpstreamAnswer | UpstreamFailure | Exception | Hang


class UpstreamSimulator:
    """Implements `Upstream` by a script for each operation."""

    def __init__(self, on_arrival: Callable[[ToolCall], None] = lambda _: None) -> None:
        self.received: list[Received] = []
        self.effects: Counter[str] = Counter()
        self._on_arrival = on_arrival
        self._scripts: defaultdict[str, list[Line]] = defaultdict(lambda: [DONE])

    def script(self, operation: str, *lines: Line) -> None:
        """Let `operation` answer with `lines`, in turn; the last one is repeated for ever."""
        self._scripts[operation] = list(lines)

    async def invoke(
        self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        """See `Upstream.invoke`.

        Raises:
            Exception: the script's, where it says so.
        """
        lines = self._scripts[call.operation]
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        if isinstance(line, UpstreamFailure) and line.sent is Sent.NOT_SENT:
            return line
        self._on_arrival(call)
        self.received.append(Received(call.id, tool.url, descriptor.upstream_name, call.canonical, credential.value))
        ending = line.then if isinstance(line, Hang) else line
        if not (isinstance(ending, UpstreamAnswer) and ending.is_error):
            self.effects[call.operation] += 1
        match line:
            case Hang(then=then):
                line.arrived.set()
                await line.release.wait()
                return then
            case Exception():
                raise line
            case _:
                return line
