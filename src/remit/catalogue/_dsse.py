"""Signed statements: DSSE envelopes, what they must say, and which persons of the trust root signed them.

Rules: a statement names what it is about and the digest of it, so that no signature fits another thing. A signature by
an unknown key counts for nothing; one that stands under a known key and does not hold refuses all, because somebody
altered it. Persons are counted, not keys, each filling one of the places that the trust root asks for.

    wanted = Statement("the list", "application/vnd.remit.list+json", statement_bytes, ("kind", "name"), fix)
    envelope = signed(wanted, None, private_key_of(pem))
    signers(wanted, envelope, trust)    # (("ana", "security"),), or what is missing
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # its public door, which marks no exports

from remit.catalogue._text import visible_text
from remit.catalogue._trust import TrustRoot
from remit.core import InputRefusedError, Json, JsonObject, parse_strict

SIGNATURE_FILE_BYTES_MAX = 1 << 17  # all envelopes of one file
SIGNATURES_MAX = 64  # in one envelope
ECHO_CHARS_MAX = 64  # of what a file says


@dataclass(frozen=True, slots=True)
class Statement:
    """What is signed, and how it is spoken of: `what` in messages, `fix` to say how it is signed anew.

    `names` are the members of `body`, canonical JSON, that say what it is about; its member `digest` says the content.
    """

    what: str
    payload_type: str
    body: bytes
    names: tuple[str, ...]
    fix: str


def signed(wanted: Statement, old: JsonObject | None, key: Ed25519PrivateKey) -> JsonObject:
    """Add one signature on `wanted` to the envelope `old` and return the envelope.

    Signatures on the same statement stay, but an older one by the same key; those on anything else are dropped.

    Raises:
        InputRefusedError: `signatures_invalid`, for too many of them.
    """
    found = "" if old is None else opened(wanted, old)
    if isinstance(found, str):
        found = Envelope(wanted.body, wanted.payload_type, {})
    found.sign(CryptoSigner(key))
    if len(found.signatures) > SIGNATURES_MAX:
        said = f"more than {SIGNATURES_MAX} signatures on {wanted.what}"
        raise InputRefusedError("signatures_invalid", said, wanted.fix)
    made: JsonObject = found.to_dict()
    return made


def signers(
    wanted: Statement, envelope: JsonObject | None, trust: TrustRoot, author: str = ""
) -> tuple[tuple[str, str], ...] | str:
    """Return who, other than `author`, fills the places that `trust` asks for on `wanted`, or what is missing."""
    if envelope is None:
        return f"{wanted.what} is not signed"
    found = opened(wanted, envelope)
    if isinstance(found, str):
        return found
    persons = persons_of(wanted, found, trust)
    if isinstance(persons, str):
        return persons
    others = persons - {author}
    if trust.lacking(others):
        return _lacking(author, wanted, persons, found, trust)
    return trust.seated(others)


def persons_of(wanted: Statement, found: Envelope, trust: TrustRoot) -> frozenset[str] | str:
    """Return who of `trust` signed the envelope `found`; or, where a signature of theirs does not hold, whose."""
    persons: set[str] = set()
    for signature in found.signatures.values():
        person = trust.owners.get(signature.keyid)
        if person is None:
            continue
        # Every signature is looked at; `Envelope.verify` stops as soon as it has counted enough keys, and it counts
        # keys, where persons are asked for.
        if not _holds(trust.keys[signature.keyid], signature.signature, found.pae()):
            return f"a signature of `{person}` on {wanted.what} does not hold"
        persons.add(person)
    return frozenset(persons)


def opened(wanted: Statement, envelope: JsonObject) -> Envelope | str:
    """Return the envelope as a value if it is about this very statement, else what is wrong with it."""
    signatures = envelope["signatures"]
    keyids = [one["keyid"] for one in signatures if isinstance(one, dict)] if isinstance(signatures, list) else []
    if len(set(map(str, keyids))) != len(keyids):
        return f"two signatures on {wanted.what} stand under one key"
    try:
        # (`from_dict` takes apart what it is given; it was parsed for this, and nobody reads it again.)
        found = Envelope.from_dict(envelope)
    except ValueError:
        return f"the envelope of {wanted.what} is not in base64"
    if found.payload_type != wanted.payload_type:
        return f"the envelope of {wanted.what} holds another type of statement"
    if found.payload != wanted.body:
        return f"{wanted.what} {_other(found.payload, wanted)}"
    return found


def private_key_of(pem: bytes) -> Ed25519PrivateKey:
    """Read an Ed25519 private key in PEM.

    Raises:
        InputRefusedError: `signing_key_invalid`.
    """
    fix = "give an Ed25519 key in PKCS #8, PEM"
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # (TypeError: it is encrypted)
        said = "not a private key in PEM without a password"
        raise InputRefusedError("signing_key_invalid", said, fix) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputRefusedError("signing_key_invalid", "not an Ed25519 key", fix)
    return key


def written(value: "JsonObject | Mapping[str, JsonObject]") -> bytes:
    """Write an envelope, or several, for people to keep and to compare."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode("ascii")


