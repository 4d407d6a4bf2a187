"""Key files: made once, for their owner alone; anything else in their place is refused."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remit.adapters.keys import load_or_create, private_text
from remit.core import RemitError


def code(path: Path) -> str:
    with pytest.raises(RemitError) as caught:
        load_or_create(path)
    assert caught.value.fix
    return caught.value.code


def test_a_key_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "var" / "keys" / "log.pem"
    made = load_or_create(path)
    assert load_or_create(path).private_bytes_raw() == made.private_bytes_raw()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_a_loose_umask_makes_no_looser_file(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_or_create(tmp_path / "log.pem")
    finally:
        os.umask(before)
    assert (tmp_path / "log.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o601, 0o777])
def test_a_key_that_others_can_reach_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "log.pem"
    load_or_create(path)
    path.chmod(mode)
    assert code(path) == "key_exposed"
    path.chmod(0o400)
    load_or_create(path)


@pytest.mark.parametrize("text", ["", "canary", "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_is_no_key_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "log.pem"
    private_text(path, text)
    assert code(path) == "key_unusable"
    assert path.read_text() == text


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.pem"
    other = Ed448PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    private_text(path, other.decode())
    assert code(path) == "key_unusable"


def test_what_is_there_is_neither_replaced_nor_followed(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    private_text(kept, "kept")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for path in (kept, tmp_path / "link"):
        with pytest.raises(FileExistsError):
            private_text(path, "new")
    assert kept.read_text() == "kept"
    assert not (tmp_path / "elsewhere").exists()
