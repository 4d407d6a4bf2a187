"""Signed lists: what an organisation relies on, signed by the same persons as the catalogue; and what one adds to them.

Rules: a signature is on one list's kind, name and exact bytes, so that it fits no other list and no other content. A
list that lacks a signature counts for nothing. An extension is one value in one directory until a time, added by one
person while they approved one call, and it is signed by that person alone.

    signed = sign_list("directory", "payees", body, None, private_key_pem)
    review_list("directory", "payees", body, signed, trust)      # Review(signers=(("ana", "security"),), missing="")
    added = Extension(directory="payees", value="GB33BUKB20201555555555", until=until, approval="apr-7")
    extension_signer(added, sign_extension(added, private_key_pem), trust)      # "ana"
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime

from remit.catalogue._dsse import (
    Statement,
    envelope_of,
    opened,
    parsed,
    persons_of,
    private_key_of,
    signed,
    signers,
    written,
)
from remit.catalogue._model import Review
from remit.catalogue._trust import TrustRoot
from remit.core import InputRefusedError, canonical_bytes, utc_text

LIST_TYPE = "application/vnd.remit.list+json"
EXTENSION_TYPE = "application/vnd.remit.extension+json"

LIST_KINDS = frozenset({"directory", "entitlements"})

_FIX = "remove the file and have the list signed again with `remit lists sign`"
_EXTENSION_FIX = "approve the call anew, and sign with a key that the trust root knows"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extension:
    """One `value` in `directory` until a time, UTC, trusted by whoever gave the approval named."""

    directory: str
    value: str
    until: datetime
    approval: str


def sign_list(kind: str, name: str, body: bytes, envelope: bytes | None, private_key: bytes) -> bytes:
    """Add one signature on the list `name`, whose file is `body`, to `envelope` and return it.

    `kind` is one of `LIST_KINDS`; `private_key` is Ed25519, PEM, not encrypted. Signatures on the same content stay.

    Raises:
        InputRefusedError: `signatures_invalid`, when `envelope` is none; `signing_key_invalid`.
        ValueError: a kind that is none of them.
    """
    old = None if envelope is None else envelope_of(parsed(envelope, _FIX), "the envelope of the list", _FIX)
    return written(signed(_list(kind, name, body), old, private_key_of(private_key)))


def review_list(kind: str, name: str, body: bytes, envelope: bytes | None, trust: TrustRoot | None) -> Review:
    """Check the signatures on the list `name`, whose file is `body`. Whatever falls short is in `missing`.

    The trust root asks for as many persons as for a descriptor. A list has no author whose signature would not count.

    Raises:
        InputRefusedError: `signatures_invalid`, when `envelope` is no DSSE envelope.
        ValueError: a kind that is none of `LIST_KINDS`.
    """
    found = None if envelope is None else envelope_of(parsed(envelope, _FIX), "the envelope of the list", _FIX)
    if trust is None:
        return Review((), "there is no trust root to check signatures against")
    seated = signers(_list(kind, name, body), found, trust)
    return Review((), seated) if isinstance(seated, str) else Review(seated, "")


def sign_extension(extension: Extension, private_key: bytes) -> bytes:
    """Return an envelope with one signature on `extension`; `private_key` is Ed25519, PEM, not encrypted.

    Raises:
        InputRefusedError: `signing_key_invalid`.
    """
    return written(signed(_extension(extension), None, private_key_of(private_key)))


def extension_signer(extension: Extension, envelope: bytes, trust: TrustRoot | None) -> str:
    """Return the person of the trust root who signed `extension`: exactly one, with one key.

    What the person may do, and whether they gave the approval, is the caller's to ask.

    Raises:
        InputRefusedError: `extension_invalid`, saying what does not hold.
    """
    if trust is None:
        raise _invalid("there is no trust root to check its signature against")
    wanted = _extension(extension)
    try:
        found = opened(wanted, envelope_of(parsed(envelope, _EXTENSION_FIX), "the envelope", _EXTENSION_FIX))
    except InputRefusedError as refused:
        raise _invalid(refused.message) from refused
    if isinstance(found, str):
        raise _invalid(found)
    persons = persons_of(wanted, found, trust)
    if isinstance(persons, str):
        raise _invalid(persons)
    if len(found.signatures) != 1 or len(persons) != 1:
        raise _invalid(f"{wanted.what} is not signed by one person of the trust root, and nobody else")
    return next(iter(persons))


def _invalid(message: str) -> InputRefusedError:
    return InputRefusedError("extension_invalid", message, _EXTENSION_FIX)


def _list(kind: str, name: str, body: bytes) -> Statement:
    if kind not in LIST_KINDS:
        raise ValueError("no kind of list")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    said = canonical_bytes({"kind": kind, "name": name, "digest": digest})
    return Statement("the list", LIST_TYPE, said, ("kind", "name"), _FIX)


def _extension(extension: Extension) -> Statement:
    said = canonical_bytes(
        {
            "directory": extension.directory,
            "value": extension.value,
            "until": utc_text(extension.until),
            "approval": extension.approval,
        }
    )
    names = ("directory", "value", "until", "approval")
    return Statement("the extension", EXTENSION_TYPE, said, names, _EXTENSION_FIX)
