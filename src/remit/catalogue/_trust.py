"""The trust root: which key is which person, in which roles, and how many of each role must sign.

Rules: a key belongs to exactly one person; every threshold is at least one, there is at least one, and distinct persons
of the root can reach them all. A root that breaks one of them does not exist as a value, so nothing is ever checked
against a root under which one person is enough where two were meant, or nobody is.

    root = read_trust(body)
    root.seated({"ana", "ben"})    # (("ana", "security"), ("ben", "engineering"))
    root.development               # False: more than the one signer that `remit init` asks for
"""

import base64
import binascii
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # its public door, which marks no exports

from remit.core import INTEGER_MAX, InputRefusedError, Json, JsonObject, is_name, parse_strict

DEVELOPMENT_ROLE = "development"
"""The role of the one signer of a new project. A root that asks for it alone is marked wherever it is shown."""

TRUST_BYTES_MAX = 1 << 18  # the whole file
PERSONS_MAX = 256  # in one root
ROLES_MAX = 16  # of one person, and asked for
KEYS_MAX = 8  # of one person
SIGNERS_MAX = 32  # asked for, in all roles together
KEY_BYTES = 32  # an Ed25519 public key (RFC 8032, section 5.1.5)


@dataclass(frozen=True, slots=True)
class Signer:
    """A person who may sign: their roles and their raw Ed25519 public keys."""

    roles: frozenset[str]
    keys: tuple[bytes, ...]

    @property
    def keyids(self) -> tuple[str, ...]:
        """The ids under which their signatures stand in an envelope."""
        return tuple(keyid_of(key) for key in self.keys)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRoot:
    """Who may sign, and how many must: `thresholds` says by role how many distinct persons sign each descriptor.

    `keys` and `owners` are derived: the public key, and the person, of each key id.

    Raises:
        InputRefusedError: `trust_invalid`, when a rule of this module is broken.
    """

    version: int
    persons: Mapping[str, Signer]
    thresholds: Mapping[str, int]
    keys: Mapping[str, bytes] = field(init=False)
    owners: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        _check_counts(self.version, self.thresholds)
        for name, signer in self.persons.items():
            _check_person(name, signer)
        object.__setattr__(self, "owners", _owners(self.persons))
        keys = {keyid_of(key): key for signer in self.persons.values() for key in signer.keys}
        object.__setattr__(self, "keys", keys)
        lacking = self.lacking(self.persons)
        if lacking:
            asked = ", ".join(f"{count} of `{role}`" for role, count in sorted(self.thresholds.items()))
            _refuse(
                "thresholds",
                f"expected {asked} by distinct persons, and too few persons have these roles",
                "name more persons, or ask for fewer",
            )

    @property
    def development(self) -> bool:
        """Tell whether one signer in the development role is all that this root asks for."""
        return dict(self.thresholds) == {DEVELOPMENT_ROLE: 1}

    @property
    def signers_asked(self) -> int:
        """How many distinct persons must sign."""
        return sum(self.thresholds.values())

    def seated(self, persons: Iterable[str]) -> tuple[tuple[str, str], ...]:
        """Give as many of the places asked for as can be given to `persons`: (person, role), each person once.

        A largest matching, found by augmenting paths: who has two roles takes the one that leaves room for others.
        """
        places = [role for role, count in sorted(self.thresholds.items()) for _ in range(count)]
        candidates = sorted(set(persons) & self.persons.keys())
        taken: dict[str, int] = {}  # by person, the place

        def seat(place: int, asked: set[str]) -> bool:
            for person in candidates:
                if person in asked or places[place] not in self.persons[person].roles:
                    continue
                asked.add(person)
                if person not in taken or seat(taken[person], asked):
                    taken[person] = place
                    return True
            return False

        for place in range(len(places)):
            seat(place, set())
        return tuple(sorted((person, places[place]) for person, place in taken.items()))

    def lacking(self, persons: Iterable[str]) -> Mapping[str, int]:
        """Say by role how many signatures are still missing when `persons` have signed; empty: enough."""
        given = Counter(role for _, role in self.seated(persons))
        return {role: count - given[role] for role, count in sorted(self.thresholds.items()) if count > given[role]}


def keyid_of(public_key: bytes) -> str:
    """Return the key id of a raw Ed25519 public key: the hex SHA-256 that TUF metadata names it by.

    Raises:
        InputRefusedError: `trust_invalid`, when it is no such key.
    """
    if len(public_key) != KEY_BYTES:
        _refuse("a key", f"expected an Ed25519 public key of {KEY_BYTES} bytes")
    keyid: str = SSlibKey.from_crypto(Ed25519PublicKey.from_public_bytes(public_key)).keyid
    return keyid


