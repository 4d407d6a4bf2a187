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
from remit.pipeline import Answer, Committed, ConsentDesk, Done, Refusals, Refused, TaskDesk
from remit.records import Draft, control
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
        live=desk.live,
        store=desk.store,
        clock=desk.clock,
        random=desk.gateway.random,
        life=HOUR,
        open_max=5,
        refusals=Refusals(desk.store, desk.clock, "tasks"),
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


@pytest.mark.requirement("R3.6")
def test_a_use_case_may_ask_that_each_task_names_what_it_needs() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        snapshot = desk.live.snapshot
        clerk = snapshot.charters["clerk"]
        asks = {"serve": replace(clerk.use_cases["serve"], named=True)}
        charters = {**snapshot.charters, "clerk": replace(clerk, use_cases=asks)}
        desk.live.swap(replace(snapshot, charters=charters), 0)
        free = await desks.open(TOM, "clerk", "serve", b"{}")
        task = await desks.open(TOM, "clerk", "serve", b"{}", details(operations=["look"]))
        assert isinstance(task, Task)
        return [code(free), code(await call(desk, acting(task))), code(await call(desk, acting(task), "pay", 2))]

    assert played(play) == ["grant_missing", "Done", "outside_authority"]


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
        (details(operations=[]), "outside_authority"),
        (details(operations=["look"]), "Task"),
    ],
)
def test_details_that_fit_nothing_open_nothing(wanted: Json, expected: str) -> None:
    assert code(played(lambda _, desks: desks.open(TOM, "clerk", "serve", b"{}", wanted))) == expected


def test_operations_that_are_in_no_catalogue_are_bad_input_and_named() -> None:
    async def play(_desk: Desk, desks: TaskDesk) -> list[str]:
        wanted = details(operations=["look", "lok"])
        asked = (desks.open(TOM, "clerk", "serve", b"{}", wanted), desks.open_for(LOGIN, "clerk", wanted))
        said = []
        for each in asked:
            with pytest.raises(InputRefusedError) as refused:
                await each
            said.append(f"{refused.value.code} {refused.value.message}")
        older = replace(LOGIN, details=details(operations=["look", "gone"]))  # made before the catalogue changed
        return [*said, code(await desks.open_for(older, "clerk", None))]

    first, second, third = played(play)
    assert first == second
    assert first.startswith("authorization_details_invalid ")
    assert ("`lok`" in first, "`look`" in first) == (True, False)
    assert third == "Task"


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
        assert await consents.give(LOGIN, "clerk", None, NOON + HOUR) is None
        said.append(code(await desks.open_for(unnamed, "clerk", None)))
        assert await consents.withdraw(LOGIN.person, "clerk") is None
        said.append(code(await desks.open_for(unnamed, "clerk", None)))
        assert await consents.give(LOGIN, "clerk", None, NOON) is None
        said.append(code(await desks.open_for(unnamed, "clerk", None)))
        return said

    assert played(play) == [
        *("Task", "consent_missing", "consent_missing", "Task", "Task", "consent_missing", "consent_missing")
    ]


def test_a_consent_narrows_what_it_allows() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> Task | Reason:
        consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
        await consents.give(LOGIN, "clerk", details(operations=["look", "wipe"]), NOON + HOUR)
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

    assert played(play) == ["handing_on_refused", "handing_on_refused", "task_unknown"]


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


# --- what an attacker tried ------------------------------------------------------------------------------------------

OLD = replace(LOGIN, issued_at=NOON - timedelta(minutes=10))


