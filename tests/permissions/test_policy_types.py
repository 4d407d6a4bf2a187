"""What a policy sees of an operation's arguments, and how their values reach it."""

import pytest

from remit.core import Deny, Json, JsonObject
from remit.permissions import OperationShape, Question, compile_policies, describe

STRING: JsonObject = {"type": "string"}


def shape(schema: Json, *, required: bool = True) -> OperationShape:
    listed: Json = ["x"] if required else []
    return OperationShape(
        operation="act", tool="t", input_schema={"type": "object", "properties": {"x": schema}, "required": listed}
    )


def decided(schema: Json, condition: str, value: Json, *, required: bool = True) -> str:
    """Return `allow`, or the code of the refusal."""
    text = f'permit(principal, action == Action::"act", resource) when {{ {condition} }};'
    shards, problems = compile_policies("a", {"p.cedar": text}, [shape(schema, required=required)])
    assert problems == ()
    decision = shards["act"].decide(
        Question(user="ana", agent="a", use_case="u", operation="act", tool="t", arguments={"x": value})
    )
    return decision.reason.code if isinstance(decision, Deny) else type(decision).__name__.lower()


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (STRING, "x: String"),
        ({"type": "integer"}, "x: Long"),
        ({"type": "boolean"}, "x: Bool"),
        ({"type": "number"}, "x: decimal"),
        ({"enum": ["USD", "EUR"]}, 'x: String, of "EUR", "USD"'),
        ({"const": "EUR"}, 'x: String, of "EUR"'),
        ({"type": "array", "items": {"enum": ["a"]}}, 'x: Set<String>, of "a"'),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            'x: String, of "a", optional: `context.arguments has x && ...`',
        ),
        ({"type": "array", "items": STRING}, "x: Set<String>"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}, "x: Set<Set<Long>>"),
        ({"type": ["string", "null"]}, "x: String, optional: `context.arguments has x && ...`"),
        ({"anyOf": [STRING, {"type": "null"}]}, "x: String, optional: `context.arguments has x && ...`"),
        ({"type": "object", "properties": {"y": STRING}, "required": ["y"]}, "x.y: String"),
        (
            {"type": "object", "properties": {"y z": STRING}},
            'x["y z"]: String, optional: `context.arguments.x has "y z" && ...`',
        ),
        ({"anyOf": [STRING, {"type": "integer"}]}, "x: not visible, its schema is `anyOf`"),
        ({"oneOf": [STRING]}, "x: not visible, its schema is `oneOf`"),
        ({"$ref": "#/$defs/y", "type": "string"}, "x: not visible, its schema is a `$ref`"),
        ({"type": "object"}, "x: not visible, it is a free-form object"),
        ({"type": "array"}, "x: not visible, its items have no single schema"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "x: not visible, its items may be null"),
        ({"type": ["string", "integer"]}, "x: not visible, its schema allows several types"),
        ({"enum": ["a", 1]}, "x: not visible, its schema names no type"),
        (
            {"type": "object", "properties": {"__extn": STRING}},
            "x: not visible, it is an object without typed properties",
        ),
        ({}, "x: not visible, its schema names no type"),
        (True, "x: not visible, its schema says nothing"),
    ],
)
def test_each_json_type_has_one_cedar_type_or_a_reason_why_not(schema: Json, expected: str) -> None:
    lines = [line for line in describe(shape(schema)).splitlines() if line.startswith("context.arguments")]
    assert lines[-1] == f"context.arguments.{expected}"


def test_an_argument_that_is_not_required_is_optional() -> None:
    assert "context.arguments.x: String, optional" in describe(shape(STRING, required=False))
    assert "context.arguments.x: String" in describe(shape(STRING)).splitlines()


NUMBER = 'context.arguments.x.lessThanOrEqual(decimal("100.00"))'


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (100, "allow"),
        (99.99, "allow"),
        (100.0001, "policy_no_permit"),
        (-0.0, "allow"),
        (0.1 + 0.2, "argument_not_decimal"),
        (1e-5, "argument_not_decimal"),
        (922337203685478, "argument_not_decimal"),
        (1e300, "argument_not_decimal"),
        (float("nan"), "argument_not_decimal"),
        (float("inf"), "argument_not_decimal"),
        ("50", "argument_type"),
        (True, "argument_type"),
        (None, "policy_error"),
    ],
)
def test_numbers_are_exact_decimals_or_the_call_is_denied(value: Json, expected: str) -> None:
    assert decided({"type": "number"}, NUMBER, value) == expected


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("schema", "condition", "fits", "other"),
    [
        (STRING, 'context.arguments.x == "a"', "a", 1),
        ({"type": "integer"}, "context.arguments.x == 1", 1, True),
        ({"type": "integer"}, "context.arguments.x > 1", 2, 1 << 70),
        ({"type": "boolean"}, "context.arguments.x", True, 1),
        ({"type": "array", "items": STRING}, 'context.arguments.x.contains("a")', ["b", "a"], ["a", 1]),
        ({"type": "array", "items": STRING}, 'context.arguments.x.contains("a")', ["a"], "a"),
        (
            {"type": "object", "properties": {"y": STRING}, "required": ["y"]},
            'context.arguments.x.y == "a"',
            {"y": "a"},
            "a",
        ),
    ],
)
def test_a_value_of_another_type_is_denied(schema: Json, condition: str, fits: Json, other: Json) -> None:
    assert decided(schema, condition, fits) == "allow"
    assert decided(schema, f"!({condition})", other) == "argument_type"


def test_null_is_the_same_as_absent() -> None:
    nullable: Json = {"type": ["string", "null"]}
    assert decided(nullable, "!(context.arguments has x)", None) == "allow"
    assert decided(nullable, "!(context.arguments has x)", "here") == "policy_no_permit"


@pytest.mark.requirement("R3.8")
def test_an_object_cannot_smuggle_in_attributes_or_cedar_escapes() -> None:
    record: Json = {"type": "object", "properties": {"y": STRING}}
    escape: Json = {"__entity": {"type": "User", "id": "root"}, "z": 1}
    assert decided(record, "!(context.arguments.x has y)", escape) == "allow"


def test_text_that_json_cannot_carry_is_denied() -> None:
    assert decided(STRING, 'context.arguments.x != "a"', "\ud800") == "json_unwritable"
