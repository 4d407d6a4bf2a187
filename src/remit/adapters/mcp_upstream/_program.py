"""A tool server that is a program of this machine: checked, started when needed, started again when it dies.

Rules: before each start the files named in the catalogue are compared with their digests. The program gets nothing of
our environment, a session of its own, an empty home, and the project's root to stand in. Only who may write to these
files is trusted to leave them alone between the comparison and the start.
"""

import asyncio
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from remit.adapters.http1 import Code
from remit.adapters.mcp_upstream._answers import ERROR, UNSUPPORTED, ascii_line
from remit.adapters.mcp_upstream._process import Process
from remit.adapters.mcp_upstream._wire import (
    HANDSHAKE_VERSIONS,
    PROTOCOL_VERSION,
    initialize_body,
    plain_body,
)
from remit.catalogue import Tool
from remit.core import JsonObject
from remit.pipeline import Sent, UpstreamFailure

ARTEFACT = "artefact_mismatch"
"""A file of the program is not the one that was reviewed."""

SEARCH_PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
"""PATH for programs: the Python that runs Remit first, so that `python` means that one; nothing of our own PATH."""

_START_S = 30.0  # seconds from the start to the end of the handshake
_LASTING_S = 10.0  # seconds after which a process counts as having run
_REST_S = 0.5  # seconds before the second start after a quick death; doubled each time
_REST_S_MAX = 30.0


class Program:
    """Supervises the one process of `tool`, started lazily. A failed start is a value; the next call tries again."""

    def __init__(self, tool: Tool, root: Path | None, search_path: str) -> None:
        self.tool = tool
        self._root = root
        self._search_path = search_path
        self._loop = asyncio.get_running_loop()
        self._process: Process | None = None  # greeted
        self._newborn: Process | None = None  # not greeted yet
        self._starting: asyncio.Task[Process | UpstreamFailure] | None = None
        self._clearing: set[asyncio.Future[None]] = set()
        self._deaths = 0  # quick ones, in a row
        self._rests_until = 0.0
        self._closed = False

    async def process(self, deadline: float) -> Process | UpstreamFailure:
        """Return the running process, started and greeted if need be, or why there is none before `deadline`."""
        if self._process is not None and self._process.open:
            return self._process
        if self._closed:
            return _CLOSED
        rest_s = self._rests_until - self._loop.time()
        if rest_s > 0:
            said = f"the program died {self._deaths} times in a row; it is started again in {rest_s:.1f} s"
            return _unsent(Code.UNREACHABLE.value, said)
        if self._starting is None:
            self._starting = asyncio.create_task(self._start())
        try:
            async with asyncio.timeout_at(deadline):
                return await asyncio.shield(self._starting)
        except TimeoutError:
            return _unsent(Code.TIMEOUT.value, "the program was not ready in time")

    async def retire(self) -> None:
        """Take no more calls; close once those under way have their answers."""
        self._closed = True
        if self._process is not None and self._process.open:
            await self._process.finished()
        await self.close()

    async def close(self) -> None:
        """End the process; calls under way fail. Returns once it and its files are gone."""
        self._closed = True
        if self._newborn is not None:
            await self._newborn.stop("the client is closed")
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._process is not None:
            await self._process.stop("the client is closed")
        await asyncio.gather(*self._clearing)

    async def _start(self) -> Process | UpstreamFailure:
        try:
            started = await self._spawn()
            if isinstance(started, UpstreamFailure):
                return started
            self._newborn = started
            refused = _CLOSED if self._closed else await _greet(started, self._loop.time() + _START_S)
            if refused is not None:
                await started.stop()
                return _unsent(refused.code, f"before any call: {refused.detail}")
            self._process = started
            return started
        finally:
            self._starting = self._newborn = None

    async def _spawn(self) -> Process | UpstreamFailure:
        if self._root is None:
            return _unsent(UNSUPPORTED, "there is no project to run a program of")
        changed = await asyncio.to_thread(_changed_artefact, self._root, self.tool.artefacts)
        if changed is not None:
            return _unsent(ARTEFACT, f"`{ascii_line(changed)}` is not the file that was reviewed")
        file, *words = self.tool.command
        found = shutil.which(file, path=self._search_path) if "/" not in file else str(self._root / file)
        if found is None:
            return _unsent(Code.UNREACHABLE.value, f"no program `{ascii_line(file)}`")
        home = await asyncio.to_thread(_new_home)
        try:
            environment = _environment(self._search_path, home)
            process = await Process.start([found, *words], self._root, environment, self.tool.response_bytes_max)
        except (OSError, ValueError) as error:  # the latter for what no command line can hold
            self._clear(home)
            said = (getattr(error, "strerror", "") or type(error).__name__).lower()
            return _unsent(Code.UNREACHABLE.value, f"no program `{ascii_line(file)}`: {said}")
        process.ended.add_done_callback(lambda _: self._ended(process, home))
        return process

    def _ended(self, process: Process, home: Path) -> None:
        self._clear(home)
        if self._closed:
            return
        now = self._loop.time()
        self._deaths = 1 if now - process.began_at >= _LASTING_S else self._deaths + 1
        if self._deaths > 1:  # the first time it is started again at once
            self._rests_until = now + min(_REST_S_MAX, _REST_S * 2 ** min(self._deaths - 2, 10))

    def _clear(self, home: Path) -> None:
        clearing = self._loop.run_in_executor(None, partial(shutil.rmtree, home, ignore_errors=True))
        self._clearing.add(clearing)
        clearing.add_done_callback(self._clearing.discard)


async def _greet(process: Process, deadline: float) -> UpstreamFailure | None:
    """Find out which revision the program speaks: ask as of 2026-07-28, and shake hands if it does not know that."""
    said = await process.request(lambda each: plain_body("server/discover", each, {}), deadline)
    if isinstance(said, UpstreamFailure) and said.code != ERROR:
        return said
    if not isinstance(said, UpstreamFailure) and _speaks_modern(said):
        process.greeting = said
        return None
    said = await process.request(initialize_body, deadline)
    if isinstance(said, UpstreamFailure):
        return said
    if said.get("protocolVersion") not in HANDSHAKE_VERSIONS:
        spoken = f"{PROTOCOL_VERSION}, {', '.join(HANDSHAKE_VERSIONS)}"
        return UpstreamFailure(code=UNSUPPORTED, sent=Sent.ANSWERED, detail=f"it speaks none of MCP {spoken}")
    process.greeting, process.modern = said, False
    process.notify("notifications/initialized")
    return None


def _speaks_modern(said: JsonObject) -> bool:
    versions = said.get("supportedVersions")
    return isinstance(versions, list) and PROTOCOL_VERSION in versions


def _changed_artefact(root: Path, artefacts: tuple[tuple[str, str], ...]) -> str | None:
    """Return the first file that is not as it was reviewed, or is not there."""
    for name, digest in artefacts:
        path = root / name
        try:
            if not path.is_file() or _digest(path) != digest:
                return name
        except OSError:  # it may not be read
            return name
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _new_home() -> Path:
    base = Path(tempfile.mkdtemp(prefix="remit-tool-"))
    (base / "home").mkdir()
    (base / "tmp").mkdir()
    return base


def _environment(search_path: str, home: Path) -> Mapping[str, str]:
    return {"PATH": search_path, "LANG": "C.UTF-8", "HOME": str(home / "home"), "TMPDIR": str(home / "tmp")}


def _unsent(code: str, detail: str) -> UpstreamFailure:
    return UpstreamFailure(code=code, sent=Sent.NOT_SENT, detail=detail)


_CLOSED = _unsent(Code.UNREACHABLE.value, "the client is closed")
