"""Directories and data classes of the organisation: checked, and turned into values.

A directory whose list is not signed is one without entries that says why.

    problems = tuple(wrong_directory("payees", document, found))
    directory_of(found, review)         # Directory("payees", Kind.VALUES, {"GB33BUKB20201555555555": None})
"""

from collections.abc import Iterator
from types import MappingProxyType

from remit.adapters.project._controls import Names, wrong_source
from remit.adapters.project._mistakes import role_reserved
from remit.adapters.project._organisation import ClassesFile, DirectoryFile
from remit.adapters.project._yaml import Document, Path
from remit.catalogue import Review, visible_text
from remit.core import REQUESTER, Problem
from remit.permissions import DataClass, Directory, Kind, is_entry

ENTITLEMENTS = "entitlements"
"""The name of the one list that is no directory, so that no directory has it."""

_ECHO_CHARS_MAX = 80


def wrong_directory(name: str, document: Document, found: DirectoryFile) -> Iterator[Problem]:
    """Yield what is wrong with the directory in the file `name`."""
    if found.directory != name:
        message = f"the directory `{found.directory}` stands in {document.file}: expected one name for both"
        fix = f"rename one: `directory: {name[:_ECHO_CHARS_MAX]}`"
        yield _problem(document, ("directory",), "directory_file_mismatch", message, fix)
    if found.directory == ENTITLEMENTS:
        message = f"the name `{ENTITLEMENTS}` is reserved: it means organisation/entitlements.yaml"
        yield _problem(document, ("directory",), "directory_reserved", message, "give the directory another name")
    if not found.entries:
        message = f"the directory `{found.directory}` has no entries: nothing could ever be in it"
        yield _problem(document, ("entries",), "directory_empty", message, "write its values, or remove the file")
    kind, first = Kind(found.kind), dict[str, int]()
    for index, entry in enumerate(found.entries):
        path: Path = ("entries", index)
        if first.setdefault(entry, index) != index:
            message = f"`{_shown(entry)}` is also in line {document.line(('entries', first[entry]))}"
            yield _problem(document, path, "entry_duplicate", message, "keep one of the two")
        elif is_entry(kind, entry):
            continue
        elif kind is Kind.DOMAINS:
            message = (
                f"`{_shown(entry)}` is no domain name: expected one such as example.com, in lower case, no wildcard"
            )
            fix = "write the domain alone (xn-- where it is not ASCII); everything below it is meant too"
            yield _problem(document, path, "entry_invalid", message, fix)
        else:
            message = f"`{_shown(entry)}` begins or ends with blanks"
            yield _problem(document, path, "entry_invalid", message, "take them out")


def directory_of(found: DirectoryFile, review: Review) -> Directory:
    """Return the directory in `found`, without entries where `review` lacks something."""
    entries = {} if review.missing else dict.fromkeys(found.entries)
    return Directory(found.directory, Kind(found.kind), MappingProxyType(entries), review.missing)


def wrong_classes(document: Document, found: ClassesFile, names: Names) -> Iterator[Problem]:
    """Yield what is wrong with the data classes of `found`."""
    for name, entry in found.classes.items():
        for index, source in enumerate(entry.receivers):
            for path, code, message, fix in wrong_source(("classes", name, "receivers", index), source, names):
                yield _problem(document, path, code, f"`{name}`: {message}", fix)
        if REQUESTER in entry.reviewers:
            yield role_reserved(document, ("classes", name, "reviewers", entry.reviewers.index(REQUESTER)))


def classes_of(found: ClassesFile) -> dict[str, DataClass]:
    """Return the data classes of `found`, by name."""
    return {
        name: DataClass(name=name, receivers=tuple(entry.receivers), reviewers=tuple(entry.reviewers))
        for name, entry in found.classes.items()
    }


def _shown(entry: str) -> str:
    return visible_text(entry[:_ECHO_CHARS_MAX])


def _problem(document: Document, path: Path, code: str, message: str, fix: str) -> Problem:
    return Problem(code=code, file=document.file, line=document.line(path), message=message, fix=fix)
