"""Signed checkpoints outside the store: an append-only text file, and the key that verifies it beside it.

Every note ever signed is in the file, each followed by an empty line. Kept where the store's keeper cannot reach it,
the file shows a cut tail or a restored copy for what it is.

    file = CheckpointFile(Path("checkpoints/log.checkpoints"))
    file.append(note); file.last()
"""

import os
import re
from pathlib import Path

from remit.core import RemitError

__all__ = ["CheckpointFile"]


_NOTE = re.compile(rb"(?:[^\n]+\n)+\n(?:\xe2\x80\x94 [^\n]+\n)+")  # text, empty line, signatures (C2SP signed-note)


class CheckpointFile:
    """The notes in one file. `append` returns once the file is synced.

    A crash inside `append` may leave a torn note at the end. Nobody was told that it was kept, so it does not count,
    and the next `append` writes over it. Anything else that is not a note is a fault.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, note: str) -> None:
        """Add `note`, unless it is the last one there already.

        Raises:
            RemitError: `checkpoints_unwritable` or `checkpoints_unreadable`.
        """
        notes = self._notes()
        if notes and notes[-1].group() == note.encode("utf-8"):
            return
        end = notes[-1].end() if notes else 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("ab") as file:
                file.truncate(end)
                file.write((("\n" if notes else "") + note + "\n").encode("utf-8"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RemitError(
                "checkpoints_unwritable", f"`{self.path.name}`: {error.strerror}", "make room or mend its permissions"
            ) from error

    def text(self) -> str:
        """Return the whole file; empty where there is none."""
        return self._bytes().decode("utf-8", "replace")

    def last(self) -> str | None:
        """Return the newest whole note.

        Raises:
            RemitError: `checkpoints_unreadable`.
        """
        notes = self._notes()
        return notes[-1].group().decode("utf-8") if notes else None

    def _bytes(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise RemitError(
                "checkpoints_unreadable", f"`{self.path.name}`: {error.strerror}", "mend its permissions"
            ) from error

    def _notes(self) -> list[re.Match[bytes]]:
        """Find every whole note; between them stands one empty line and nothing else."""
        kept = self._bytes()
        notes = list(_NOTE.finditer(kept))
        ends = [0, *(note.end() for note in notes)]
        gaps = [kept[end : note.start()] for end, note in zip(ends, notes, strict=False)]
        if any(gap != (b"\n" if number else b"") for number, gap in enumerate(gaps)) or (kept and not notes):
            raise RemitError(
                "checkpoints_unreadable",
                f"`{self.path.name}` holds something that is no signed note",
                "restore it from a copy; remove it only if this log never had a checkpoint",
            )
        return notes
