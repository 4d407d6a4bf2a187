"""Write the types of all operations as one Cedar schema, in Cedar's JSON form, so that no name needs escaping.

cedarpy.Schema.from_json_str(schema_json({"get_order": context}))
"""

from collections.abc import Mapping
from typing import assert_never

from remit.core import Json, JsonObject, canonical_bytes
from remit.permissions._types import CedarType, Record, Scalar, SetOf


def schema_json(contexts: Mapping[str, Record]) -> str:
    """Return the schema: entity types `User` and `Tool` without attributes, one action per operation."""
    actions: JsonObject = {operation: _action(context) for operation, context in contexts.items()}
    return canonical_bytes({"": {"entityTypes": {"User": {}, "Tool": {}}, "actions": actions}}).decode()


def _action(context: Record) -> Json:
    return {"appliesTo": {"principalTypes": ["User"], "resourceTypes": ["Tool"], "context": _type(context)}}


def _type(typed: CedarType) -> JsonObject:
    match typed:
        case Scalar("decimal"):
            return {"type": "Extension", "name": "decimal"}
        case Scalar("Bool"):
            return {"type": "Boolean"}
        case Scalar(name=name):
            return {"type": name}
        case SetOf(element):
            return {"type": "Set", "element": _type(element)}
        case Record(attributes):
            inner: JsonObject = {
                name: {**_type(attribute.type), "required": attribute.required}
                for name, attribute in attributes.items()
            }
            return {"type": "Record", "attributes": inner}
        case _:
            assert_never(typed)
