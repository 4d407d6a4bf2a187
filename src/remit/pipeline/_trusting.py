"""Trusting a value while approving: what an approver adds to a directory, by their own signature and for a time."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256

from remit import catalogue, permissions, records
from remit.catalogue import Extension
from remit.core import InputRefusedError, Json, JsonObject, Reason, canonical_bytes, parse_utc, utc_text
from remit.permissions import Approval, Directory, Flow
from remit.pipeline._live import directory_control
from remit.records import Draft, Entry, Payload

TRUST_FOR_MAX = timedelta(days=365)
TRUSTED_MAX = 1_000  # values that approvers have added to one directory and that still count
_SALT_BYTES = 16
_TRUST_FILE = "trust.json"  # the trust root's path in a bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """A value that an approver wants `directory` to have `until` then; `envelope` is their signature on just that."""

    directory: str
    value: str
    until: datetime
    envelope: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """A value that an approver added to a directory, and who that was."""

    value: str
    until: datetime
    person: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The call that an approval is for, as its entry has it: its arguments, and whose sources were refused.

    `refused` are JSON pointers of values in control arguments, `links` those of texts with an address.
    """

    arguments: JsonObject
    refused: frozenset[str]
    links: frozenset[str]


def held_call(entry: Entry) -> Held:
    """Read back the call that an approval is for from the entry that opened it; arguments that were erased are none."""
    leaf: JsonObject = json.loads(entry.leaf)
    if entry.kind != "held":
        return Held(arguments={}, refused=frozenset(), links=frozenset())
    bodies = {payload.name: payload.body for payload in entry.payloads}
    return Held(
        arguments=json.loads(bodies.get("arguments", b"{}")),
        refused=frozenset(str(said[0]) for said in _lists(leaf, "sources") if said[-1] is False),
        links=frozenset(str(said[0]) for said in _lists(leaf, "links")),
    )


def refused_trust(  # noqa: PLR0913 - what is wanted, of which call, by whom, and what it is looked at with
    trust: Trust,
    approval: Approval,
    held: Held,
    *,
    person: str,
    flow: Flow | None,
    directories: Mapping[str, Directory],
    sources: Mapping[str, bytes],
    now: datetime,
) -> Reason | None:
    """Say why `trust` may not be given along with a yes to `approval`; None: it may.

    The signer is the approver; the value is one that this very call is held for, in an argument that accepts the
    directory, and could stand in the signed list as it is; the directory counts; and the time is bounded. Codes:
    `directory_unknown`, `directory_not_signed`, `trust_too_long`, `trust_not_a_reason`, `trust_not_an_entry`,
    `extension_invalid`, `extension_by_other`.
    """
    directory = directories.get(trust.directory)
    if directory is None:
        return Reason("directory_unknown", f"there is no directory `{trust.directory}`", "see `remit directories list`")
    if directory.missing:
        message = f"the directory `{directory.name}` counts for nothing: {directory.missing}"
        return Reason("directory_not_signed", message, "have it signed and deployed first")
    if not now < trust.until <= now + TRUST_FOR_MAX:
        days = TRUST_FOR_MAX.days
        message = f"a value is trusted for at most {days} days from now, not until {utc_text(trust.until)}"
        return Reason("trust_too_long", message, f"give `--until`, at most {days}d")
    if not _is_reason(trust.value, directory, held, flow):
        message = f"this call is not held for that value in an argument that accepts `directory/{directory.name}`"
        return Reason("trust_not_a_reason", message, "see `remit approvals show`: trust only what it is held for")
    if not permissions.is_entry(directory.kind, trust.value):
        return _no_entry(directory)
    return _not_signed_by(person, trust, approval, sources)


def _not_signed_by(person: str, trust: Trust, approval: Approval, sources: Mapping[str, bytes]) -> Reason | None:
    extension = Extension(directory=trust.directory, value=trust.value, until=trust.until, approval=approval.id)
    try:
        body = sources.get(_TRUST_FILE)
        root = None if body is None else catalogue.read_trust(body)
        signer = catalogue.extension_signer(extension, trust.envelope, root)
    except InputRefusedError as error:
        return Reason(error.code, error.message, error.fix)
    if signer != person:
        message = f"the signature is that of `{signer}`, and `{person}` approves"
        return Reason("extension_by_other", message, "sign with a key of your own in the trust root")
    return None


