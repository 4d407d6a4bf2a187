"""The older revisions at the edge: the same strictness, their own forms, and no message in two eras."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from mcp import Client, MCPDeprecationWarning, MCPError
from mcp_types import INVALID_PARAMS, METHOD_NOT_FOUND, CallToolResult, TextContent
from tests.conftest import META
from tests.surfaces.mcp.mcp_stub import (
    DONE,
    WAITS,
    StubGateway,
    ask,
    descriptor,
    endpoint,
    new_call,
    newer,
    official,
    old_call,
    older,
    running_on,
    snapshot,
)

from remit.core import Reason
from remit.pipeline import Done, Refused

REVISIONS = ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
SUPPORTED = ["2026-07-28", *REVISIONS]
PARSE, INVALID, NO_METHOD, PARAMS, VERSION = -32700, -32600, -32601, -32602, -32022
VERSION_KEY, CAPABILITIES_KEY, CLIENT_KEY = (
    f"io.modelcontextprotocol/{name}" for name in ("protocolVersion", "clientCapabilities", "clientInfo")
)

BASE = json.dumps(old_call(), separators=(",", ":")).encode()
OPENING = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "c", "version": "1"},
}


def opening(**changes: Any) -> dict[str, Any]:
    """Return an `initialize` with some members changed; `...` leaves one out."""
    params = {key: value for key, value in {**OPENING, **changes}.items() if value is not ...}
    return {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}


def said(**members: Any) -> dict[str, Any]:
    return {key: value for key, value in {**old_call(), **members}.items() if value is not ...}


def plain(method: str, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, **members}


def splice(old: str, new: str | bytes) -> bytes:
    assert BASE.count(old.encode()) == 1
    return BASE.replace(old.encode(), new if isinstance(new, bytes) else new.encode())


@dataclass(frozen=True)
class Case:
    what: str
    message: Any
    rpc: int
    code: str
    lines: Sequence[tuple[str, str]] = field(default_factory=older)

    @property
    def status(self) -> int:
        """A well-formed request is answered with 200 in these revisions, whatever the answer."""
        return 200 if self.rpc in (NO_METHOD, PARAMS) else 400


NOT_READ = [
    Case("nothing", b"", PARSE, "json_invalid"),
    Case("half a message", BASE[:40], PARSE, "json_invalid"),
    Case("two messages", BASE + BASE, PARSE, "json_invalid"),
    Case("a byte-order mark", b"\xef\xbb\xbf" + BASE, PARSE, "encoding_invalid"),
    Case("Latin-1", splice('"ord-1001"', '"caf\u00e9"'.encode("latin-1")), PARSE, "encoding_invalid"),
    Case("a lone surrogate", splice('"ord-1001"', '"\\ud800"'), PARSE, "encoding_invalid"),
    Case("NaN", splice('"ord-1001"', "NaN"), INVALID, "number_invalid"),
    Case("an integer of 2^53", splice('"ord-1001"', "9007199254740992"), INVALID, "number_invalid"),
    Case("the id twice", splice('"id":1', '"id":1,"id":2'), INVALID, "duplicate_key"),
    Case("the method twice", splice('"id":1', '"id":1,"method":"ping"'), INVALID, "duplicate_key"),
    Case("the name twice", splice('"name":', '"name":"close_account","name":'), INVALID, "duplicate_key"),
    Case("the name twice, escaped", splice('"name":', '"n\\u0061me":"close_account","name":'), INVALID,
         "duplicate_key"),
    Case("an argument twice", splice('"id":"ord-1001"', '"id":"ord-1001","id":"ord-1002"'), INVALID, "duplicate_key"),
    Case("33 levels", splice('"ord-1001"', "[" * 30 + "]" * 30), INVALID, "too_deep"),
    Case("10,001 keys", old_call(arguments={f"k{n}": 0 for n in range(10_001)}), INVALID, "too_many_keys"),
    Case("an empty batch", b"[]", INVALID, "batch_refused"),
    Case("a batch of one", b"[" + BASE + b"]", INVALID, "batch_refused"),
    Case("a batch of 2025-03-26", b"[" + BASE + b"," + BASE + b"]", INVALID, "batch_refused", older("2025-03-26")),
    Case("a batch and no header", b"[" + BASE + b"]", INVALID, "batch_refused", older(None)),
    Case("a string", b'"x"', INVALID, "not_an_object"),
]  # fmt: skip

ENVELOPE = [
    Case("no jsonrpc", said(jsonrpc=...), INVALID, "jsonrpc_missing"),
    Case("jsonrpc 1.0", said(jsonrpc="1.0"), INVALID, "jsonrpc_missing"),
    Case("id null", said(id=None), INVALID, "id_invalid"),
    Case("id true", said(id=True), INVALID, "id_invalid"),
    Case("id a fraction", said(id=1.5), INVALID, "id_invalid"),
    Case("id of 129 characters", said(id="i" * 129), INVALID, "id_invalid"),
    Case("a call without an id", said(id=...), INVALID, "id_missing"),
    Case("a handshake without an id", {k: v for k, v in opening().items() if k != "id"}, INVALID, "id_missing"),
    Case("no method", said(method=...), INVALID, "method_missing"),
    Case("method a list", said(method=["ping"]), INVALID, "method_missing"),
    Case("a further member", said(extra=1), INVALID, "member_unknown"),
    Case("METHOD beside the method", said(METHOD="ping"), INVALID, "member_unknown"),
    Case("a posted result", {"jsonrpc": "2.0", "id": 1, "result": {}}, INVALID, "member_unknown"),
    Case("a posted error", {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": ""}}, INVALID,
         "member_unknown"),
    Case("params null", said(params=None), INVALID, "params_not_object"),
    Case("params a list", said(params=["get_order"]), INVALID, "params_not_object"),
    Case("params of a ping a string", plain("ping", params="x"), INVALID, "params_not_object"),
    Case("_meta null", old_call(_meta=None), PARAMS, "meta_invalid"),
    Case("_meta a list", old_call(_meta=[]), PARAMS, "meta_invalid"),
    Case("_meta of the list a text", plain("tools/list", params={"_meta": "x"}), PARAMS, "meta_invalid"),
]  # fmt: skip

ERAS = [
    Case("a version that is none", old_call(), VERSION, "version_unsupported", older("latest")),
    Case("a version of the future", old_call(), VERSION, "version_unsupported", older("2999-01-01")),
    Case("a version of the past", old_call(), VERSION, "version_unsupported", older("2024-10-07")),
    Case("an empty version", old_call(), VERSION, "version_unsupported", older("")),
    Case("a version beyond ASCII", old_call(), VERSION, "version_unsupported", older("2025-11-2\u00b2")),
    Case("two versions", old_call(), VERSION, "version_unsupported", [*older(), *older("2025-06-18")]),
    Case("the same version twice", old_call(), VERSION, "version_unsupported", [*older(), *older()]),
    Case("two versions in one", old_call(), VERSION, "version_unsupported", older("2025-11-25, 2025-11-25")),
    Case("a handshake under an unknown version", opening(), VERSION, "version_unsupported", older("2999-01-01")),
    Case("a notification under an unknown version", {"jsonrpc": "2.0", "method": "notifications/initialized"},
         VERSION, "version_unsupported", older("2999-01-01")),
    Case("the new capabilities in _meta", old_call({CAPABILITIES_KEY: {}}), INVALID, "era_mixed"),
    Case("the new client in _meta", old_call({CLIENT_KEY: {"name": "c"}}), INVALID, "era_mixed", older(None)),
    Case("the new method header", old_call(), INVALID, "era_mixed", [*older(), ("Mcp-Method", "tools/call")]),
    Case("the new method header, of another method", old_call(), INVALID, "era_mixed",
         [*older(), ("Mcp-Method", "tools/list")]),
    Case("the new name header", old_call(), INVALID, "era_mixed", [*older(None), ("Mcp-Name", "get_order")]),
    Case("input responses", old_call(inputResponses={}), INVALID, "era_mixed"),
    Case("a request state", old_call(requestState="a_1"), INVALID, "era_mixed"),
    Case("an older revision in _meta", new_call({VERSION_KEY: "2025-11-25"}), INVALID, "era_mixed",
         [*older(), *newer()[1:]]),
]  # fmt: skip

ASKED = [
    Case("the new discovery", plain("server/discover"), NO_METHOD, "method_unknown"),
    Case("resources", plain("resources/list"), NO_METHOD, "method_unknown"),
    Case("Ping", plain("Ping"), NO_METHOD, "method_unknown"),
    Case("an initialized request", plain("notifications/initialized"), NO_METHOD, "method_unknown"),
    Case("a handshake without params", plain("initialize"), PARAMS, "initialize_invalid"),
    Case("a handshake without a version", opening(protocolVersion=...), PARAMS, "initialize_invalid"),
    Case("a version that is a number", opening(protocolVersion=20251125), PARAMS, "initialize_invalid"),
    Case("capabilities that are a list", opening(capabilities=[]), PARAMS, "initialize_invalid"),
    Case("no client", opening(clientInfo=...), PARAMS, "initialize_invalid"),
    Case("a client without a version", opening(clientInfo={"name": "c"}), PARAMS, "initialize_invalid"),
    Case("no name", old_call(name=None), PARAMS, "operation_name_invalid"),
    Case("a name in capitals", old_call(name="GET_ORDER"), PARAMS, "operation_name_invalid"),
    Case("a name with a Cyrillic o", old_call(name="get_\u043erder"), PARAMS, "operation_name_invalid"),
    Case("arguments that are a list", old_call(arguments=["canary"]), PARAMS, "arguments_not_object"),
    Case("a rationale that is a list", old_call({"remit/rationale": ["canary"]}), PARAMS, "rationale_invalid"),
    Case("a rationale of 501 characters", old_call({"remit/rationale": "x" * 501}), PARAMS, "rationale_invalid"),
]  # fmt: skip

CASES = NOT_READ + ENVELOPE + ERAS + ASKED


def test_the_table_is_as_long_as_it_was_meant_to_be() -> None:
    assert len(CASES) >= 60
    assert len({case.what for case in CASES}) == len(CASES)


@pytest.mark.requirement("R4.1")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input_of_an_older_revision_is_refused_with_its_code_and_forwards_nothing(case: Case) -> None:
    stub = StubGateway()
    answer = ask(endpoint(stub), case.message, case.lines)
    assert (answer.status, answer.rpc, answer.code) == (case.status, case.rpc, case.code), answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.fix
    assert stub.calls == []
    assert stub.ledger.codes == [case.code]
    for kept_back in ("ord-1001", "canary", "x" * 100, "i" * 129):
        assert kept_back not in answer.body.decode()


@pytest.mark.parametrize("revision", [*REVISIONS, None])
def test_the_same_call_unspoiled_reaches_the_gateway_and_is_answered_in_the_older_form(revision: str | None) -> None:
    """The control: what the table spoils goes through when it is whole, in every revision and without a header."""
    stub = StubGateway(Done("c_7", DONE))
    answer = ask(endpoint(stub), BASE, older(revision))
    assert (answer.status, answer.code) == (200, "")
    assert answer.json == {"jsonrpc": "2.0", "id": 1, "result": {**json.loads(DONE), "_meta": {"remit/call": "c_7"}}}
    assert [(call.operation, call.canonical) for call in stub.calls] == [("get_order", b'{"id":"ord-1001"}')]
    assert stub.ledger.codes == []


@pytest.mark.parametrize(
    ("wanted", "given"), [*((each, each) for each in REVISIONS), ("2026-07-28", "2025-11-25"), ("9", "2025-11-25")]
)
def test_a_handshake_is_answered_with_the_clients_revision_or_the_newest_that_has_one(wanted: str, given: str) -> None:
    answer = ask(endpoint(StubGateway()), opening(protocolVersion=wanted))
    assert answer.status == 200
    assert "mcp-session-id" not in answer.headers
    assert answer.json["result"] == {
        "protocolVersion": given,
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "remit", "version": "0.1.0"},
    }


def test_a_handshake_says_that_nothing_is_enforced_in_observe_mode() -> None:
    answer = ask(endpoint(StubGateway(observe=True)), opening())
    assert answer.json["result"]["_meta"] == {"remit/mode": "observe"}


@pytest.mark.parametrize("name", ["initialized", "cancelled", "roots/list_changed", "anything"])
def test_a_notification_is_acknowledged_and_does_nothing(name: str) -> None:
    stub = StubGateway()
    message = {"jsonrpc": "2.0", "method": f"notifications/{name}", "params": {"requestId": 1}}
    answer = ask(endpoint(stub), message, older())
    assert (answer.status, answer.body) == (202, b"")
    assert (stub.calls, stub.ledger.codes) == ([], [])


def test_a_ping_is_answered_with_nothing_in_it() -> None:
    assert ask(endpoint(StubGateway()), plain("ping"), older()).json["result"] == {}


def test_the_older_list_has_no_member_that_the_revision_does_not_know() -> None:
    result = ask(endpoint(StubGateway()), plain("tools/list"), older()).json["result"]
    assert result.keys() == {"tools"}
    assert [tool["name"] for tool in result["tools"]] == ["get_order", "refund_order"]


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_there_is_no_stream_to_open_and_no_session_to_end(method: str) -> None:
    answer = ask(endpoint(StubGateway()), b"", older(), method)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_an_unknown_version_is_answered_with_those_that_are_spoken() -> None:
    error = ask(endpoint(StubGateway()), old_call(), older("2999-01-01")).json["error"]
    assert (error["data"]["supported"], error["data"]["requested"]) == (SUPPORTED, "2999-01-01")
    assert all(revision in error["message"] for revision in SUPPORTED)  # all that an older client can show


def test_an_unlisted_name_is_an_error_of_the_protocol() -> None:
    stub = StubGateway(Refused("c_2", Reason("outside_use_case", "not among them", "ask"), held=False))
    answer = ask(endpoint(stub), old_call(name="drop_tables"), older())
    assert (answer.status, answer.rpc, answer.code) == (200, PARAMS, "outside_use_case")
    assert answer.json["error"]["data"]["remit/call"] == "c_2"


def test_a_refusal_is_a_result_without_the_new_members() -> None:
    stub = StubGateway(Refused("c_2", WAITS, held=True, approval="a_9"))
    result = ask(endpoint(stub), old_call(), older()).json["result"]
    assert (result["isError"], result["_meta"]["remit/approval"]) == (True, "a_9")
    assert result.keys() == {"isError", "content", "_meta"}


@pytest.mark.parametrize(("message", "lines"), [(old_call, older()), (new_call, newer())], ids=["older", "new"])
def test_the_callers_trace_is_joined_in_both_eras(message: Any, lines: Any) -> None:
    trace = "ab" * 16
    stub = StubGateway()
    ask(endpoint(stub), message({"traceparent": f"00-{trace}-{'cd' * 8}-01"}), lines)
    ask(endpoint(stub), message({"traceparent": "00-none"}), lines)
    assert [call.trace.trace_id == trace for call in stub.calls] == [True, False]


@pytest.mark.parametrize(("content", "kept"), [(b'{"a":1}', True), (b"[1]", False), (b"null", False), (b"1", False)])
def test_structured_content_that_is_no_object_stays_out_of_older_answers(content: bytes, kept: bool) -> None:
    result = b'{"content":[],"isError":false,"structuredContent":' + content + b"}"
    stub = StubGateway(Done("c_1", result))
    assert ("structuredContent" in ask(endpoint(stub), old_call(), older()).json["result"]) is kept
    assert "structuredContent" in ask(endpoint(stub), new_call(), newer()).json["result"]


def test_an_output_schema_that_is_no_objects_stays_out_of_the_older_list() -> None:
    both = descriptor("one", {"type": "object"}), descriptor("two", {"type": "array"})
    to = endpoint(StubGateway(), running_on(snapshot(*both)))
    message = plain("tools/list", params={"_meta": META})
    for asked, lines, with_schema in [
        (plain("tools/list"), older(), ["one"]),
        (message, newer("tools/list"), ["one", "two"]),
    ]:
        tools = ask(to, asked, lines).json["result"]["tools"]
        assert [tool["name"] for tool in tools if "outputSchema" in tool] == with_schema


# --- the official client, unchanged -----------------------------------------------------------------------------------


async def use(client: Client) -> tuple[str | None, list[str], CallToolResult]:
    tools = await client.list_tools()
    result = await client.call_tool("get_order", {"id": "ord-1001"})
    return client.protocol_version, [tool.name for tool in tools.tools], result


@pytest.mark.parametrize(
    ("mode", "strip", "revision"),
    [("legacy", False, "2025-11-25"), ("auto", False, "2026-07-28"), ("auto", True, "2025-11-25")],
    ids=["legacy", "auto", "auto behind a proxy that drops the discovery's _meta"],
)
def test_the_official_client_works_in_both_modes(mode: str, strip: bool, revision: str) -> None:
    stub = StubGateway(Done("c_3", DONE))

    async def go() -> tuple[str | None, list[str], CallToolResult]:
        async with official(endpoint(stub), strip=strip, mode=mode) as client:
            return await use(client)

    spoken, names, result = asyncio.run(go())
    assert (spoken, names) == (revision, ["get_order", "refund_order"])
    assert (result.is_error, result.structured_content, result.meta) == (
        False,
        {"id": "ord-1001"},
        {"remit/call": "c_3"},
    )
    assert [call.operation for call in stub.calls] == ["get_order"]
    assert stub.ledger.codes == (["method_unknown"] if strip else [])


def test_the_official_client_of_an_older_revision_pings_and_is_refused_as_it_knows() -> None:
    stub = StubGateway(Refused("c_2", Reason("outside_use_case", "not among them", "ask"), held=False))

    async def go() -> tuple[MCPError, MCPError]:
        async with official(endpoint(stub), mode="legacy") as client:
            with pytest.warns(MCPDeprecationWarning, match="ping is removed"):
                await client.send_ping()
            with pytest.raises(MCPError, match=r"^outside_use_case: ") as unlisted:
                await client.call_tool("drop_tables", {})
            with pytest.raises(MCPError, match=r"^method_unknown: ") as unknown:
                await client.list_prompts()
            return unlisted.value, unknown.value

    unlisted, unknown = asyncio.run(go())
    assert (unlisted.error.code, unknown.error.code) == (INVALID_PARAMS, METHOD_NOT_FOUND)


def test_the_official_client_of_an_older_revision_reads_a_hold_as_a_result() -> None:
    stub = StubGateway(Refused("c_2", WAITS, held=True, approval="a_9"))

    async def go() -> CallToolResult:
        async with official(endpoint(stub), mode="legacy") as client:
            return await client.call_tool("get_order", {"id": "ord-1001"})

    result = asyncio.run(go())
    assert result.is_error is True
    assert isinstance(result.content[0], TextContent)
    assert "`remit approvals show a_9`" in result.content[0].text
    told: Mapping[str, Any] = result.meta or {}
    assert (told["remit/held"], told["remit/approval"]) == (True, "a_9")
