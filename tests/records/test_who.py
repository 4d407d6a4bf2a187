"""Who had a part in a task, as its records say it."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from remit.core import Allow, Deny, Level, Reason
from remit.identity import Person
from remit.records import Basis, evaluated, explain, refused, task_opened, who
from remit.testing import NOON, Desk, desk_call, desk_delegation, desk_task, seeded

KEY = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
BOUND = replace(
    desk_delegation(), user="corp:tom", level=Level.BOUND, keys=(KEY,), chain=("planner",), client="corp:desktop"
)


async def played() -> Desk:
    """Let corp:tom's agent look, pay small change, and pay what waits for olga; then ask."""
    desk = Desk()
    task = replace(desk_task(), user="corp:tom", chain=("planner",), parent="t_plan")
    desk.live.admit(task, b"{}")
    opened = task_opened(task, at=NOON, by="agent planner", random=seeded(3), input_body=b"{}")
    await desk.store.open_task(task, opened)
    await desk.gateway.handle(desk_call("look", call="c_1", delegation=BOUND))
    held = desk_call("pay", {"amount": 75}, call="c_2", delegation=BOUND)
    await desk.gateway.handle(held)
    (waiting,) = desk.live.approvals()
    await desk.approvals.approve(Person("olga", frozenset({"ops"})), waiting.id, waiting.digest, "")
    desk.clock.advance(timedelta(seconds=1))
    await desk.gateway.handle(replace(held, id="c_3"))
    basis = Basis(at=NOON, task=task, bundle="sha256:0", tool="desk", observed=False)
    probe = desk_call("wipe", call="c_4", delegation=BOUND)
    for decision, about in ((Allow(), ""), (Deny(Reason("subject_mismatch", "no")), "user:eve\x1b[2J")):
        await desk.store.append(evaluated(probe, decision, basis, seeded(4), about))
    return desk


@pytest.mark.requirement("R2.9")
def test_everybody_who_had_a_part_is_named() -> None:
    said: dict[str, list[str]] = {}
    for what, line in who(asyncio.run(played()).store.log):
        said.setdefault(what, []).append(line)
    assert said["who asks"] == ["corp:tom, vouched for by the issuer corp"]
    assert said["who acts"] == [
        "clerk, the client corp:desktop, handed on by planner",
    ]
    assert said["attached"] == ["level B: a task token, with proof of the key or certificate that it is bound to"]
    assert said["keys"] == ["0ZcOCORZNYy-..."]
    assert said["called"] == [
        "look of desk: allowed",
        "pay of desk: held (approval_required)",
        "pay of desk: allowed",
        "wipe of desk: only asked",
        "wipe of desk: only asked (subject_mismatch)",
    ]
    (answer,) = said["answered"]
    assert answer.startswith("olga APPROVED a_")
    assert said["joined by"] == [
        "task t_desk in serve, opened by agent planner",
        "from 2026-11-22T12:00:00.000000Z until 2026-11-22T13:00:00.000000Z",
        "handed on from task t_plan",
    ]


@pytest.mark.requirement("R2.9")
def test_of_one_call_only_its_own_parts_are_named() -> None:
    log = asyncio.run(played()).store.log
    looked = who(log, "c_1")
    assert [line for what, line in looked if what == "called"] == ["look of desk: allowed"]
    assert not [line for what, line in looked if what == "answered"]
    paid = who(log, "c_3")
    assert [line for what, line in paid if what == "called"] == ["pay of desk: allowed"]
    assert [line.split()[0] for what, line in paid if what == "answered"] == ["olga"]


@pytest.mark.requirement("R2.9")
def test_whoever_was_refused_at_the_door_does_not_act_and_is_named_only_where_it_was_proven() -> None:
    desk = Desk()

    async def turned_away() -> None:
        opened = task_opened(desk_task(), at=NOON, by="tom", random=seeded(3), input_body=b"{}")
        await desk.store.open_task(desk_task(), opened)
        for agent, user, code in (
            ("planner", "tom", "delegation_other_agent"),
            ("planner", "tom", "delegation_other_agent"),
            ("planner", "tom", "assertion_invalid"),
            ("", "", "token_expired"),
        ):
            by = replace(desk_delegation(), agent=agent, user=user)
            await desk.store.append(refused(by, at=NOON, surface="oauth", code=code, message="no"))

    asyncio.run(turned_away())
    said = who(desk.store.log)
    assert [line for what, line in said if what in ("who asks", "who acts")] == [
        *("tom, vouched for by the development issuer", "clerk")
    ]
    assert [line for what, line in said if what == "refused"] == [
        "planner for tom at the door (oauth): delegation_other_agent, 2 times",
        "planner at the door (oauth): assertion_invalid",
        "no agent at the door (oauth): token_expired",
    ]


def test_a_question_is_told_as_one_and_steers_no_terminal() -> None:
    told = "\n".join(explain(asyncio.run(played()).store.log))
    assert "wipe {} -> only ASKED, nothing was done: deny" in told
    assert "x subject_mismatch: no" in told
    assert "about user:eve<U+001B>[2J" in told
    assert "\x1b" not in told
