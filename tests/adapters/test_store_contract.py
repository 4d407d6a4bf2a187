"""One contract for every store: the fake in memory and the adapters on SQLite and PostgreSQL answer alike."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remit.adapters.postgres import PostgresStore
from remit.adapters.sqlite import SqliteStore
from remit.core import (
    Add,
    Consume,
    Mark,
    Obligation,
    RemitError,
    Requirement,
    Reserve,
    StoreUnavailableError,
    Task,
    canonical_bytes,
)
from remit.permissions import Approval, Grant, State
from remit.pipeline import RELEASE, Committed, Conflict, Deployed, Full, OpenCall, Store, StoredState
from remit.records import Draft, Payload, leaf_hash, root_of
from remit.testing import NOON, FailingStore, MemoryStore, desk_task

pytestmark = pytest.mark.requirement("R5.1")

Scenario = Callable[[Store], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    async def on_sqlite(scenario: Scenario) -> None:
        store = await SqliteStore.open(tmp_path / "remit.db")
        try:
            await scenario(store)
        finally:
            await store.close()

    async def on_postgres(scenario: Scenario) -> None:
        store = await PostgresStore.open(await request.getfixturevalue("new_schema")())
        try:
            await scenario(store)
        finally:
            await store.close()

    async def in_memory(scenario: Scenario) -> None:
        await scenario(MemoryStore())

    on = {"memory": in_memory, "sqlite": on_sqlite, "postgres": on_postgres}[request.param]

    def go(scenario: Scenario) -> None:
        asyncio.run(on(scenario))

    return go


def draft(kind: str, call: str = "", task: str = "t_1", body: bytes | None = None) -> Draft:
    payloads = () if body is None else (Payload(name="body", salt=b"s" * 16, body=body),)
    leaf = canonical_bytes({"kind": kind, "call": call, "task": task})
    return Draft(kind=kind, task=task, call=call, leaf=leaf, payloads=payloads)


async def deploy(store: Store, digest: str, sources: dict[str, bytes], how: str = "deploy") -> int:
    release = Deployed(number=0, bundle=digest, at=NOON, by="ana", how=how)
    return await store.deploy(release, sources, draft(RELEASE, task=""))


def held(name: str = "a_1", task: str = "t_desk") -> Approval:
    """Return a new approval, with something in every field."""
    return Approval(
        id=name,
        digest=f"sha256:{name}",
        binding="sha256:binding",
        task=task,
        user="tom",
        agent="clerk",
        owner="ana",
        use_case="serve",
        operation="pay",
        requirements=(Requirement(kind="approval", approvers=("finance",), quorum=2, within_s=60, typed="pay"),),
        code="held",
        message="a person is asked",
        rationale="it is Tuesday",
        entry=0,
        opened_at=NOON,
        expires_at=NOON + timedelta(minutes=1),
    )


def lost(call: OpenCall) -> Draft:
    return draft("unknown", call.call, call.task)


def note(size: int, root: bytes) -> str:
    return f"{size} {root.hex()}"


async def log(store: Store) -> list[tuple[str, str]]:
    """Return (kind, call) of every entry, having seen that places are counted without a gap."""
    entries = await store.entries(0, 1_000_000)
    assert [entry.index for entry in entries] == list(range(len(entries)))
    assert (await store.state(NOON)).size == len(entries)
    assert await store.root_at(len(entries)) == root_of(leaf_hash(entry.leaf) for entry in entries)
    return [(entry.kind, entry.call) for entry in entries]


async def open_calls(store: Store) -> list[OpenCall]:
    """Return the open calls by sweeping them."""
    found: list[OpenCall] = []

    def seen(call: OpenCall) -> Draft:
        found.append(call)
        return lost(call)

    assert await store.sweep(seen) == len(found)
    return found


def test_a_new_store_is_empty(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert store.healthy
        assert await store.state(NOON) == StoredState(controls={}, tasks=(), approvals=(), size=0, checkpointed=0)
        assert await log(store) == []
        assert await store.root_at(1) is None
        assert await store.sweep(lost) == 0
        assert (await store.recent_tasks(10), await store.entries_of("t_1")) == ((), ())
        assert await store.bundle("sha256:none") is None
        assert await store.releases(10) == ()

    run(scenario)


def test_entries_come_back_exactly_and_in_order(run: Run) -> None:
    async def scenario(store: Store) -> None:
        two = draft("denied", "c_1", "t_1", b"\x00\xff")
        two = replace(two, payloads=(*two.payloads, Payload(name="a", salt=b"t", body=b"")))
        assert await store.append(two) == Committed(0)
        assert await store.append(draft("started", task="")) == Committed(1)
        assert await store.append(draft("denied", "c_2", "t_2")) == Committed(2)
        first = (await store.entries(0, 1))[0]
        assert (first.index, first.kind, first.task, first.call, first.leaf) == (0, "denied", "t_1", "c_1", two.leaf)
        assert first.payloads == (two.payloads[1], two.payloads[0]), "by name"
        assert [entry.index for entry in await store.entries(1, 3)] == [1, 2]
        assert await store.entries(2, 2) == ()
        assert [entry.index for entry in await store.entries_of("t_2")] == [2]
        assert await store.entries_of("") == (), "no task is not a task"

    run(scenario)


def test_without_payloads_the_same_entries_come_back_bare(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.append(draft("denied", "c_1", body=b"1"))
        await store.append(draft("denied", "c_2"))
        whole = await store.entries(0, 2)
        assert [len(entry.payloads) for entry in whole] == [1, 0], "the control"
        bare = tuple(replace(entry, payloads=()) for entry in whole)
        assert await store.entries(0, 2, payloads=False) == bare
        failing = FailingStore(store, at=(), kept=False)
        assert (await failing.entries(0, 2), await failing.entries(0, 2, payloads=False)) == (whole, bare)

    run(scenario)


def test_begin_on_a_changed_version_writes_nothing_and_names_it(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await deploy(store, "sha256:a", {"f": b"1"})
        before = await log(store)
        assert await store.begin(draft("intent", "c_1"), ((RELEASE, 0),)) == Conflict(RELEASE)
        assert await store.begin(draft("intent", "c_1"), (("other", 1), (RELEASE, 1))) == Conflict("other")
        assert await log(store) == before
        assert await open_calls(store) == []
        assert store.healthy, "a conflict is an answer"
        assert await store.begin(draft("intent", "c_1"), ((RELEASE, 1), ("other", 0))) == Committed(1)

    run(scenario)


def test_an_intent_is_open_until_its_outcome_and_no_longer(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for call in ("c_1", "c_2", "c_3"):
            await store.begin(draft("intent", call), ())
        assert await store.finish(draft("outcome", "c_2")) == Committed(3)
        assert await open_calls(store) == [OpenCall("c_1", "t_1", 0), OpenCall("c_3", "t_1", 2)]
        assert (await log(store))[3:] == [("outcome", "c_2"), ("unknown", "c_1"), ("unknown", "c_3")]
        assert await open_calls(store) == [], "a sweep closes what it lists"

    run(scenario)


@pytest.mark.parametrize("before", ["never begun", "finished", "swept"])
def test_a_call_that_is_not_open_gets_no_second_ending(run: Run, before: str) -> None:
    async def scenario(store: Store) -> None:
        if before != "never begun":
            await store.begin(draft("intent", "c_1"), ())
            await (store.finish(draft("outcome", "c_1")) if before == "finished" else store.sweep(lost))
        written = await log(store)
        with pytest.raises(StoreUnavailableError, match="call_not_open"):
            await store.finish(draft("outcome", "c_1"))
        assert await log(store) == written
        assert store.healthy

    run(scenario)


@pytest.mark.parametrize("kind", ["outcome", "unknown"])
def test_an_open_call_that_the_log_has_ended_is_closed_without_a_second_ending(run: Run, kind: str) -> None:
    async def scenario(store: Store) -> None:
        await store.begin(draft("intent", "c_1"), ())
        await store.begin(draft("intent", "c_2"), ())
        await store.append(draft("denied", "c_2"))
        await store.append(draft(kind, "c_1"))
        assert await open_calls(store) == [OpenCall("c_2", "t_1", 1)]
        assert (await log(store))[4:] == [("unknown", "c_2")]
        assert await open_calls(store) == []
        assert await store.begin(draft("intent", "c_1"), ()) == Committed(5), "closed all the same"

    run(scenario)


async def what_writes_nothing(store: Store, signed: str) -> None:
    assert await store.begin(draft("intent", "c_2"), ((RELEASE, 7),)) == Conflict(RELEASE)
    assert await store.sweep(lost) == 0
    assert await store.checkpoint(note) == signed
    with pytest.raises(StoreUnavailableError, match="call_not_open"):
        await store.finish(draft("outcome", "c_2"))


WRITES: dict[str, Callable[[Store], Coroutine[Any, Any, object]]] = {
    "begin": lambda store: store.begin(draft("intent", "c_2"), ()),
    "append": lambda store: store.append(draft("denied")),
    "open_task": lambda store: store.open_task(desk_task("t_2"), draft("task_opened", task="t_2")),
    "deploy": lambda store: deploy(store, "sha256:a", {}),
    "control": lambda store: store.control("stop", "", draft("stop", task="")),
    "keep": lambda store: store.keep(held(), draft("held")),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
@pytest.mark.parametrize("told", [True, False], ids=["told to fail", "refused"])
def test_after_a_failed_write_only_a_confirmed_write_makes_the_store_healthy(
    run: Run, write: Callable[[Store], Coroutine[Any, Any, object]], *, told: bool
) -> None:
    async def scenario(inner: Store) -> None:
        await inner.open_task(desk_task(), draft("task_opened"))
        signed = await inner.checkpoint(note)
        store: Store = FailingStore(inner, at=(1,), kept=False) if told else inner
        await what_writes_nothing(inner, signed)
        assert store.healthy, "the control: that alone is no failure"
        with pytest.raises(StoreUnavailableError):
            await store.open_task(desk_task(), draft("task_opened"))
        await what_writes_nothing(store, signed)
        assert not store.healthy
        await write(store)
        assert store.healthy

    run(scenario)


@pytest.mark.parametrize("told", [True, False], ids=["told to fail", "refused"])
def test_a_checkpoint_of_a_new_size_and_a_sweep_that_ends_calls_are_confirmed_writes(run: Run, *, told: bool) -> None:
    async def scenario(inner: Store) -> None:
        await inner.open_task(desk_task(), draft("task_opened"))
        await inner.begin(draft("intent", "c_1"), ())
        store: Store = FailingStore(inner, at=(1, 3), kept=False) if told else inner
        for write in (store.checkpoint(note), store.sweep(lost)):
            with pytest.raises(StoreUnavailableError):
                await store.open_task(desk_task(), draft("task_opened"))
            assert not store.healthy
            await write
            assert store.healthy

    run(scenario)


def test_two_hundred_calls_at_once_get_distinct_places_without_a_gap(run: Run) -> None:
    async def scenario(store: Store) -> None:
        async def one(number: int) -> tuple[int, int]:
            begun = await store.begin(draft("intent", f"c_{number}", body=b"x" * number), ())
            done = await store.finish(draft("outcome", f"c_{number}"))
            assert isinstance(begun, Committed)
            return begun.index, done.index

        pairs = await asyncio.gather(*(one(number) for number in range(200)))
        assert sorted(index for pair in pairs for index in pair) == list(range(400))
        assert all(intent < outcome for intent, outcome in pairs)
        written = await log(store)
        for number, (intent, outcome) in enumerate(pairs):
            assert (written[intent], written[outcome]) == (("intent", f"c_{number}"), ("outcome", f"c_{number}"))
        assert await open_calls(store) == []

    run(scenario)


def test_among_many_at_once_a_conflict_and_a_bad_command_fail_alone(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await deploy(store, "sha256:a", {})
        await store.begin(draft("intent", "c_7"), ())

        async def begin(number: int) -> Committed | Conflict | Full:
            return await store.begin(draft("intent", f"c_{number}"), ((RELEASE, 0 if number == 3 else 1),))

        answers = await asyncio.gather(*(begin(number) for number in range(20)), return_exceptions=True)
        assert answers[3] == Conflict(RELEASE)
        assert isinstance(answers[7], StoreUnavailableError), "c_7 is open already"
        good = [answer.index for answer in answers if isinstance(answer, Committed)]
        assert sorted(good) == list(range(2, 20)), "the other eighteen, without a gap"
        assert len(await log(store)) == 20
        assert len(await open_calls(store)) == 19

    run(scenario)


def test_a_deployment_is_seen_by_the_very_next_begin(run: Run) -> None:
    async def scenario(store: Store) -> None:
        deployed = deploy(store, "sha256:b", {"f": b"1"})
        late = store.begin(draft("intent", "c_1"), ((RELEASE, 0),))
        version, answer = await asyncio.gather(deployed, late)
        assert (version, answer) == (1, Conflict(RELEASE))

    run(scenario)


def test_a_write_stands_though_its_caller_was_cancelled(run: Run) -> None:
    async def scenario(store: Store) -> None:
        waiting = asyncio.ensure_future(store.begin(draft("intent", "c_1"), ()))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await store.finish(draft("outcome", "c_1")) == Committed(1)
        assert waiting.cancelled()
        assert await log(store) == [("intent", "c_1"), ("outcome", "c_1")]

    run(scenario)


def test_bundles_are_kept_for_ever_and_versions_only_rise(run: Run) -> None:
    async def scenario(store: Store) -> None:
        first, second = {"b": b"\xff", "a": b""}, {"a": b"2"}
        assert await deploy(store, "sha256:1", first) == 1
        assert await deploy(store, "sha256:2", second) == 2
        assert await deploy(store, "sha256:1", {"a": b"forged"}) == 3
        assert await store.bundle("sha256:1") == first, "what ran under a digest is never overwritten"
        assert await store.bundle("sha256:2") == second
        state = await store.state(NOON)
        assert (state.controls, state.size) == ({RELEASE: (3, "sha256:1")}, 3)

    run(scenario)


def test_tasks_are_listed_until_the_microsecond_they_expire_and_newest_first(run: Run) -> None:
    async def scenario(store: Store) -> None:
        end = NOON + timedelta(hours=1)
        tasks: list[Task] = [
            replace(desk_task(f"t_{number}", expires_at=end), opened_at=NOON + timedelta(microseconds=number))
            for number in range(3)
        ]
        for number, task in enumerate(tasks):
            assert await store.open_task(task, draft("task_opened", task=task.id)) == Committed(number)
        before = await store.state(end - timedelta(microseconds=1))
        assert sorted(before.tasks, key=lambda task: task.id) == tasks
        assert (await store.state(end)).tasks == ()
        assert await store.recent_tasks(2) == (tasks[2], tasks[1])

    run(scenario)


def test_a_task_is_opened_once_and_the_second_attempt_leaves_no_entry(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.open_task(desk_task(), draft("task_opened"))
        with pytest.raises(StoreUnavailableError):
            await store.open_task(desk_task(), draft("task_opened"))
        assert await log(store) == [("task_opened", "")]
        assert await store.append(draft("denied")) == Committed(1)
        assert store.healthy

    run(scenario)


def test_a_checkpoint_signs_the_root_over_everything_and_once_for_each_size(run: Run) -> None:
    async def scenario(store: Store) -> None:
        signed: list[int] = []

        def sign(size: int, root: bytes) -> str:
            signed.append(size)
            return note(size, root)

        hashes: list[bytes] = []
        for size in range(6):
            root = root_of(hashes)
            assert await store.checkpoint(sign) == note(size, root)
            assert await store.checkpoint(lambda *_: "another") == note(size, root)
            entry = draft("denied", f"c_{size}")
            hashes.append(leaf_hash(entry.leaf))
            await store.append(entry)
        assert signed == list(range(6))
        for size in range(7):
            assert await store.root_at(size) == root_of(hashes[:size])
        assert await store.root_at(7) is None

    run(scenario)


# --- obligations ------------------------------------------------------------------------------------------------------

MIDNIGHT = NOON + timedelta(hours=12)


def at_once(most: int, key: str = "clerk/at_once/agent:clerk@now") -> Reserve:
    return Reserve("at_once", key, most, None)


def a_day(most: int, key: str = "clerk/writes/user:tom@2026-11-22") -> Reserve:
    return Reserve("writes", key, most, MIDNIGHT)


async def begin(store: Store, call: str, *needs: Obligation) -> Committed | Conflict | Full:
    return await store.begin(draft("intent", call), (), needs)


def begun(answers: list[Any]) -> int:
    return sum(isinstance(answer, Committed) for answer in answers)


@pytest.mark.requirement("R6.1", "R6.4")
@pytest.mark.parametrize("cap", [at_once(4), a_day(4)], ids=["under way", "in a window"])
def test_of_twenty_at_once_against_a_cap_of_four_exactly_four_begin(run: Run, cap: Reserve) -> None:
    async def scenario(store: Store) -> None:
        answers = await asyncio.gather(*(begin(store, f"c_{number}", cap) for number in range(20)))
        assert begun(answers) == 4
        assert [answer for answer in answers if not isinstance(answer, Committed)] == [Full(cap, 4)] * 16
        assert len(await log(store)) == 4, "a full cap writes nothing"
        assert store.healthy, "a full cap is an answer"
        assert begun(await asyncio.gather(*(begin(store, f"d_{number}") for number in range(20)))) == 20, "the control"

    run(scenario)


@pytest.mark.requirement("R6.1")
def test_the_end_of_a_call_gives_back_what_was_under_way_and_keeps_what_was_counted(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number in range(3):
            assert isinstance(await begin(store, f"c_{number}", at_once(1), a_day(3)), Committed)
            assert await begin(store, "late", at_once(1)) == Full(at_once(1), 1)
            await store.finish(draft("outcome", f"c_{number}"))
        assert await begin(store, "late", at_once(1), a_day(3)) == Full(a_day(3), 3)
        assert isinstance(await begin(store, "late", at_once(1)), Committed), "the one under way was not counted"

    run(scenario)


def test_a_void_call_gives_back_all_that_it_reserved(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number in range(3):
            assert isinstance(await begin(store, f"c_{number}", at_once(1), a_day(1)), Committed)
            await store.finish(draft("outcome", f"c_{number}"), void=True)
        await begin(store, "c_3", a_day(1))
        await store.finish(draft("outcome", "c_3"))
        assert await begin(store, "c_4", a_day(1)) == Full(a_day(1), 1), "the control: not void"

    run(scenario)


def test_in_one_turn_each_ending_makes_room_for_the_next_call(run: Run) -> None:
    async def scenario(store: Store) -> None:
        async def one(number: int, *, void: bool) -> bool:
            answer = await begin(store, f"c_{number}", at_once(100), a_day(30))
            if isinstance(answer, Committed):
                await store.finish(draft("outcome", f"c_{number}"), void=void)
            return isinstance(answer, Committed)

        assert sum(await asyncio.gather(*(one(number, void=True) for number in range(30)))) == 30
        assert sum(await asyncio.gather(*(one(number, void=False) for number in range(40)))) == 30
        assert await begin(store, "late", a_day(30)) == Full(a_day(30), 30)
        assert isinstance(await begin(store, "other", at_once(1)), Committed), "nothing is under way"

    run(scenario)


def test_a_sweep_gives_back_what_was_under_way(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_1", at_once(1), a_day(1))
        await store.sweep(lost)
        assert isinstance(await begin(store, "c_2", at_once(1)), Committed)
        assert await begin(store, "c_3", a_day(1)) == Full(a_day(1), 1), "the effect may have happened"

    run(scenario)


@pytest.mark.parametrize("first", [True, False], ids=["full comes first", "full comes last"])
def test_of_several_obligations_all_are_met_or_none(run: Run, *, first: bool) -> None:
    async def scenario(store: Store) -> None:
        await store.keep(held(), draft("held"))
        await begin(store, "c_0", at_once(1))
        needs = (a_day(1), a_day(1, "another"), Consume("a_1"))
        full = (at_once(1), *needs) if first else (*needs, at_once(1))
        assert await begin(store, "c_1", *full) == Full(at_once(1), 1)
        assert await begin(store, "c_1", *needs, Consume("a_2")) == Conflict("approval/a_2")
        assert await log(store) == [("held", ""), ("intent", "c_0")]
        assert await begin(store, "c_1", *needs) == Committed(2), "none was counted, none used"

    run(scenario)


def test_the_same_counter_twice_counts_twice_and_the_same_approval_twice_is_a_conflict(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.keep(held(), draft("held"))
        assert await begin(store, "c_1", a_day(1), a_day(1)) == Full(a_day(1), 1)
        assert await begin(store, "c_1", Consume("a_1"), Consume("a_1")) == Conflict("approval/a_1")
        assert await begin(store, "c_1", a_day(2), a_day(2), Consume("a_1")) == Committed(1)

    run(scenario)


def test_a_changed_version_is_told_before_a_full_cap(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_1", at_once(1))
        answer = await store.begin(draft("intent", "c_2"), ((RELEASE, 1),), (at_once(1),))
        assert answer == Conflict(RELEASE)

    run(scenario)


@pytest.mark.parametrize("kept", [True, False])
def test_a_begin_told_to_fail_counts_only_if_it_was_made(run: Run, *, kept: bool) -> None:
    async def scenario(inner: Store) -> None:
        store = FailingStore(inner, at=(1,), kept=kept)
        with pytest.raises(StoreUnavailableError):
            await begin(store, "c_1", at_once(1))
        answer = await begin(store, "c_2", at_once(1))
        assert answer == (Full(at_once(1), 1) if kept else Committed(0))
        await store.finish(draft("outcome", "c_1" if kept else "c_2"), void=True)
        assert isinstance(await begin(store, "c_3", at_once(1)), Committed)

    run(scenario)


def test_a_refused_begin_counts_nothing_and_takes_no_count_from_its_neighbours(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_3", a_day(9))
        begins = (begin(store, f"c_{number}", a_day(9), at_once(8)) for number in range(8))
        answers = await asyncio.gather(*begins, return_exceptions=True)
        assert isinstance(answers[3], StoreUnavailableError), "c_3 is open already"
        assert begun(answers) == 7
        assert isinstance(await begin(store, "c_8", a_day(9), at_once(8)), Committed)
        assert await begin(store, "c_9", a_day(9)) == Full(a_day(9), 9)
        assert await begin(store, "c_9", at_once(8)) == Full(at_once(8), 8)

    run(scenario)


# --- approvals and controls -------------------------------------------------------------------------------------------


async def approvals(store: Store) -> dict[str, Approval]:
    return {approval.id: approval for approval in (await store.state(NOON)).approvals}


def test_an_approval_comes_back_whole_with_the_entry_that_opened_it_and_its_version(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.open_task(desk_task(), draft("task_opened"))
        new = held()
        assert await store.keep(new, draft("held")) == Committed(1)
        assert await approvals(store) == {"a_1": replace(new, entry=1, version=1)}
        grant = Grant(person="ben", role="finance", kind="approval", at=NOON)
        granted = replace(new, grants=(grant,), entry=1, version=2)
        assert await store.keep(granted, draft("granted"), (("approval/a_1", 1),)) == Committed(2)
        assert await approvals(store) == {"a_1": granted}, "the entry is the first one's"
        assert (await store.state(NOON)).controls == {"approval/a_1": (2, "waiting")}

    run(scenario)


def test_of_two_answers_to_one_approval_the_second_conflicts_and_writes_nothing(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.keep(held(), draft("held"))
        read = (("approval/a_1", 1),)
        denied = replace(held(), state=State.DENIED, by="ben", version=2)
        answers = await asyncio.gather(
            store.keep(replace(held(), version=2), draft("granted"), read), store.keep(denied, draft("denied"), read)
        )
        assert answers[0] == Committed(1)
        assert answers[1] == Conflict("approval/a_1")
        assert await log(store) == [("held", ""), ("granted", "")]

    run(scenario)


def test_a_new_approval_conflicts_when_what_was_decided_on_has_changed(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await store.keep(held(), draft("held"), ((RELEASE, 1),)) == Conflict(RELEASE)
        assert (await log(store), (await store.state(NOON)).controls) == ([], {})

    run(scenario)


def test_an_approval_raced_by_fifty_calls_is_used_by_one(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.open_task(desk_task(), draft("task_opened"))
        await store.keep(held(), draft("held"))
        answers = await asyncio.gather(*(begin(store, f"c_{number}", Consume("a_1")) for number in range(50)))
        assert begun(answers) == 1
        assert answers.count(Conflict("approval/a_1")) == 49
        (winner,) = (f"c_{number}" for number, answer in enumerate(answers) if isinstance(answer, Committed))
        used = (await approvals(store))["a_1"]
        assert used == replace(held(), state=State.USED, call=winner, entry=1, version=2)
        assert (await store.state(NOON)).controls["approval/a_1"] == (2, "used")
        await store.finish(draft("outcome", winner), void=True)
        assert await begin(store, "late", Consume("a_1")) == Conflict("approval/a_1"), "used for ever"

    run(scenario)


@pytest.mark.parametrize("state", [State.DENIED, State.USED, State.VOID])
def test_what_became_of_an_approval_stays(run: Run, state: State) -> None:
    async def scenario(store: Store) -> None:
        await store.open_task(desk_task(), draft("task_opened"))
        ended = replace(held(), state=state, by="ben", entry=1, version=2)
        await store.keep(held(), draft("held"))
        await store.keep(ended, draft("ended"))
        before = await log(store)
        assert await begin(store, "c_1", Consume("a_1")) == Conflict("approval/a_1")
        assert await store.keep(replace(held(), version=3), draft("granted")) == Conflict("approval/a_1")
        assert await log(store) == before
        void = replace(held(), state=State.VOID, by="ana", version=3)
        assert await store.control("stop", "fire", draft("stop"), approvals=(void,)) == {"stop": 1}
        assert await approvals(store) == {"a_1": ended}

    run(scenario)


def test_a_control_is_seen_by_the_very_next_begin_and_by_a_later_start(run: Run) -> None:
    async def scenario(store: Store) -> None:
        read = ((RELEASE, 0), ("stop", 0), ("agent/clerk", 0))
        raised, late = await asyncio.gather(
            store.control("agent/clerk", "stolen key", draft("revoked")), store.begin(draft("intent", "c_1"), read)
        )
        assert (raised, late) == ({"agent/clerk": 1}, Conflict("agent/clerk"))
        assert await store.control("agent/clerk", "", draft("restored")) == {"agent/clerk": 2}
        assert await store.control("stop", "fire", draft("stop")) == {"stop": 1}
        assert (await store.state(NOON)).controls == {"agent/clerk": (2, ""), "stop": (1, "fire")}
        assert await store.begin(draft("intent", "c_1"), (*read[:1], ("agent/clerk", 2), ("stop", 1))) == Committed(3)

    run(scenario)


def test_a_control_voids_approvals_and_closes_tasks_in_the_same_breath(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for name in ("t_1", "t_2", "t_3"):
            await store.open_task(desk_task(name), draft("task_opened", task=name))
            await store.keep(held(f"a{name}", name), draft("held", task=name))
        void = [replace(held(f"a{name}", name), state=State.VOID, by="revoked") for name in ("t_1", "t_3")]
        raised = await store.control("agent/clerk", "why", draft("revoked"), approvals=void, tasks=("t_1",))
        assert raised == {"agent/clerk": 1, "approval/at_1": 2, "approval/at_3": 2}
        state = await store.state(NOON)
        assert sorted(task.id for task in state.tasks) == ["t_2", "t_3"], "a closed task is not returned"
        assert [(each.id, each.state, each.entry) for each in state.approvals] == [
            ("at_2", State.WAITING, 3),
            ("at_3", State.VOID, 5),
        ]
        assert len(await store.recent_tasks(9)) == 3, "nor forgotten"
        for name in ("at_1", "at_3"):
            assert await begin(store, "c_1", Consume(name)) == Conflict(f"approval/{name}")
        assert isinstance(await begin(store, "c_1", Consume("at_2")), Committed)

    run(scenario)


def test_approvals_are_returned_as_long_as_their_task(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.open_task(desk_task(), draft("task_opened"))
        await store.keep(held(), draft("held"))
        await store.keep(held("a_2", "t_unknown"), draft("held"))
        end = desk_task().expires_at
        assert [each.id for each in (await store.state(end - timedelta(microseconds=1))).approvals] == ["a_1"]
        assert (await store.state(end)).approvals == ()

    run(scenario)


def test_releases_are_told_newest_first_and_count_by_the_control(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number, (digest, how) in enumerate(
            [("sha256:1", "deploy"), ("sha256:2", "deploy"), ("sha256:1", "rollback")]
        ):
            assert await deploy(store, digest, {}, how) == number + 1
        third, second = await store.releases(2)
        assert third == Deployed(number=3, bundle="sha256:1", at=NOON, by="ana", how="rollback")
        assert (second.number, second.bundle) == (2, "sha256:2")
        assert [each.number for each in await store.releases(9)] == [3, 2, 1]

    run(scenario)


def test_a_failing_store_fails_the_new_writes_too(run: Run) -> None:
    async def scenario(inner: Store) -> None:
        store = FailingStore(inner, at=(1, 2), kept=False)
        for write in (store.keep(held(), draft("held")), store.control("stop", "fire", draft("stop"))):
            with pytest.raises(StoreUnavailableError):
                await write
        assert (await log(inner), (await inner.state(NOON)).controls) == ([], {})
        assert not store.healthy
        assert await store.keep(held(), draft("held"), ((RELEASE, 1),)) == Conflict(RELEASE)
        assert not store.healthy, "a conflict wrote nothing"
        assert await store.keep(held(), draft("held")) == Committed(0)
        assert store.healthy
        assert await store.releases(1) == ()

    run(scenario)


# --- what was done before ---------------------------------------------------------------------------------------------

PAID = "#paid_today/1f@2026-11-22"
EVER = "#looked_up/2e@"
MOST = (1 << 62) - 1


def paid(by: int, seen: int = 0, key: str = PAID) -> Add:
    return Add(key, by, seen, MIDNIGHT)


def ever(by: int = 1, seen: int = 0, key: str = EVER) -> Add:
    return Add(key, by, seen, None)


async def both(store: Store) -> tuple[int, int]:
    """Return what is counted in the window and for ever."""
    told = await store.tallies((PAID, EVER))
    return told.get(PAID, 0), told.get(EVER, 0)


@pytest.mark.requirement("R3.4")
def test_an_add_counts_where_what_it_saw_is_counted_and_elsewhere_conflicts(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await begin(store, "c_1", paid(400), ever()) == Committed(0)
        assert await both(store) == (400, 1)
        assert await begin(store, "c_2", paid(1)) == Conflict(PAID), "it saw nothing there"
        assert await begin(store, "c_2", ever(1, 2)) == Conflict(EVER)
        assert await begin(store, "c_2", paid(100, 400), ever(1, 1)) == Committed(1)
        assert await both(store) == (500, 2)
        assert store.healthy, "a conflict is an answer"

    run(scenario)


@pytest.mark.requirement("R3.4", "R3.9")
def test_what_one_obligation_cannot_do_undoes_all_the_others(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await store.open_task(desk_task(), draft("task_opened"))
        await store.keep(held(), draft("held"))
        await begin(store, "c_1", at_once(9), a_day(9), paid(5))
        before, state = await log(store), await store.state(NOON)
        rest = (at_once(9), a_day(9), paid(1, 5), Mark((b"m" * 32,)), Consume("a_1"))
        for unmet, answer in (
            ((ever(1, 7),), Conflict(EVER)),
            ((at_once(2), at_once(2)), Full(at_once(2), 2)),
            ((Consume("a_2"),), Conflict("approval/a_2")),
        ):
            assert await begin(store, "c_2", *rest, *unmet) == answer
        assert await store.begin(draft("intent", "c_2"), ((RELEASE, 7),), rest) == Conflict(RELEASE)
        with pytest.raises(StoreUnavailableError):
            await begin(store, "c_1", *rest)
        assert (await log(store), await store.state(NOON), await both(store)) == (before, state, (5, 0))
        assert isinstance(await begin(store, "c_2", *rest, at_once(3), a_day(3)), Committed), "nothing was reserved"

    run(scenario)


def test_several_adds_of_one_call_add_up_and_each_is_compared_with_what_was_before(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_1", paid(10))
        assert await begin(store, "c_2", paid(1, 10), paid(2, 11)) == Conflict(PAID)
        assert isinstance(await begin(store, "c_2", paid(1, 10), ever(), paid(2, 10)), Committed)
        assert await both(store) == (13, 1)
        await store.finish(draft("outcome", "c_2"), void=True)
        assert await both(store) == (10, 0)

    run(scenario)


def test_an_add_of_nothing_is_compared_and_leaves_nothing(run: Run) -> None:
    async def scenario(store: Store) -> None:
        assert await begin(store, "c_1", paid(0), ever(0)) == Committed(0)
        assert await begin(store, "c_2", paid(0, 1)) == Conflict(PAID)
        await store.finish(draft("outcome", "c_1"), void=True, adds=(paid(0),))
        assert await store.tallies((PAID, EVER)) == {}
        await begin(store, "c_2", paid(3))
        assert await begin(store, "c_3", paid(0)) == Conflict(PAID)
        assert isinstance(await begin(store, "c_3", paid(0, 3)), Committed)
        assert await both(store) == (3, 0)

    run(scenario)


@pytest.mark.parametrize("end", ["done", "void", "unknown"])
def test_only_a_call_of_which_nothing_was_sent_gives_back_what_it_added(run: Run, end: str) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_1", paid(400), ever(), a_day(2))
        await begin(store, "c_2", ever(2, 1), a_day(2), paid(100, 400))
        if end == "unknown":
            assert await store.sweep(lost) == 2
        else:
            await store.finish(draft("outcome", "c_2"), void=end == "void")
        left = {"done": (500, 3), "void": (400, 1), "unknown": (500, 3)}[end]
        assert await both(store) == left
        answer = await begin(store, "c_3", paid(1, left[0]), ever(1, left[1]), a_day(2))
        assert answer == (Committed(3) if end == "void" else Full(a_day(2), 2))

    run(scenario)


@pytest.mark.requirement("R3.4")
def test_an_outcome_adds_whatever_was_seen_and_once(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_1", paid(5))
        await begin(store, "c_2")
        assert await store.finish(draft("outcome", "c_1"), adds=(paid(1, 99), ever(), ever())) == Committed(2)
        assert await both(store) == (6, 2)
        assert await store.finish(draft("outcome", "c_2"), void=True, adds=(paid(1),)) == Committed(3)
        assert await both(store) == (7, 2), "what an outcome adds is not given back"
        with pytest.raises(StoreUnavailableError, match="call_not_open"):
            await store.finish(draft("outcome", "c_2"), adds=(paid(1),))
        assert await both(store) == (7, 2)

    run(scenario)


def test_what_is_added_for_ever_is_no_call_under_way_though_both_are_named_alike(run: Run) -> None:
    async def scenario(store: Store) -> None:
        for number in range(3):
            answer = await begin(store, f"c_{number}", at_once(1, EVER), a_day(9, PAID), ever(1, number))
            assert isinstance(answer, Committed)
            await store.finish(draft("outcome", f"c_{number}"))
        assert await both(store) == (0, 3)
        await begin(store, "c_3", at_once(1, EVER), ever(1, 3))
        assert await begin(store, "c_4", at_once(1, EVER)) == Full(at_once(1, EVER), 1)
        assert await begin(store, "c_4", a_day(3, PAID)) == Full(a_day(3, PAID), 3)
        await store.finish(draft("outcome", "c_3"), void=True)
        assert await both(store) == (0, 3)
        assert isinstance(await begin(store, "c_4", at_once(1, EVER)), Committed)

    run(scenario)


def test_a_tally_holds_no_more_than_its_most_and_what_is_full_stays_full(run: Run) -> None:
    async def scenario(store: Store) -> None:
        await begin(store, "c_1", paid(MOST - 1), ever(MOST + 9))
        assert await both(store) == (MOST - 1, MOST)
        await begin(store, "c_2", paid(MOST, MOST - 1), ever(MOST, MOST))
        assert await both(store) == (MOST, MOST)
        for call in ("c_1", "c_2"):
            await store.finish(draft("outcome", call), void=True, adds=(paid(MOST), ever(MOST + 9)))
        assert await both(store) == (MOST, MOST), "nobody knows what it stands for"

    run(scenario)


def test_tallies_are_told_for_the_keys_asked_for_however_they_are_written(run: Run) -> None:
    async def scenario(store: Store) -> None:
        odd = ("#", "#a'b\"c", "#%_\\", "#\u00e9\U0001f600", "#" + "k" * 500)
        await begin(store, "c_1", *(ever(at + 1, key=key) for at, key in enumerate(odd)))
        assert await store.tallies(odd) == {key: at + 1 for at, key in enumerate(odd)}
        assert await store.tallies((*odd[1:2], "#none", *odd[1:2])) == {odd[1]: 2}
        assert await store.tallies(()) == {}
        assert await store.tallies(["#"] * 1_000) == {"#": 1}
        with pytest.raises(RemitError, match="tallies_too_many"):
            await store.tallies(["#"] * 1_001)

    run(scenario)


@pytest.mark.requirement("R3.4")
def test_of_many_at_once_each_that_saw_those_before_it_begins_and_one_that_did_not_fails_alone(run: Run) -> None:
    async def scenario(store: Store) -> None:
        async def one(number: int) -> Committed | Conflict | Full:
            return await begin(store, f"c_{number}", paid(2, 2 * (number if number < 7 else number - 1)), ever(0))

        answers = await asyncio.gather(*(one(number) for number in range(30)))
        assert [number for number, answer in enumerate(answers) if answer == Conflict(PAID)] == [7]
        assert begun(answers) == 29
        assert await both(store) == (58, 0)
        ends = (store.finish(draft("outcome", f"c_{number}"), void=number < 20) for number in range(30) if number != 7)
        late = begin(store, "late", paid(1, 20))
        assert isinstance((await asyncio.gather(*ends, late))[-1], Committed), "nineteen of them gave back"

    run(scenario)


async def spend(store: Store, call: str, by: int, ceiling: int) -> bool:
    """Add `by` where that stays within the ceiling, deciding again as often as somebody else was first."""
    while True:
        seen = (await store.tallies((PAID,))).get(PAID, 0)
        if seen + by > ceiling:
            return False
        if isinstance(await begin(store, call, paid(by, seen)), Committed):
            return True


@pytest.mark.requirement("R3.4")
def test_sixty_that_share_a_ceiling_never_pass_it(run: Run) -> None:
    async def scenario(store: Store) -> None:
        spent = await asyncio.gather(*(spend(store, f"c_{number}", 1 + number % 3, 20) for number in range(60)))
        total = sum(1 + number % 3 for number, done in enumerate(spent) if done)
        assert (await both(store))[0] == total == 20

    run(scenario)


@pytest.mark.requirement("R3.9")
def test_marks_are_kept_for_ever_however_a_call_ends_and_each_once(run: Run) -> None:
    async def scenario(store: Store) -> None:
        one, two, three = (bytes([at]) * 32 for at in range(3))
        assert (await store.state(NOON)).marks == frozenset()
        await begin(store, "c_1", Mark((one, two, one)), Mark(()))
        await begin(store, "c_2", Mark((two,)), Mark((three,)))
        assert (await store.state(NOON)).marks == {one, two, three}
        await store.finish(draft("outcome", "c_1"), void=True)
        await store.sweep(lost)
        many = tuple(at.to_bytes(32, "big") for at in range(1, 200))
        answers = await asyncio.gather(
            *(begin(store, f"d_{at}", Mark(many[at : at + 100])) for at in range(0, 200, 10))
        )
        assert begun(answers) == 20
        assert (await store.state(NOON)).marks == {one, two, three, *many}

    run(scenario)


def test_a_failing_store_adds_what_became_durable_and_nothing_else(run: Run) -> None:
    async def scenario(inner: Store) -> None:
        dead, liar = FailingStore(inner, at=(1, 2), kept=False), FailingStore(inner, at=(1, 2), kept=True)
        for store, told, marked in ((dead, (0, 0), frozenset[bytes]()), (liar, (5, 0), frozenset((b"m",)))):
            with pytest.raises(StoreUnavailableError):
                await begin(store, "c_1", paid(5), Mark((b"m",)))
            assert (await both(store), (await store.state(NOON)).marks) == (told, marked)
        for store, told in ((dead, (5, 0)), (liar, (5, 1))):
            with pytest.raises(StoreUnavailableError):
                await store.finish(draft("outcome", "c_1"), adds=(ever(),))
            assert await both(store) == told

    run(scenario)
