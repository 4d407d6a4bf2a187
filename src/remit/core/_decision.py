"""Decisions: three values, so none of them has a truth value; match them.

Deny beats hold, hold beats allow, and silence is a denial.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something was refused or held. `code` is stable; `message` is one line; `fix` says what mends it.

    `retry_after_s` is in how many seconds the same call may succeed; 0 where waiting does not help.
    """

    code: str
    message: str
    fix: str = ""
    retry_after_s: int = 0


@dataclass(frozen=True, slots=True)
class Reserve:
    """An obligation: count the call under `key`, unless `max` are counted there already.

    `cap` is the limit's name for people. The count begins anew at `resets_at`; None: it counts calls under way, and the
    call's end gives it back.
    """

    cap: str
    key: str
    max: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Consume:
    """An obligation: use up an approval, so that nobody can use it again."""

    approval: str


@dataclass(frozen=True, slots=True)
class Add:
    """An obligation: count `by` more under `key`, where `seen` is counted now; anything else there is a conflict.

    It is what the decision was told of the past (R3.4). The count begins anew at `resets_at`; None: never.
    """

    key: str
    by: int
    seen: int
    resets_at: datetime | None


@dataclass(frozen=True, slots=True)
class Mark:
    """An obligation: remember for ever that these values, as keyed hashes, were written and are not to be trusted."""

    hashes: tuple[bytes, ...]


Obligation = Reserve | Consume | Add | Mark
"""What must be done in the transaction before the effect, or the effect does not happen."""


@dataclass(frozen=True, slots=True)
class Allow:
    """The call may go ahead once every obligation is met."""

    obligations: tuple[Obligation, ...] = ()


REQUESTER = "requester"
"""Among a requirement's approvers: the user for whom the agent acts. Every other name there is a role."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One thing a held call waits for: `quorum` persons among `approvers`, within `within_s` seconds.

    `kind` is `approval`, `provenance` or `confirmation`. `typed` is what a confirming person types; empty: nothing.
    Requirements with the same `apart`, where it is not empty, need distinct persons: one of finance *and* one of
    security are two people.
    """

    kind: str
    approvers: tuple[str, ...]
    quorum: int
    within_s: int
    typed: str = ""
    apart: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """The call waits for persons; every requirement is shown at once."""

    reason: Reason
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True)
class Deny:
    """The call does not happen. `instead` names an earlier call whose recorded outcome answers this one."""

    reason: Reason
    instead: str = ""


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

    Several holds become one that carries all their requirements under the first one's reason, and several permissions
    one that carries all their obligations.
    """
    holds: list[Hold] = []
    obligations: list[Obligation] = []
    silence = True
    for decision in decisions:
        silence = False
        if isinstance(decision, Allow):
            obligations += decision.obligations
        elif isinstance(decision, Deny):
            return decision
        else:
            holds.append(decision)
    if holds:
        return Hold(holds[0].reason, tuple(need for hold in holds for need in hold.requirements))
    return Deny(Reason("no_gate", "no gate was asked")) if silence else Allow(tuple(obligations))
