"""The `Upstream` port over MCP, and what `remit doctor` and a project's import ask a tool server."""

import itertools
from dataclasses import dataclass

from remit.adapters.http1 import Bounds, Pool, prepare_target
from remit.adapters.mcp_upstream._answers import UNSUPPORTED, ascii_line, read_answer, read_result
from remit.adapters.mcp_upstream._events import EventReader
from remit.adapters.mcp_upstream._wire import PROTOCOL_VERSION, PreparedCall, plain_request, prepare_call
from remit.catalogue import Descriptor, Tool
from remit.core import JsonObject, RemitError, ToolCall
from remit.pipeline import Sent, UpstreamAnswer, UpstreamFailure

_PREPARED_MAX = 4096  # prepared calls kept
_PAGES_MAX = 100  # pages of one tool list
_TOOLS_MAX = 4096  # tools of one server
_SERVER_INFO = "io.modelcontextprotocol/serverInfo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What a tool server says of itself: its own word, good for showing to a person and for nothing else."""

    versions: tuple[str, ...]
    name: str
    version: str
    capabilities: tuple[str, ...]


class McpUpstream:
    """Forwards calls to tool servers through `pool`, which it does not close."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        # By identity: a snapshot's descriptors are made once, and each entry holds the objects its key stands for.
        self._prepared: dict[int, tuple[Tool, Descriptor, PreparedCall]] = {}
        self._count = itertools.count(1)

    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall) -> UpstreamAnswer | UpstreamFailure:
        """Forward `call.canonical` to `tool`, within its bounds of time and size. Never raises for its faults."""
        try:
            prepared = self._prepare(tool, descriptor)
        except RemitError as error:
            return UpstreamFailure(code=error.code, sent=Sent.NOT_SENT, detail=error.message)
        events = EventReader(call.id)
        response = await self._pool.post(
            prepared.target,
            prepared.headers(call.arguments),
            prepared.body(call),
            prepared.bounds,
            events.feed,
        )
        if isinstance(response, UpstreamFailure):
            return response
        result = read_result(response, events, call.id)
        return result if isinstance(result, UpstreamFailure) else read_answer(result)

    async def discover(self, tool: Tool) -> Discovery:
        """Ask `tool` who it is and which revisions it speaks.

        Raises:
            RemitError: no whole answer, or no `2026-07-28` among the revisions; `code` as for a failed call.
        """
        result = await self._ask(tool, "server/discover", {})
        versions = result.get("supportedVersions")
        if not isinstance(versions, list) or PROTOCOL_VERSION not in versions:
            raise _fault(tool, UNSUPPORTED, f"it does not speak MCP {PROTOCOL_VERSION}")
        meta, capabilities = result.get("_meta"), result.get("capabilities")
        info = meta.get(_SERVER_INFO) if isinstance(meta, dict) else None
        return Discovery(
            versions=tuple(ascii_line(str(version), 40) for version in versions),
            name=_text(info, "name"),
            version=_text(info, "version"),
            capabilities=tuple(ascii_line(key, 64) for key in capabilities) if isinstance(capabilities, dict) else (),
        )

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

    async def _ask(self, tool: Tool, method: str, params: JsonObject) -> JsonObject:
        request_id = f"r_{next(self._count)}"
        headers, body = plain_request(method, request_id, params)
        events = EventReader(request_id)
        response = await self._pool.post(
            prepare_target(tool.url),
            headers,
            body,
            Bounds(tool.timeout_s, tool.response_bytes_max),
            events.feed,
        )
        result = response if isinstance(response, UpstreamFailure) else read_result(response, events, request_id)
        if isinstance(result, UpstreamFailure):
            raise _fault(tool, result.code, result.detail)
        if result.get("resultType", "complete") != "complete":
            raise _fault(tool, UNSUPPORTED, "it asks for input before it answers")
        return result

    def _prepare(self, tool: Tool, descriptor: Descriptor) -> PreparedCall:
        known = self._prepared.get(id(descriptor))
        if known is not None and known[0] is tool and known[1] is descriptor:
            return known[2]
        prepared = prepare_call(tool, descriptor)
        if len(self._prepared) >= _PREPARED_MAX:
            self._prepared.clear()
        self._prepared[id(descriptor)] = (tool, descriptor, prepared)
        return prepared


def _text(info: object, key: str) -> str:
    value = info.get(key) if isinstance(info, dict) else None
    return ascii_line(value, 64) if isinstance(value, str) else ""


def _fault(tool: Tool, code: str, detail: str) -> RemitError:
    return RemitError(
        code,
        f"tool server `{tool.name}` at `{ascii_line(tool.url)}`: {detail}",
        "start it or mend its url in the catalogue, then run `remit doctor`",
    )
