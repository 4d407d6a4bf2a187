"""Bad input at `POST /mcp`: each line is refused with its own code, forwards nothing, and is in the log."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.conftest import META, Gateway, Opened, bearer, mirrors, tool_call

PARSE, INVALID, NO_METHOD, PARAMS, MISMATCH, VERSION = -32700, -32600, -32601, -32602, -32020, -32022
DENIED = 0  # a tool's result with `isError`: the model reads it

Changes = Mapping[str, str | Sequence[str] | None]

BASE = json.dumps(tool_call(), separators=(",", ":")).encode()
LONG = "x" * 900_000


@dataclass(frozen=True)
class Case:
    what: str
    body: bytes
    rpc: int
    code: str
    lines: Changes = field(default_factory=dict)  # headers to change: None drops one, a list repeats it

    @property
    def status(self) -> int:
        return {DENIED: 200, NO_METHOD: 404}.get(self.rpc, 400)


def splice(old: str, new: str | bytes) -> bytes:
    """Change one place of the well-formed call."""
    assert BASE.count(old.encode()) == 1
    return BASE.replace(old.encode(), new if isinstance(new, bytes) else new.encode())


def said(**members: Any) -> bytes:
    """Write the well-formed call with other members; `...` leaves one out."""
    changed = {**tool_call(), **members}
    return json.dumps({key: value for key, value in changed.items() if value is not ...}).encode()


def plus(member: str) -> bytes:
    """Write the well-formed call with one member more. (A keyword would be normalised to NFKC by Python itself.)"""
    return json.dumps({**tool_call(), member: {}}).encode()


def params(**members: Any) -> bytes:
    changed = {**tool_call()["params"], **members}
    return said(params={key: value for key, value in changed.items() if value is not ...})


def meta(**members: Any) -> bytes:
    changed = {**META, **{f"io.modelcontextprotocol/{key}": value for key, value in members.items()}}
    return params(_meta={key: value for key, value in changed.items() if value is not ...})


def value(text: str | bytes) -> bytes:
    """Put `text` where the argument's value stands."""
    return splice('"ord-1001"', text)


def refund(**arguments: Any) -> bytes:
    asked = {"order_id": "ord-1001", "amount_minor": 4_000, "currency": "EUR", "reason": "canary", **arguments}
    return params(name="refund_order", arguments=asked)


def named(name: str) -> tuple[bytes, Changes]:
    """Ask for another operation; the header says so too."""
    return params(name=name), {"Mcp-Name": name}


REFUND: Changes = {"Mcp-Name": "refund_order"}

