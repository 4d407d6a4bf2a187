"""Room 4, the catalogue: only what is declared here exists.

Promises: an operation that is not in the catalogue and on the agent's list is denied (R4.1); arguments that do not fit
the reviewed schema never leave; the digest covers everything an agent is shown and everything that is called.

    check = compile_check({"type": "object", "additionalProperties": False, "properties": {"id": {"type": "integer"}}})
    arguments_fit(check, {"id": 7})               # Allow()
    arguments_fit(check, {"id": "7"})             # Deny(Reason("arguments_invalid", "/id: expected integer", ...))
    is_listed(None, "close_account", frozenset())  # Deny(Reason("operation_not_listed", ...))
"""

from remit.catalogue._model import Controls, Descriptor, Effect, Pin, Review, SchemaCheck, Tool
from remit.catalogue._rules import arguments_fit, digest_of, is_listed, sealed
from remit.catalogue._schemas import (
    VIOLATIONS_MAX,
    SchemaProblem,
    closed_inside,
    compile_check,
    format_is_known,
    schema_problems,
    without_unknown_keywords,
)
from remit.catalogue._text import unsafe_character, unsafe_text

__all__ = [
    "VIOLATIONS_MAX",
    "Controls",
    "Descriptor",
    "Effect",
    "Pin",
    "Review",
    "SchemaCheck",
    "SchemaProblem",
    "Tool",
    "arguments_fit",
    "closed_inside",
    "compile_check",
    "digest_of",
    "format_is_known",
    "is_listed",
    "schema_problems",
    "sealed",
    "unsafe_character",
    "unsafe_text",
    "without_unknown_keywords",
]
