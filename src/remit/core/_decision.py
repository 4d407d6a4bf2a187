"""Decisions: three values, so none of them has a truth value; match them.

Deny beats hold, hold beats allow, and silence is a denial.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was refused or held. `code` is stable; `message` is one line; `fix` says what mends it."""

    code: str
    message: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may go ahead."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing a held call waits for: `quorum` persons among `approvers`, within `within_s` seconds."""

    kind: str
    approvers: tuple[str, ...]
    quorum: int
    within_s: int


@dataclass(frozen=True, slots=True)
class Hold:
    """The call waits for persons; every requirement is shown at once."""

    reason: Reason
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Deny:
    """The call does not happen."""

    reason: Reason


Decision = Allow | Hold | Deny


@dataclass(frozen=True, slots=True)
class GateAnswer:
    """What one gate said. `gate` states what had to be true: `identity.delegation_is_live`."""

    gate: str
    decision: Decision


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision with every gate's answer that led to it, in the order asked."""

    decision: Decision
    trail: tuple[GateAnswer, ...]


def strictest(decisions: Iterable[Decision]) -> Decision:
    """Return the strictest of `decisions`: deny beats hold, hold beats allow, and silence is a denial.

    Several holds become one that carries all their requirements under the first one's reason.
    """
    seen = list(decisions)
    for decision in seen:
        if isinstance(decision, Deny):
            return decision
    holds = [decision for decision in seen if isinstance(decision, Hold)]
    if holds:
        return Hold(holds[0].reason, tuple(need for hold in holds for need in hold.requirements))
    if seen:
        return seen[0]
    return Deny(Reason("no_gate", "no gate was asked"))