@pytest.mark.requirement("R2.11")
def test_an_ended_login_ends_what_was_opened_with_it_since_and_what_was_handed_on() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[object]:
        channel = await desks.open(OLD.person, "clerk", "serve", b"{}", None, OLD)
        exchanged = await desks.open_for(OLD, "clerk", None)
        assert isinstance(channel, Task)
        assert isinstance(exchanged, Task)
        child = await desks.hand_on(acting(channel), "runner", None)
        fresh = await desks.open(LOGIN.person, "clerk", "serve", b"{}", None, LOGIN)
        assert isinstance(child, Task)
        assert isinstance(fresh, Task)
        ended = NOON - timedelta(seconds=5)  # before any of them was opened, and after the login that three rest on
        await desk.controls.cut(Cut(user="corp:tom"), "issuer corp", "session-revoked", before=ended)
        said: list[object] = [desk.live.task(each.id) is None for each in (channel, exchanged, child, fresh)]
        return [*said, code(await call(desk, acting(channel))), code(await call(desk, acting(fresh), number=2))]

    assert played(play) == [True, True, True, False, "user_revoked", "Done"]


@pytest.mark.requirement("R2.11")
def test_an_ended_login_is_not_carried_on_by_a_later_one_of_the_same_client() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        first, second = await desks.implicit(OLD), await desks.implicit(LOGIN)
        assert isinstance(first, Delegation)
        assert isinstance(second, Delegation)
        assert first.task != second.task, "each login has a task of its own"
        await desk.controls.cut(
            Cut(user="corp:tom"), "issuer corp", "session-revoked", before=NOON - timedelta(seconds=5)
        )
        return [
            code(await desks.implicit(OLD)),
            code(await call(desk, first)),
            code(await desks.implicit(LOGIN)),
            code(await call(desk, second, number=2)),
        ]

    assert played(play) == ["user_revoked", "user_revoked", "Delegation", "Done"]


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        (LOGIN, "Delegation"),
        (replace(LOGIN, person=Person("corp:tom", frozenset())), "role_missing"),
        (replace(LOGIN, details=details(use_case="other")), "outside_authority"),
        (replace(LOGIN, details=details(operations=["pay"])), "other task"),
        (replace(LOGIN, person=replace(LOGIN.person, groups=frozenset())), "other task"),
    ],
)
def test_no_login_rides_on_what_another_was_let_in_with(later: UserToken, expected: str) -> None:
    async def play(_desk: Desk, desks: TaskDesk) -> str:
        first, second = await desks.implicit(LOGIN), await desks.implicit(later)
        assert isinstance(first, Delegation)
        other = isinstance(second, Delegation) and second.task != first.task
        return "other task" if other else code(second)

    assert played(play) == expected


def test_a_limit_is_that_of_whoever_set_it_however_many_tasks_are_opened() -> None:
    async def all_of(desk: Desk, tasks: list[Task | Reason]) -> list[str]:
        opened = [each for each in tasks if isinstance(each, Task)]
        assert len(opened) == len(tasks)
        return [code(await call(desk, acting(each), number=at)) for at, each in enumerate(opened)]

    async def play(desk: Desk, desks: TaskDesk) -> list[list[str]]:
        once = details(limits={"calls": 1}, operations=["look"])
        by_token = [await desks.open_for(replace(LOGIN, details=once), "clerk", None) for _ in range(2)]
        said = [await all_of(desk, by_token)]
        consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
        await consents.give(LOGIN, "clerk", once, NOON + HOUR)
        unnamed = replace(LOGIN, may_act=frozenset(), issued_at=NOON - timedelta(seconds=1))
        said.append(await all_of(desk, [await desks.open_for(unnamed, "clerk", None) for _ in range(2)]))
        said.append(await all_of(desk, [await desks.open(TOM, "clerk", "serve", b"{}", once) for _ in range(2)]))
        return said

    first, second, third = played(play)
    assert first == second == ["Done", "limit_reached"]
    assert third == ["Done", "Done"], "the user's own channel may ask for two"


def test_what_was_handed_on_counts_where_it_came_from() -> None:
    async def play(_desk: Desk, desks: TaskDesk) -> list[int]:
        first = await desks.open(TOM, "clerk", "serve", b"{}", details(limits={"calls": 2}))
        assert isinstance(first, Task)
        children = [await desks.hand_on(acting(first), "runner", details(limits={"calls": 5})) for _ in range(2)]
        tasks = [each for each in children if isinstance(each, Task)]
        return [len({each.key for each in task.counters} & {each.key for each in first.counters}) for task in tasks]

    assert played(play) == [1, 1]


