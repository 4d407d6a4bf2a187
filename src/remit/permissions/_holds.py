"""What a hold waits for, read from a policy's annotations.

terms = hold_terms({"hold": "approval", "approvers": "finance", "within": "4h"})
# Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=14400)
"""

import re
from collections.abc import Mapping

from remit.core import Requirement, is_name

KIND = "approval"
QUORUM_MAX = 20  # persons
WITHIN_DEFAULT = "24h"
WITHIN_S_MAX = 30 * 86_400  # seconds

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_TERMS = ("approvers", "quorum", "within")
_WITHIN = re.compile(r"([1-9][0-9]{0,6})([smhd])", re.ASCII)
_QUORUM = re.compile(r"[1-9][0-9]?", re.ASCII)

Wrong = tuple[str, str, str]
"""The annotation that is wrong, what was found and expected, and the fix."""


def hold_terms(effect: str, annotations: Mapping[str, str]) -> Requirement | Wrong | None:
    """Read a policy's hold: its requirement, or what is wrong with it, or None when the policy is a plain rule."""
    if "hold" not in annotations:
        stray = next((name for name in _TERMS if name in annotations), None)
        return (
            (stray, f"`@{stray}` without `@hold`", f'add `@hold("{KIND}")`, or take `@{stray}` away') if stray else None
        )
    return _misplaced(effect, annotations) or _requirement(annotations)


def _misplaced(effect: str, annotations: Mapping[str, str]) -> Wrong | None:
    if effect != "forbid":
        return "hold", "`@hold` on a permit", "write the held case as a `forbid` of its own"
    if annotations["hold"] != KIND:
        return "hold", f"`@hold` is {annotations['hold'][:40]!r}", f'write `@hold("{KIND}")`'
    return None


def _requirement(annotations: Mapping[str, str]) -> Requirement | Wrong:
    approvers = tuple(name.strip() for name in annotations.get("approvers", "").split(","))
    if "approvers" not in annotations or approvers == ("",):
        return "hold", "a hold without approvers: nobody could ever lift it", 'add `@approvers("finance")`'
    if not all(map(is_name, approvers)) or len(set(approvers)) != len(approvers):
        fix = 'write distinct lower-case names with commas between: `@approvers("finance,operations")`'
        return "approvers", f"`@approvers` is {annotations['approvers'][:80]!r}", fix
    quorum = annotations.get("quorum", "1")
    if not _QUORUM.fullmatch(quorum) or int(quorum) > QUORUM_MAX:
        return "quorum", f"`@quorum` is {quorum[:40]!r}", f'write a whole number from 1 to {QUORUM_MAX}: `@quorum("2")`'
    within = annotations.get("within", WITHIN_DEFAULT)
    within_s = _within_s(within)
    if within_s is None:
        fix = 'write a number and s, m, h or d, at most 30d: `@within("4h")`'
        return "within", f"`@within` is {within[:40]!r}", fix
    return Requirement(kind=KIND, approvers=approvers, quorum=int(quorum), within_s=within_s)


def _within_s(text: str) -> int | None:
    found = _WITHIN.fullmatch(text)
    if found is None:
        return None
    seconds = int(found[1]) * _SECONDS[found[2]]
    return seconds if seconds <= WITHIN_S_MAX else None
