"""The lists of a project that people sign, for whoever shows or signs them.

signed_lists(snapshot.sources)      # (SignedList(kind="directory", name="payees", file=..., entries=12, ...),)
"""

from collections.abc import Mapping
from dataclasses import dataclass

from remit.adapters.project._entitlements import entitlements_of
from remit.adapters.project._mistakes import shape
from remit.adapters.project._organisation import DirectoryFile, EntitlementsFile
from remit.adapters.project._sources import list_signature_file, lists_in
from remit.adapters.project._yaml import read_yaml


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedList:
    """A list: its kind (`directory` or `entitlements`), where it and its signatures stand, and how much is in it.

    `entries` are values of a directory, or users of the entitlements, signed or not. `envelope`: None, where nobody
    signed it yet.
    """

    kind: str
    name: str
    file: str
    signature_file: str
    body: bytes
    envelope: bytes | None
    entries: int


def signed_lists(sources: Mapping[str, bytes]) -> tuple[SignedList, ...]:
    """Return every list among `sources`, which were checked, by its file's path."""
    found: list[SignedList] = []
    for file, (kind, name, body) in sorted(lists_in(sources).items()):
        signatures = list_signature_file(kind, name)
        found.append(
            SignedList(
                kind=kind,
                name=name,
                file=file,
                signature_file=signatures,
                body=body,
                envelope=sources.get(signatures),
                entries=_entries(kind, file, body),
            )
        )
    return tuple(found)


def _entries(kind: str, file: str, body: bytes) -> int:
    document = read_yaml(file, body)
    if kind == "directory":
        return len(shape(DirectoryFile, document).entries)
    entitled = entitlements_of(shape(EntitlementsFile, document))
    return len(entitled.groups.keys() | entitled.attributes.keys())
