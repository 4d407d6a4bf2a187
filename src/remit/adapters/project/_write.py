"""Write a new project's files without ever replacing one.

write_project(Path("desk"), new_project("desk"))
"""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from remit.core import InputRefusedError


def write_project(root: Path, files: Mapping[str, str]) -> None:
    """Write `files` (relative posix path -> text) under `root`: all of them, or none.

    Each file appears whole under its name. If one cannot be written, those written before it are removed.

    Raises:
        InputRefusedError: `file_exists`, naming it, with nothing written; or `path_outside`.
        OSError: the disk's own fault.
    """
    for path in files:
        _check(root, path)
    written: list[Path] = []
    try:
        for path, text in files.items():
            _write_new(root / path, text)
            written.append(root / path)
    except FileExistsError as error:
        _remove(written)
        raise _exists(str(error.filename2 or error.filename)) from error
    except OSError:
        _remove(written)
        raise


def _check(root: Path, path: str) -> None:
    pure = PurePosixPath(path)
    real = (root / path).parent.resolve()
    if pure.is_absolute() or ".." in pure.parts or not real.is_relative_to(root.resolve()):
        raise InputRefusedError("path_outside", f"`{path[:80]}` leads out of the project", "use a path inside it")
    if os.path.lexists(root / path):
        raise _exists(path)


def _write_new(target: Path, text: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # (A link fails where the name is taken, even by a file that came a moment ago; a rename would replace it.)
    part = target.with_name(f".{target.name}.part-{os.getpid()}")
    try:
        with part.open("x", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        os.link(part, target)
    finally:
        part.unlink(missing_ok=True)


def _remove(written: list[Path]) -> None:
    for path in written:
        path.unlink(missing_ok=True)


def _exists(path: str) -> InputRefusedError:
    fix = "choose an empty folder, or move the file away"
    return InputRefusedError("file_exists", f"`{path}` is already there; nothing was written", fix)
