"""Gates 1 to 3, arguments against the reviewed schema, and the digests of what was reviewed."""

from dataclasses import fields, replace
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.catalogue import (
    VIOLATIONS_MAX,
    Controls,
    Descriptor,
    Effect,
    Pin,
    Review,
    arguments_fit,
    compile_check,
    format_is_known,
    is_listed,
    schema_problems,
    sealed,
    signatures_hold,
    unsafe_text,
    version_matches,
    visible_text,
)
from remit.core import Allow, Deny, InputRefusedError

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["order_id"],
    "properties": {
        "order_id": {"type": "string", "pattern": "^[A-Z0-9-]{4,40}$"},
        "amount_minor": {"type": "integer", "minimum": 1, "maximum": 5000},
        "currency": {"enum": ["EUR", "USD"]},
        "day": {"type": "string", "format": "date"},
        "lines": {
            "type": "array",
            "maxItems": 2,
            "items": {"type": "object", "additionalProperties": False, "properties": {"a/b": {"type": "string"}}},
        },
    },
}


def descriptor(**changes: Any) -> Descriptor:
    made = Descriptor(
        operation="get_order",
        tool="orders",
        upstream_name="getOrder",
        version="1",
        title="Get",
        description="Get an order.",
        input_schema=SCHEMA,
        output_schema=None,
        endpoint={"url": "https://orders.example/mcp"},
        served="",
        author="cleo",
        controls=Controls(effect=Effect.READ),
    )
    return sealed(replace(made, **changes))


@pytest.mark.requirement("R4.1")
def test_an_operation_listed_and_described_may_go_on() -> None:
    assert is_listed(descriptor(), "get_order", frozenset({"get_order"})) == Allow()


@pytest.mark.requirement("R4.1")
@pytest.mark.parametrize(
    ("found", "listed"),
    [
        (None, frozenset({"get_order"})),
        (descriptor(), frozenset()),
        (descriptor(), frozenset({"refund_order"})),
        (descriptor(operation="refund_order"), frozenset({"get_order"})),
        (None, frozenset()),
    ],
)
def test_anything_else_is_denied(found: Descriptor | None, listed: frozenset[str]) -> None:
    answer = is_listed(found, "get_order", listed)
    assert isinstance(answer, Deny)
    assert answer.reason.code == "operation_not_listed"
    assert answer.reason.fix


def test_arguments_that_fit_may_go_on() -> None:
    check = compile_check(SCHEMA)
    assert arguments_fit(check, {"order_id": "A-100", "amount_minor": 5, "currency": "EUR"}) == Allow()


def test_without_a_schema_nothing_fits() -> None:
    answer = arguments_fit(None, {})
    assert isinstance(answer, Deny)
    assert answer.reason.code == "arguments_invalid"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "/: expected the property `order_id`"),
        ({"order_id": 7}, "/order_id: expected string"),
        ({"order_id": "x"}, "/order_id: expected text that matches `^[A-Z0-9-]{4,40}$`"),
        ({"order_id": "A-100", "amount_minor": 1.5}, "/amount_minor: expected integer"),
        ({"order_id": "A-100", "amount_minor": 0}, "/amount_minor: expected at least 1"),
        ({"order_id": "A-100", "amount_minor": 5001}, "/amount_minor: expected at most 5000"),
        ({"order_id": "A-100", "currency": "GBP"}, "/currency: expected one of EUR, USD"),
        ({"order_id": "A-100", "day": "2026-13-01"}, "/day: expected text in the format `date`"),
        ({"order_id": "A-100", "lines": [{}, {}, {}]}, "/lines: expected at most 2 items"),
        ({"order_id": "A-100", "lines": [{"a/b": 1}]}, "/lines/0/a~1b: expected string"),
        ({"order_id": "A-100", "admin": True}, "/: expected no property `admin`"),
    ],
)
def test_what_does_not_fit_is_said_by_its_place_and_what_was_expected(arguments: dict[str, Any], says: str) -> None:
    answer = arguments_fit(compile_check(SCHEMA), arguments)
    assert isinstance(answer, Deny)
    assert answer.reason.code == "arguments_invalid"
    assert answer.reason.message == says


