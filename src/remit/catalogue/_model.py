"""What may be called: operations, as reviewed descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from remit.core import Json, JsonObject


class Effect(StrEnum):
    """What an operation does to the world (R3.2)."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    IRREVERSIBLE = "irreversible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool server. `url` is where its MCP endpoint answers."""

    name: str
    url: str
    timeout_s: float
    response_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """One operation as reviewed: what the agent sees, what is called, and what it does.

    `operation` is its name here and for the agent; `upstream_name` is the tool server's own name for it. `digest` is
    `sha256:` over the canonical form of everything else.
    """

    operation: str
    tool: str
    upstream_name: str
    version: str
    title: str
    description: str
    effect: Effect
    input_schema: JsonObject
    output_schema: JsonObject | None
    digest: str


class SchemaCheck(Protocol):
    """A compiled argument schema."""

    def violations(self, arguments: Mapping[str, Json]) -> tuple[str, ...]:
        """Return what does not fit, each as `pointer: what was expected`; empty when everything fits."""
        ...
