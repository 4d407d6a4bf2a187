"""What a hold waits for, read from a policy's annotations.

Names with commas between are any of them; roles with `and` between are each of them, by persons of their own.

    hold_terms("forbid", {"hold": "approval", "approvers": "finance", "within": "4h"}, "large")
    # (Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=14400),)
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from remit.core import Requirement, is_name

KIND = "approval"
QUORUM_MAX = 20  # persons
WITHIN_DEFAULT = "24h"
WITHIN_S_MAX = 30 * 86_400  # seconds

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TERMS = ("approvers", "quorum", "within")
_WITHIN = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_AND = re.compile(r"\sand\s")
_QUORUM = re.compile(r"[1-9][0-9]?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wrong:
    """The annotation that is wrong, what was found, and the fix."""

    annotation: str
    message: str
    fix: str


def hold_terms(effect: str, annotations: Mapping[str, str], policy: str) -> tuple[Requirement, ...] | Wrong:
    """Read a policy's hold: its requirements, or what is wrong with it; none when the policy is a plain rule.

    `policy` is its id: requirements of several roles bear it, and so need distinct persons.
    """
    if "hold" not in annotations:
        stray = next((name for name in _TERMS if name in annotations), None)
        fix = f'add `@hold("{KIND}")`, or take `@{stray}` away'
        return () if stray is None else Wrong(stray, f"`@{stray}` without `@hold`", fix)
    return _misplaced(effect, annotations) or _requirements(annotations, policy)


def _misplaced(effect: str, annotations: Mapping[str, str]) -> Wrong | None:
    if effect != "forbid":
        return Wrong("hold", "`@hold` on a permit", "write the held case as a `forbid` of its own")
    if annotations["hold"] != KIND:
        return Wrong("hold", f"`@hold` is {annotations['hold'][:40]!r}", f'write `@hold("{KIND}")`')
    return None


def _requirements(annotations: Mapping[str, str], policy: str) -> tuple[Requirement, ...] | Wrong:
    sides = _sides(annotations.get("approvers", ""))
    if isinstance(sides, Wrong):
        return sides
    quorum = annotations.get("quorum", "1")
    if not _QUORUM.fullmatch(quorum) or int(quorum) > QUORUM_MAX:
        return Wrong(
            "quorum", f"`@quorum` is {quorum[:40]!r}", f'write a whole number from 1 to {QUORUM_MAX}: `@quorum("2")`'
        )
    within = annotations.get("within", WITHIN_DEFAULT)
    within_s = _within_s(within)
    if within_s is None:
        fix = 'write a number and s, m, h or d, at most 30d: `@within("4h")`'
        return Wrong("within", f"`@within` is {within[:40]!r}", fix)
    apart = policy if len(sides) > 1 else ""
    return tuple(
        Requirement(kind=KIND, approvers=side, quorum=int(quorum), within_s=within_s, apart=apart) for side in sides
    )


def _sides(written: str) -> tuple[tuple[str, ...], ...] | Wrong:
    """Return the approvers of each requirement: one for `a, b`, which is any of them; two for `a and b`."""
    if not written.strip():
        return Wrong("hold", "a hold without approvers: nobody could ever lift it", 'add `@approvers("finance")`')
    said = f"`@approvers` is {written[:80]!r}"
    roles = tuple(role.strip() for role in _AND.split(written))
    if len(roles) > 1 and "," in written:
        fix = (
            'write a hold of its own for each side, as `@approvers("finance,operations")` and `@approvers("security")`'
        )
        return Wrong("approvers", f"{said}: `,` (any of them) and `and` (each of them) in one", fix)
    names = roles if len(roles) > 1 else tuple(name.strip() for name in written.split(","))
    if not all(map(is_name, names)) or len(set(names)) != len(names):
        fix = (
            'write distinct lower-case names, with commas between for any of them: `@approvers("finance,operations")`, '
            'or `and` for each of them: `@approvers("finance and security")`'
        )
        return Wrong("approvers", said, fix)
    return tuple((role,) for role in roles) if len(roles) > 1 else (names,)


def _within_s(text: str) -> int | None:
    found = _WITHIN.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[1]) * _SECONDS[found[2]]
    return seconds if seconds <= WITHIN_S_MAX else None