def test_a_named_agent_is_bound_by_a_narrower_consent_all_the_same() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> Task | Reason:
        consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
        await consents.give(LOGIN, "clerk", details(operations=["look"]), NOON + HOUR)
        return await desks.open_for(LOGIN, "clerk", None)

    task = played(play)
    assert isinstance(task, Task)
    assert task.authority.operations == frozenset({"look"})


@pytest.mark.requirement("R2.11")
def test_nobody_consents_who_may_not_have_agents_act_or_whose_login_was_ended() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        consents = ConsentDesk(live=desk.live, store=desk.store, clock=desk.clock)
        roleless = replace(LOGIN, person=Person("corp:tom", frozenset()))
        said = [code(await consents.give(roleless, "clerk", None, NOON + HOUR))]
        assert await consents.give(OLD, "clerk", None, NOON + HOUR) is None, "the control"
        desk.clock.advance(timedelta(seconds=1))
        await desk.controls.cut(Cut(user="corp:tom"), "issuer corp", "session-revoked", before=desk.clock.now())
        said.append(code(await consents.give(OLD, "clerk", None, NOON + HOUR)))
        later = replace(LOGIN, issued_at=desk.clock.now(), may_act=frozenset())
        said.append(code(await desks.open_for(later, "clerk", None)))
        # What needs no consent does not hang on one that is over.
        said.append(code(await desks.open_for(later, "clerk", None, asserted=True)))
        assert await consents.give(later, "clerk", None, NOON + HOUR) is None
        return [*said, code(await desks.open_for(later, "clerk", None))]

    assert played(play) == ["role_missing", "user_revoked", "user_revoked", "Task", "Task"]


def test_what_may_be_borne_no_longer_is_not_handed_on_either() -> None:
    async def play(desk: Desk, desks: TaskDesk) -> list[str]:
        first = await desks.open(TOM, "clerk", "serve", b"{}")
        assert isinstance(first, Task)
        said = [code(await desks.hand_on(acting(first), "runner", None))]
        strict = replace(desk.live.snapshot.registrations["clerk"], bearer=False)
        registrations = {**desk.live.snapshot.registrations, "clerk": strict}
        desk.live.swap(replace(desk.live.snapshot, registrations=registrations), 0)
        said.append(code(await desks.hand_on(acting(first), "runner", None)))
        return [*said, code(await desks.hand_on(acting(first, Level.BOUND), "runner", None))]

    assert played(play) == ["Task", "bearer_refused", "Task"]


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    ("raised", "committed"),
    [
        ("user/tom", False),
        ("agent/runner", False),
        ("agent/clerk", False),
        ("task/CHILD", False),
        ("task/PARENT", False),
        ("key/thumbprint", False),
        ("user/eve", True),
        ("agent/other", True),
        ("key/another", True),
    ],
)
def test_the_transaction_before_the_effect_compares_every_member_of_a_delegation(
    raised: str, *, committed: bool
) -> None:
    async def play(desk: Desk, desks: TaskDesk) -> bool:
        parent = await desks.open(TOM, "clerk", "serve", b"{}")
        assert isinstance(parent, Task)
        child = await desks.hand_on(acting(parent), "runner", None)
        assert isinstance(child, Task)
        by = replace(acting(child), keys=("thumbprint",))
        read = desk.live.gather(desk_call("look", delegation=by)).versions
        name = raised.replace("CHILD", child.id).replace("PARENT", parent.id)
        await desk.store.control(name, "cut off", control(name, "revoked", at=NOON, by="olga", said={}))
        intent = Draft(kind="intent", task=child.id, call="c_1", leaf=b"{}")
        return isinstance(await desk.store.begin(intent, read), Committed)

    assert played(play) is committed