def parsed(body: bytes, fix: str) -> Json:
    """Read a file of signatures.

    Raises:
        InputRefusedError: `signatures_invalid`.
    """
    if len(body) > SIGNATURE_FILE_BYTES_MAX:
        raise InputRefusedError("signatures_invalid", f"expected at most {SIGNATURE_FILE_BYTES_MAX} bytes", fix)
    try:
        return parse_strict(body)
    except InputRefusedError as error:
        raise InputRefusedError("signatures_invalid", f"the signatures: {error.message}", fix) from error


def envelope_of(value: Json, where: str, fix: str) -> JsonObject:
    """Check the shape of a DSSE envelope: `Envelope.from_dict` takes any JSON and fails in any way.

    Raises:
        InputRefusedError: `signatures_invalid`, naming the envelope by `where`.
    """
    texts = ("payload", "payloadType")
    if (
        not isinstance(value, dict)
        or set(value) != {*texts, "signatures"}
        or not all(isinstance(value[name], str) for name in texts)
    ):
        said = f"{where}: expected `payload`, `payloadType` and `signatures`"
        raise InputRefusedError("signatures_invalid", said, fix)
    signatures = value["signatures"]
    if not isinstance(signatures, list) or len(signatures) > SIGNATURES_MAX or not all(map(_is_signature, signatures)):
        said = f"{where}: expected a list of at most {SIGNATURES_MAX} signatures, each with `keyid` and `sig`"
        raise InputRefusedError("signatures_invalid", said, fix)
    return value


def _is_signature(value: Json) -> bool:
    return (
        isinstance(value, dict) and set(value) == {"keyid", "sig"} and all(isinstance(v, str) for v in value.values())
    )


def _holds(public_key: bytes, signature_hex: str, body: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(signature_hex), body)
    except InvalidSignature:
        return False
    return True


def _lacking(author: str, wanted: Statement, persons: frozenset[str], found: Envelope, trust: TrustRoot) -> str:
    roles = trust.lacking(persons - {author}).items()
    said = f"{wanted.what} lacks {' and '.join(f'{count} of `{role}`' for role, count in roles)}"
    strangers = [keyid for keyid in found.signatures if keyid not in trust.owners]
    if author in persons:
        said += f"; `{author}` is its author and does not count"
    if strangers:
        said += f"; the trust root does not know the key `{_echo(strangers[0][:16])}`"
    return said


def _other(payload: bytes, wanted: Statement) -> str:
    """Say in what a statement differs from the one wanted."""
    try:
        found, expected = parse_strict(payload), parse_strict(wanted.body)
    except InputRefusedError:
        return "was signed with a statement that cannot be read"
    if isinstance(found, dict) and isinstance(expected, dict) and set(found) == set(expected):
        for name in wanted.names:
            if found[name] != expected[name]:
                return f"was signed for another {name}, `{_echo(str(found[name]))}`"
        if found.get("digest") != expected.get("digest"):
            return "was changed after it was signed"
    return "was signed with a statement of another form"


def _echo(text: str) -> str:
    return visible_text(text[:ECHO_CHARS_MAX])