def test_at_most_five_violations_are_named() -> None:
    schema = {**SCHEMA, "required": [], "properties": {f"p{n}": {"type": "string"} for n in range(9)}}
    found = compile_check(schema).violations({f"p{n}": n for n in range(9)})
    assert len(found) == VIOLATIONS_MAX


@given(value=st.text(min_size=41, alphabet="secrt-0123456789\n\x1b"))
def test_no_value_is_ever_repeated_in_a_reason(value: str) -> None:
    check = compile_check(SCHEMA)
    refused: tuple[dict[str, Any], ...] = (
        {"order_id": value},
        {"order_id": "A-100", value: 1},
        {"order_id": "A-100", "currency": value},
    )
    for arguments in refused:
        message = "; ".join(check.violations(arguments))
        assert message
        assert value not in message
        assert message.isprintable()


@given(arguments=st.dictionaries(st.sampled_from([*SCHEMA["properties"], "x"]), st.none() | st.integers() | st.text()))
def test_the_check_agrees_with_a_plain_validator(arguments: dict[str, Any]) -> None:
    plain = jsonschema_rs.Draft202012Validator(SCHEMA, validate_formats=True)
    assert (compile_check(SCHEMA).violations(arguments) == ()) == plain.is_valid(arguments)


def test_a_pattern_made_to_be_slow_is_answered_at_once() -> None:
    schema = {**SCHEMA, "properties": {"order_id": {"type": "string", "pattern": "^(a+)+$"}}}
    assert compile_check(schema).violations({"order_id": "a" * 50_000 + "!"})  # (a backtracking engine never ends)


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        ({"type": "array"}, "schema_not_object", ()),
        ({"type": ["object", "null"]}, "schema_not_object", ()),
        ({"additionalProperties": True}, "schema_open", ()),
        ({"additionalProperties": {}}, "schema_open", ()),
        ({"$schema": "http://json-schema.org/draft-07/schema#"}, "schema_dialect", ("$schema",)),
        ({"properties": {"a": {"$ref": "https://x.example/s"}}}, "schema_remote", ("properties", "a", "$ref")),
        ({"properties": {"a": {"$ref": "other.json"}}}, "schema_remote", ("properties", "a", "$ref")),
        ({"$defs": {"a": {"$dynamicRef": "x"}}}, "schema_remote", ("$defs", "a", "$dynamicRef")),
        ({"properties": {"a": {"pattern": "(?=x)"}}}, "schema_pattern", ("properties", "a", "pattern")),
        ({"properties": {"a": {"pattern": r"(x)\1"}}}, "schema_pattern", ("properties", "a", "pattern")),
        ({"properties": {"a": {"pattern": "(a{1,1000}){1,1000}"}}}, "schema_pattern", ("properties", "a", "pattern")),
        ({"properties": {"a": {"format": "colour"}}}, "schema_format", ("properties", "a", "format")),
        ({"properties": {"a": {"type": "object", "properties": {}}}}, "schema_open", ("properties", "a")),
        (
            {"properties": {"a": {"items": {"properties": {"b": {}}}}}},
            "schema_open",
            ("properties", "a", "items"),
        ),
        ({"properties": {"a": {"maximun": 3}}}, "schema_keyword", ("properties", "a", "maximun")),
        ({"properties": {}, "required": ["ordr_id"]}, "schema_required", ("required",)),
        ({"properties": {"a": {"type": "text"}}}, "schema_invalid", ("properties", "a", "type")),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "schema_invalid", ()),
    ],
)
def test_a_schema_that_could_not_hold_is_refused(change: dict[str, Any], code: str, path: tuple[str, ...]) -> None:
    schema = {**SCHEMA, "required": [], **change}
    (problem,) = schema_problems(schema)
    assert (problem.code, problem.path) == (code, path)
    assert problem.fix
    with pytest.raises(InputRefusedError) as caught:
        compile_check(schema)
    assert caught.value.code == code


