"""The files a bundle is compiled from: found, bounded and read, nothing else.

sources = read_sources(Path("project"), trust=Path("project/var/trust.json"))
sorted(sources)     # ["agents/desk/agent.yaml", ..., "catalogue/orders.yaml", "trust.json"]
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from remit.adapters.project._yaml import FILE_BYTES_MAX
from remit.core import Problem, ProjectInvalidError

FILES_MAX = 2_000  # in one project
SOURCES_BYTES_MAX = 64 << 20  # all of them together
PATH_CHARS_MAX = 300

TRUST = "trust.json"
"""The trust root's path among the sources, wherever its file stands: outside what the project's reviews change."""

TOP = ("agents", "catalogue", "organisation")  # the folders of a bundle
_ROLES: Mapping[str, re.Pattern[str]] = {
    "agent": re.compile(r"agents/([^/]+)/agent\.yaml"),
    "manifest": re.compile(r"agents/([^/]+)/tools\.lock"),
    "decisions": re.compile(r"agents/([^/]+)/decisions\.txt"),
    "agent_policy": re.compile(r"agents/([^/]+)/policies/[^/]+\.cedar"),
    "organisation_policy": re.compile(r"(organisation)/policies/[^/]+\.cedar"),
    "history": re.compile(r"(organisation)/history\.yaml"),
    "directory": re.compile(r"organisation/directories/([^/]+)\.yaml"),
    "classes": re.compile(r"(organisation)/classes\.yaml"),
    "entitlements": re.compile(r"organisation/(entitlements)\.yaml"),
    "directory_signatures": re.compile(r"organisation/signatures/([^/]+)\.directory\.dsse\.json"),
    "entitlements_signatures": re.compile(r"organisation/signatures/(entitlements)\.dsse\.json"),
    "users": re.compile(r"(organisation)/users\.yaml"),
    "catalogue": re.compile(r"(catalogue)/[^/]+\.yaml"),
    "served": re.compile(r"catalogue/served/([^/]+)\.json"),
    "signatures": re.compile(r"catalogue/signatures/([^/]+)\.dsse\.json"),
    "trust": re.compile(r"(trust)\.json"),
}
# What looks like a source and is in no place where it would be read: a `forbid` there would silently not apply.
_STRAY = re.compile(
    r".*\.cedar|.*tools\.lock|.*\.dsse(\.json)?|(catalogue|organisation)/.*\.ya?ml|agents/[^/]+/(agent|tools\.lock)\.ya?ml"
    r"|(agents/[^/]+|organisation)/policies/(?!\.)(?!readme\.md$).*"  # a policy under another ending applies to nobody
    r"|(catalogue/(served|signatures)|organisation/(directories|signatures))/(?!\.)(?!readme\.md$).*",
    re.IGNORECASE,
)


def role_of(path: str) -> tuple[str, str] | None:
    """Return what the file at `path` is (a key of `_ROLES`) and whose: the agent's, the tool's, the operation's."""
    for role, pattern in _ROLES.items():
        found = pattern.fullmatch(path)
        if found:
            return role, found[1]
    return None


def read_sources(root: Path, trust: Path | None = None) -> Mapping[str, bytes]:
    """Read every file that the project at `root` is compiled from, by its posix path relative to `root`, sorted.

    `trust` is the trust root's file (`Settings.catalogue.trust`, from `root`), read under the path `trust.json`; where
    there is none, no review holds.

    Raises:
        ProjectInvalidError: with every file that cannot be taken: `project_missing`, `file_misplaced`,
            `file_name_invalid`, `file_too_large`, `file_unreadable`, `symlink_refused`, `too_many_files`,
            `sources_too_large`.
    """
    if not root.is_dir():
        raise ProjectInvalidError((_problem(".", "project_missing", "no such folder", "run `remit init` first"),))
    problems: list[Problem] = []
    sources: dict[str, bytes] = {}
    size = 0
    for path in sorted(_found(root, problems)):
        body = _read(root, path, problems)
        if body is None:
            continue
        sources[path] = body
        size += len(body)
        if size > SOURCES_BYTES_MAX:
            message = f"more than {SOURCES_BYTES_MAX} bytes in all files together"
            problems.append(_problem(path, "sources_too_large", message, "split the project"))
            break
    if trust is not None and os.path.lexists(trust):
        body = _readable(TRUST, lambda: _content(TRUST, trust.resolve(strict=True), problems), problems)
        sources |= {} if body is None else {TRUST: body}
    if problems:
        raise ProjectInvalidError(tuple(sorted(problems, key=lambda problem: (problem.file, problem.code))))
    return sources


