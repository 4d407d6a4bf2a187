"""Signed checkpoints (C2SP signed-note and tlog-checkpoint), read and checked with one Ed25519 key."""

import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from remit_verifier._report import Findings, shown
from remit_verifier._strict import UnreadableError, read_base64

SIGNATURES_MAX = 100  # on one note; C2SP asks for at least 16
NOTE_CHARACTERS_MAX = 1_000_000

_CONTROL = re.compile("[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile("0|[1-9][0-9]{0,18}")
_VKEY = re.compile(r"([^+\s]+)\+([0-9a-f]{8})\+(.+)")
_SIGNATURE = re.compile(r"— ([^+\s]+) (\S+)")


@dataclass(frozen=True, slots=True)
class Key:
    """The log's name, the id of its key (4 bytes), and the key."""

    name: str
    id: bytes
    public: Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A statement of the log that its key has signed: at this size, this root (32 bytes)."""

    origin: str
    size: int
    root: bytes


def read_key(text: str) -> Key:
    """Read a verifier key (C2SP signed-note, "Verifier keys"): `name+id+base64(0x01 || public key)`.

    Raises:
        UnreadableError: it is none, or its id is not that of its name and key.
    """
    found = _VKEY.fullmatch(text)
    if found is None or _CONTROL.search(text):
        raise UnreadableError("not a verifier key of the form name+id+base64")
    name, key_id, material = found[1], bytes.fromhex(found[2]), read_base64(found[3])
    if len(material) != 33 or material[0] != 1:
        raise UnreadableError("not an Ed25519 verifier key")
    if hashlib.sha256(_utf8(name) + b"\n" + material).digest()[:4] != key_id:
        raise UnreadableError("a verifier key whose id is not that of its name and key")
    return Key(name, key_id, Ed25519PublicKey.from_public_bytes(material[1:]))


def read_checkpoint(note: str, key: Key) -> Checkpoint:
    """Read a checkpoint that `key` has signed. Other keys' signatures are ignored, a bad one by `key` refuses the note.

    Raises:
        UnreadableError: it is no note, not signed by `key`, not a checkpoint, or of a log with another name.
    """
    if len(note) > NOTE_CHARACTERS_MAX or _CONTROL.search(note):
        raise UnreadableError("a note that is too long or holds a control character")
    text, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise UnreadableError("not a signed note: text, an empty line, signature lines")
    _check_signatures(text + "\n", block[:-1].split("\n"), key)
    checkpoint = _read_text(text)
    if checkpoint.origin != key.name:
        raise UnreadableError(f"a checkpoint of the log {shown(checkpoint.origin)}, not of {shown(key.name)}")
    return checkpoint


def read_checkpoints(text: str, key: Key, findings: Findings) -> list[Checkpoint]:
    """Read a file of notes, each followed by an empty line, and note what is wrong with it.

    Each must be signed, and the sizes must never fall. An empty file is a problem: it proves nothing.
    """
    if not text.strip():
        findings.add("checkpoints_empty", None, "the file of outside checkpoints holds none, so it proves nothing")
        return []
    parts = text.split("\n\n")
    if parts[-1] == "":
        parts.pop()
    else:  # the empty line after the last note may be missing, but not the line feed that ends it
        parts[-1] = parts[-1].removesuffix("\n") if parts[-1].endswith("\n") else "\n"
    checkpoints: list[Checkpoint] = []
    for number, start in enumerate(range(0, len(parts), 2), start=1):
        try:
            checkpoint = read_checkpoint("\n\n".join(parts[start : start + 2]) + "\n", key)
        except UnreadableError as error:
            findings.add("checkpoint_invalid", None, f"outside checkpoint {number}: {error}")
            continue
        if checkpoints and checkpoint.size < checkpoints[-1].size:
            message = f"outside checkpoint {number} is of size {checkpoint.size}, after one of {checkpoints[-1].size}"
            findings.add("checkpoint_size_fell", checkpoint.size, message)
        checkpoints.append(checkpoint)
    return checkpoints


def _check_signatures(text: str, lines: list[str], key: Key) -> None:
    if len(lines) > SIGNATURES_MAX:
        raise UnreadableError("a note with too many signatures")
    signed = False
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        if found is None:
            raise UnreadableError("a note with a line that is no signature")
        signature = read_base64(found[2])
        if found[1] == key.name and signature[:4] == key.id:
            _check_signature(text, signature[4:], key)
            signed = True
    if not signed:
        raise UnreadableError(f"a note without a signature by {shown(key.name)} (key id {key.id.hex()})")


def _check_signature(text: str, signature: bytes, key: Key) -> None:
    try:
        key.public.verify(signature, _utf8(text))
    except InvalidSignature:
        raise UnreadableError(f"the signature by {shown(key.name)} does not verify") from None


def _read_text(text: str) -> Checkpoint:
    lines = text.split("\n")
    if len(lines) != 3 or not lines[0] or _SIZE.fullmatch(lines[1]) is None:
        raise UnreadableError("not a checkpoint of three lines: origin, size, root")
    root = read_base64(lines[2])
    if len(root) != 32:
        raise UnreadableError("a checkpoint whose root is not of 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise UnreadableError("not UTF-8") from None
