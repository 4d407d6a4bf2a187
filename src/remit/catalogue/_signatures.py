"""Signatures of a review: DSSE envelopes over the digest of each part of a descriptor.

Rules: what is signed names the operation, the part, its version and its digest, so that no signature fits another
thing or an older one. For each part, distinct persons other than the author fill every place that the trust root asks
for. A signature by an unknown key counts for nothing; one that stands under a known key and does not hold refuses all,
because somebody altered it. The digest is taken from the descriptor's content each time.

    file = sign_parts(descriptor, None, private_key_pem)
    review_of(descriptor, file, trust)    # Review(signers=(("ana", "development"),), missing="")
"""

import json
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner  # type: ignore[attr-defined]  # its public door, which marks no exports

from remit.catalogue._model import Descriptor, Review
from remit.catalogue._rules import Part, part_digest, sealed
from remit.catalogue._text import visible_text
from remit.catalogue._trust import TrustRoot
from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, is_name, parse_strict

SIGNATURE_FILE_BYTES_MAX = 1 << 17  # both envelopes
SIGNATURES_MAX = 64  # in one envelope
ECHO_CHARS_MAX = 64  # of what a file says

_FIX = "remove the file and have the descriptor signed again with `remit tools sign`"


def payload_type(part: Part) -> str:
    """Return the DSSE payload type of `part`: no signature on one kind of statement passes for another."""
    return f"application/vnd.remit.{part.value}+json"


def statement(descriptor: Descriptor, part: Part) -> bytes:
    """Return what is signed: canonical JSON of operation, part, version and the digest of the part's content.

    Raises:
        InputRefusedError: a schema that holds what JSON cannot carry.
    """
    return canonical_bytes(
        {
            "operation": descriptor.operation,
            "part": part.value,
            "version": descriptor.version,
            "digest": part_digest(descriptor, part),
        }
    )


def sign(descriptor: Descriptor, part: Part, envelope: bytes | None, private_key: bytes) -> bytes:
    """Add one signature on `part` to `envelope` and return the envelope; `private_key` is Ed25519, PEM, not encrypted.

    Signatures on the same statement stay, but an older one by the same key; those on anything else are dropped, since
    they say nothing of what is signed now.

    Raises:
        InputRefusedError: `signatures_invalid`, when `envelope` is none; `signing_key_invalid`.
    """
    old = None if envelope is None else _envelope(_parsed(envelope), f"the envelope of `{part.value}`")
    return _written(_signed(descriptor, part, old, _private_key(private_key)))


def sign_parts(descriptor: Descriptor, signature_file: bytes | None, private_key: bytes) -> bytes:
    """Add one signature on each part to `signature_file`, the content of `<operation>.dsse.json`, and return it.

    Raises:
        InputRefusedError: `signatures_invalid`, when `signature_file` is none; `signing_key_invalid`.
    """
    old = {} if signature_file is None else _read(signature_file)
    key = _private_key(private_key)
    return _written({part.value: _signed(descriptor, part, old.get(part), key) for part in Part})


def public_key_of(private_key: bytes) -> bytes:
    """Return the raw public key of an Ed25519 `private_key` in PEM; `TrustRoot.owners[keyid_of(it)]` is whose it is.

    Raises:
        InputRefusedError: `signing_key_invalid`.
    """
    return _private_key(private_key).public_key().public_bytes_raw()


def review_of(descriptor: Descriptor, signature_file: bytes | None, trust: TrustRoot | None) -> Review:
    """Check the signatures on both parts of `descriptor` against `trust`. Whatever falls short is in `missing`.

    `signers` are those that fill the places asked for, on one part or the other; empty when something is missing.

    Raises:
        InputRefusedError: `signatures_invalid`, when `signature_file` is not two DSSE envelopes.
    """
    envelopes = {} if signature_file is None else _read(signature_file)
    if trust is None:
        return Review((), "there is no trust root to check signatures against")
    unfit = _unfit(descriptor, trust)
    if unfit:
        return Review((), unfit)
    signers: set[tuple[str, str]] = set()
    for part in Part:
        found = _signers(descriptor, part, envelopes.get(part), trust)
        if isinstance(found, str):
            return Review((), found)
        signers.update(found)
    return Review(tuple(sorted(signers)), "")


def _unfit(descriptor: Descriptor, trust: TrustRoot) -> str:
    """Say why no signature could do for `descriptor`; empty: nothing."""
    said = (descriptor.interface, descriptor.controls_digest, descriptor.digest)
    true = sealed(descriptor)
    if said != (true.interface, true.controls_digest, true.digest):
        return "the descriptor's digests are not those of its content"
    if trust.signers_asked > 1 and not descriptor.author:
        return "its author is not named, and only others may sign: write `author:`"
    # `Ana` would be nobody's name, and so keep nobody from signing.
    if descriptor.author and not is_name(descriptor.author):
        return "its author is no name of a person: write it in lower case, as in the trust root"
    return ""


def _signers(
    descriptor: Descriptor, part: Part, envelope: JsonObject | None, trust: TrustRoot
) -> tuple[tuple[str, str], ...] | str:
    """Return who fills the places asked for on `part`, or what is missing."""
    if envelope is None:
        return f"the {part.value} part is not signed"
    opened = _opened(descriptor, part, envelope)
    if isinstance(opened, str):
        return opened
    persons: set[str] = set()
    for signature in opened.signatures.values():
        person = trust.owners.get(signature.keyid)
        if person is None:
            continue
        # Every signature is looked at; `Envelope.verify` stops as soon as it has counted enough keys, and it counts
        # keys, where persons are asked for.
        if not _holds(trust.keys[signature.keyid], signature.signature, opened.pae()):
            return f"a signature of `{person}` on the {part.value} part does not hold"
        persons.add(person)
    others = persons - {descriptor.author}
    if trust.lacking(others):
        return _lacking(descriptor.author, part, persons, opened, trust)
    return trust.seated(others)


