"""Signed checkpoints outside the store: an append-only text file, and the key that verifies it beside it.

Every note ever signed is in the file, each followed by an empty line. Kept where the store's keeper cannot reach it,
the file shows a cut tail or a restored copy for what it is.

    file = CheckpointFile(Path("checkpoints/log.checkpoints"))
    file.append(note); file.last()
"""

import os
from pathlib import Path

from remit.core import RemitError

__all__ = ["CheckpointFile"]


class CheckpointFile:
    """The notes in one file. `append` returns once the file is synced."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, note: str) -> None:
        """Add `note`, unless it is the last one there already."""
        if self.last() == note:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(note + "\n")
            file.flush()
            os.fsync(file.fileno())

    def text(self) -> str:
        """Return the whole file; empty where there is none."""
        try:
            return self.path.read_text("utf-8")
        except FileNotFoundError:
            return ""
        except (OSError, UnicodeDecodeError) as error:
            raise RemitError(
                "checkpoints_unreadable", f"`{self.path.name}`: {type(error).__name__}", "look at it"
            ) from error

    def last(self) -> str | None:
        """Return the newest note."""
        notes = [part for part in self.text().split("\n\n") if part.strip()]
        # (A note is itself two parts: text, empty line, signatures.)
        return f"{notes[-2].lstrip(chr(10))}\n\n{notes[-1].strip(chr(10))}\n" if len(notes) >= 2 else None
