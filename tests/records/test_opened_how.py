"""Each way in which a task is opened leaves on record what let it be."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from remit.charter import Charter, UseCase
from remit.core import Delegation, Task
from remit.identity import Person, RegisteredClient, Registration, UserToken
from remit.pipeline import ConsentDesk, Refusals, TaskDesk
from remit.testing import NOON, Desk, desk_delegation

HOUR = timedelta(hours=1)
TOM = Person("corp:tom", frozenset({"user"}))
LOGIN = UserToken(person=TOM, issuer="corp", client_id="tickets", issued_at=NOON, expires_at=NOON + HOUR)
NAMING = replace(LOGIN, may_act=frozenset({"clerk"}))
BARE = replace(LOGIN, issuer="", client_id="")

Opens = Callable[[Desk, TaskDesk], Awaitable[object]]


def desks() -> tuple[Desk, TaskDesk]:
    """Return the desk where the clerk may hand work on to a runner, and is the client `corp:tickets`."""
    desk = Desk()
    snapshot = desk.live.snapshot
    case = UseCase(name="run", description="runs", operations=frozenset({"look"}))
    runner = Charter(agent="runner", owner="ana", process="p", purpose="p", use_cases={"run": case})
    client = RegisteredClient(issuer="corp", client_id="tickets", use_case="serve")
    clerk = Registration(bearer=True, delegates_to=frozenset({"runner"}), clients=(client,))
    charters, registrations = {**snapshot.charters, "runner": runner}, {"clerk": clerk}
    desk.live.swap(replace(snapshot, charters=charters, registrations=registrations), 0)
    refusals = Refusals(desk.store, desk.clock, "tasks")
    opening = TaskDesk(
        live=desk.live,
        store=desk.store,
        clock=desk.clock,
        random=desk.gateway.random,
        life=HOUR,
        open_max=5,
        refusals=refusals,
    )
    return desk, opening


async def consented(desk: Desk, opening: TaskDesk) -> object:
    consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
    assert await consents.give(BARE, "clerk", None, NOON + HOUR) is None
    desk.clock.advance(timedelta(minutes=3))
    return await opening.open_for(BARE, "clerk", None)


@pytest.mark.requirement("R2.9", "R5.1")
@pytest.mark.parametrize(
    ("opens", "how"),
    [
        (lambda _, opening: opening.open(TOM, "clerk", "serve", b"{}"), {"by": "channel"}),
        (
            lambda _, opening: opening.open(TOM, "clerk", "serve", b"{}", None, LOGIN),
            {"by": "channel", "client": "corp:tickets"},
        ),
        (consented, {"by": "consent", "given": "2026-11-22T12:00:00.000000Z"}),
        (lambda _, opening: opening.open_for(NAMING, "clerk", None), {"by": "may_act", "client": "corp:tickets"}),
        (
            lambda _, opening: opening.open_for(LOGIN, "clerk", None, asserted=True),
            {"by": "assertion", "client": "corp:tickets"},
        ),
        (lambda _, opening: opening.hand_on(desk_delegation(), "runner", None), {"by": "handed_on", "task": "t_desk"}),
        (lambda _, opening: opening.implicit(LOGIN), {"by": "client", "client": "corp:tickets"}),
    ],
)
def test_what_let_a_task_be_opened_is_on_record(opens: Opens, how: dict[str, str]) -> None:
    desk, opening = desks()
    opened = asyncio.run(_awaited(opens(desk, opening)))
    assert isinstance(opened, Task | Delegation), opened
    leaves: list[Any] = [json.loads(entry.leaf) for entry in desk.store.log if entry.kind == "task_opened"]
    assert [leaf["how"] for leaf in leaves] == [how]


async def _awaited(opening: Awaitable[object]) -> object:
    return await opening
