"""One contract for every store: the fake in memory and the adapter on SQLite answer alike."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remit.adapters.sqlite import SqliteStore
from remit.core import Consume, Obligation, Requirement, Reserve, StoreUnavailableError, Task, canonical_bytes
from remit.permissions import Approval, Grant, State
from remit.pipeline import RELEASE, Committed, Conflict, Deployed, Full, OpenCall, Store, StoredState
from remit.records import Draft, Payload, leaf_hash, root_of
from remit.testing import NOON, FailingStore, MemoryStore, desk_task

pytestmark = pytest.mark.requirement("R5.1")

Scenario = Callable[[Store], Coroutine[Any, Any, None]]
Run = Callable[[Scenario], None]


@pytest.fixture(params=["memory", "sqlite"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    async def on_sqlite(scenario: Scenario) -> None:
        store = await SqliteStore.open(tmp_path / "remit.db")
        try:
            await scenario(store)
        finally:
            await store.close()

    def go(scenario: Scenario) -> None:
        asyncio.run(on_sqlite(scenario) if request.param == "sqlite" else scenario(MemoryStore()))

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
        deploy = deploy(store, "sha256:b", {"f": b"1"})
        late = store.begin(draft("intent", "c_1"), ((RELEASE, 0),))
        version, answer = await asyncio.gather(deploy, late)
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
