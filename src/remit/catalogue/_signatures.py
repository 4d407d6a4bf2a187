"""Signatures of a review: DSSE envelopes over the digest of each part of a descriptor.

Rules: what is signed names the operation, the part, its version and its digest, so that no signature fits another
thing or an older one. For each part, distinct persons other than the author fill every place that the trust root asks
for. A signature by an unknown key counts for nothing; one that stands under a known key and does not hold refuses all,
because somebody altered it. The digest is taken from the descriptor's content each time.

    file = sign_parts(descriptor, None, private_key_pem)
    review_of(descriptor, file, trust)    # Review(signers=(("ana", "development"),), missing="")
"""

from collections.abc import Mapping

from remit.catalogue._dsse import Statement, envelope_of, parsed, private_key_of, signed, signers, written
from remit.catalogue._model import Descriptor, Review
from remit.catalogue._rules import Part, part_digest, sealed
from remit.catalogue._trust import TrustRoot
from remit.core import InputRefusedError, JsonObject, canonical_bytes, is_name

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
    old = None if envelope is None else envelope_of(parsed(envelope, _FIX), f"the envelope of `{part.value}`", _FIX)
    return written(signed(_wanted(descriptor, part), old, private_key_of(private_key)))


def sign_parts(descriptor: Descriptor, signature_file: bytes | None, private_key: bytes) -> bytes:
    """Add one signature on each part to `signature_file`, the content of `<operation>.dsse.json`, and return it.

    Raises:
        InputRefusedError: `signatures_invalid`, when `signature_file` is none; `signing_key_invalid`.
    """
    old = {} if signature_file is None else _read(signature_file)
    key = private_key_of(private_key)
    return written({part.value: signed(_wanted(descriptor, part), old.get(part), key) for part in Part})


def public_key_of(private_key: bytes) -> bytes:
    """Return the raw public key of an Ed25519 `private_key` in PEM; `TrustRoot.owners[keyid_of(it)]` is whose it is.

    Raises:
        InputRefusedError: `signing_key_invalid`.
    """
    return private_key_of(private_key).public_key().public_bytes_raw()


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
    seated: set[tuple[str, str]] = set()
    for part in Part:
        found = signers(_wanted(descriptor, part), envelopes.get(part), trust, descriptor.author)
        if isinstance(found, str):
            return Review((), found)
        seated.update(found)
    return Review(tuple(sorted(seated)), "")


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


def _wanted(descriptor: Descriptor, part: Part) -> Statement:
    what = f"the {part.value} part"
    return Statement(what, payload_type(part), statement(descriptor, part), ("operation", "part", "version"), _FIX)


def _read(signature_file: bytes) -> Mapping[Part, JsonObject]:
    """Read a signature file. A part may be missing, which is no fault of the file; nothing else may stand in it."""
    value = parsed(signature_file, _FIX)
    if not isinstance(value, dict) or not set(value) <= set(Part):
        raise InputRefusedError("signatures_invalid", "expected an object with `interface` and `controls`", _FIX)
    return {Part(name): envelope_of(inner, f"the envelope of `{name}`", _FIX) for name, inner in value.items()}
