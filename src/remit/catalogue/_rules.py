"""The catalogue's gates and the digests of a descriptor, pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, replace
from enum import StrEnum

from remit.catalogue._model import Controls, Descriptor, Effect, LookUp, Pin, Review, SchemaCheck
from remit.core import Allow, Decision, Deny, Json, Reason, canonical_bytes

DIGEST_CHARS = 7 + 12  # of a digest, in a refusal: `sha256:` and enough digits to tell two apart

_DERIVED = frozenset({"interface", "controls_digest", "digest"})  # said by the other fields
_PLAIN = Controls(effect=Effect.READ)
# Controls that came later. They are left out where they say nothing, so that what was signed before stays signed; what
# is left out can mean nothing else, since whatever says something stands there.
_LATER = frozenset({"tier", "links", "receivers", "classes", "facts", "before"})


class Part(StrEnum):
    """What is signed apart from the rest, so that one can change without the other (R4.8)."""

    INTERFACE = "interface"
    CONTROLS = "controls"


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


def signatures_hold(review: Review | None, quarantined: str) -> Decision:
    """Gate 2: allow only what the persons asked have signed, served as they saw it (R4.2, R4.5, R4.7).

    `quarantined` says how the served definition differs from the reviewed one; empty: it does not. None of it is said
    to the agent, since a stranger wrote it and a model would read it. A quarantine is asked first, because no signature
    mends it.
    """
    if quarantined:
        return Deny(
            Reason(
                "operation_quarantined",
                "the tool server no longer shows the definition that was reviewed",
                "a person compares it with `remit tools diff`, then reviews what is new, or has the old definition "
                "back and ends the quarantine with `remit tools release`",
            )
        )
    if review is None or review.missing or not review.signers:
        missing = "its signatures were never checked" if review is None else review.missing or "nobody signed it"
        return Deny(
            Reason(
                "descriptor_unsigned",
                f"the operation's descriptor is not reviewed: {missing}",
                "the persons asked for sign it with `remit tools sign`; `remit tools list` says who is missing",
            )
        )
    return Allow()


def version_matches(pin: Pin | None, descriptor: Descriptor) -> Decision:
    """Gate 3: allow only the very version and content that the agent's manifest names (R4.6)."""
    if pin is None:
        return Deny(
            Reason(
                "manifest_missing",
                f"`{descriptor.operation}` is not in the agent's manifest, `tools.lock`",
                "run `remit tools lock`, look at what changed and deploy it",
            )
        )
    if pin.version != descriptor.version:
        return Deny(
            Reason(
                "version_mismatch",
                f"the manifest has version `{pin.version[:64]}` of `{descriptor.operation}`, "
                f"the catalogue version `{descriptor.version[:64]}`",
                "deploy the version that is pinned, or run `remit tools lock` for the new one",
            )
        )
    # A descriptor that was never sealed has no digest, and no pin may match it.
    if not descriptor.digest or pin.digest != descriptor.digest:
        return Deny(
            Reason(
                "manifest_digest_mismatch",
                f"the manifest has `{pin.digest[:DIGEST_CHARS]}` for version `{descriptor.version[:64]}` of "
                f"`{descriptor.operation}`, the catalogue `{descriptor.digest[:DIGEST_CHARS]}`",
                "have what was changed signed, run `remit tools lock`, look at what it changes and deploy it",
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


def sealed(descriptor: Descriptor) -> Descriptor:
    """Return `descriptor` with the digests that its other fields have.

    `interface` is over everything but the controls, `controls_digest` over the controls, `digest` over both; each is
    `sha256:` and 64 hex digits over canonical JSON.

    Raises:
        InputRefusedError: a schema that holds what JSON cannot carry.
    """
    interface, controls = part_digest(descriptor, Part.INTERFACE), part_digest(descriptor, Part.CONTROLS)
    whole = digest_of({"interface": interface, "controls": controls})
    return replace(descriptor, interface=interface, controls_digest=controls, digest=whole)


def part_digest(descriptor: Descriptor, part: Part) -> str:
    """Return the digest of one part of `descriptor`, taken from its content and never from what it says of itself.

    Raises:
        InputRefusedError: a schema that holds what JSON cannot carry.
    """
    if part is Part.CONTROLS:
        return digest_of(_content(descriptor.controls, _silent(descriptor.controls)))
    return digest_of(_content(descriptor, _DERIVED | {"controls"}))


def digest_of(value: Mapping[str, object]) -> str:
    """Return `sha256:` and 64 hex digits over the canonical form of `value`.

    Raises:
        InputRefusedError: a value that JSON cannot carry.
    """
    return f"sha256:{hashlib.sha256(canonical_bytes(value)).hexdigest()}"


def _silent(controls: Controls) -> frozenset[str]:
    """Return the later fields of `controls` that say nothing."""
    return frozenset(name for name in _LATER if getattr(controls, name) == getattr(_PLAIN, name))


def _content(value: Descriptor | Controls, without: frozenset[str] = frozenset()) -> dict[str, object]:
    """Take every field by its name: one that is added to the model later is signed without anybody thinking of it."""
    found = {field.name: getattr(value, field.name) for field in fields(value) if field.name not in without}
    return {name: _plain(inner) for name, inner in found.items()}


def _plain(value: object) -> object:
    """Write mappings and look-ups, at any depth, as what JSON has."""
    if isinstance(value, LookUp):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return {name: _plain(inner) for name, inner in value.items()} if isinstance(value, Mapping) else value
