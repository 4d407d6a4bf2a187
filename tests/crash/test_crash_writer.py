"""`kill -9` of the writer, at moments nobody chose: what was acknowledged is there, and the log is whole.

A kill leaves the page cache alone, so this proves the order of commit and acknowledgement; that a commit also reaches
the disk is proven by counting syncs, beside the store's own tests.
"""

import asyncio
import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.crash.writer_child import DONE, LANES, mark_of

from remit.adapters.sqlite import SqliteStore
from remit.core import canonical_bytes
from remit.pipeline import OpenCall
from remit.records import Draft, Entry, leaf_hash, root_of
from remit.testing import NOON

pytestmark = pytest.mark.requirement("R3.4", "R3.9", "R5.1", "R7.6")

CHILD = Path(__file__).with_name("writer_child.py")
WORK_US = 20_000  # after the first acknowledgement, at most
STARTING_US = 15_000  # after the start, at most: while the file is created and the tree is loaded
CRASHES_OF_ONE_STORE = 15
CONTROL_KILLS = 300
SIGKILL = 9


@dataclass
class Victim:
    """One store and everything that was ever acknowledged on it."""

    path: Path
    begun: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    crashes: int = 0


@dataclass
class Killer:
    """The fork server, and the dice."""

    process: "subprocess.Popen[str]"
    dice: random.Random

    def kill(self, victim: Victim, *, hasty: bool = False) -> None:
        """Let a child work on the victim's store, kill it, and note what it had acknowledged."""
        early = not hasty and self.dice.random() < 0.1
        order = {
            "path": str(victim.path),
            "hasty": hasty,
            "prefix": f"k{victim.crashes}",
            "early": early,
            "wait_us": self.dice.randrange(STARTING_US if early else WORK_US),
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        said: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert said["ended"] == [["by signal", SIGKILL]], "the child must not have died of anything else"
        victim.begun.update(said["begun"])
        victim.done.update(said["done"])
        victim.crashes += 1


@contextmanager
def killer(seed: int) -> Iterator[Killer]:
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Killer(process, random.Random(seed))


def autopsy(victim: Victim, *, sweep: bool) -> list[str]:
    """Reopen the store and return what is wrong with it."""
    wrong = asyncio.run(_reopened(victim, sweep=sweep))
    connection = apsw.Connection(str(victim.path))
    try:
        if connection.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            wrong.append("the file is damaged")
    finally:
        connection.close()
    return wrong


async def _reopened(victim: Victim, *, sweep: bool) -> list[str]:
    store = await SqliteStore.open(victim.path)
    try:
        return await _examined(store, victim, sweep=sweep)
    finally:
        await store.close()


async def _examined(store: SqliteStore, victim: Victim, *, sweep: bool) -> list[str]:
    entries = await store.entries(0, 1 << 40)
    intents = {entry.call: entry.index for entry in entries if entry.kind == "intent"}
    ended = {entry.call: entry.index for entry in entries if entry.kind != "intent"}
    wrong = [f"acknowledged and lost: intent {item}" for item in victim.begun.items() - intents.items()]
    wrong += [f"acknowledged and lost: outcome {item}" for item in victim.done.items() - ended.items()]
    if [entry.index for entry in entries] != list(range(len(entries))):
        wrong.append("places have gaps")
    if not all(len(entry.payloads) == 1 for entry in entries if entry.kind != "unknown"):
        wrong.append("a payload is missing")
    root = root_of(leaf_hash(entry.leaf) for entry in entries)
    if await store.root_at(len(entries)) != root:
        wrong.append("the root is not that of the stored leaves")
    if await store.checkpoint(lambda size, signed: f"{size} {signed.hex()}") != f"{len(entries)} {root.hex()}":
        wrong.append("the writer goes on from another tree")
    if sweep:
        found: list[OpenCall] = []

        def lost(call: OpenCall) -> Draft:
            found.append(call)
            leaf = canonical_bytes({"kind": "unknown", "task": call.task, "call": call.call})
            return Draft(kind="unknown", task=call.task, call=call.call, leaf=leaf)

        await store.sweep(lost)
        expected = [OpenCall(call, "t_1", index) for call, index in intents.items() if call not in ended]
        if found != sorted(expected, key=lambda call: call.intent):
            wrong.append("open calls are not those begun and not finished")
    return wrong + await _miscounted(store, entries)


async def _miscounted(store: SqliteStore, entries: tuple[Entry, ...]) -> list[str]:
    """Return where what is counted does not go with the log. A call that was lost, or swept, has counted."""
    intents = [entry.call for entry in entries if entry.kind == "intent"]
    expected = Counter(f"#begun/{call.split('-')[1]}@" for call in intents)
    expected[DONE] = sum(entry.kind == "outcome" for entry in entries)
    told = await store.tallies((DONE, *(f"#begun/{at}@" for at in range(LANES))))
    wrong = [] if told == +expected else [f"counted {told}, where the log has {+expected}"]
    if (await store.state(NOON)).marks != {mark_of(call) for call in intents}:
        wrong.append("the marks are not those of the calls begun")
    return wrong


def kill_often(folder: Path, kills: int, seed: int) -> tuple[list[str], int]:
    """Kill so many writers, each store several times over; return what was wrong and how much was acknowledged."""
    wrong: list[str] = []
    acknowledged = 0
    with killer(seed) as knife:
        for number in range(-(-kills // CRASHES_OF_ONE_STORE)):
            victim = Victim(folder / f"{number}/remit.db")
            victim.path.parent.mkdir()
            for _ in range(min(CRASHES_OF_ONE_STORE, kills - number * CRASHES_OF_ONE_STORE)):
                knife.kill(victim)
                found = autopsy(victim, sweep=knife.dice.random() < 0.5)
                wrong += [f"store {number}, crash {victim.crashes}: {each}" for each in found]
            acknowledged += len(victim.begun) + len(victim.done)
    return wrong, acknowledged


def test_three_hundred_killed_writers_lose_nothing_they_acknowledged(tmp_path: Path) -> None:
    wrong, acknowledged = kill_often(tmp_path, 300, seed=300)
    assert wrong == []
    assert acknowledged > 300, "they did work"


@pytest.mark.long
def test_ten_thousand_killed_writers_lose_nothing_they_acknowledged(
    tmp_path: Path, share: Callable[[int], int]
) -> None:
    kills = share(10_000)
    wrong, acknowledged = kill_often(tmp_path, kills, seed=10_000)
    assert wrong == []
    assert acknowledged > kills


@pytest.mark.parametrize(
    ("damage", "seen"), [("UPDATE tallies SET used = used - 1", "counted {"), ("DELETE FROM marks", "the marks")]
)
def test_control_a_count_or_a_mark_that_is_lost_is_seen(tmp_path: Path, damage: str, seen: str) -> None:
    victim = Victim(tmp_path / "remit.db")
    with killer(seed=3) as knife:
        while len(victim.done) < 3:
            knife.kill(victim)
    assert autopsy(victim, sweep=True) == []
    connection = apsw.Connection(str(victim.path))
    connection.execute(damage)
    connection.close()
    (wrong,) = autopsy(victim, sweep=True)
    assert wrong.startswith(seen)


def test_control_a_writer_that_acknowledges_before_it_commits_is_caught(tmp_path: Path) -> None:
    with killer(seed=1) as knife:
        for number in range(CONTROL_KILLS):
            victim = Victim(tmp_path / f"{number}/remit.db")
            victim.path.parent.mkdir()
            knife.kill(victim, hasty=True)
            if any("acknowledged and lost" in each for each in autopsy(victim, sweep=False)):
                return
    raise AssertionError(f"{CONTROL_KILLS} kills have not caught it: the harness sees nothing")
