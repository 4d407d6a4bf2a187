"""Arguments that a tool wants mirrored into headers (MCP 2026-07-28, transports, "Custom Headers").

An input schema names them with `x-mcp-header`. The annotation counts only on a string, integer or boolean that is
reached from the root through `properties` alone; a schema that uses it otherwise is not a valid tool.
"""

import base64
import re
from collections.abc import Iterator, Mapping

from remit.core import Json, JsonObject, RemitError

_KEY = "x-mcp-header"
_PREFIX = "mcp-param-"
_TYPES = frozenset({"string", "integer", "boolean"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PLAIN = re.compile(r"[\x20-\x7e]*")
_SENTINEL = re.compile(r"=\?base64\?.*\?=")

# Keywords of JSON Schema 2020-12 under which further schemas stand; instance data (`default`, `enum`) is not looked at.
_ONE = frozenset({
    "items", "contains", "unevaluatedItems", "additionalProperties", "propertyNames", "unevaluatedProperties",
    "not", "if", "then", "else", "contentSchema",
})  # fmt: skip
_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_NAMED = frozenset({"patternProperties", "dependentSchemas", "$defs", "definitions"})

Path = tuple[str, ...]
"""The property names that lead to an argument."""


def header_paths(schema: JsonObject) -> dict[Path, str]:
    """Return which arguments are mirrored, and into which header.

    Raises:
        RemitError: with the code `upstream_unsupported`; clients must not call a tool with such a schema.
    """
    paths: dict[Path, str] = {}
    for path, node in _schemas(schema):
        if _KEY not in node:
            continue
        token, kind = node[_KEY], node.get("type")
        if not path or not isinstance(kind, str) or kind not in _TYPES:
            raise _invalid("misplaced")
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise _invalid("not a header name")
        name = _PREFIX + token.lower()
        if name in paths.values():
            raise _invalid("used twice for one header")
        paths[path] = name
    return paths


def header_text(text: str) -> str:
    """Write `text` so that it survives as a header value: as it is, or in base64 between marks."""
    if _PLAIN.fullmatch(text) and text == text.strip() and not _SENTINEL.fullmatch(text):
        return text
    return f"=?base64?{base64.b64encode(text.encode()).decode('ascii')}?="


def mirrored(paths: Mapping[Path, str], arguments: JsonObject) -> Iterator[tuple[str, str]]:
    """Yield the headers that `arguments` call for; an absent or null argument has none."""
    for path, name in paths.items():
        value: Json = arguments
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, bool):
            yield name, "true" if value else "false"
        elif isinstance(value, str | int | float):
            yield name, header_text(str(value))


def _schemas(root: JsonObject) -> Iterator[tuple[Path | None, JsonObject]]:
    """Yield every schema with the properties that lead to it, None once any other keyword was crossed."""
    open_: list[tuple[Path | None, Json]] = [((), root)]
    while open_:
        path, node = open_.pop()
        if isinstance(node, dict):
            yield path, node
            for keyword, value in node.items():
                open_.extend(_below(path, keyword, value))


def _below(path: Path | None, keyword: str, value: Json) -> list[tuple[Path | None, Json]]:
    if keyword == "properties" and isinstance(value, dict):
        return [(None if path is None else (*path, name), schema) for name, schema in value.items()]
    if keyword in _ONE:
        return [(None, value)]
    if keyword in _MANY and isinstance(value, list):
        return [(None, schema) for schema in value]
    if keyword in _NAMED and isinstance(value, dict):
        return [(None, schema) for schema in value.values()]
    return []


def _invalid(what: str) -> RemitError:
    return RemitError(
        "upstream_unsupported", f"`{_KEY}` in the tool's input schema is {what}", "mend the tool server's schema"
    )
