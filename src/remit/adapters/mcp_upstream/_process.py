"""One life of a program spoken to over stdio: requests out, answers in, by id; everything bounded.

Rules: messages are JSON-RPC, one on a line (MCP, transports, "stdio"), read as strictly as over HTTP. A program that
breaks this framing cannot be followed any more: it is ended, and whatever waits for it fails with its effect unknown.
A line that is merely too long is skipped: it costs the request it answers, and no other, and not the process.
What it writes to standard error is read and dropped, but for the last of it, which explains its end.

It is started by `subprocess`, not by the loop: uvloop's own way hands a program every descriptor that may be inherited.
"""

import asyncio
import itertools
import os
import re
import signal
import subprocess
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from remit.adapters.http1 import Code
from remit.adapters.mcp_upstream._answers import ascii_line, read_message
from remit.adapters.mcp_upstream._pipes import ReadEnd, WriteEnd
from remit.core import InputRefusedError, JsonObject, canonical_bytes, parse_strict
from remit.pipeline import Sent, UpstreamFailure

_WAITING_MAX = 256  # requests under way
_UNREAD_BYTES_MAX = 1 << 20  # written to the program and not yet read by it
_GIVEN_UP_MAX = 1024  # ids whose late answers are passed over
_UNASKED_FACTOR = 4  # bytes it may send unasked between two answers, in answers of the greatest size
_SKIPPED_FACTOR = 64  # bytes of overlong lines between two answers, in answers of the greatest size
_SILENT_MAX = 3  # requests in a row that time out without one line from it
_STDERR_BYTES = 2048  # kept of standard error
_END_S = 0.2  # seconds between its exit and the end of its pipes, which a child of its own may hold open
_STOP_S = 2.0  # seconds to end after being asked to
_WORD = re.compile(r"[A-Za-z0-9_.+=~-]{40,}")  # what could be a credential
_METHOD_NOT_FOUND = -32601  # JSON-RPC 2.0, section 5.1

Write = Callable[[str], bytes]
"""Writes a request with the id it is given."""

_Answer = asyncio.Future[JsonObject | UpstreamFailure]


