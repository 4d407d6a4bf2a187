"""An approved call is made; whatever differs in anything it was approved for is not. Played through a whole gateway.

Each mutant is one change of a case that executes, and the case is played beside it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from tests.pipeline.approving_stage import (
    ANA,
    AUDREY,
    CLERK,
    LESS,
    OPAL,
    OSCAR,
    PAID_TO,
    SUE,
    TO,
    TOM_WITH_ROLES,
    edited,
    trust,
    trusting,
)
from tests.pipeline.pipeline_stage import HELD, TASK, TOM, Stage, with_file

from remit.core import JsonObject, Reason, ToolCall, canonical_bytes
from remit.identity import Cut, Person
from remit.permissions import Approval, State
from remit.testing import NOON, POLICY, Desk, desk_delegation, desk_snapshot, desk_task

pytestmark = pytest.mark.requirement("R3.5")

TICK = timedelta(microseconds=1)
LONG = NOON + timedelta(days=9)
KIM = Person("kim", frozenset({"sales"}))
NOBODY = Person("", frozenset({"ops"}))
QUORUM = POLICY.replace('@approvers("ops")', '@approvers("ops") @quorum("2")')
APART = POLICY.replace('@approvers("ops")', '@approvers("ops and audit")')
CONFIRMED = POLICY.replace('@id("desk.keep")\nforbid', '@id("desk.wipe")\npermit')
ANOTHER = POLICY + '@id("more") forbid (principal, action == Action::"spare", resource);'
STRICTER = QUORUM
DENYING = POLICY.replace("amount <= 100", "amount <= 70")
CATALOGUE = "catalogue/desk.yaml"

Do = Callable[[Stage, Approval], Awaitable[object]]
Change = Callable[[ToolCall], ToolCall]


async def nothing(_stage: Stage, _approval: Approval) -> None:
    """Change nothing."""


def same(call: ToolCall) -> ToolCall:
    """Present the very call that was held."""
    return call


@dataclass(frozen=True)
class Case:
    """A call that is held, said yes to by `who`, and presented again. What a mutant changes is a field of it."""

    operation: str = "pay"
    arguments: JsonObject = field(default_factory=lambda: dict(HELD))
    policy: str = POLICY
    who: tuple[Person, ...] = (OPAL,)
    typed: str = ""
    digest: Callable[[str], str] = lambda digest: digest
    edit: tuple[Person, JsonObject] | None = None
    trusts: timedelta | None = None  # for how long sue trusts whom is paid; another call of them is presented then
    then: Do = nothing  # between the yes and the call
    present: Change = same
    times: int = 1  # how often the call is presented; the last time counts


async def play_case(case: Case) -> int:
    """Return how many times the last presentation had an effect."""
    desk = trusting() if case.trusts is not None else _desk(case.policy)
    stage = Stage(desk)
    desk.live.dismiss(TASK)
    task = desk_task(expires_at=LONG)
    desk.live.admit(task, b'{"input":null}')
    call = _long(stage.call(case.operation, case.arguments))
    answer: Any = await desk.gateway.handle(call)
    approval = desk.live.approval(answer.approval)
    assert approval is not None, answer
    if case.edit is not None:
        approval = await edited(stage, approval, case.edit[1], case.edit[0])
    for person in case.who:
        await _yes(stage, case, approval, person)
    await case.then(stage, approval)
    presented = call if case.trusts is None else replace(call, canonical=canonical_bytes({**PAID_TO, "amount": 21}))
    before = 0
    for number in range(case.times):
        before = sum(desk.upstream.effects.values())
        await desk.gateway.handle(case.present(replace(presented, id=f"c_again{number}")))
    return sum(desk.upstream.effects.values()) - before


async def _yes(stage: Stage, case: Case, approval: Approval, person: Person) -> None:
    digest = case.digest(approval.digest)
    trusts = () if case.trusts is None else (trust(approval, TO, until=NOON + case.trusts),)
    await stage.desk.approvals.approve(person, approval.id, digest, case.typed, trusts)


def _desk(policy: str) -> Desk:
    desk = Desk(policy=policy)
    desk.approvals = replace(desk.approvals, propose=desk.gateway.propose)
    return desk


def _long(call: ToolCall) -> ToolCall:
    return replace(call, delegation=desk_delegation(TASK, expires_at=LONG))


# --- what a mutant changes -------------------------------------------------------------------------------------------


def by(**changed: Any) -> Change:
    return lambda call: replace(call, delegation=replace(call.delegation, **changed))


def of(**changed: Any) -> Change:
    return lambda call: replace(call, **changed)


def arguing(**changed: Any) -> Change:
    def change(call: ToolCall) -> ToolCall:
        said = {name: value for name, value in {**call.arguments, **changed}.items() if value is not None}
        return replace(call, canonical=canonical_bytes(said))

    return change


def after(**late: float) -> Do:
    async def wait(stage: Stage, _: Approval) -> None:
        stage.desk.clock.advance(timedelta(**late))

    return wait


def at_expiry(late: timedelta) -> Do:
    async def wait(stage: Stage, approval: Approval) -> None:
        stage.desk.clock.advance(approval.expires_at - stage.desk.clock.now() + late)

    return wait


def deployed(policy: str = POLICY, path: str = "", old: str = "", new: str = "") -> Do:
    async def deploy(stage: Stage, _: Approval) -> None:
        changed = with_file(path, lambda text: text.replace(old, new)) if path else desk_snapshot(policy)
        await stage.deploy(changed)

    return deploy


def kept(**changed: Any) -> Do:
    """Change what the gateway holds of the approval, as no person could: it is looked at again, all the same."""

    async def change(stage: Stage, approval: Approval) -> None:
        found = stage.desk.live.approval(approval.id)
        assert found is not None
        stage.desk.live.put(replace(found, **changed))

    return change


def granted(**changed: Any) -> Do:
    async def change(stage: Stage, approval: Approval) -> None:
        found = stage.desk.live.approval(approval.id)
        assert found is not None
        grants = tuple(replace(grant, **changed) for grant in found.grants)
        stage.desk.live.put(replace(found, grants=grants))

    return change


async def moved_to_another_task(stage: Stage, _: Approval) -> None:
    stage.desk.live.admit(desk_task("t_other", expires_at=LONG), b'{"input":null}')


async def another_tenant(stage: Stage, _: Approval) -> None:
    stage.desk.live._tenant = "desk2"


async def denied(stage: Stage, approval: Approval) -> None:
    await stage.deny(approval)


async def edited_after(stage: Stage, approval: Approval) -> None:
    found = stage.desk.live.approval(approval.id)
    assert found is not None
    await edited(stage, found, LESS, OSCAR)


async def task_over(stage: Stage, _: Approval) -> None:
    stage.desk.live.dismiss(TASK)


async def stopped(stage: Stage, _: Approval) -> None:
    await stage.desk.controls.stop_all("otto", "look into it")


async def quarantined(stage: Stage, _: Approval) -> None:
    await stage.desk.controls.quarantine("pay", ["another description"])


def cut(**what: str) -> Do:
    async def revoke(stage: Stage, _: Approval) -> None:
        assert not isinstance(await stage.desk.controls.cut(Cut(**what), "otto", "it misbehaves"), Reason)

    return revoke


def another_digest(digest: str) -> str:
    """Change the last digit."""
    return digest[:-1] + format(int(digest[-1], 16) ^ 1, "x")


async def distrusted(stage: Stage, _: Approval) -> None:
    assert await stage.desk.approvals.distrust(OPAL, "payees", TO, "a mistake") is None


PLAIN = Case()
PAIR = Case(policy=QUORUM, who=(OPAL, OSCAR))
BOTH = Case(policy=APART, who=(OPAL, AUDREY))
TYPED = Case("wipe", {}, policy=CONFIRMED, who=(TOM,), typed="wipe")
EDIT = Case(edit=(OSCAR, LESS))
TRUST = Case(arguments=PAID_TO, who=(SUE,), trusts=timedelta(hours=2))

CONTROLS = {"plain": PLAIN, "pair": PAIR, "both": BOTH, "typed": TYPED, "edit": EDIT, "trust": TRUST}

MUTANTS: dict[str, tuple[Case, dict[str, Any]]] = {
    # each field of the digest
    "tenant": (PLAIN, {"then": another_tenant}),
    "user": (PLAIN, {"present": by(user="eve")}),
    "user in capitals": (PLAIN, {"present": by(user="Tom")}),
    "agent": (PLAIN, {"present": by(agent="clerk2")}),
    "user and agent swapped": (PLAIN, {"present": by(user="clerk", agent="tom")}),
    "use case": (PLAIN, {"present": by(use_case="other")}),
    "task": (PLAIN, {"then": moved_to_another_task, "present": by(task="t_other")}),
    "no such task": (PLAIN, {"present": by(task="t_none")}),
    "operation": (PLAIN, {"present": of(operation="wipe")}),
    "operation beyond the use case": (PLAIN, {"present": of(operation="spare")}),
    "release": (PLAIN, {"then": deployed(ANOTHER)}),
    "policy that asks for more": (PLAIN, {"then": deployed(STRICTER)}),
    "policy that denies": (PLAIN, {"then": deployed(DENYING)}),
    "descriptor": (PLAIN, {"then": deployed(path=CATALOGUE, old="title: Pay", new="title: Pay up")}),
    "schema": (PLAIN, {"then": deployed(path=CATALOGUE, old="maximum: 1000000", new="maximum: 1000001")}),
    "version": (PLAIN, {"then": deployed(path=CATALOGUE, old="version: 1.0.0", new="version: 1.0.1")}),
    "endpoint's port": (PLAIN, {"then": deployed(path=CATALOGUE, old="127.0.0.1:9/", new="127.0.0.1:10/")}),
    "endpoint's path": (PLAIN, {"then": deployed(path=CATALOGUE, old=":9/mcp", new=":9/mcp2")}),
    # edits of the arguments after the yes
    "one more": (PLAIN, {"present": arguing(amount=76)}),
    "one less": (PLAIN, {"present": arguing(amount=74)}),
    "negative": (PLAIN, {"present": arguing(amount=-75)}),
    "as text": (PLAIN, {"present": arguing(amount="75")}),
    "in a list": (PLAIN, {"present": arguing(amount=[75])}),
    "a fraction": (PLAIN, {"present": arguing(amount=75.5)}),
    "an empty note": (PLAIN, {"present": arguing(note="")}),
    "a note": (PLAIN, {"present": arguing(note="thanks")}),
    "a recipient": (PLAIN, {"present": arguing(to="eve")}),
    "an unknown argument": (PLAIN, {"present": arguing(cc="eve")}),
    "no arguments": (PLAIN, {"present": of(canonical=b"{}")}),
    # who said yes
    "by nobody": (PLAIN, {"who": ()}),
    "by the requester": (PLAIN, {"who": (TOM_WITH_ROLES,)}),
    "by the owner": (PLAIN, {"who": (ANA,)}),
    "by the agent": (PLAIN, {"who": (CLERK,)}),
    "in another role": (PLAIN, {"who": (KIM,)}),
    "in a role of the requester's name": (PLAIN, {"who": (Person("kim", frozenset({"requester"})),)}),
    "in a role in capitals": (PLAIN, {"who": (Person("kim", frozenset({"Ops"})),)}),
    "without a role": (PLAIN, {"who": (Person("opal", frozenset()),)}),
    "by a person without a name": (PLAIN, {"who": (NOBODY,)}),
    "in the requester's name in full width": (PLAIN, {"who": (replace(OPAL, name="\uff54om"),)}),
    "having seen another call": (PLAIN, {"digest": another_digest}),
    "having seen less": (PLAIN, {"digest": lambda digest: digest[:-1]}),
    "having seen nothing": (PLAIN, {"digest": lambda _: ""}),
    "by who is the owner now": (PLAIN, {"then": kept(owner="opal")}),
    "by who is the requester now": (PLAIN, {"then": kept(user="opal")}),
    "by who is its editor now": (PLAIN, {"then": kept(editors=("opal",))}),
    "by who edited it before another did": (PLAIN, {"then": kept(editors=("opal", "oscar"))}),
    "as if by the requester": (PLAIN, {"then": granted(person="tom")}),
    "as if in another role": (PLAIN, {"then": granted(role="sales")}),
    "as if for another kind": (PLAIN, {"then": granted(kind="confirmation")}),
    # time
    "at its end": (PLAIN, {"then": at_expiry(timedelta(0))}),
    "a tick after its end": (PLAIN, {"then": at_expiry(TICK)}),
    "a week later": (PLAIN, {"then": after(days=7)}),
    "given in the future": (PLAIN, {"then": granted(at=NOON + TICK)}),
    "given before it was asked": (PLAIN, {"then": granted(at=NOON - TICK)}),
    "opened in the future": (PLAIN, {"then": kept(opened_at=NOON + TICK)}),
    "ending now": (PLAIN, {"then": kept(expires_at=NOON)}),
    # replay, and what became of it
    "a second time": (PLAIN, {"times": 2}),
    "a third time": (PLAIN, {"times": 3}),
    "after a no": (PLAIN, {"then": denied}),
    "after an edit": (PLAIN, {"then": edited_after}),
    "void": (PLAIN, {"then": kept(state=State.VOID)}),
    "used": (PLAIN, {"then": kept(state=State.USED, call="c_0")}),
    "with another digest": (PLAIN, {"then": kept(digest="sha256:" + "0" * 64)}),
    "asked for less then": (PLAIN, {"then": kept(requirements=())}),
    "after the task": (PLAIN, {"then": task_over}),
    "after stop-all": (PLAIN, {"then": stopped}),
    "after the agent was cut off": (PLAIN, {"then": cut(agent="clerk")}),
    "after the user was cut off": (PLAIN, {"then": cut(user="tom")}),
    "after the task was cut off": (PLAIN, {"then": cut(task=TASK)}),
    "after the operation changed": (PLAIN, {"then": quarantined}),
    # quorum
    "one of two": (PAIR, {"who": (OPAL,)}),
    "the same person twice": (PAIR, {"who": (OPAL, OPAL)}),
    "the same person in capitals": (PAIR, {"who": (OPAL, replace(OPAL, name="Opal"))}),
    "the same person in full width": (PAIR, {"who": (OPAL, replace(OPAL, name="\uff4fpal"))}),
    "one and the requester": (PAIR, {"who": (OPAL, TOM_WITH_ROLES)}),
    "one and the owner": (PAIR, {"who": (OPAL, ANA)}),
    "one and another role": (PAIR, {"who": (OPAL, AUDREY)}),
    # apart
    "one person in both roles": (BOTH, {"who": (OSCAR,)}),
    "one person in both roles, twice": (BOTH, {"who": (OSCAR, replace(OSCAR, name="Oscar"))}),
    "two of one role": (BOTH, {"who": (OPAL, replace(OPAL, name="olga"))}),
    "only the first role": (BOTH, {"who": (OPAL,)}),
    "only the second role": (BOTH, {"who": (AUDREY,)}),
    # confirmation
    "confirmed with other words": (TYPED, {"typed": "Wipe"}),
    "confirmed with a space more": (TYPED, {"typed": "wipe "}),
    "confirmed with nothing": (TYPED, {"typed": ""}),
    "confirmed by another": (TYPED, {"who": (OPAL,)}),
    # edits
    "approved by its editor": (EDIT, {"who": (OSCAR,)}),
    "approved by its editor in capitals": (EDIT, {"who": (replace(OSCAR, name="OSCAR"),)}),
    "edited and approved by nobody": (EDIT, {"who": ()}),
    "edited, and the note varied": (EDIT, {"present": arguing(note="thanks")}),
    "edited, and asked for more": (EDIT, {"present": arguing(amount=76)}),
    "edited, a second time": (EDIT, {"times": 2}),
    "edited, a second time with the edited arguments": (EDIT, {"times": 2, "present": arguing(**LESS)}),
    "edited, and too late": (EDIT, {"then": at_expiry(timedelta(0))}),
    "edited, and denied": (EDIT, {"then": denied}),
    "edited, and denied by its editor": (EDIT, {"then": lambda stage, approval: stage.deny(approval, OSCAR)}),
    # extensions
    "trusted until now": (TRUST, {"then": after(hours=2)}),
    "trusted until a tick ago": (TRUST, {"then": after(hours=2, microseconds=1)}),
    "no longer trusted": (TRUST, {"then": distrusted}),
    "trusted for no time": (TRUST, {"trusts": timedelta(0)}),
    "trusted for over a year": (TRUST, {"trusts": timedelta(days=365, microseconds=1)}),
    "trusted by somebody else's signature": (TRUST, {"who": (replace(SUE, name="eli"),)}),
    "trusted, and somebody else paid": (TRUST, {"present": arguing(to="mallory@corp.example")}),
    "trusted, and another's look-alike paid": (TRUST, {"present": arguing(to=TO.replace("e", "\u0435"))}),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTROLS)
def test_what_the_mutants_are_made_from_is_carried_out(name: str) -> None:
    assert asyncio.run(play_case(CONTROLS[name])) == 1


@pytest.mark.parametrize("late", [-TICK, -timedelta(minutes=1)])
def test_an_approval_stands_until_its_last_microsecond(late: timedelta) -> None:
    assert asyncio.run(play_case(replace(PLAIN, then=at_expiry(late)))) == 1
    assert asyncio.run(play_case(replace(EDIT, then=at_expiry(late)))) == 1


def test_there_are_mutants_enough() -> None:
    assert len(MUTANTS) >= 60
    assert {id(case) for case, _ in MUTANTS.values()} == {id(case) for case in CONTROLS.values()}


@pytest.mark.parametrize("name", MUTANTS)
def test_no_mutant_is_carried_out(name: str) -> None:
    case, changed = MUTANTS[name]
    assert asyncio.run(play_case(replace(case, **changed))) == 0
