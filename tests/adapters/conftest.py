"""A peer that plays what it is told, on a loopback port, and both event loops."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Literal, TypeVar

import pytest
import uvloop

T = TypeVar("T")
Then = Literal["keep", "close", "hang"]


@dataclass(frozen=True, slots=True)
class Play:
    """What the peer answers one request with. `hang` reads on and says nothing more; `piece` cuts the answer."""

    answer: bytes
    then: Then = "keep"
    piece: int = 1 << 20


Script = Callable[[int, bytes, bytes], Play]
"""(how many requests came before, head, body) -> what to answer."""


@dataclass
class Peer:
    """A raw server. It speaks no more HTTP than it needs to find the end of a request."""

    script: Script
    port: int = 0
    accepted: int = 0
    heads: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.accepted += 1
        try:
            while await self._exchange(reader, writer):
                pass
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass  # the client hung up, or the test is over
        finally:
            self.tasks.discard(task)
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:"))
        body = await reader.readexactly(length)
        play = self.script(len(self.bodies), head, body)
        self.heads.append(head)
        self.bodies.append(body)
        for start in range(0, len(play.answer), play.piece):
            writer.write(play.answer[start : start + play.piece])
            await writer.drain()
            if play.piece < len(play.answer):
                await asyncio.sleep(0)  # the next piece in a read of its own, mostly
        if play.then == "hang":
            await reader.read()
        return play.then == "keep"

    async def gone(self) -> None:
        """Wait until every client has hung up; a leaked connection would wait here for ever."""
        async with asyncio.timeout(10):
            while self.tasks:
                await asyncio.wait(set(self.tasks))


@asynccontextmanager
async def _serving(script: Script, tls: SSLContext | None = None) -> AsyncIterator[Peer]:
    peer = Peer(script)
    server = await asyncio.start_server(peer.serve, "127.0.0.1", 0, ssl=tls)
    peer.port = server.sockets[0].getsockname()[1]
    try:
        yield peer
    finally:
        server.close()
        await server.wait_closed()


Serving = Callable[..., AbstractAsyncContextManager[Peer]]
Run = Callable[[Coroutine[Any, Any, T]], T]


@pytest.fixture
def serving() -> Serving:
    return _serving


@pytest.fixture
def play() -> type[Play]:
    return Play


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Run a coroutine to its end on each of the two loops."""
    factory = asyncio.new_event_loop if request.param == "asyncio" else uvloop.new_event_loop

    def go(scenario: Coroutine[Any, Any, T]) -> T:
        with asyncio.Runner(loop_factory=factory) as runner:
            return runner.run(scenario)

    return go
