"""The `Upstream` port over MCP, and what `remit doctor` and a project's import ask a tool server."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from remit.adapters.http1 import Bounds, Code, Pool, prepare_target
from remit.adapters.mcp_upstream._answers import (
    UNSUPPORTED,
    ascii_line,
    malformed,
    read_answer,
    read_result,
    repeats_credential,
    without_credential,
)
from remit.adapters.mcp_upstream._events import EventReader
from remit.adapters.mcp_upstream._process import Process
from remit.adapters.mcp_upstream._program import SEARCH_PATH, Program
from remit.adapters.mcp_upstream._verification import Verification
from remit.adapters.mcp_upstream._wire import (
    PROTOCOL_VERSION,
    PreparedLines,
    PreparedPost,
    plain_body,
    plain_post,
    prepare_lines,
    prepare_post,
    secret_of,
)
from remit.catalogue import Descriptor, Tool
from remit.core import JsonObject, RemitError, ToolCall
from remit.pipeline import Credential, Sent, UpstreamAnswer, UpstreamFailure

CHANGED = "tool_changed"
"""The tool server serves another definition of the operation than was reviewed; nothing was sent."""

UNVERIFIED = "tool_unverified"
"""Whether the tool server still serves what was reviewed could not be found out; nothing was sent."""

_PREPARED_MAX = 4096  # prepared calls kept
_PAGES_MAX = 100  # pages of one tool list
_TOOLS_MAX = 4096  # tools of one server
_REASK_S = 1.0  # seconds for which a finding that an operation has changed is taken as it is
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"

OnConnect = Callable[[Tool], Awaitable[frozenset[str]]]
"""Looks at what a tool serves now; returns the operations that are no longer as reviewed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a tool server says of itself: its own word, good for showing to a person and for nothing else."""

    versions: tuple[str, ...]
    name: str
    version: str
    capabilities: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Way:
    """How one operation of one tool is called. It holds the very objects that it was prepared from."""

    tool: Tool
    descriptor: Descriptor
    form: PreparedPost | PreparedLines
    verification: Verification | None
    on_new: Callable[[float], Awaitable[UpstreamFailure | None]] | None


class McpUpstream:
    """Forwards calls to tool servers: over HTTP through `pool`, which it does not close, or to programs under `root`.

    With `on_connect`, nothing of a call leaves over a new connection, or to a newly started program, before that was
    asked once since; it may call `list_tools` of this object. `search_path` is the PATH of programs.
    """

    def __init__(
        self, pool: Pool, root: Path | None = None, on_connect: OnConnect | None = None, search_path: str = SEARCH_PATH
    ) -> None:
        self._pool = pool
        # What is asked about a server goes over connections of its own: it sees what a new connection would see, and
        # it never waits for a place that is held by a call which waits for the answer.
        self._apart = pool.apart()
        self._root = root
        self._on_connect = on_connect
        self._search_path = search_path
        # By identity: a snapshot's descriptors are made once, and each entry holds the objects its key stands for.
        self._ways: dict[int, _Way] = {}
        self._verifications: dict[Tool, Verification] = {}
        self._programs: dict[str, Program] = {}
        self._retiring: set[asyncio.Task[None]] = set()
        self._count = itertools.count(1)
        self._closed = False

    async def invoke(
        self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        """See `Upstream.invoke`. Never raises for the tool's faults; nothing that it returns repeats `credential`."""
        try:
            way = self._way(tool, descriptor)
            ending = await self._standing(way) or await self._call(way, call, credential)
        except RemitError as error:
            return UpstreamFailure(code=error.code, sent=Sent.NOT_SENT, detail=error.message)
        answer = ending if isinstance(ending, UpstreamFailure) else read_answer(ending)
        if isinstance(answer, UpstreamFailure):
            return without_credential(answer, secret_of(credential))
        repeats = repeats_credential(answer, secret_of(credential))
        return malformed("the answer repeats the credential") if repeats else answer

    def distrust(self, tool: Tool) -> None:
        """Ask what `tool` serves anew before its next call, whatever connection or process that goes over."""
        verification = self._verification(tool)
        if verification is not None:
            verification.distrust()

    async def discover(self, tool: Tool) -> Discovery:
        """Ask `tool` who it is and which revisions it speaks. A program may speak one with a handshake.

        Raises:
            RemitError: no whole answer, or no revision that we speak; `code` as for a failed call.
        """
        if tool.command:
            process = await self._started(tool)
            if not process.modern:
                said = process.greeting
                return _discovery(said, (said.get("protocolVersion"),), said.get("serverInfo"))
        result = await self._ask(tool, "server/discover", {})
        versions = result.get("supportedVersions")
        if not isinstance(versions, list) or PROTOCOL_VERSION not in versions:
            raise _fault(tool, UNSUPPORTED, f"it does not speak MCP {PROTOCOL_VERSION}")
        meta = result.get("_meta")
        return _discovery(result, tuple(versions), meta.get(_SERVER_INFO) if isinstance(meta, dict) else None)

    async def list_tools(self, tool: Tool) -> tuple[JsonObject, ...]:
        """Return the tool definitions of `tool`, all pages, as the server wrote them; none of it is reviewed.

        Raises:
            RemitError: no whole answer, or a list that does not end; `code` as for a failed call.
        """
        found: list[JsonObject] = []
        cursor: str | None = None
        for _ in range(_PAGES_MAX):
            result = await self._ask(tool, "tools/list", {} if cursor is None else {"cursor": cursor})
            page = result.get("tools")
            if not isinstance(page, list):
                raise _fault(tool, "upstream_malformed", "a tool list without tools")
            for item in page:
                if not isinstance(item, dict) or not isinstance(item.get("name"), str):
                    raise _fault(tool, "upstream_malformed", "a tool without a name")
                found.append(item)
            following = result.get("nextCursor")
            if following is None:
                return tuple(found)
            if not isinstance(following, str) or following == cursor or len(found) > _TOOLS_MAX:
                break
            cursor = following
        raise _fault(tool, "upstream_too_large", f"a tool list over {_PAGES_MAX} pages or {_TOOLS_MAX} tools")

    async def close(self) -> None:
        """End every program and wait until they are gone; calls to them fail. Later calls to programs are refused."""
        self._closed = True
        await asyncio.gather(*(program.close() for program in self._programs.values()), *self._retiring)
        await self._apart.close()
        await asyncio.gather(*(verification.settled() for verification in self._verifications.values()))

    # --- calls -------------------------------------------------------------------------------------------------------

    async def _call(self, way: _Way, call: ToolCall, credential: Credential) -> JsonObject | UpstreamFailure:
        form = way.form
        if isinstance(form, PreparedLines):
            return await self._call_program(way, form, call, credential)
        headers = form.headers(call.arguments, credential)
        events = EventReader(call.id)
        response = await self._pool.post(
            form.target, headers, form.body.write(call.id, call), form.bounds, events.feed, way.on_new
        )
        return response if isinstance(response, UpstreamFailure) else read_result(response, events, call.id)

    async def _call_program(
        self, way: _Way, form: PreparedLines, call: ToolCall, credential: Credential
    ) -> JsonObject | UpstreamFailure:
        deadline = asyncio.get_running_loop().time() + way.tool.timeout_s
        process = await self._program(way.tool).process(deadline)
        if isinstance(process, UpstreamFailure):
            return process
        verification = way.verification
        if verification is not None:
            if process.verified_above is None:
                process.verified_above = verification.begun
            if verification.finished <= process.verified_above:
                operation = way.descriptor.operation
                refused = await _verified(verification, operation, process.verified_above, deadline)
                if refused is not None:
                    return refused
        body = form.modern if process.modern else form.older
        secret = secret_of(credential)
        return await process.request(lambda request_id: body.write(request_id, call, secret), deadline)

    async def _standing(self, way: _Way) -> UpstreamFailure | None:
        """Refuse an operation that was found changed, whatever connection is open; look again once a second.

        A tool that is distrusted is looked at before anything is said of it.
        """
        verification = way.verification
        if verification is None:
            return None
        operation, now = way.descriptor.operation, asyncio.get_running_loop().time()
        if verification.finished <= verification.distrusted:
            return await _verified(verification, operation, verification.distrusted, now + way.tool.timeout_s)
        if operation not in verification.changed:
            return None
        if now - verification.done_at < _REASK_S:
            return _changed()
        return await _verified_anew(verification, operation, now + way.tool.timeout_s)

    def _way(self, tool: Tool, descriptor: Descriptor) -> _Way:
        known = self._ways.get(id(descriptor))
        if known is not None and known.tool is tool and known.descriptor is descriptor:
            return known
        form = prepare_lines(descriptor) if tool.command else prepare_post(tool, descriptor)
        verification = self._verification(tool)
        on_new = None if verification is None else partial(_verified_anew, verification, descriptor.operation)
        way = _Way(tool, descriptor, form, verification, on_new)
        if len(self._ways) >= _PREPARED_MAX:
            self._ways.clear()
            self._verifications = {
                each: found
                for each, found in self._verifications.items()
                if found.changed or found.finished <= found.distrusted or each == tool
            }
        self._ways[id(descriptor)] = way
        return way

    def _verification(self, tool: Tool) -> Verification | None:
        if self._on_connect is None:
            return None
        known = self._verifications.get(tool)
        if known is None:
            known = self._verifications[tool] = Verification(partial(self._on_connect, tool))
        return known

    # --- questions ---------------------------------------------------------------------------------------------------

    async def _ask(self, tool: Tool, method: str, params: JsonObject) -> JsonObject:
        result = await (self._ask_program if tool.command else self._ask_url)(tool, method, params)
        if isinstance(result, UpstreamFailure):
            raise _fault(tool, result.code, result.detail)
        if result.get("resultType", "complete") != "complete":
            raise _fault(tool, UNSUPPORTED, "it asks for input before it answers")
        return result

    async def _ask_url(self, tool: Tool, method: str, params: JsonObject) -> JsonObject | UpstreamFailure:
        request_id = f"r_{next(self._count)}"
        headers, body = plain_post(method, request_id, params)
        events = EventReader(request_id)
        bounds = Bounds(tool.timeout_s, tool.response_bytes_max)
        response = await self._apart.post(prepare_target(tool.url), headers, body, bounds, events.feed)
        return response if isinstance(response, UpstreamFailure) else read_result(response, events, request_id)

    async def _ask_program(self, tool: Tool, method: str, params: JsonObject) -> JsonObject | UpstreamFailure:
        process = await self._started(tool)
        deadline = asyncio.get_running_loop().time() + tool.timeout_s
        return await process.request(
            lambda request_id: plain_body(method, request_id, params, modern=process.modern), deadline
        )

    async def _started(self, tool: Tool) -> Process:
        process = await self._program(tool).process(asyncio.get_running_loop().time() + tool.timeout_s)
        if isinstance(process, UpstreamFailure):
            raise _fault(tool, process.code, process.detail)
        return process

    def _program(self, tool: Tool) -> Program:
        """Return the one program of this name. Another command or content in the catalogue is another program."""
        if self._closed:
            raise RemitError(Code.UNREACHABLE.value, "the client is closed", "call before it is closed")
        known = self._programs.get(tool.name)
        if known is not None and (known.tool is tool or known.tool == tool):
            return known
        if known is not None:
            retiring = asyncio.create_task(known.retire())
            self._retiring.add(retiring)
            retiring.add_done_callback(self._retiring.discard)
        program = self._programs[tool.name] = Program(tool, self._root, self._search_path)
        return program


