"""Opening an approval for a call that is held: one for each call digest, and only so many that wait in a task."""

from datetime import datetime

from remit import permissions, records
from remit.core import Deny, GateAnswer, Hold, JsonObject, Reason, Ruling, ToolCall, new_id
from remit.permissions import Approval, State
from remit.pipeline._basis import requirements_json
from remit.pipeline._digest import binding_of, digest_of
from remit.pipeline._facts import Facts

WAITING_MAX = 20  # approvals of one task at once: an agent must not be able to bury a person in questions

_TOO_MANY = Deny(
    Reason("holds_too_many", f"{WAITING_MAX} calls of this task wait for approval already", "wait for some of them")
)


def waiting(facts: Facts) -> tuple[Approval, ...]:
    """Return the approvals of the task that persons can still decide."""
    return tuple(each for each in facts.approvals if each.state is State.WAITING and facts.now < each.expires_at)


def too_many(ruling: Ruling, facts: Facts) -> Ruling:
    """Turn a hold into a denial where too many calls of the task wait already."""
    if len(waiting(facts)) < WAITING_MAX:
        return ruling
    return Ruling(_TOO_MANY, (*ruling.trail, GateAnswer("permissions.may_wait", _TOO_MANY)))


def known(call: ToolCall, facts: Facts) -> Approval | None:
    """Return the approval that this very call waits for already."""
    digest = digest_of(call, facts)
    return next((each for each in waiting(facts) if each.digest == digest), None)


def opened(call: ToolCall, facts: Facts, hold: Hold, random: records.Random) -> Approval:
    """Return a new approval for a call that is held."""
    return Approval(
        id=new_id("a", random(16)),
        digest=digest_of(call, facts),
        binding=binding_of(call, facts),
        task=call.delegation.task,
        user=call.delegation.user,
        agent=call.delegation.agent,
        owner="" if facts.charter is None else facts.charter.owner,
        use_case=call.delegation.use_case,
        operation=call.operation,
        requirements=hold.requirements,
        code=hold.reason.code,
        message=hold.reason.message,
        rationale=call.rationale,
        instead_of=permissions.same_call(call.operation, call.canonical),
        entry=0,
        opened_at=facts.now,
        expires_at=_until(permissions.expires_at(hold.requirements, facts.now), facts),
    )


def held_json(approval: Approval) -> JsonObject:
    """Say in the entry of a hold what it waits for."""
    return {
        "approval": approval.id,
        "call_digest": approval.digest,
        "requirements": requirements_json(approval.requirements),
    }


def _until(asked: datetime, facts: Facts) -> datetime:
    """Return when an approval ends: with its task at the latest."""
    return asked if facts.task is None else min(asked, facts.task.expires_at)
