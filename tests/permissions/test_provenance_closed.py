"""Which places of a call have a listed value, as the input schema says."""

import pytest

from remit.adapters.project._controls import flow_of
from remit.catalogue import Controls, Effect
from remit.core import Json, JsonObject

KIND: JsonObject = {"enum": ["file", "event"]}


def closed_in(properties: JsonObject, types: JsonObject | None = None) -> set[str]:
    schema: JsonObject = {"type": "object", "properties": properties, "$defs": types or {}}
    return set(flow_of(Controls(effect=Effect.WRITE), schema, ()).closed)


def items(inner: Json) -> JsonObject:
    return {"type": "array", "items": inner}


def fields(**properties: Json) -> JsonObject:
    return {"type": "object", "properties": properties}


SCHEMAS: dict[str, tuple[JsonObject, set[str]]] = {
    "whole": ({"x": KIND, "y": {"const": 1}, "z": {"type": "string"}}, {"/x", "/y"}),
    "item": ({"x": items(KIND)}, {"/x/*"}),
    "field": ({"x": fields(kind=KIND, id={"type": "string"})}, {"/x/kind"}),
    "field-of-items": ({"x": items(fields(kind=KIND))}, {"/x/*/kind"}),
    "escaped": ({"a/b~": fields(kind=KIND)}, {"/a~1b~0/kind"}),
    "or-null": ({"x": {"anyOf": [items(KIND), {"type": "null"}]}}, {"/x/*"}),
    "type-or-null": ({"x": {"type": ["array", "null"], "items": KIND}}, {"/x/*"}),
    "either": ({"x": {"anyOf": [items(KIND), {"type": "string"}]}}, set()),
    "any-type": ({"x": {"items": KIND, "properties": {"0": KIND}}}, set()),
    "two-types": ({"x": {"type": ["array", "object"], "items": KIND}}, set()),
    "other-items": ({"x": {"type": "array", "prefixItems": [{"type": "string"}], "items": KIND}}, set()),
    "other-keys": ({"x": {"type": "object", "additionalProperties": KIND}}, set()),
    "star": ({"x": {"type": "object", "properties": {"*": KIND, "0": {"type": "string"}}}}, set()),
    "not": ({"x": {"not": KIND}}, set()),
    "lost": ({"x": {"$ref": "#/$defs/lost"}, "y": {"$ref": "elsewhere"}}, set()),
}


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize("name", SCHEMAS)
def test_a_place_is_closed_where_its_schema_lists_every_value_that_can_stand_there(name: str) -> None:
    properties, expected = SCHEMAS[name]
    assert closed_in(properties) == expected


@pytest.mark.requirement("R3.9")
def test_named_types_are_looked_up_and_one_that_holds_itself_has_an_end() -> None:
    types: JsonObject = {"Kind": KIND, "File": fields(kind={"$ref": "#/$defs/Kind"})}
    assert closed_in({"x": items({"$ref": "#/$defs/File"})}, types) == {"/x/*/kind"}
    assert closed_in({"x": {"$id": "urn:other", "$ref": "#/$defs/Kind"}}, types) == set()
    node: JsonObject = {"Node": fields(kind=KIND, left={"$ref": "#/$defs/Node"}, right={"$ref": "#/$defs/Node"})}
    found = closed_in({"x": {"$ref": "#/$defs/Node"}}, node)
    assert {"/x/kind", "/x/left/kind", "/x/left/right/kind"} <= found
    assert len(found) < 1_000
    assert closed_in({"x": {"$ref": "#/$defs/A"}}, {"A": {"$ref": "#/$defs/A"}}) == set()
