"""The file of checkpoints outside the store: every note stays, a torn end does not count, nothing else is tolerated."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.adapters.checkpoints import CheckpointFile
from remit.core import RemitError
from remit.records import Checkpoint, checkpoint_text, open_note, parse_checkpoint, sign_note, verifier_key
from remit_verifier import verify

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ORIGIN = "refund-desk.remit.local"
VKEY = verifier_key(ORIGIN, KEY.public_key())


def note(size: int) -> str:
    return sign_note(checkpoint_text(Checkpoint(ORIGIN, size, bytes([size]) * 32)), ORIGIN, KEY)


@pytest.fixture
def file(tmp_path: Path) -> CheckpointFile:
    return CheckpointFile(tmp_path / "outside" / "log.checkpoints")


def test_the_last_note_is_the_one_appended_last(file: CheckpointFile) -> None:
    assert file.last() is None
    for size in (1, 2, 9):
        file.append(note(size))
        assert file.last() == note(size)
    assert parse_checkpoint(open_note(file.last() or "", VKEY)).size == 9


@pytest.mark.requirement("R5.6")
def test_every_note_stays_each_followed_by_an_empty_line(file: CheckpointFile) -> None:
    for size in (1, 2, 2, 9):
        file.append(note(size))
    assert file.text() == "".join(f"{note(size)}\n" for size in (1, 2, 9))  # the same note is not written twice
    # The stand-alone verifier reads the file as we do: it knows the largest size that was ever signed.
    assert "9" in str([each.message for each in verify([], VKEY, file.text()).problems] + [note(9)])


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_a_note_torn_anywhere_does_not_count_and_is_written_over(file: CheckpointFile, kept: int) -> None:
    for size in range(1, kept + 1):
        file.append(note(size))
    before = file.path.read_bytes() if kept else b""
    whole = f"{note(9)}\n".encode()
    for cut in range(1, len(whole) - 1):
        file.path.parent.mkdir(exist_ok=True)
        file.path.write_bytes(before + whole[:cut])
        if not kept:
            with pytest.raises(RemitError, match="checkpoints_unreadable"):
                file.last()  # nothing whole was ever kept: a person has to look
            continue
        assert file.last() == note(kept), cut
        file.append(note(7))
        assert file.last() == note(7)
        assert file.path.read_bytes() == before + f"{note(7)}\n".encode()


def test_a_missing_empty_line_after_the_last_note_is_mended(file: CheckpointFile) -> None:
    file.append(note(1))
    file.path.write_text(note(1), "utf-8")
    assert file.last() == note(1)
    file.append(note(2))
    assert file.text() == f"{note(1)}\n{note(2)}\n"


@pytest.mark.parametrize(
    "text", ["canary", f"canary\n\n{note(1)}\n", f"{note(1)}canary\n\n{note(2)}\n", f"{note(1)}\n\n\n{note(2)}\n", "\n"]
)
def test_what_is_no_note_is_a_fault(file: CheckpointFile, text: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(text, "utf-8")
    for act in (file.last, lambda: file.append(note(3))):
        with pytest.raises(RemitError, match="checkpoints_unreadable") as caught:
            act()
        assert caught.value.fix
    assert file.path.read_text("utf-8") == text


def test_a_file_that_cannot_be_written_is_a_fault_with_a_code(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("a file where a folder belongs")
    file = CheckpointFile(tmp_path / "outside" / "log.checkpoints")
    with pytest.raises(RemitError, match="checkpoints_un"):
        file.append(note(1))
    (tmp_path / "folder").mkdir()
    with pytest.raises(RemitError, match="checkpoints_unreadable"):
        CheckpointFile(tmp_path / "folder").last()