def read_trust(body: bytes) -> TrustRoot:
    """Read a trust root: `{"version", "persons": {name: {"roles", "keys"}}, "thresholds": {role: count}}`.

    Keys are raw Ed25519 public keys in standard base64.

    Raises:
        InputRefusedError: `trust_invalid`, naming what is not as it must be.
    """
    if len(body) > TRUST_BYTES_MAX:
        _refuse("the file", f"expected at most {TRUST_BYTES_MAX} bytes")
    try:
        value = parse_strict(body)
    except InputRefusedError as error:
        raise InputRefusedError("trust_invalid", f"the trust root: {error.message}", error.fix) from error
    root = _members(value, "the trust root", {"version", "persons", "thresholds"})
    persons = _object(root["persons"], "persons")
    if len(persons) > PERSONS_MAX:
        _refuse("persons", f"expected at most {PERSONS_MAX}")
    return TrustRoot(
        version=_count(root["version"], "version"),
        persons={name: _read_person(inner, f"persons.{name[:64]}") for name, inner in persons.items()},
        thresholds={
            role: _count(count, f"thresholds.{role[:64]}")
            for role, count in _object(root["thresholds"], "thresholds").items()
        },
    )


def trust_json(root: TrustRoot) -> bytes:
    """Write `root` as the file that `read_trust` reads, made for people to read and to compare."""
    persons = {
        name: {
            "roles": sorted(signer.roles),
            "keys": [base64.standard_b64encode(key).decode("ascii") for key in signer.keys],
        }
        for name, signer in sorted(root.persons.items())
    }
    value = {"version": root.version, "persons": persons, "thresholds": dict(sorted(root.thresholds.items()))}
    return (json.dumps(value, indent=2) + "\n").encode("ascii")


def _read_person(value: Json, where: str) -> Signer:
    person = _members(value, where, {"roles", "keys"})
    roles = _texts(person["roles"], f"{where}.roles", ROLES_MAX)
    if len(set(roles)) != len(roles):
        _refuse(f"{where}.roles", "expected each role once")
    keys = _texts(person["keys"], f"{where}.keys", KEYS_MAX)
    return Signer(frozenset(roles), tuple(_read_key(key, f"{where}.keys") for key in keys))


def _read_key(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:  # (binascii.Error, and what is not ASCII)
        _refuse(where, "expected standard base64")
    # One spelling for one key: base64 leaves bits unused, and a file is compared by people.
    if binascii.b2a_base64(key, newline=False).decode("ascii") != text:
        _refuse(where, "expected standard base64, padded")
    return key


def _check_counts(version: int, thresholds: Mapping[str, int]) -> None:
    _count(version, "version")
    if not thresholds:
        _refuse("thresholds", "expected at least one role", 'write `{"security": 1, "engineering": 1}`')
    if len(thresholds) > ROLES_MAX:
        _refuse("thresholds", f"expected at most {ROLES_MAX} roles")
    for role, count in thresholds.items():
        if not is_name(role):
            _refuse("thresholds", "expected names of roles in lower case")
        _count(count, f"thresholds.{role}")
    if sum(thresholds.values()) > SIGNERS_MAX:
        _refuse("thresholds", f"expected at most {SIGNERS_MAX} signers in all")


def _check_person(name: str, signer: Signer) -> None:
    if not is_name(name):
        _refuse("persons", "expected names of persons in lower case")
    if not 1 <= len(signer.roles) <= ROLES_MAX or not all(map(is_name, signer.roles)):
        _refuse(f"persons.{name}.roles", f"expected 1 to {ROLES_MAX} names of roles in lower case")
    if not 1 <= len(signer.keys) <= KEYS_MAX:
        _refuse(f"persons.{name}.keys", f"expected 1 to {KEYS_MAX} keys")
    if any(len(key) != KEY_BYTES for key in signer.keys):
        _refuse(f"persons.{name}.keys", f"expected Ed25519 public keys of {KEY_BYTES} bytes")


def _owners(persons: Mapping[str, Signer]) -> Mapping[str, str]:
    """Return the person of each key id. INVARIANT: a key has one person, or one person could sign as two."""
    if len(persons) > PERSONS_MAX:
        _refuse("persons", f"expected at most {PERSONS_MAX}")
    owners: dict[str, str] = {}
    for name, signer in persons.items():
        for keyid in signer.keyids:
            if keyid in owners:
                _refuse(
                    f"persons.{name}.keys",
                    f"this key stands under `{owners[keyid]}` already, and a key belongs to one person",
                    "give each person keys of their own, each written once",
                )
            owners[keyid] = name
    return owners


def _members(value: Json, where: str, names: set[str]) -> JsonObject:
    found = _object(value, where)
    if set(found) != names:
        wrong = min(set(found) ^ names)
        said = "is unknown" if wrong in found else "is missing"
        _refuse(where, f"`{_echo(wrong)}` {said}", f"write {', '.join(f'`{name}`' for name in sorted(names))}")
    return found


def _object(value: Json, where: str) -> JsonObject:
    if not isinstance(value, dict):
        _refuse(where, "expected an object")
    return value


def _texts(value: Json, where: str, items_max: int) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= items_max:
        _refuse(where, f"expected a list of 1 to {items_max} texts")
    texts = [item for item in value if isinstance(item, str)]
    if len(texts) != len(value):
        _refuse(where, "expected a list of texts")
    return texts


def _count(value: Json, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= INTEGER_MAX:
        _refuse(where, "expected a whole number, at least 1")
    return value


def _echo(text: str) -> str:
    return "".join(c if c.isprintable() else "\ufffd" for c in text[:64])


def _refuse(where: str, message: str, fix: str = "mend the trust root; `remit init` writes a first one") -> NoReturn:
    raise InputRefusedError("trust_invalid", f"{_echo(where)}: {message}", fix)
