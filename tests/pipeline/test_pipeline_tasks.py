"""Opening a task: durable before anybody can act under it, and only for what the charter lists."""

import asyncio
import json
from datetime import timedelta

import pytest

from remit.core import Reason, StoreUnavailableError, Task
from remit.identity import Cut, Person
from remit.pipeline import Done, Refusals, Refused, Store, TaskDesk
from remit.testing import NOON, Desk, FailingStore, MemoryStore, desk_call, desk_delegation

OPEN_MAX = 3  # `Desk` has one open already


def reception(desk: Desk, store: Store) -> TaskDesk:
    return TaskDesk(
        live=desk.live,
        store=store,
        clock=desk.clock,
        random=desk.gateway.random,
        life=timedelta(minutes=1),
        open_max=OPEN_MAX,
        refusals=Refusals(store, desk.clock, "tasks"),
    )


TOM = Person("tom", frozenset({"user"}))


def test_a_person_without_the_role_of_a_user_opens_none() -> None:
    desk = Desk()
    olga = Person("olga", frozenset({"operator"}))
    refused = asyncio.run(reception(desk, desk.store).open(olga, "clerk", "serve", b"{}"))
    assert isinstance(refused, Reason)
    assert refused.code == "role_missing"
    assert isinstance(opened(desk), Task), "the control: a user does"


@pytest.mark.requirement("R2.11")
def test_no_task_is_opened_for_an_agent_that_is_cut_off() -> None:
    desk = Desk()
    assert isinstance(opened(desk), Task), "the control"
    asyncio.run(desk.controls.cut(Cut(agent="clerk"), "olga", "it obeys strangers"))
    refused = opened(desk)
    assert isinstance(refused, Reason)
    assert refused.code == "agent_revoked"


def opened(desk: Desk, use_case: str = "serve", agent: str = "clerk", store: Store | None = None) -> Task | Reason:
    return asyncio.run(reception(desk, store or desk.store).open(TOM, agent, use_case, b'{"input":"hello"}'))


@pytest.mark.requirement("R2.9", "R5.1")
def test_a_task_is_recorded_with_what_the_user_gave_and_then_it_can_be_acted_under() -> None:
    desk = Desk()
    task = opened(desk)
    assert isinstance(task, Task)
    [entry] = desk.store.log
    said = json.loads(entry.leaf)
    assert [said[name] for name in ("kind", "task", "user", "agent", "use_case", "by")] == [
        *("task_opened", task.id, "tom", "clerk", "serve", "tom")
    ]
    assert [payload.body for payload in entry.payloads] == [b'{"input":"hello"}']
    assert asyncio.run(desk.store.state(NOON)).tasks == (task,)
    call = desk_call("look", delegation=desk_delegation(task.id))
    assert isinstance(asyncio.run(desk.gateway.handle(call)), Done)
    desk.clock.advance(timedelta(minutes=1))
    assert isinstance(asyncio.run(desk.gateway.handle(call)), Refused), "its minute is over"


@pytest.mark.requirement("R7.6")
@pytest.mark.parametrize("kept", [False, True], ids=["not persisted", "persisted but reported failed"])
def test_a_task_that_could_not_be_recorded_is_not_open(*, kept: bool) -> None:
    store = MemoryStore()
    desk = Desk(store=store)
    failing = FailingStore(store, at={1}, kept=kept)
    with pytest.raises(StoreUnavailableError):
        opened(desk, store=failing)
    assert desk.live.open_tasks_of("tom", "clerk") == 1, "only the desk's own"
    assert (failing.healthy, len(store.log)) == (False, int(kept))


@pytest.mark.requirement("R7.6")
@pytest.mark.parametrize(
    ("agent", "use_case", "code"), [("clerk", "another", "use_case_unknown"), ("nobody", "serve", "no_charter")]
)
def test_a_task_outside_the_charter_is_not_opened(agent: str, use_case: str, code: str) -> None:
    desk = Desk()
    refused = opened(desk, use_case, agent)
    assert isinstance(refused, Reason)
    [entry] = desk.store.log
    said = json.loads(entry.leaf)
    assert (refused.code, said["kind"], said["code"], said["user"], said["task"]) == (code, "refused", code, "tom", "")


def test_a_user_has_only_so_many_tasks_at_once_and_expired_ones_do_not_count() -> None:
    desk = Desk()
    assert [type(opened(desk)) for _ in range(OPEN_MAX)] == [Task, Task, Reason]
    desk.clock.advance(timedelta(minutes=1))
    assert isinstance(opened(desk), Task)
    assert desk.live.open_tasks_of("tom", "clerk") == 2


def test_tasks_opened_at_once_do_not_pass_the_cap_together() -> None:
    async def at_once() -> list[Task | Reason]:
        desk = Desk()
        desks = reception(desk, desk.store)
        return await asyncio.gather(*(desks.open(TOM, "clerk", "serve", b"{}") for _ in range(10)))

    assert [type(answer) for answer in asyncio.run(at_once())].count(Task) == OPEN_MAX - 1
