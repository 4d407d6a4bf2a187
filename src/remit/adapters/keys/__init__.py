"""Signing keys in files that only their owner can read. One key, one purpose: tokens, log and development differ.

key = load_or_create(Path("var/keys/log.pem"))
"""

import os
import stat
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from remit.core import RemitError

__all__ = ["load_or_create", "private_text"]


def load_or_create(path: Path) -> Ed25519PrivateKey:
    """Return the Ed25519 key in `path`, making it with mode 0600 if there is none.

    Raises:
        RemitError: `key_exposed` if others may read it, `key_unusable` if it is no such key.
    """
    if not path.exists():
        key = Ed25519PrivateKey.generate()
        private_text(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii"))
        return key
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise RemitError("key_exposed", f"`{path.name}` can be read by others", f"chmod 600 {path}")
    try:
        found = load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise RemitError("key_unusable", f"`{path.name}` is not a private key", "restore it from a backup") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise RemitError("key_unusable", f"`{path.name}` is not an Ed25519 key", "restore it from a backup")
    return found


def private_text(path: Path, text: str) -> None:
    """Write a file that only its owner can read, never following or replacing what is there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
