"""Load: `wrk` where it is installed, else a small client of our own. One run uses one of them for everything.

generator = choose()
seen = generator.run(request, connections=32, seconds=4.0)
"""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import uvloop

CHECK_WAIT_S = 10.0
OWN = "own asyncio client"

# wrk ends by telling what it saw as JSON. Times are microseconds; a status over 399 is an error.
_SCRIPT = """\
wrk.method = "POST"
wrk.body = {body}
{headers}
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n@@{{"requests":%d,"seconds":%.6f,"errors":%d,"p50_us":%.1f,"p99_us":%.1f}}\\n',
    summary.requests, summary.duration / 1e6, e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, sent again and again. `headers` without Host and Content-Length."""

    port: int
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Seen:
    """What the load generator saw."""

    requests: int
    seconds: float
    errors: int
    p50_us: float
    p99_us: float


class Generator(Protocol):
    """Something that makes load."""

    name: str

    def run(self, request: Request, connections: int, seconds: float) -> Seen:
        """Send `request` over `connections` kept alive, each with one request under way, for `seconds`."""
        ...


def choose() -> Generator:
    """Return wrk if it is on the path, else the client below."""
    found = shutil.which("wrk")
    return Own() if found is None else Wrk(found)


class Wrk:
    """wrk with one thread. It takes whole seconds, at least one."""

    def __init__(self, program: str) -> None:
        self._program = program
        self.name = "wrk -t1"

    def run(self, request: Request, connections: int, seconds: float) -> Seen:
        """See `Generator.run`."""
        headers = "\n".join(f"wrk.headers[{_lua(k)}] = {_lua(v)}" for k, v in request.headers.items())
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "post.lua"
            script.write_text(_SCRIPT.format(body=_lua(request.body.decode("ascii")), headers=headers), "utf-8")
            url = f"http://127.0.0.1:{request.port}{request.path}"
            command = [self._program, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), url]
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=True)
        said = json.loads(done.stdout.rsplit("@@", 1)[1])
        return Seen(**said)


def _lua(text: str) -> str:
    """Quote printable ASCII for Lua, whose short strings escape as JSON's do."""
    return json.dumps(text)


class Own:
    """A keep-alive client on bare protocols, for machines without wrk. It costs more per request than wrk does."""

    def __init__(self) -> None:
        self.name = OWN

    def run(self, request: Request, connections: int, seconds: float) -> Seen:
        """See `Generator.run`."""
        return uvloop.run(self._run(request, connections, seconds))

    async def _run(self, request: Request, connections: int, seconds: float) -> Seen:
        loop = asyncio.get_running_loop()
        wire, end, started = written(request), time.perf_counter() + seconds, time.perf_counter()
        lines = [_Line(wire, end, loop.create_future()) for _ in range(connections)]
        for line in lines:
            await loop.create_connection(lambda line=line: line, "127.0.0.1", request.port)  # type: ignore[misc]  # the default binds now
        async with asyncio.timeout(seconds + 30):
            await asyncio.gather(*(line.over for line in lines))
        took = time.perf_counter() - started
        times = sorted(at for line in lines for at in line.times)
        errors = sum(line.errors for line in lines)
        return Seen(len(times), took, errors, percentile(times, 50) * 1e6, percentile(times, 99) * 1e6)


class _Line(asyncio.Protocol):
    """One connection: send, read a whole answer, note how long it took, send again until the time is up."""

    def __init__(self, wire: bytes, end: float, over: asyncio.Future[None]) -> None:
        self._wire, self._end, self.over = wire, end, over
        self.times: list[float] = []
        self.errors = 0
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._send()

    def _send(self) -> None:
        self._sent, self._read = time.perf_counter(), b""
        self._transport.write(self._wire)  # type: ignore[attr-defined]  # a TCP transport can

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, _, body = self._read.partition(b"\r\n\r\n")
        at = head.lower().find(b"content-length:")
        if at < 0 or len(body) < int(head[at + 15 :].split(b"\r\n", 1)[0]):
            return
        now = time.perf_counter()
        self.times.append(now - self._sent)
        self.errors += not head.startswith(b"HTTP/1.1 200")
        if now < self._end:
            self._send()
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.errors += exc is not None or time.perf_counter() < self._end
        if not self.over.done():
            self.over.set_result(None)


def written(request: Request) -> bytes:
    """Return the request as it goes over the wire."""
    lines = [f"POST {request.path} HTTP/1.1", f"host: 127.0.0.1:{request.port}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, f"content-length: {len(request.body)}", "", ""]).encode("ascii") + request.body


def percentile(ordered: list[float], percent: float) -> float:
    """Return a percentile of values in order; 0 where there are none."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else 0.0