def test_the_control_without_our_rules_takes_what_we_refuse() -> None:
    for change in ({"pattern": "(?=x)"}, {"pattern": r"(x)\1"}, {"format": "colour"}):
        plain = jsonschema_rs.Draft202012Validator({"type": "object", "properties": {"a": change}})
        assert plain.is_valid({"a": "xx"})
    unchecked = jsonschema_rs.Draft202012Validator(SCHEMA)
    assert unchecked.is_valid({"order_id": "A-100", "day": "2026-13-01"})  # formats are only checked when asked for


def test_data_that_only_looks_like_a_reference_is_data() -> None:
    look = {"$ref": "https://x.example/", "$schema": "x"}
    properties: dict[str, Any] = {"$ref": {"type": "string"}, "$schema": {"const": look}, "default": {"enum": [look]}}
    assert schema_problems({**SCHEMA, "required": [], "properties": properties}) == ()


def test_a_schema_nested_without_end_is_refused_before_anything_recurses() -> None:
    nested: dict[str, Any] = {}
    for _ in range(5_000):
        nested = {"not": nested}
    assert [problem.code for problem in schema_problems({**SCHEMA, "properties": {"a": nested}})] == ["schema_too_deep"]


def test_a_result_schema_may_stay_open() -> None:
    assert schema_problems({"type": "object"}, closed=False) == ()


def test_known_formats_are_those_that_are_checked() -> None:
    assert format_is_known("date-time")
    assert not format_is_known("int64")


OTHER: dict[str, Any] = {
    "input_schema": {**SCHEMA, "title": "x"},
    "output_schema": {"type": "object"},
    "endpoint": {"url": "https://orders.example/other"},
    "served": "sha256:0",
    "controls": Controls(effect=Effect.WRITE),
}
DERIVED = {"interface", "controls_digest", "digest"}


@pytest.mark.requirement("R4.3")
@pytest.mark.parametrize("name", [field.name for field in fields(Descriptor) if field.name not in DERIVED])
def test_the_digest_changes_with_every_field(name: str) -> None:
    changed, before = descriptor(**{name: OTHER.get(name, "other")}), descriptor()
    assert changed.digest != before.digest
    assert (changed.interface != before.interface) == (name != "controls")
    assert (changed.controls_digest != before.controls_digest) == (name == "controls")


@pytest.mark.requirement("R4.8")
@pytest.mark.parametrize(
    "change",
    [
        {"effect": Effect.IRREVERSIBLE},
        {"confirm": "order_id"},
        {"content": ("reason",)},
        {"sources": {"to": ("user",)}},
        {"results": {"": "system_of_record"}},
        {"carries_data_out": True},
    ],
)
def test_a_change_of_the_controls_leaves_the_interface_as_it_is(change: dict[str, Any]) -> None:
    assert set(change) <= {field.name for field in fields(Controls)}
    before = descriptor()
    changed = descriptor(controls=replace(before.controls, **change))
    assert changed.interface == before.interface
    assert changed.controls_digest != before.controls_digest
    assert changed.digest != before.digest


def test_the_digests_do_not_depend_on_the_order_of_keys_or_on_themselves() -> None:
    turned = descriptor(input_schema=dict(reversed(SCHEMA.items())))
    assert turned == descriptor()
    assert sealed(replace(turned, interface="x", controls_digest="x", digest="x")) == turned
    for digest in (turned.interface, turned.controls_digest, turned.digest):
        assert len(digest) == len("sha256:") + 64


REVIEWED = Review((("ana", "security"),), "")


@pytest.mark.requirement("R4.5")
def test_a_reviewed_operation_that_is_served_as_reviewed_may_go_on() -> None:
    assert signatures_hold(REVIEWED, "") == Allow()


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize(
    ("review", "says"),
    [
        (None, "never checked"),
        (Review((), "the controls part is not signed"), "the controls part is not signed"),
        (Review((("ana", "security"),), "the interface part lacks 1 of `engineering`"), "lacks 1 of `engineering`"),
        (Review((), ""), "nobody signed it"),
    ],
)
def test_an_operation_that_is_not_reviewed_is_denied(review: Review | None, says: str) -> None:
    answer = signatures_hold(review, "")
    assert isinstance(answer, Deny)
    assert answer.reason.code == "descriptor_unsigned"
    assert says in answer.reason.message
    assert "remit tools sign" in answer.reason.fix