def _no_entry(directory: Directory) -> Reason:
    if directory.kind is permissions.Kind.DOMAINS:
        message = (
            f"`{directory.name}` takes domains of two labels or more, in lower case and ASCII, and no IP addresses"
        )
        return Reason("trust_not_an_entry", message, "give the host as it is looked up (xn-- where it is not ASCII)")
    message = f"`{directory.name}` takes no value that begins or ends with blanks"
    return Reason("trust_not_an_entry", message, "approve without trusting it")


def _is_reason(value: str, directory: Directory, held: Held, flow: Flow | None) -> bool:
    if flow is None:
        return False
    accepted, kind = f"directory/{directory.name}", directory.kind
    refused = (each for each in held.refused if accepted in flow.sources.get(_top(each), ()))
    if any(permissions.is_about(kind, value, _at(held.arguments, each)) for each in refused):
        return True
    linked = held.links if accepted in flow.links else frozenset[str]()
    return any(permissions.is_about_link(kind, value, _at(held.arguments, each)) for each in linked)


def _at(arguments: JsonObject, pointer: str) -> str:
    """Return the text or the number at a JSON pointer (RFC 6901) as text; empty where there is none."""
    found: Json = arguments
    for step in pointer.split("/")[1:]:
        name = _unescaped(step)
        if isinstance(found, dict):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return ""
    return str(found) if isinstance(found, str | int | float) else ""


def _top(pointer: str) -> str:
    return _unescaped(pointer.split("/")[1]) if pointer.startswith("/") else ""


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


# -- what a directory's control says


def trusted_in(says: str) -> tuple[Trusted, ...]:
    """Read what a directory's control says (`permissions.joined`)."""
    return tuple(
        Trusted(value=str(value), until=parse_utc(str(until)), person=str(person))
        for value, until, person in json.loads(says or "[]")
    )


def with_trusted(says: str, more: Iterable[Trusted], now: datetime) -> str:
    """Write what a directory's control says once `more` is added to it; what is over by `now` is left out.

    Raises:
        InputRefusedError: `directory_full`.
    """
    kept = {each.value: each for each in (*trusted_in(says), *more) if now < each.until}
    if len(kept) > TRUSTED_MAX:
        message = f"approvers have added {TRUSTED_MAX} values already"
        raise InputRefusedError("directory_full", message, "remove some, or have them signed into the directory")
    return _written(kept.values())


def without_trusted(says: str, value: str) -> str:
    """Write what a directory's control says without `value`."""
    return _written(each for each in trusted_in(says) if each.value != value)


def _written(trusted: Iterable[Trusted]) -> str:
    lines: list[Json] = [[each.value, utc_text(each.until), each.person] for each in trusted]
    return canonical_bytes(lines).decode() if lines else ""


def extended(trust: Trust, approval: str, *, at: datetime, by: str) -> Draft:
    """Write that an approver extended a directory. The value and the signature stand apart: they can be erased (R5.7).

    Nobody who guesses the value can test the guess on the commitment: the signature is part of what it is over.
    """
    salt = sha256(trust.envelope).digest()[:_SALT_BYTES]
    payload = Payload(name="envelope", salt=salt, body=trust.envelope)
    commitment = f"sha256:{sha256(payload.salt + payload.body).hexdigest()}"
    said: JsonObject = {
        "approval": approval,
        "until": utc_text(trust.until),
        "envelope": {"commitment": commitment, "bytes": len(payload.body)},
    }
    entry = records.control(directory_control(trust.directory), "extended", at=at, by=by, said=said)
    return replace(entry, payloads=(payload,))


def _lists(leaf: JsonObject, name: str) -> list[list[Json]]:
    said = leaf.get(name)
    return [each for each in said if isinstance(each, list) and each] if isinstance(said, list) else []
