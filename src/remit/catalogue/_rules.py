"""The catalogue's gates and the digest of a descriptor, pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, replace

from remit.catalogue._model import Descriptor, SchemaCheck
from remit.core import Allow, Decision, Deny, Json, Reason, canonical_bytes


def is_listed(descriptor: Descriptor | None, operation: str, listed: frozenset[str]) -> Decision:
    """Gate 1: allow `operation` only if the agent's list names it and the catalogue describes it (R4.1, R4.4)."""
    if operation not in listed:
        return Deny(
            Reason(
                "operation_not_listed",
                f"`{operation[:64]}` is not on this agent's list of operations",
                "ask the agent's owner to have it listed",
            )
        )
    # A descriptor filed under another operation's name would be decided on as one thing and called as another.
    if descriptor is None or descriptor.operation != operation:
        return Deny(
            Reason(
                "operation_not_listed",
                f"`{operation[:64]}` is not in the catalogue",
                "ask the agent's owner to have it described there",
            )
        )
    return Allow()


def arguments_fit(check: SchemaCheck | None, arguments: Mapping[str, Json]) -> Decision:
    """Allow `arguments` only if the reviewed schema takes them. Without a schema nothing fits."""
    if check is None:
        return Deny(
            Reason(
                "arguments_invalid",
                "this operation has no argument schema to check against",
                "ask the agent's owner to have one reviewed",
            )
        )
    violations = check.violations(arguments)
    if violations:
        return Deny(
            Reason("arguments_invalid", "; ".join(violations), "send arguments that fit the operation's input schema")
        )
    return Allow()


def digest_of(descriptor: Descriptor) -> str:
    """Return `sha256:` and 64 hex digits over the canonical JSON of every field of `descriptor` but `digest`.

    Raises:
        InputRefusedError: a schema that holds what JSON cannot carry.
    """
    fields = asdict(descriptor)
    del fields["digest"]
    return f"sha256:{hashlib.sha256(canonical_bytes(fields)).hexdigest()}"


def sealed(descriptor: Descriptor) -> Descriptor:
    """Return `descriptor` with the digest that its other fields have.

    Raises:
        InputRefusedError: a schema that holds what JSON cannot carry.
    """
    return replace(descriptor, digest=digest_of(descriptor))