NOT_JSON = [
    Case(what, body, PARSE, code)
    for what, body, code in [
        ("nothing", b"", "json_invalid"),
        ("white space", b" \n ", "json_invalid"),
        ("a word", b"hello", "json_invalid"),
        ("half a message", BASE[: len(BASE) // 2], "json_invalid"),
        ("two messages", BASE + BASE, "json_invalid"),
        ("a message and more", BASE + b"x", "json_invalid"),
        ("a trailing comma", splice('"id":1,', '"id":1,,'), "json_invalid"),
        ("single quotes", BASE.replace(b'"', b"'"), "json_invalid"),
        ("a comment", b"/**/" + BASE, "json_invalid"),
        ("a control character in a string", value(b'"a\x01"'), "json_invalid"),
        ("a line feed in a string", value(b'"a\nb"'), "json_invalid"),
        ("an escape that is none", value(b'"\\x41"'), "json_invalid"),
        ("a number with a leading zero", value("01"), "json_invalid"),
        ("a number with a plus", value("+1"), "json_invalid"),
        ("a number without its first digit", value(".5"), "json_invalid"),
        ("a number without its last digit", value("5."), "json_invalid"),
        ("a hexadecimal number", value("0x10"), "json_invalid"),
        ("an exponent without digits", value("1e"), "json_invalid"),
        ("Python's True", value("True"), "json_invalid"),
        ("a byte-order mark", b"\xef\xbb\xbf" + BASE, "encoding_invalid"),
        ("UTF-16", BASE.decode().encode("utf-16"), "encoding_invalid"),
        ("UTF-16 without its mark", BASE.decode().encode("utf-16-le"), "json_invalid"),
        ("Latin-1", value('"café"'.encode("latin-1")), "encoding_invalid"),
        ("a byte that UTF-8 never has", value(b'"\xff"'), "encoding_invalid"),
        ("an overlong slash", value(b'"\xc0\xaf"'), "encoding_invalid"),
        ("a surrogate in UTF-8", value(b'"\xed\xa0\x80"'), "encoding_invalid"),
        ("a lone surrogate", value('"\\ud800"'), "encoding_invalid"),
        ("a lone low surrogate", value('"x\\udc00"'), "encoding_invalid"),
        ("surrogates the wrong way round", value('"\\udc00\\ud800"'), "encoding_invalid"),
        ("a lone surrogate in a key", splice('"order_id"', '"\\ud800"'), "encoding_invalid"),
        ("a lone surrogate in the method", splice('"tools/call"', '"\\ud800"'), "encoding_invalid"),
    ]
]

NUMBERS = [
    Case(f"the number {text[:20]} of {len(text)}", value(text), INVALID, "number_invalid")
    for text in (
        *("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "9007199254740992", "-9007199254740992", "1e308"),
        *("9007199254740993.0", "1" * 400, "1" * 400 + ".5e1", "123456789012345678901"),
    )
]

DUPLICATES = [
    Case(f"twice: {what}", body, INVALID, "duplicate_key")
    for what, body in [
        ("id", splice('"id":1', '"id":1,"id":2')),
        ("id, the same", splice('"id":1', '"id":1,"id":1')),
        ("jsonrpc", splice('"id":1', '"id":1,"jsonrpc":"2.0"')),
        ("method", splice('"id":1', '"id":1,"method":"tools/list"')),
        ("params", splice('"id":1', '"id":1,"params":{}')),
        ("name", splice('"name":"get_order"', '"name":"get_order","name":"close_account"')),
        ("name, escaped", splice('"name":"get_order"', '"name":"get_order","n\\u0061me":"close_account"')),
        ("arguments", splice('"name":', '"arguments":{},"name":')),
        ("an argument", splice('"order_id":"ord-1001"', '"order_id":"ord-1001","order_id":"ord-1002"')),
        ("an argument, escaped", splice('"order_id":"ord-1001"', '"order_id":"ord-1001","\\u006frder_id":"ord-1002"')),
        ("deep in an argument", value('{"a":[{"b":{"c":1,"c":1}}]}')),
        ("the empty key", value('{"":1,"":2}')),
        ("in _meta", splice('"_meta":{', '"_meta":{"x":1,"x":2,')),
        ("_meta", splice('"_meta":{', '"_meta":{},"_meta":{')),
    ]
]

SHAPES = [
    Case("an empty batch", b"[]", INVALID, "batch_refused"),
    Case("a batch of one", b"[" + BASE + b"]", INVALID, "batch_refused"),
    Case("a batch of two", b"[" + BASE + b"," + BASE + b"]", INVALID, "batch_refused"),
    Case("null", b"null", INVALID, "not_an_object"),
    Case("a number", b"1", INVALID, "not_an_object"),
    Case("a string", b'"x"', INVALID, "not_an_object"),
    Case("true", b"true", INVALID, "not_an_object"),
    Case("33 levels", value("[" * 30 + "]" * 30), INVALID, "too_deep"),
    Case("100,000 brackets", b"[" * 100_000, INVALID, "too_deep"),
    Case("100,000 objects", b'{"a":' * 100_000, INVALID, "too_deep"),
    Case("depth behind a string of brackets", value('["]]]]]","\\"",' + "[" * 40 + "]" * 41), INVALID, "too_deep"),
    Case("10,001 keys", value(json.dumps({f"k{n}": 0 for n in range(10_001)})), INVALID, "too_many_keys"),
    Case("10,001 keys in many objects", value(json.dumps([{"k": 0}] * 10_001)), INVALID, "too_many_keys"),
]

ENVELOPE = [
    Case(what, body, INVALID, code)
    for what, body, code in [
        ("no jsonrpc", said(jsonrpc=...), "jsonrpc_missing"),
        ("jsonrpc 1.0", said(jsonrpc="1.0"), "jsonrpc_missing"),
        ("jsonrpc as a number", said(jsonrpc=2.0), "jsonrpc_missing"),
        ("jsonrpc null", said(jsonrpc=None), "jsonrpc_missing"),
        ("id null", said(id=None), "id_invalid"),
        ("id true", said(id=True), "id_invalid"),
        ("id a fraction", said(id=1.5), "id_invalid"),
        ("id an object", said(id={"canary": 1}), "id_invalid"),
        ("id a list", said(id=["canary"]), "id_invalid"),
        ("id of 129 characters", said(id="i" * 129), "id_invalid"),
        ("id too large", said(id=2**53), "number_invalid"),
        ("no id", said(id=...), "id_missing"),
        ("no method", said(method=...), "method_missing"),
        ("method null", said(method=None), "method_missing"),
        ("method a list", said(method=["tools/call"]), "method_missing"),
        ("an unknown member", said(extra="canary"), "member_unknown"),
        ("a result", said(result={}), "member_unknown"),
        ("an error", said(error={}), "member_unknown"),
        ("Method", said(Method="tools/list"), "member_unknown"),
        ("METHOD in its place", said(method=..., METHOD="tools/call"), "member_unknown"),
        ("PARAMS", said(PARAMS={}), "member_unknown"),
        ("param\u017f, with the long s", plus("param\u017f"), "member_unknown"),
        ("param\u0455, with a Cyrillic s", plus("param\u0455"), "member_unknown"),
        ("id with a zero-width space", plus("id\u200b"), "member_unknown"),
        ("__proto__", plus("__proto__"), "member_unknown"),
        ("a posted response", b'{"jsonrpc":"2.0","id":1,"result":{}}', "member_unknown"),
    ]
]

REVISION = [
    Case("no params", said(params=...), PARAMS, "meta_missing"),
    Case("params null", said(params=None), PARAMS, "meta_missing"),
    Case("params a list", said(params=["get_order"]), INVALID, "params_not_object"),
    Case("params a string", said(params="canary"), INVALID, "params_not_object"),
    Case("no _meta", params(_meta=...), PARAMS, "meta_missing"),
    Case("_meta null", params(_meta=None), PARAMS, "meta_missing"),
    Case("_meta a list", params(_meta=[]), PARAMS, "meta_missing"),
    Case("_Meta", params(_meta=..., _Meta=META), PARAMS, "meta_missing"),
    Case("no version", meta(protocolVersion=...), PARAMS, "meta_missing"),
    Case("no capabilities", meta(clientCapabilities=...), PARAMS, "meta_missing"),
    Case("capabilities null", meta(clientCapabilities=None), PARAMS, "meta_invalid"),
    Case("capabilities a list", meta(clientCapabilities=[]), PARAMS, "meta_invalid"),
    Case("an older revision in _meta", meta(protocolVersion="2025-11-25"), INVALID, "era_mixed",
         {"MCP-Protocol-Version": "2025-11-25"}),
    Case("a revision of the future", meta(protocolVersion="2999-01-01"), VERSION, "version_unsupported",
         {"MCP-Protocol-Version": "2999-01-01"}),
    Case("a revision that is none", meta(protocolVersion="latest"), VERSION, "version_unsupported",
         {"MCP-Protocol-Version": "latest"}),
    Case("a revision as a number", meta(protocolVersion=20260728), MISMATCH, "header_mismatch",
         {"MCP-Protocol-Version": "20260728"}),
    Case("a revision that is null", meta(protocolVersion=None), MISMATCH, "header_mismatch",
         {"MCP-Protocol-Version": None}),
]  # fmt: skip

MIRRORS = [
    Case(what, BASE, MISMATCH, "header_mismatch", lines)
    for what, lines in list[tuple[str, Changes]](
        [
            ("no version header", {"MCP-Protocol-Version": None}),
            ("another version header", {"MCP-Protocol-Version": "2025-11-25"}),
            ("an empty version header", {"MCP-Protocol-Version": ""}),
            ("two version headers", {"MCP-Protocol-Version": ["2026-07-28", "2026-07-28"]}),
            ("two versions in one header", {"MCP-Protocol-Version": "2026-07-28, 2026-07-28"}),
            ("no method header", {"Mcp-Method": None}),
            ("another method header", {"Mcp-Method": "tools/list"}),
            ("a method header in capitals", {"Mcp-Method": "Tools/Call"}),
            ("two method headers", {"Mcp-Method": ["tools/call", "tools/list"]}),
            ("a method header in base64", {"Mcp-Method": "=?base64?dG9vbHMvY2FsbA==?="}),
            ("no name header", {"Mcp-Name": None}),
            ("another name header", {"Mcp-Name": "search_orders"}),
            ("two name headers", {"Mcp-Name": ["get_order", "get_order"]}),
            ("two different name headers", {"Mcp-Name": ["get_order", "close_account"]}),
            ("a name header in Latin-1", {"Mcp-Name": "get_ord\u00e9r"}),
            ("a name header in broken base64", {"Mcp-Name": "=?base64?Z2V0X29yZGVy!?="}),
            ("a name header in base64 of something else", {"Mcp-Name": "=?base64?Y2xvc2VfYWNjb3VudA==?="}),
            ("a name header in base64 with stray bits", {"Mcp-Name": "=?base64?Z2V0X29yZGVycw=?="}),
            ("a name header in base64 that is not UTF-8", {"Mcp-Name": "=?base64?//8=?="}),
        ]
    )
]

METHODS = [
    Case(f"the method {name}", json.dumps({**tool_call(), "method": name}).encode(), NO_METHOD, "method_unknown",
         {"Mcp-Method": name, "Mcp-Name": None})
    for name in ("ping", "Tools/Call", "tools/calls", "resources/read", "prompts/get", "sampling/createMessage",
                 "subscriptions/listen", "logging/setLevel", "tools/call/", "remit/stop", "__class__")
]  # fmt: skip

HOSTILE_NAMES = [
    "get_\u043erder",  # Cyrillic o
    "get_order\u200b",  # zero-width space
    "\u202eredro_teg",  # right-to-left override
    "get_order\u0000",
    "get_order\n",
    " get_order",
    "\uff47et_order",  # full-width g
    "GET_ORDER",
    "Get_Order",
    "get_\u017frder",
    "",
    ".get_order",
    "../get_order",
    "get_order/../close_account",
    "orders:get_order",
    "get order",
    "n" * 65,
    "n" * 10_000,
]


def base64_name(name: str) -> str:
    return f"=?base64?{b64encode(name.encode()).decode()}?="


NAMES = [
    Case(f"hostile name {number}, {name[:20]!a}", params(name=name), PARAMS, "operation_name_invalid",
         {"Mcp-Name": base64_name(name)})
    for number, name in enumerate(HOSTILE_NAMES)
] + [
    Case("no name", params(name=...), PARAMS, "operation_name_invalid"),
    Case("no name and no header", params(name=...), PARAMS, "operation_name_invalid", {"Mcp-Name": None}),
    Case("a name that is a number", params(name=5), MISMATCH, "header_mismatch", {"Mcp-Name": "5"}),
    Case("a name that is a list", params(name=["get_order"]), MISMATCH, "header_mismatch"),
    Case("an unknown tool", *named("drop_tables")[:1], PARAMS, "outside_use_case", named("drop_tables")[1]),
    Case("a catalogued tool outside the use case", *named("close_account")[:1], PARAMS, "outside_use_case",
         named("close_account")[1]),
    Case("another server's spelling", *named("orders.get_order")[:1], PARAMS, "outside_use_case",
         named("orders.get_order")[1]),
]  # fmt: skip

ARGUMENTS = [
    Case("arguments that are a list", params(arguments=["canary"]), PARAMS, "arguments_not_object"),
    Case("arguments that are a string", params(arguments="canary"), PARAMS, "arguments_not_object"),
    Case("arguments that are a number", params(arguments=1), PARAMS, "arguments_not_object"),
    Case("arguments that are false", params(arguments=False), PARAMS, "arguments_not_object"),
    *[
        Case(what, body, DENIED, "arguments_invalid")
        for what, body in [
            ("null arguments", params(arguments=None)),
            ("no arguments", params(arguments=...)),
            ("an empty object", params(arguments={})),
            ("an argument of another type", value("1001")),
            ("an argument that is null", value("null")),
            ("an argument that is a list", value('["ord-1001"]')),
            ("an argument off its pattern", value('"canary"')),
            ("an argument with a line feed after it", value('"ord-1001\\n"')),
            ("full-width digits", value('"ord-\uff11\uff10\uff10\uff11"')),
            ("a unicode escape for another letter", value('"\\u006frd-100"')),
            ("one argument more", splice('"order_id"', '"surplus":"canary","order_id"')),
            ("an argument in capitals", splice('"order_id"', '"Order_Id"')),
            ("900,000 characters", value(f'"{LONG}"')),
            ("9,000 arguments more", params(arguments={f"surplus{n}": "canary" for n in range(9_000)})),
        ]
    ],
    *[
        Case(f"a refund {what}", refund(**changed), DENIED, code, REFUND)
        for what, changed, code in list[tuple[str, dict[str, Any], str]](
            [
                ("of nothing", {"amount_minor": 0}, "arguments_invalid"),
                ("below nothing", {"amount_minor": -1}, "arguments_invalid"),
                ("of half a cent", {"amount_minor": 0.5}, "arguments_invalid"),
                ("as text", {"amount_minor": "4000"}, "arguments_invalid"),
                ("as true", {"amount_minor": True}, "arguments_invalid"),
                ("as a list", {"amount_minor": [4_000]}, "arguments_invalid"),
                ("beyond the schema", {"amount_minor": 100_000_001}, "arguments_invalid"),
                ("a cent over what a person decides", {"amount_minor": 100_001}, "policy_no_permit"),
                ("in another currency", {"currency": "USD"}, "policy_no_permit"),
                ("in a currency of none", {"currency": "canary"}, "arguments_invalid"),
                ("for no reason", {"reason": ""}, "arguments_invalid"),
                ("for a long reason", {"reason": "canary" * 40}, "arguments_invalid"),
            ]
        )
    ],
]

CASES = NOT_JSON + NUMBERS + DUPLICATES + SHAPES + ENVELOPE + REVISION + MIRRORS + METHODS + NAMES + ARGUMENTS


def headers(token: str, changes: Changes) -> list[tuple[str, str]]:
    lines = [bearer(token), *mirrors(tool_call())]
    for name, given in changes.items():
        lines = [line for line in lines if line[0] != name]
        lines += [] if given is None else [(name, each) for each in ([given] if isinstance(given, str) else given)]
    return lines


def test_the_table_is_as_long_as_it_was_meant_to_be() -> None:
    assert len(CASES) >= 90
    assert len({case.what for case in CASES}) == len(CASES)


def forwarded(desk: Gateway, case: Case) -> int:
    """Count what reached the tool of the operation asked for. (What a refund is about, the gateway itself looks up.)"""
    asked = case.lines.get("Mcp-Name")
    return sum(asked != "refund_order" or each["tool"] == asked for each in desk.received())


@pytest.mark.requirement("R4.1", "R4.4")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input_is_refused_with_its_code_forwards_nothing_and_is_recorded(
    desk: Gateway, opened: Opened, case: Case
) -> None:
    reached = forwarded(desk, case)
    answer = desk.post("/mcp", case.body, headers(opened.token, case.lines))

    assert (answer.status, answer.rpc, answer.code) == (case.status, case.rpc, case.code), answer
    assert answer.headers["content-type"] == "application/json"
    assert answer.json["jsonrpc"] == "2.0"
    assert answer.fix
    assert forwarded(desk, case) == reached
    assert desk.refusals(opened.task) == [case.code]
    # What was sent is named by its place, never repeated: not in the answer, not in the log's leaf.
    told = answer.body.decode() + json.dumps(desk.records(opened.task)[-1])
    for kept_back in ("ord-1001", "canary", opened.token, "x" * 100, "n" * 100, "i" * 129, "Traceback"):
        assert kept_back not in told
    assert len(answer.body) < 4_096


@pytest.mark.parametrize("case", [case for case in CASES if case.code == "id_invalid"], ids=lambda case: case.what)
def test_an_id_that_is_not_well_formed_is_never_echoed(desk: Gateway, opened: Opened, case: Case) -> None:
    assert desk.post("/mcp", case.body, headers(opened.token, {})).json["id"] is None


@pytest.mark.parametrize("id_", [0, -1, 2**53 - 1, "", "a", "x" * 128, "\u00e9\u0000"])
def test_a_well_formed_id_comes_back_on_results_and_on_errors(desk: Gateway, opened: Opened, id_: Any) -> None:
    for name in ("get_order", "close_account"):
        assert desk.call(opened.token, tool_call(name, id_=id_)).json["id"] == id_


def test_the_same_call_unspoiled_is_forwarded_once_and_answered(desk: Gateway, opened: Opened) -> None:
    """The control of this file: what the tables spoil goes through when it is whole."""
    reached = len(desk.received())
    answer = desk.post("/mcp", BASE, headers(opened.token, {}))
    assert (answer.status, answer.code) == (200, "")
    assert answer.json["result"]["structuredContent"]["order_id"] == "ord-1001"
    [call] = desk.received()[reached:]
    assert (call["tool"], call["arguments"]) == ("get_order", {"order_id": "ord-1001"})
    assert [leaf["kind"] for leaf in desk.records(opened.task)] == ["task_opened", "intent", "outcome"]


@pytest.mark.parametrize(
    "body",
    [value("[" * 29 + "]" * 29), value(json.dumps({f"k{n}": 0 for n in range(9_980)})), value("9007199254740991")],
    ids=["32 levels", "nearly 10,000 keys", "the largest integer"],
)
def test_bounds_refuse_nothing_that_is_within_them(desk: Gateway, opened: Opened, body: bytes) -> None:
    answer = desk.post("/mcp", body, headers(opened.token, {}))
    assert answer.code == "arguments_invalid"  # read, and then refused by the operation's own schema


def test_an_operation_name_in_base64_means_what_it_says(desk: Gateway, opened: Opened) -> None:
    answer = desk.post("/mcp", BASE, headers(opened.token, {"Mcp-Name": base64_name("get_order")}))
    assert answer.code == ""


def test_an_unsupported_revision_is_answered_with_those_that_are_spoken(desk: Gateway, opened: Opened) -> None:
    for case in REVISION:
        if case.rpc == VERSION:
            answer = desk.post("/mcp", case.body, headers(opened.token, case.lines))
            supported = ["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"]
            assert answer.json["error"]["data"]["supported"] == supported
            assert isinstance(answer.json["error"]["data"]["requested"], str)
            assert "2026-07-28" in answer.json["error"]["message"]  # all that an older client can show


def test_a_notification_is_acknowledged_and_does_nothing(desk: Gateway, opened: Opened) -> None:
    reached = len(desk.received())
    cancelled = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}}
    answer = desk.call(opened.token, cancelled)
    assert (answer.status, answer.body) == (202, b"")
    assert len(desk.received()) == reached


def test_hostile_names_are_shown_without_a_character_that_hides(desk: Gateway, opened: Opened) -> None:
    for name in HOSTILE_NAMES:
        answer = desk.post("/mcp", params(name=name), headers(opened.token, {"Mcp-Name": base64_name(name)}))
        message = answer.json["error"]["message"]
        assert message.isascii()
        assert message.isprintable()
        assert len(message) < 700