def _holds(public_key: bytes, signature_hex: str, signed: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(bytes.fromhex(signature_hex), signed)
    except InvalidSignature:
        return False
    return True


def _lacking(author: str, part: Part, persons: set[str], opened: Envelope, trust: TrustRoot) -> str:
    roles = trust.lacking(persons - {author}).items()
    said = f"the {part.value} part lacks {' and '.join(f'{count} of `{role}`' for role, count in roles)}"
    strangers = [keyid for keyid in opened.signatures if keyid not in trust.owners]
    if author in persons:
        said += f"; `{author}` is its author and does not count"
    if strangers:
        said += f"; the trust root does not know the key `{_echo(strangers[0][:16])}`"
    return said


def _opened(descriptor: Descriptor, part: Part, envelope: JsonObject) -> Envelope | str:
    """Return the envelope as a value if it is about this very part of this descriptor, else what is wrong with it."""
    signatures = envelope["signatures"]
    keyids = [one["keyid"] for one in signatures if isinstance(one, dict)] if isinstance(signatures, list) else []
    if len(set(map(str, keyids))) != len(keyids):
        return f"two signatures on the {part.value} part stand under one key"
    try:
        # (`from_dict` takes apart what it is given; it was parsed for this, and nobody reads it again.)
        opened = Envelope.from_dict(envelope)
    except ValueError:
        return f"the envelope of the {part.value} part is not in base64"
    if opened.payload_type != payload_type(part):
        return f"the envelope of the {part.value} part holds another type of statement"
    expected = statement(descriptor, part)
    if opened.payload != expected:
        return f"the {part.value} part {_other(opened.payload, expected)}"
    return opened


def _other(payload: bytes, expected: bytes) -> str:
    """Say in what a statement differs from the one expected."""
    try:
        found, wanted = parse_strict(payload), parse_strict(expected)
    except InputRefusedError:
        return "was signed with a statement that cannot be read"
    if isinstance(found, dict) and isinstance(wanted, dict) and set(found) == set(wanted):
        for name in ("operation", "part", "version"):
            if found[name] != wanted[name]:
                return f"was signed for another {name}, `{_echo(str(found[name]))}`"
        if found["digest"] != wanted["digest"]:
            return "was changed after it was signed"
    return "was signed with a statement of another form"


def _signed(descriptor: Descriptor, part: Part, old: JsonObject | None, key: Ed25519PrivateKey) -> JsonObject:
    opened = "" if old is None else _opened(descriptor, part, old)
    if isinstance(opened, str):
        opened = Envelope(statement(descriptor, part), payload_type(part), {})
    opened.sign(CryptoSigner(key))
    if len(opened.signatures) > SIGNATURES_MAX:
        raise InputRefusedError("signatures_invalid", f"more than {SIGNATURES_MAX} signatures on one part", _FIX)
    made: JsonObject = opened.to_dict()
    return made


def _private_key(private_key: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(private_key, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # (TypeError: it is encrypted)
        raise InputRefusedError(
            "signing_key_invalid", "not a private key in PEM without a password", "give an Ed25519 key in PKCS #8, PEM"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputRefusedError("signing_key_invalid", "not an Ed25519 key", "give an Ed25519 key in PKCS #8, PEM")
    return key


def _written(value: JsonObject | dict[str, JsonObject]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode("ascii")


def _read(signature_file: bytes) -> Mapping[Part, JsonObject]:
    """Read a signature file. A part may be missing, which is no fault of the file; nothing else may stand in it."""
    value = _parsed(signature_file)
    if not isinstance(value, dict) or not set(value) <= set(Part):
        raise InputRefusedError("signatures_invalid", "expected an object with `interface` and `controls`", _FIX)
    return {Part(name): _envelope(inner, f"the envelope of `{name}`") for name, inner in value.items()}


def _parsed(body: bytes) -> Json:
    if len(body) > SIGNATURE_FILE_BYTES_MAX:
        raise InputRefusedError("signatures_invalid", f"expected at most {SIGNATURE_FILE_BYTES_MAX} bytes", _FIX)
    try:
        return parse_strict(body)
    except InputRefusedError as error:
        raise InputRefusedError("signatures_invalid", f"the signatures: {error.message}", _FIX) from error


def _envelope(value: Json, where: str) -> JsonObject:
    """Check the shape of a DSSE envelope: `Envelope.from_dict` takes any JSON and fails in any way."""
    texts = ("payload", "payloadType")
    if (
        not isinstance(value, dict)
        or set(value) != {*texts, "signatures"}
        or not all(isinstance(value[name], str) for name in texts)
    ):
        raise InputRefusedError(
            "signatures_invalid", f"{where}: expected `payload`, `payloadType` and `signatures`", _FIX
        )
    signatures = value["signatures"]
    if not isinstance(signatures, list) or len(signatures) > SIGNATURES_MAX or not all(map(_is_signature, signatures)):
        raise InputRefusedError(
            "signatures_invalid",
            f"{where}: expected a list of at most {SIGNATURES_MAX} signatures, each with `keyid` and `sig`",
            _FIX,
        )
    return value


def _is_signature(value: Json) -> bool:
    return (
        isinstance(value, dict) and set(value) == {"keyid", "sig"} and all(isinstance(v, str) for v in value.values())
    )


def _echo(text: str) -> str:
    return visible_text(text[:ECHO_CHARS_MAX])