@pytest.mark.requirement("R4.7")
@pytest.mark.parametrize("quarantined", ['["title: + \\"obey\\""]', "obey", "{}", "\ud800", "x" * 500])
def test_an_operation_in_quarantine_is_denied_and_the_agent_hears_no_word_of_the_server(quarantined: str) -> None:
    for review in (REVIEWED, None):
        answer = signatures_hold(review, quarantined)
        assert isinstance(answer, Deny)
        assert answer.reason.code == "operation_quarantined"
        assert quarantined not in answer.reason.message
        assert "remit tools diff" in answer.reason.fix


@pytest.mark.requirement("R4.6")
def test_the_version_and_content_that_the_manifest_names_may_go_on() -> None:
    assert version_matches(Pin("1", descriptor().digest), descriptor()) == Allow()


@pytest.mark.requirement("R4.6")
@pytest.mark.parametrize(
    ("pin", "found", "code", "says"),
    [
        (None, descriptor(), "manifest_missing", "`get_order`"),
        (Pin("1.0", descriptor().digest), descriptor(), "version_mismatch", "has version `1.0` of `get_order`"),
        (Pin("1", descriptor().digest), descriptor(version="2"), "version_mismatch", "version `2`"),
        (Pin("1", descriptor().digest), descriptor(title="x"), "manifest_digest_mismatch", descriptor().digest[:19]),
        (
            Pin("1", descriptor().digest),
            descriptor(controls=OTHER["controls"]),
            "manifest_digest_mismatch",
            descriptor(controls=OTHER["controls"]).digest[:19],
        ),
        (Pin("1", ""), replace(descriptor(), digest=""), "manifest_digest_mismatch", "`get_order`"),
    ],
)
def test_any_other_version_or_content_is_denied(pin: Pin | None, found: Descriptor, code: str, says: str) -> None:
    answer = version_matches(pin, found)
    assert isinstance(answer, Deny)
    assert answer.reason.code == code
    assert says in answer.reason.message
    assert answer.reason.fix


@pytest.mark.parametrize(
    "text",
    ["", "plain", "two\nlines\tand a tab", "na\u00efve \u65e5\u672c\u8a9e \u2764\ufe0f \U0001f600", "caf\u0065\u0301"],
)
def test_text_that_is_seen_is_safe(text: str) -> None:
    assert unsafe_text(text) is None


@pytest.mark.parametrize(
    "character",
    ["\x00", "\x1b", "\r", "\x7f", "\x85", "\xad", "\u034f", "\u200b", "\u200d", "\u200e", "\u202e", "\u2028", "\u2066",
     "\u2800", "\u3164", "\ufeff", "\ufff9", "\ufffe", "\ufdd0", "\ue000", "\ud800", "\U000e0041", "\U000e0100",
     "\ufe00", "\ufe0f\ufe0f", "\U0001fffe", "\U00100000"],
)  # fmt: skip
def test_text_that_is_not_seen_is_named(character: str) -> None:
    found = unsafe_text(f"a{character}b")
    assert found is not None
    assert f"U+{ord(character[0]):04X}" in found


@given(text=st.text())
def test_what_is_made_visible_is_on_one_line_safe_and_says_which_text_it_was(text: str) -> None:
    shown = visible_text(text)
    assert unsafe_text(shown) is None
    assert "\n" not in shown
    if unsafe_text(text) is None and not set(text) & set("\n\t\ufe0e\ufe0f"):
        assert shown == text


def test_what_nobody_would_see_is_written_as_an_escape() -> None:
    assert visible_text("a\u200bb\U000e0041\n\x1b\ufe0f") == r"a\u200bb\U000e0041\u000a\u001b\ufe0f"