class Process:
    """A running program. `ended` is set when it is gone; nothing is written to it after `open` is false."""

    def __init__(self, program: "subprocess.Popen[bytes]", line_bytes_max: int) -> None:
        if program.stdin is None or program.stdout is None or program.stderr is None:
            raise ValueError("a program without pipes")
        self._loop = asyncio.get_running_loop()
        self._program = program
        self._line_bytes_max = line_bytes_max
        self._reading = 2  # its standard output and standard error
        self._gone = False  # whether it has exited
        self._buffer = bytearray()
        self._looked = 0  # how much of the buffer is known to hold no line end
        self._errors = bytearray()
        self._count = itertools.count(1)
        self._waiting: dict[str, _Answer] = {}
        self._given_up: OrderedDict[str, bool] = OrderedDict()  # whether an overlong line was taken for the answer
        self._unasked_bytes = self._skipped_bytes = self._silent = 0
        self._skipping = False  # whether what comes is the rest of an overlong line
        self._suspect = ""  # the one request that this line can answer
        self._fault: UpstreamFailure | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stopping: asyncio.Task[None] | None = None
        self.began_at = self._loop.time()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self.greeting: JsonObject = {}  # what it answered to the first request it understood
        self.modern = True  # whether it speaks 2026-07-28, or an older revision after a handshake
        self._stdin = WriteEnd(program.stdin, self._cut)
        self._stdout = ReadEnd(program.stdout, self._hear, self._hung_up)
        self._stderr = ReadEnd(program.stderr, self._note, self._read_out)
        self.verified_above: int | None = None  # see `Verification.begun`, noted when the process was first used

    @classmethod
    async def start(
        cls, command: Sequence[str], cwd: Path, environment: Mapping[str, str], line_bytes_max: int
    ) -> "Process":
        """Start a program in a session of its own, with these variables and no open file but its three pipes.

        Raises:
            OSError: there is no such program, or it may not be run.
            ValueError: no command line can hold the words.
        """
        process = cls(await asyncio.to_thread(_popen, command, cwd, environment), line_bytes_max)
        threading.Thread(target=process._watch, name="remit-program", daemon=True).start()
        return process

    @property
    def open(self) -> bool:
        """Whether requests may be written."""
        return self._fault is None

    async def request(self, write: Write, deadline: float) -> JsonObject | UpstreamFailure:
        """Send a request, once, and return its result, or what kept it from coming before `deadline` (loop time)."""
        refused = self._refusal(deadline)
        if refused is not None:
            return refused
        request_id = f"r_{next(self._count)}"
        line = write(request_id)
        if b"\n" in line or b"\r" in line:
            return _unsent(Code.MALFORMED, "a request of more than one line")
        answer: _Answer = self._loop.create_future()
        self._waiting[request_id] = answer
        timer = self._loop.call_at(deadline, self._expire, answer)
        self._stdin.write(line + b"\n")
        try:
            return await answer
        finally:
            timer.cancel()
            if self._waiting.pop(request_id, None) is not None:
                self._give_up(request_id)

    def notify(self, method: str, params: JsonObject | None = None) -> None:
        """Send a message that has no answer."""
        self._send({"jsonrpc": "2.0", "method": method, "params": params or {}})

    async def finished(self) -> None:
        """Wait until no request is under way."""
        while self._waiting:
            await asyncio.wait(list(self._waiting.values()))
            await asyncio.sleep(0)  # whoever waited takes its answer away

    async def stop(self, why: str = "the program was ended") -> None:
        """End the program and whatever it started: asked first, killed after two seconds. Returns once it is gone."""
        self._break(Code.CLOSED, why)
        await self.ended

    def _refusal(self, deadline: float) -> UpstreamFailure | None:
        if self._fault is not None:
            return _unsent(Code.CLOSED, self._fault.detail)
        if self._loop.time() >= deadline:
            return _unsent(Code.TIMEOUT, "the time was up before the request was written")
        if len(self._waiting) >= _WAITING_MAX:
            return _unsent(Code.BUSY, f"{_WAITING_MAX} calls wait already")
        if self._stdin.unread_bytes > _UNREAD_BYTES_MAX:
            return _unsent(Code.BUSY, "the program does not read its requests")
        return None

    def _expire(self, answer: _Answer) -> None:
        if answer.done():
            return
        answer.set_result(UpstreamFailure(code=Code.TIMEOUT.value, sent=Sent.UNKNOWN, detail="no answer in time"))
        self._silent += 1
        if self._silent >= _SILENT_MAX:
            self._break(Code.CLOSED, f"the program was ended after {_SILENT_MAX} requests without a sign of life")

    def _give_up(self, request_id: str) -> None:
        """Tell the program that nobody waits any more, and be ready for its answer all the same."""
        self._expect_late(request_id, taken=False)
        if self.open:
            self.notify("notifications/cancelled", {"requestId": request_id})

    def _expect_late(self, request_id: str, *, taken: bool) -> None:
        self._given_up[request_id] = taken
        if len(self._given_up) > _GIVEN_UP_MAX:
            self._given_up.popitem(last=False)

    def _send(self, message: JsonObject) -> None:
        if self.open:
            self._stdin.write(canonical_bytes(message) + b"\n")
            if self._stdin.unread_bytes > 2 * _UNREAD_BYTES_MAX:
                self._break(Code.TOO_LARGE, "the program asks and does not read")

    # What the program says.

    def _line(self, line: bytes) -> None:
        try:
            message = parse_strict(line)
        except InputRefusedError as error:
            self._break(Code.MALFORMED, f"a line that is not strict json: {error.code}")
            return
        if not isinstance(message, dict):
            self._break(Code.MALFORMED, "a line that is not one message")
        elif "method" in message:
            self._unasked(message, len(line))
        else:
            self._answered(message)

    def _answered(self, message: JsonObject) -> None:
        request_id = message.get("id")
        if isinstance(request_id, str) and request_id in self._given_up:
            del self._given_up[request_id]
            return
        answer = self._waiting.get(request_id) if isinstance(request_id, str) else None
        if answer is None:
            self._break(Code.MALFORMED, "an answer to another request")
            return
        self._unasked_bytes = self._skipped_bytes = 0
        del self._waiting[str(request_id)]
        if not answer.done():  # its time may be up since a moment
            answer.set_result(read_message(message, str(request_id)))

    def _unasked(self, message: JsonObject, size: int) -> None:
        """Pass over a notification; answer a request with no: this client has nothing to give but a ping's answer."""
        self._unasked_bytes += size
        if self._unasked_bytes > _UNASKED_FACTOR * self._line_bytes_max:
            self._break(Code.TOO_LARGE, "more unasked messages than answers")
        elif "id" in message:
            answer: JsonObject = {"jsonrpc": "2.0", "id": message["id"]}
            if message["method"] == "ping":
                answer["result"] = {}
            else:
                answer["error"] = {"code": _METHOD_NOT_FOUND, "message": "this client answers nothing but ping"}
            self._send(answer)

    def _skip(self, size: int) -> None:
        """Pass over a piece of an overlong line, which is not kept."""
        if not self._skipping:
            self._skipping = True
            unanswered = [*self._waiting, *(late for late, taken in self._given_up.items() if not taken)]
            self._suspect = unanswered[0] if len(unanswered) == 1 else ""
        self._skipped_bytes += size
        if self._skipped_bytes > _SKIPPED_FACTOR * self._line_bytes_max:
            self._break(Code.TOO_LARGE, f"lines over {self._line_bytes_max} bytes, {self._skipped_bytes} in all")

    def _skipped(self) -> None:
        """Fail the request that the overlong line answered, if only one can be meant; others wait for their answers."""
        self._skipping = False
        answer = self._waiting.pop(self._suspect, None)
        if answer is None:
            return
        self._expect_late(self._suspect, taken=True)  # (if the line was no answer, that is still to come)
        self._unasked_bytes = self._skipped_bytes = 0
        if not answer.done():
            said = f"a line over {self._line_bytes_max} bytes"
            answer.set_result(UpstreamFailure(code=Code.TOO_LARGE.value, sent=Sent.UNKNOWN, detail=said))

    # Its end.

    def _break(self, code: Code, detail: str) -> None:
        """Fail whatever waits, and end the program."""
        self._fail(code, detail)
        if self._stopping is None and not self.ended.done():
            self._stopping = asyncio.create_task(self._end())

    def _fail(self, code: Code, detail: str) -> None:
        if self._fault is None:
            self._fault = UpstreamFailure(code=code.value, sent=Sent.UNKNOWN, detail=detail)
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_result(self._fault)
        self._waiting.clear()

    async def _end(self) -> None:
        self._stdin.close()
        self._signal(signal.SIGTERM)
        _, running = await asyncio.wait([self.ended], timeout=_STOP_S)
        if running:
            self._signal(signal.SIGKILL)
            await asyncio.wait([self.ended], timeout=_STOP_S)
        self._conclude()

    def _signal(self, number: signal.Signals) -> None:
        """Signal the program's process group: it is its own session, so that nothing it started is left."""
        with suppress(ProcessLookupError, PermissionError):  # (macOS says the latter of a group of dead processes.)
            os.killpg(self._program.pid, number)

    def _soon(self) -> None:
        if self._timer is None and not self.ended.done():
            self._timer = self._loop.call_later(_END_S, self._conclude)

    def _conclude(self) -> None:
        if self.ended.done():
            return
        if self._timer is not None:
            self._timer.cancel()
        self._fail(Code.CLOSED, self._last_words())
        self._signal(signal.SIGKILL)
        for end in (self._stdin, self._stdout, self._stderr):
            end.close()
        self.ended.set_result(None)

    def _last_words(self) -> str:
        code = self._program.returncode
        said = self._errors.decode("utf-8", "replace")
        if len(self._errors) >= _STDERR_BYTES:
            said = said.partition("\n")[2]  # its first line may be cut
        said = _WORD.sub("[...]", said)
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        how = "the program closed its output" if code is None else f"the program ended with exit code {code}"
        return f"{how}: {ascii_line(' / '.join(lines[-3:])[-200:])}" if lines else how

    # What the pipes and the system say.

    def _watch(self) -> None:
        """Wait for the program's exit, in a thread: the one way that every system and every loop has."""
        self._program.wait()
        with suppress(RuntimeError):  # the loop is closed: nobody wants to know
            self._loop.call_soon_threadsafe(self._exited)

    def _hear(self, data: bytes) -> None:
        """Read on; what comes after the end of trust is dropped."""
        self._silent = 0
        self._buffer += data
        start = 0
        while self._fault is None:
            end = self._buffer.find(b"\n", max(start, self._looked))
            stop = len(self._buffer) if end < 0 else end
            overlong = self._skipping or stop - start > self._line_bytes_max
            if overlong:
                self._skip(stop - start)
                start = stop
            if end < 0 or self._fault is not None:
                break
            if overlong:
                self._skipped()
            else:
                self._line(bytes(self._buffer[start:end]))
            start = self._looked = end + 1
        del self._buffer[: len(self._buffer) if self._fault is not None else start]
        self._looked = len(self._buffer)

    def _note(self, data: bytes) -> None:
        self._errors += data
        del self._errors[:-_STDERR_BYTES]

    def _cut(self) -> None:
        """Without its input the program is as good as gone."""
        if self._stopping is None:
            self._soon()

    def _hung_up(self) -> None:
        self._cut()
        self._read_out()

    def _read_out(self) -> None:
        self._reading -= 1
        self._all_said()

    def _exited(self) -> None:
        self._gone = True
        self._soon()  # a child of its own may hold its pipes open
        self._all_said()

    def _all_said(self) -> None:
        if self._gone and not self._reading:
            self._conclude()


def _popen(command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    pipe = subprocess.PIPE
    return subprocess.Popen(  # noqa: S603 - running the reviewed command of the catalogue is what this is for
        command, cwd=cwd, env=environment, start_new_session=True, bufsize=0, stdin=pipe, stdout=pipe, stderr=pipe
    )


def _unsent(code: Code, detail: str) -> UpstreamFailure:
    return UpstreamFailure(code=code.value, sent=Sent.NOT_SENT, detail=detail)
