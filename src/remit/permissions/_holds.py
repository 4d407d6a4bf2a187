"""What a hold waits for, read from a policy's annotations.

Names with commas between are any of them; roles with `and` between are each of them, by persons of their own.

    hold_terms("forbid", {"hold": "approval", "approvers": "finance", "within": "4h"}, "large")
    # ((Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=14400),), ())
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


def hold_terms(
    effect: str, annotations: Mapping[str, str], policy: str
) -> tuple[tuple[Requirement, ...], tuple[Wrong, ...]]:
    """Read a policy's hold: its requirements, and all that is wrong with it; neither when the policy is a plain rule.

    Where anything is wrong there are no requirements.

    `policy` is its id: requirements of several roles bear it, and so need distinct persons.
    """
    if "hold" not in annotations:
        stray = next((name for name in _TERMS if name in annotations), None)
        fix = f'add `@hold("{KIND}")`, or take `@{stray}` away'
        return (), () if stray is None else (Wrong(stray, f"`@{stray}` without `@hold`", fix),)
    misplaced = _misplaced(effect, annotations)
    return _requirements(annotations, policy) if misplaced is None else ((), (misplaced,))


def _misplaced(effect: str, annotations: Mapping[str, str]) -> Wrong | None:
    if effect != "forbid":
        return Wrong("hold", "`@hold` on a permit", "write the held case as a `forbid` of its own")
    if annotations["hold"] != KIND:
        return Wrong("hold", f"`@hold` is {annotations['hold'][:40]!r}", f'write `@hold("{KIND}")`')
    return None


def _requirements(annotations: Mapping[str, str], policy: str) -> tuple[tuple[Requirement, ...], tuple[Wrong, ...]]:
    sides = _sides(annotations.get("approvers", ""))
    quorum = _quorum(annotations.get("quorum", "1"))
    within_s = _within_s(annotations.get("within", WITHIN_DEFAULT))
    if isinstance(sides, Wrong) or isinstance(quorum, Wrong) or isinstance(within_s, Wrong):
        return (), tuple(found for found in (sides, quorum, within_s) if isinstance(found, Wrong))
    apart = policy if len(sides) > 1 else ""
    needed = (Requirement(kind=KIND, approvers=side, quorum=quorum, within_s=within_s, apart=apart) for side in sides)
    return tuple(needed), ()


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


def _quorum(text: str) -> int | Wrong:
    if not _QUORUM.fullmatch(text) or int(text) > QUORUM_MAX:
        fix = f'write a whole number from 1 to {QUORUM_MAX}: `@quorum("2")`'
        return Wrong("quorum", f"`@quorum` is {text[:40]!r}", fix)
    return int(text)


def _within_s(text: str) -> int | Wrong:
    found = _WITHIN.fullmatch(text)
    seconds = int(found[1]) * _SECONDS[found[2]] if found else None
    if seconds is None or seconds > WITHIN_S_MAX:
        fix = 'write a number and s, m, h or d, at most 30d: `@within("4h")`'
        return Wrong("within", f"`@within` is {text[:40]!r}", fix)
    return seconds
