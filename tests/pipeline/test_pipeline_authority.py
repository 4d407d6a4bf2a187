"""With what authority a task is opened: by the user, by an agent with the user's token, by an agent, by a client."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from remit.charter import Charter, UseCase
from remit.core import Authority, Delegation, InputRefusedError, Json, Level, Reason, Task, ToolCall
from remit.identity import Cut, Person, RegisteredClient, Registration, UserToken
from remit.pipeline import Answer, ConsentDesk, Done, Refused, TaskDesk
from remit.testing import NOON, Desk, desk_call

pytestmark = pytest.mark.requirement("R2.5")

T = TypeVar("T")
USER = frozenset({"user"})
TOM = Person("tom", USER)
LOGIN = UserToken(
    person=Person("corp:tom", USER, frozenset({"staff", "clerks"}), (("department", "returns"),)),
    issuer="corp",
    client_id="desk-app",
    issued_at=NOON,
    expires_at=NOON + timedelta(hours=8),
    may_act=frozenset({"clerk"}),
)
HOUR = timedelta(hours=1)


def details(**said: Json) -> Json:
    return [{"type": "agent_task", **said}]


def two_agents(desk: Desk) -> Desk:
    """Let there be a second agent, `runner`, that does all the clerk does, to whom the clerk may hand work on."""
    snapshot, job = desk.live.snapshot, desk.live.snapshot.charters["clerk"]
    case = UseCase(name="run", description="runs", operations=frozenset({"look", "pay", "spare"}))
    other = Charter(agent="runner", owner="ana", process="p", purpose="p", use_cases={"run": case})
    client = RegisteredClient(issuer="corp", client_id="desk-app", use_case="serve")

    def both(of: dict[tuple[str, str], Any]) -> dict[tuple[str, str], Any]:
        return {**of, **{("runner", operation): each for (_, operation), each in of.items()}}

    changed = replace(
        snapshot,
        charters={"clerk": job, "runner": other},
        registrations={
            "clerk": Registration(bearer=True, delegates_to=frozenset({"runner"}), clients=(client,)),
            "runner": Registration(bearer=True),
        },
        flows=both(dict(snapshot.flows)),
        manifests={"clerk": snapshot.manifests["clerk"], "runner": snapshot.manifests["clerk"]},
        caps={"clerk": snapshot.caps["clerk"], "runner": snapshot.caps["clerk"]},
    )
    desk.live.swap(changed, 0)
    return desk


def reception(desk: Desk) -> TaskDesk:
    return TaskDesk(
        live=desk.live, store=desk.store, clock=desk.clock, random=desk.gateway.random, life=HOUR, open_max=5
    )


def played(play: Callable[[Desk, TaskDesk], Awaitable[T]]) -> T:
    async def go() -> T:
        desk = two_agents(Desk())
        return await play(desk, reception(desk))

    return asyncio.run(go())


def acting(task: Task, level: Level = Level.TASK) -> Delegation:
    return Delegation(
        user=task.user,
        agent=task.agent,
        task=task.id,
        use_case=task.use_case,
        expires_at=task.expires_at,
        level=level,
        chain=task.chain,
    )


def call(desk: Desk, by: Delegation, operation: str = "look", number: int = 1) -> Awaitable[Answer]:
    made: ToolCall = desk_call(operation, call=f"c_{number}", delegation=by)
    return desk.gateway.handle(made)


def code(answer: object) -> str:
    if isinstance(answer, Refused):
        return answer.reason.code
    return answer.code if isinstance(answer, Reason) else type(answer).__name__


# --- the user's own channel ------------------------------------------------------------------------------------------


def test_a_user_narrows_a_task_and_what_is_outside_is_denied() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        task = await desks.open(TOM, "clerk", "serve", b"{}", details(operations=["pay"], locations=["desk"]))
        assert isinstance(task, Task)
        free = await desks.open(TOM, "clerk", "serve", b"{}")
        assert isinstance(free, Task)
        elsewhere = await desks.open(TOM, "clerk", "serve", b"{}", details(locations=["mail"]))
        assert isinstance(elsewhere, Task)
        return [code(await call(desk, acting(each), number=at)) for at, each in enumerate((task, free, elsewhere))]

    assert played(play) == ["outside_authority", "Done", "outside_authority"]


def test_a_task_may_make_only_so_many_calls_and_says_when_they_are_used_up() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        task = await desks.open(TOM, "clerk", "serve", b"{}", details(limits={"calls": 2}))
        assert isinstance(task, Task)
        return [code(await call(desk, acting(task), number=at)) for at in range(4)]

    assert played(play) == ["Done", "Done", "limit_reached", "limit_reached"]


def test_the_details_of_the_users_token_bind_as_much_as_those_asked_for() -> None:
    async def play(_desk: Desk, desks: TaskDesk) -> Task | Reason:
        login = replace(LOGIN, details=details(operations=["look"], expires_at="2026-11-22T12:10:00Z"))
        return await desks.open(login.person, "clerk", "serve", b"{}", details(operations=["look", "pay"]), login)

    task = played(play)
    assert isinstance(task, Task)
    assert task.authority == Authority(operations=frozenset({"look"}))
    assert task.expires_at == NOON + timedelta(minutes=10)
    assert task.groups == ("clerks", "staff")
    assert task.attributes == (("department", "returns"),)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (details(use_case="other"), "outside_authority"),
        (details(expires_at="2026-11-22T11:59:59Z"), "task_expired"),
        (details(operations=["nothing_listed"]), "Task"),
    ],
)
def test_details_that_fit_nothing_open_nothing_or_a_task_that_can_do_nothing(wanted: Json, expected: str) -> None:
    assert code(played(lambda _, desks: desks.open(TOM, "clerk", "serve", b"{}", wanted))) == expected


def test_details_that_cannot_be_kept_are_bad_input() -> None:
    with pytest.raises(InputRefusedError):
        played(lambda _, desks: desks.open(TOM, "clerk", "serve", b"{}", details(actions=["look"])))


# --- an agent with the user's token ----------------------------------------------------------------------------------


def test_an_agent_opens_a_task_only_where_the_token_names_it_or_the_user_consented() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        unnamed = replace(LOGIN, may_act=frozenset())
        consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
        said = [
            code(await desks.open_for(LOGIN, "clerk", None)),
            code(await desks.open_for(unnamed, "clerk", None)),
            code(await desks.open_for(LOGIN, "runner", None)),
            code(await desks.open_for(unnamed, "clerk", None, asserted=True)),
        ]
        assert await consents.give(LOGIN.person, "clerk", None, NOON + HOUR) is None
        said.append(code(await desks.open_for(unnamed, "clerk", None)))
        assert await consents.withdraw(LOGIN.person, "clerk") is None
        said.append(code(await desks.open_for(unnamed, "clerk", None)))
        assert await consents.give(LOGIN.person, "clerk", None, NOON) is None
        said.append(code(await desks.open_for(unnamed, "clerk", None)))
        return said

    assert played(play) == [
        *("Task", "consent_missing", "consent_missing", "Task", "Task", "consent_missing", "consent_missing")
    ]


def test_a_consent_narrows_what_it_allows() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> Task | Reason:
        consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
        await consents.give(LOGIN.person, "clerk", details(operations=["look", "wipe"]), NOON + HOUR)
        return await desks.open_for(replace(LOGIN, may_act=frozenset()), "clerk", details(operations=["look", "pay"]))

    task = played(play)
    assert isinstance(task, Task)
    assert task.authority.operations == frozenset({"look"})


def test_the_tasks_end_is_the_tokens_at_the_latest_and_its_opening_says_who_asked() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> tuple[Task | Reason, str]:
        soon = replace(LOGIN, expires_at=NOON + timedelta(minutes=5))
        task = await desks.open_for(soon, "clerk", None)
        return task, json.loads(desk.store.log[-1].leaf)["by"]

    task, by = played(play)
    assert isinstance(task, Task)
    assert (task.expires_at, by) == (NOON + timedelta(minutes=5), "agent clerk")


# --- from agent to agent ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.4")
def test_work_is_handed_on_within_the_first_ones_authority_and_names_everybody() -> None:
    async def play(_desk: Desk, desks: TaskDesk) -> Task | Reason:
        first = await desks.open(LOGIN.person, "clerk", "serve", b"{}", details(limits={"calls": 3}))
        assert isinstance(first, Task)
        child = await desks.hand_on(acting(first), "runner", details(operations=["look", "pay", "spare"]))
        assert isinstance(child, Task)
        assert child.parent == first.id
        return child

    child = played(play)
    assert isinstance(child, Task)
    assert (child.user, child.agent, child.chain) == ("corp:tom", "runner", ("clerk",))
    assert child.authority == Authority(operations=frozenset({"look", "pay"}), calls_max=3), "`spare` is not serve's"
    assert child.groups == ("clerks", "staff")


def test_work_is_handed_on_only_to_whom_the_charter_names_and_never_back() -> None:
    async def play(_desk: Desk, desks: TaskDesk) -> list[str]:
        first = await desks.open(TOM, "clerk", "serve", b"{}")
        assert isinstance(first, Task)
        child = await desks.hand_on(acting(first), "runner", None)
        assert isinstance(child, Task)
        return [
            code(await desks.hand_on(acting(child), "clerk", None)),
            code(await desks.hand_on(acting(first), "clerk", None)),
            code(await desks.hand_on(replace(acting(first), task="t_none"), "runner", None)),
        ]

    assert played(play) == ["consent_missing", "consent_missing", "task_unknown"]


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    "cut", [Cut(agent="clerk"), Cut(user="tom"), Cut(task="first"), Cut(user="tom", agent="clerk")]
)
def test_what_was_handed_on_ends_with_what_it_came_from(cut: Cut) -> None:
    async def play(desk: Desk, desks: TaskDesk) -> tuple[str, bool, str]:
        first = await desks.open(TOM, "clerk", "serve", b"{}")
        assert isinstance(first, Task)
        child = await desks.hand_on(acting(first), "runner", details(operations=["look"]))
        assert isinstance(child, Task)
        before = await call(desk, acting(child))
        done = await desk.controls.cut(replace(cut, task=first.id) if cut.task else cut, "olga", "enough")
        assert not isinstance(done, Reason), done
        return code(before), desk.live.task(child.id) is None, code(await call(desk, acting(child), number=2))

    before, closed, after = played(play)
    assert (before, closed) == ("policy_missing", True), "the control: what kept it back was another gate"
    assert after in ("agent_revoked", "user_revoked", "task_unknown", "task_revoked")


# --- a plain MCP client ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.6")
def test_a_plain_client_has_one_task_for_all_and_only_reads() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        by = await desks.implicit(LOGIN)
        again = await desks.implicit(LOGIN)
        assert isinstance(by, Delegation)
        assert isinstance(again, Delegation)
        assert by == again
        assert (by.agent, by.level, by.client) == ("clerk", Level.CLIENT, "corp:desk-app")
        return [code(await call(desk, by)), code(await call(desk, by, "pay", 2))]

    assert played(play) == ["Done", "client_only_reads"]


@pytest.mark.parametrize(
    ("login", "expected"),
    [
        (replace(LOGIN, client_id="another"), "client_unknown"),
        (replace(LOGIN, issuer="evil"), "client_unknown"),
        (replace(LOGIN, person=Person("corp:tom", frozenset())), "role_missing"),
        (replace(LOGIN, details=details(use_case="other")), "outside_authority"),
    ],
)
def test_a_client_that_is_no_agent_here_gets_nothing(login: UserToken, expected: str) -> None:
    assert code(played(lambda _, desks: desks.implicit(login))) == expected


@pytest.mark.requirement("R2.11")
def test_a_user_cut_off_before_a_moment_is_let_in_again_with_a_later_login() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        by = await desks.implicit(LOGIN)
        assert isinstance(by, Delegation)
        desk.clock.advance(timedelta(minutes=1))
        await desk.controls.cut(Cut(user="corp:tom"), "issuer corp", "session revoked", before=desk.clock.now())
        said = [code(await call(desk, by)), code(await desks.implicit(LOGIN))]
        later = replace(LOGIN, issued_at=desk.clock.now())
        fresh = await desks.implicit(later)
        assert isinstance(fresh, Delegation)
        return [*said, code(await call(desk, fresh, number=2))]

    assert played(play) == ["user_revoked", "user_revoked", "Done"]


def test_done_is_what_a_call_under_an_open_task_comes_to() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> Answer:
        task = await desks.open(TOM, "clerk", "serve", b"{}")
        assert isinstance(task, Task)
        return await call(desk, acting(task))

    assert isinstance(played(play), Done)