async def _verified_anew(verification: Verification, operation: str, deadline: float) -> UpstreamFailure | None:
    return await _verified(verification, operation, verification.begun, deadline)


async def _verified(verification: Verification, operation: str, above: int, deadline: float) -> UpstreamFailure | None:
    """Wait for a verification that begins after number `above`; say what is against calling `operation` then."""
    try:
        async with asyncio.timeout_at(deadline):
            fault = await verification.after(above)
    except TimeoutError:
        return UpstreamFailure(code=UNVERIFIED, sent=Sent.NOT_SENT, detail="not verified in time")
    if fault is not None:
        said = f"{fault.code}: {ascii_line(fault.message)}"
        return UpstreamFailure(code=UNVERIFIED, sent=Sent.NOT_SENT, detail=said)
    return _changed() if operation in verification.changed else None


def _changed() -> UpstreamFailure:
    said = "the tool server no longer serves what was reviewed"
    return UpstreamFailure(code=CHANGED, sent=Sent.NOT_SENT, detail=said)


def _discovery(said: JsonObject, versions: tuple[object, ...], info: object) -> Discovery:
    capabilities = said.get("capabilities")
    return Discovery(
        versions=tuple(ascii_line(str(version), 40) for version in versions),
        name=_text(info, "name"),
        version=_text(info, "version"),
        capabilities=tuple(ascii_line(key, 64) for key in capabilities) if isinstance(capabilities, dict) else (),
    )


def _text(info: object, key: str) -> str:
    value = info.get(key) if isinstance(info, dict) else None
    return ascii_line(value, 64) if isinstance(value, str) else ""


def _fault(tool: Tool, code: str, detail: str) -> RemitError:
    where, what = (" ".join(tool.command), "command") if tool.command else (tool.url, "url")
    return RemitError(
        code,
        f"tool server `{tool.name}` at `{ascii_line(where)}`: {detail}",
        f"start it or mend its {what} in the catalogue, then run `remit doctor`",
    )