def lists_in(sources: Mapping[str, bytes]) -> Mapping[str, tuple[str, str, bytes]]:
    """Return every list among `sources` that is signed, by its path: its kind, its name and its content."""
    found: dict[str, tuple[str, str, bytes]] = {}
    for path, body in sources.items():
        match role_of(path):
            case ("directory" | "entitlements" as kind, name):
                found[path] = kind, name, body
            case _:
                pass
    return found


def list_signature_file(kind: str, name: str) -> str:
    """Return where the signatures on the list `name` stand: it is a `directory`, or the `entitlements`."""
    return f"organisation/signatures/{name}{'.directory' if kind == 'directory' else ''}.dsse.json"


def read_file(root: Path, path: str) -> bytes | None:
    """Read one file of the project, by its path relative to `root`; None when there is none.

    Raises:
        ProjectInvalidError: it is there and cannot be taken.
    """
    if not os.path.lexists(root / path):
        return None
    problems: list[Problem] = []
    body = _read(root, path, problems)
    if body is None:
        raise ProjectInvalidError(tuple(problems))
    return body


def _found(root: Path, problems: list[Problem]) -> Iterator[str]:
    """Yield the paths of sources, and note what is misplaced or cannot be followed. At most `FILES_MAX`."""
    count = 0
    for path in _walk(root, problems):
        if role_of(path) is None:
            if _STRAY.fullmatch(path):
                message = "a file that would never be read where it stands"
                problems.append(_problem(path, "file_misplaced", message, _PLACES_FIX))
            continue
        count += 1
        if count > FILES_MAX:
            problems.append(_problem(path, "too_many_files", f"more than {FILES_MAX} files", "split the project"))
            return
        yield path


_PLACES_FIX = (
    "move it to agents/<name>/agent.yaml, agents/<name>/tools.lock, agents/<name>/policies/*.cedar, "
    "organisation/policies/*.cedar, organisation/{users,history,classes,entitlements}.yaml, "
    "organisation/directories/<name>.yaml, organisation/signatures/<name>.directory.dsse.json, catalogue/*.yaml, "
    "catalogue/served/<tool>.json or catalogue/signatures/<operation>.dsse.json"
)


def _walk(root: Path, problems: list[Problem]) -> Iterator[str]:
    for top in TOP:
        if (root / top).is_symlink():
            problems.append(_link(top))
            continue
        for folder, folders, files in os.walk(root / top):
            here = Path(folder).relative_to(root)
            links = [(here / name).as_posix() for name in folders if (Path(folder) / name).is_symlink()]
            problems.extend(_link(link) for link in links)
            for name in files:
                yield (here / name).as_posix()


def _read(root: Path, path: str, problems: list[Problem]) -> bytes | None:
    if not (path.isascii() and path.isprintable() and len(path) <= PATH_CHARS_MAX):
        shown = path.encode("ascii", "backslashreplace").decode()[:PATH_CHARS_MAX]
        message = f"a file name that is not printable ASCII of at most {PATH_CHARS_MAX} characters"
        problems.append(_problem(shown, "file_name_invalid", message, "rename it"))
        return None
    return _readable(path, lambda: _bounded(root, path, problems), problems)


def _readable(path: str, read: Callable[[], bytes | None], problems: list[Problem]) -> bytes | None:
    try:
        return read()
    except (OSError, RuntimeError) as error:  # (RuntimeError: a loop of symbolic links, before Python 3.13)
        said = error.strerror if isinstance(error, OSError) and error.strerror else "it leads to itself"
        message = f"the file cannot be read: {said.lower()}"
        problems.append(_problem(path, "file_unreadable", message, "make it a readable file or remove it"))
        return None


def _bounded(root: Path, path: str, problems: list[Problem]) -> bytes | None:
    real = (root / path).resolve(strict=True)
    if not real.is_relative_to(root.resolve(strict=True)):
        problems.append(_link(path))
        return None
    return _content(path, real, problems)


def _content(path: str, real: Path, problems: list[Problem]) -> bytes | None:
    if not real.is_file():  # a pipe or a device would never end
        problems.append(_problem(path, "file_unreadable", "not a regular file", "make it a file or remove it"))
        return None
    with real.open("rb") as opened:
        body = opened.read(FILE_BYTES_MAX + 1)
    if len(body) > FILE_BYTES_MAX:
        problems.append(_problem(path, "file_too_large", f"more than {FILE_BYTES_MAX} bytes", "split the file"))
        return None
    return body


def _link(path: str) -> Problem:
    message = "a symbolic link to a folder or out of the project: its files would change without review"
    return _problem(path, "symlink_refused", message, "copy the files into the project")


def _problem(path: str, code: str, message: str, fix: str) -> Problem:
    return Problem(code=code, file=path, line=0, message=message, fix=fix)
