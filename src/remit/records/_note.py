"""Checkpoints of the log as signed notes: C2SP signed-note and tlog-checkpoint, with Ed25519 keys.

A checkpoint is the text `origin`, `size`, `base64 of the root`, each on a line of its own. A note is a text, an empty
line, and one line `— name base64(key id || signature)` for each signer. What a note says counts only once `open_note`
has returned it.

    note = sign_note(checkpoint_text(Checkpoint("logs.example/refunds", 1, root)), "logs.example/refunds", private_key)
    key = verifier_key("logs.example/refunds", private_key.public_key())
    parse_checkpoint(open_note(note, key)).size         # 1
"""

import base64
import binascii
import hashlib
import hmac
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from remit.core import RemitError

NOTE_BYTES_MAX = 1_000_000  # a whole note, UTF-8: room for post-quantum cosignatures of some 5 kB each
SIGNATURES_MAX = 100  # lines; C2SP asks for at least 16

_KEY_ID_BYTES = 4
_ROOT_BYTES = 32
_ED25519 = b"\x01"  # the signature type byte (C2SP signed-note, "Signature types")
_SIGNATURE_LINE = re.compile("— ([^ ]+) ([^ ]+)")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_KEY_ID = re.compile(r"[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log says of itself at one moment: its name, how many entries it holds, and the root over them."""

    origin: str
    size: int  # leaves
    root: bytes  # 32 bytes


@dataclass(frozen=True, slots=True)
class _Key:
    name: str
    id: bytes
    public: Ed25519PublicKey


def checkpoint_text(checkpoint: Checkpoint) -> str:
    """Write the text to sign (C2SP tlog-checkpoint, "Note text").

    Raises:
        RemitError: `note_invalid`, for an origin that is empty or not one printable line, a size out of range, or a
            root of another length than 32 bytes.
    """
    root = base64.b64encode(checkpoint.root).decode("ascii")
    text = f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"
    if parse_checkpoint(text) != checkpoint:
        raise _invalid("a checkpoint that would not be read back as it is")
    return text


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text. Extension lines, which C2SP advises against, are refused: our log writes none.

    Raises:
        RemitError: `note_invalid`.
    """
    _check_characters(text)
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise _invalid("a checkpoint is three lines: origin, size, root")
    if _SIZE.fullmatch(lines[1]) is None:
        raise _invalid(f"`{lines[1][:32]}` is not a tree size")
    root = _decode(lines[2])
    if len(root) != _ROOT_BYTES:
        raise _invalid(f"a root of {len(root)} bytes, not {_ROOT_BYTES}")
    return Checkpoint(lines[0], int(lines[1]), root)


def verifier_key(name: str, public_key: Ed25519PublicKey) -> str:
    """Write a public key for those who check: `name+key id+base64(type || key)` (C2SP signed-note, "Verifier keys").

    Raises:
        RemitError: `note_invalid`, for a name that is empty or holds white space, a control character or a plus sign.
    """
    _check_name(name)
    material = _ED25519 + public_key.public_bytes_raw()
    return f"{name}+{_key_id(name, material).hex()}+{base64.b64encode(material).decode('ascii')}"


def sign_note(text: str, name: str, private_key: Ed25519PrivateKey) -> str:
    """Sign a text that ends in a line feed, as `name`, which should be the log's origin.

    Raises:
        RemitError: `note_invalid`, for a text or a name that no note may carry.
    """
    _check_name(name)
    _check_characters(text)
    if not text.endswith("\n"):
        raise _invalid("a text without a line feed at its end")
    key_id = _key_id(name, _ED25519 + private_key.public_key().public_bytes_raw())
    signature = base64.b64encode(key_id + private_key.sign(text.encode())).decode("ascii")
    return f"{text}\n— {name} {signature}\n"


def open_note(note: str, verifier_key: str) -> str:
    """Return the text of a note that the holder of `verifier_key` has signed.

    Signatures by other keys, also such that share only the name or only the id, are ignored, so that witnesses and
    the next key can sign beside the log; a signature line of this key that does not verify refuses the note.

    Raises:
        RemitError: `note_invalid`, or `key_invalid` for a verifier key that is none.
    """
    key = _read_key(verifier_key)
    _check_characters(note)
    text, blank, block = note.rpartition("\n\n")
    if not blank or not block.endswith("\n"):
        raise _invalid("a note is a text, an empty line and signature lines")
    text += "\n"
    lines = block[:-1].split("\n")
    if len(lines) > SIGNATURES_MAX:
        raise _invalid(f"more than {SIGNATURES_MAX} signatures")
    held = [_holds(key, text, line) for line in lines]
    if not any(held):
        raise _invalid(f"no signature by `{key.name}` with the key id {key.id.hex()}")
    return text


def _holds(key: _Key, text: str, line: str) -> bool:
    """True for a good signature by `key`, false for another key's; a bad one by `key` is raised."""
    found = _SIGNATURE_LINE.fullmatch(line)
    if found is None:
        raise _invalid("a signature line that is not `— name base64`")
    _check_name(found[1])
    signature = _decode(found[2])
    if len(signature) <= _KEY_ID_BYTES:
        raise _invalid("a signature line without a signature")
    if found[1] != key.name or not hmac.compare_digest(signature[:_KEY_ID_BYTES], key.id):
        return False
    try:
        key.public.verify(signature[_KEY_ID_BYTES:], text.encode())
    except InvalidSignature as error:
        raise _invalid(f"the signature by `{key.name}` does not verify") from error
    return True


def _read_key(text: str) -> _Key:
    parts = text.split("+", 2)  # base64 may hold further plus signs
    if len(parts) != 3 or _KEY_ID.fullmatch(parts[1]) is None:
        raise _bad_key("it is not `name+key id+base64`")
    try:
        _check_name(parts[0])
        material = _decode(parts[2])
    except RemitError as error:
        raise _bad_key(error.message) from error
    if len(material) != 33 or material[:1] != _ED25519:
        raise _bad_key("it is not an Ed25519 key")
    if not hmac.compare_digest(_key_id(parts[0], material), bytes.fromhex(parts[1])):
        raise _bad_key("its key id is not that of its name and key")
    return _Key(parts[0], bytes.fromhex(parts[1]), Ed25519PublicKey.from_public_bytes(material[1:]))


def _key_id(name: str, material: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + material).digest()[:_KEY_ID_BYTES]


def _check_name(name: str) -> None:
    _check_characters(name)
    if not name or "+" in name or any(character.isspace() for character in name):
        raise _invalid("a key name is not empty and holds no white space and no plus sign")


def _check_characters(text: str) -> None:
    """Only UTF-8 without control characters other than the line feed (C2SP signed-note, "Format")."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise _invalid("a lone surrogate, which has no UTF-8 form") from error
    if size > NOTE_BYTES_MAX:
        raise _invalid(f"more than {NOTE_BYTES_MAX} bytes")
    if any(character < " " and character != "\n" for character in text):
        raise _invalid("a control character other than the line feed")


def _decode(text: str) -> bytes:
    """Read base64 in its one form: another spelling of the same bytes is refused, so nothing can be varied unseen."""
    try:
        body = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise _invalid("not base64") from error
    if base64.b64encode(body).decode("ascii") != text:
        raise _invalid("base64 that is not in its one form")
    return body


def _invalid(message: str) -> RemitError:
    return RemitError("note_invalid", message, "take the note again from where it was written")


def _bad_key(message: str) -> RemitError:
    return RemitError("key_invalid", f"not a verifier key: {message}", "take the line the log's operator published")
