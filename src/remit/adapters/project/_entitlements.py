"""Entitlements: what users may do beyond what their issuer says, with every group above each of theirs worked out.

problems = tuple(wrong_entitlements(document, found, users))
entitlements_of(found).groups["ana"]        # frozenset({"finance", "refunders"})
"""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType

from remit.adapters.project._base import GROUPS_MAX
from remit.adapters.project._mistakes import attributes_reserved, nearest
from remit.adapters.project._organisation import EntitlementsFile
from remit.adapters.project._yaml import Document, Path
from remit.core import Attribute, Problem
from remit.permissions import Entitlements

DEPTH_MAX = 32  # groups within groups

_KINDS: Mapping[str, type] = {"text": str, "number": int, "yes_no": bool}
_SHOWN_MAX = 8  # groups of a cycle that are named


def wrong_entitlements(
    document: Document, found: EntitlementsFile, declared: Mapping[str, str] | None
) -> Iterator[Problem]:
    """Yield what is wrong with `found`: groups that are none or go in a circle, attributes that nobody declared.

    `declared` are the attributes of organisation/users.yaml with their kinds; None where that file is not sound.
    """
    sound = True
    for problem in _wrong_groups(document, found):
        sound = False
        yield problem
    if sound:
        yield from _too_many(document, found)
    if declared is not None:
        yield from _wrong_attributes(document, found, declared)


def entitlements_of(found: EntitlementsFile) -> Entitlements:
    """Return what `found`, which was checked, says of each user."""
    attributes: dict[str, tuple[tuple[str, Attribute], ...]] = {
        user: tuple(sorted(entry.attributes.items())) for user, entry in found.users.items()
    }
    groups = {user: frozenset(groups) for user, groups in _groups_by_user(found).items()}
    return Entitlements(MappingProxyType(groups), MappingProxyType(attributes))


def _wrong_groups(document: Document, found: EntitlementsFile) -> Iterator[Problem]:
    for name, entry in found.groups.items():
        for key, members in (("users", entry.users), ("groups", entry.groups)):
            for index, member in enumerate(members):
                path: Path = ("groups", name, key, index)
                if key == "groups" and member not in found.groups:
                    near = nearest(member, sorted(found.groups))
                    message = f"`{member}`, whose members are to be in `{name}`, is no group of this file{near}"
                    fix = "describe the group here; what an issuer's groups may do is said by policies"
                    yield _problem(document, path, "group_unknown", message, fix)
            yield from _duplicates(document, ("groups", name, key), members)
    cycle = _cycle_in({name: entry.groups for name, entry in found.groups.items()})
    if cycle:
        said = " < ".join(f"`{name}`" for name in (*cycle[:_SHOWN_MAX], *(["..."] if len(cycle) > _SHOWN_MAX else [])))
        message = f"groups that are within themselves: {said}"
        fix = "take one of them out of `groups:` of the next"
        yield _problem(document, ("groups", cycle[0], "groups"), "groups_cycle", message, fix)


def _cycle_in(graph: Mapping[str, list[str]]) -> tuple[str, ...]:
    """Return a path in `graph` (each name with the names that it leads to) that ends where it begins; empty: none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return tuple(reversed(error.args[1]))
    return ()


def _duplicates(document: Document, path: Path, members: list[str]) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for index, member in enumerate(members):
        if first.setdefault(member, index) != index:
            message = f"`{member}` is also in line {document.line((*path, first[member]))}"
            yield _problem(document, (*path, index), "entry_duplicate", message, "keep one of the two")


def _too_many(document: Document, found: EntitlementsFile) -> Iterator[Problem]:
    """Refuse what would grow without bound: groups nested too deep, and users in too many of them."""
    depths: dict[str, int] = {}
    for name in _inner_first(found):
        depths[name] = 1 + max((depths[inner] for inner in found.groups[name].groups), default=0)
        if depths[name] == DEPTH_MAX + 1:
            message = f"`{name}` has groups within groups, more than {DEPTH_MAX} deep"
            yield _problem(document, ("groups", name), "groups_too_deep", message, "name the members themselves")
    if max(depths.values(), default=0) > DEPTH_MAX:
        return
    for user, groups in _groups_by_user(found).items():
        if len(groups) > GROUPS_MAX:
            message = f"`{user}` is in {len(groups)} groups, those above them included: expected at most {GROUPS_MAX}"
            yield _problem(document, ("groups",), "groups_too_many", message, "take groups apart by what policies ask")


def _wrong_attributes(document: Document, found: EntitlementsFile, declared: Mapping[str, str]) -> Iterator[Problem]:
    for user, entry in found.users.items():
        path: Path = ("users", user, "attributes")
        yield from attributes_reserved(document, path, entry.attributes)
        for name, value in entry.attributes.items():
            kind = declared.get(name)
            if kind is None:
                message = (
                    f"`{name}` of `{user}` is not declared{nearest(name, sorted(declared))}: no policy can read it"
                )
                fix = "declare it under `attributes:` in organisation/users.yaml"
                yield _problem(document, (*path, name), "attribute_undeclared", message, fix)
            elif type(value) is not _KINDS[kind]:
                message = f"`{name}` of `{user}` is no {kind}: policies that read it would deny"
                fix = "write it as it is declared in organisation/users.yaml"
                yield _problem(document, (*path, name), "attribute_kind", message, fix)


def _groups_by_user(found: EntitlementsFile) -> dict[str, set[str]]:
    """Return all groups of each user, worked out from the innermost groups outwards."""
    members: dict[str, set[str]] = {}
    for name in _inner_first(found):
        entry = found.groups[name]
        members[name] = set(entry.users).union(*(members[inner] for inner in entry.groups))
    by_user: dict[str, set[str]] = {}
    for name, users in members.items():
        for user in users:
            by_user.setdefault(user, set()).add(name)
    return by_user


def _inner_first(found: EntitlementsFile) -> Iterable[str]:
    return TopologicalSorter({name: entry.groups for name, entry in found.groups.items()}).static_order()


def _problem(document: Document, path: Path, code: str, message: str, fix: str) -> Problem:
    return Problem(code=code, file=document.file, line=document.line(path), message=message, fix=fix)
