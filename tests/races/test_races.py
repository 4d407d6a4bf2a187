"""Everybody at once, on the real store: nothing has an effect that the log, read in order, does not allow."""

import asyncio
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
from tests.races.arena import (
    A_DAY_MAX,
    AT_ONCE_MAX,
    OLGA,
    Arena,
    ComparesNothing,
    OwesNothing,
    arena,
    capped,
    wrongs,
)

from remit.core import JsonObject
from remit.identity import X509, Cut
from remit.pipeline import Cutoff, Gateway, Snapshot
from remit.testing import POLICY, desk_snapshot

pytestmark = pytest.mark.requirement("R2.11", "R3.5", "R3.7", "R4.7", "R6.1", "R6.4", "R8.6")

TRIES = 1_000
FEW = 30
CONTROL_TRIES = 200  # at most, until a gateway that lacks a guard is seen
FORBIDS = POLICY + '@id("stop") forbid (principal, action == Action::"look", resource);'
HELD: JsonObject = {"amount": 75}
CLERK = Cut(agent="clerk")
CALLERS = 20
PRESENTED = 50

Try = Callable[[Arena, int], Awaitable[str]]


async def approved_and_revoked(here: Arena, number: int) -> str:
    task = f"t_{number}"
    await here.open(task)
    approval = await here.held(HELD, task)

    async def approve_and_call() -> str:
        await here.pause()
        await here.approvals.approve(OLGA, approval.id, approval.digest, "")
        return await here.ask("pay", HELD, task)

    async def call_meanwhile() -> str:
        await here.pause()
        return await here.ask("pay", HELD, task)

    async def revoke() -> str:
        await here.pause()
        await here.pause()
        assert isinstance(await here.controls.cut(CLERK, "otto", "a race"), Cutoff)
        return ""

    answers = await asyncio.gather(approve_and_call(), call_meanwhile(), revoke())
    assert await here.controls.restore(CLERK, "otto", "the next race") is None
    return "made" if "done" in answers else "cut off"


def revoked_and_called(what: str) -> Try:
    """Return the race of three calls in one task with the revocation of what they rest on."""

    async def race(here: Arena, number: int) -> str:
        task, kid = f"t_{number}", ""
        await here.open(task)
        if what == "key":  # (a new one each time: no key that was revoked ever counts again)
            sha256 = urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode("ascii")
            kid = str(await here.controls.register_key("clerk", {"kty": X509, "x5t#S256": sha256}, "ana"))
        cut = {"agent": CLERK, "user": Cut(user="tom"), "task": Cut(task=task), "key": Cut(key=kid)}[what]

        async def call() -> str:
            await here.pause()
            return await here.ask("look", {}, task, (kid,) if kid else ())

        async def revoke() -> str:
            await here.pause()
            assert isinstance(await here.controls.cut(cut, "otto", "a race"), Cutoff)
            return ""

        answers = await asyncio.gather(call(), revoke(), call(), call())
        if what in ("agent", "user"):
            assert await here.controls.restore(cut, "otto", "the next race") is None
        here.live.dismiss(task)
        return (
            "cut under way" if "revoked" in answers else {0: "cut off", 3: "made"}.get(answers.count("done"), "between")
        )

    return race


async def quarantined_and_called(here: Arena, number: int) -> str:
    if number == 0:
        await here.open("t_0")

    async def call() -> str:
        await here.pause()
        return await here.ask("look", {}, "t_0")

    async def quarantine() -> str:
        await here.pause()
        await here.controls.quarantine("look", [f"difference {number}"])
        return ""

    answers = await asyncio.gather(call(), quarantine(), call())
    assert await here.controls.release_operation("look", "otto", "the next race") is None
    return {0: "quarantined", 1: "between", 2: "made"}[answers.count("done")]


async def twenty_at_once(here: Arena, number: int) -> str:
    if number == 0:
        await here.open("t_0")
    here.clock.advance(timedelta(days=1))
    arrived = len(here.tool.received)

    async def call() -> str:
        answer = ""
        for _ in range(4):
            await here.pause()
            answer = await here.ask("look", {}, "t_0")
            if answer != "limit_concurrency":
                break
        return answer

    answers = await asyncio.gather(*(call() for _ in range(CALLERS)))
    made = answers.count("done")
    assert made == len(here.tool.received) - arrived, answers
    return "the day's cap" if "limit_reached" in answers else "the cap at once"


async def one_approval_fifty_calls(here: Arena, number: int) -> str:
    task = f"t_{number}"
    await here.open(task)
    approval = await here.held(HELD, task)
    at = here.dice.randrange(PRESENTED)

    async def call(which: int) -> str:
        await here.pause()
        if which == at:
            await here.approvals.approve(OLGA, approval.id, approval.digest, "")
        return await here.ask("pay", HELD, task)

    answers = await asyncio.gather(*(call(which) for which in range(PRESENTED)))
    here.live.dismiss(task)
    assert answers.count("done") >= 1, answers
    return "repeated" if "repeated" in answers else "under way alone"


async def swapped_and_called(here: Arena, number: int) -> str:
    if number == 0:
        await here.open("t_0")
    forbids = here.live.snapshot.digest == desk_snapshot().digest

    async def call() -> str:
        await here.pause()
        return await here.ask("look", {}, "t_0")

    async def swap() -> str:
        await here.pause()
        await here.deploy(desk_snapshot(FORBIDS if forbids else POLICY))
        return ""

    answers = await asyncio.gather(call(), swap(), call())
    return f"to {'forbid' if forbids else 'permit'}: {answers.count('done')} made"


@dataclass(frozen=True)
class Race:
    """Who acts at once, what may at most happen, and the gateway that would let more happen."""

    of: Try
    control: type[Gateway]
    at_once_max: int = 1 << 30
    a_day_max: int = 1 << 30
    first: Callable[[], Snapshot] = desk_snapshot


CUT = ("agent", "user", "task", "key")
RACES = {
    "approved and revoked": Race(approved_and_revoked, ComparesNothing),
    **{f"{what} revoked and called": Race(revoked_and_called(what), ComparesNothing) for what in CUT},
    "quarantined and called": Race(quarantined_and_called, ComparesNothing),
    "twenty against caps": Race(twenty_at_once, OwesNothing, AT_ONCE_MAX, A_DAY_MAX, capped),
    "fifty on one approval": Race(one_approval_fifty_calls, OwesNothing),
    "swapped and called": Race(swapped_and_called, ComparesNothing),
}


async def run(race: Race, folder: Path, tries: int, kind: type[Gateway] = Gateway, seed: int = 1) -> Arena:
    async with arena(folder, seed, kind, race.first()) as here:
        for number in range(tries):
            here.won[await race.of(here, number)] += 1
        here.wrong = await wrongs(here, race.at_once_max, race.a_day_max)
    return here


@pytest.mark.parametrize("name", RACES)
def test_nothing_happens_that_the_log_does_not_allow(name: str, tmp_path: Path) -> None:
    here = asyncio.run(run(RACES[name], tmp_path, FEW))
    assert here.wrong == []
    assert here.tool.received


@pytest.mark.long
@pytest.mark.parametrize("name", RACES)
def test_nothing_happens_that_the_log_does_not_allow_a_thousand_times(
    name: str, tmp_path: Path, share: Callable[[int], int]
) -> None:
    tries = share(TRIES)
    started = time.monotonic()
    here = asyncio.run(run(RACES[name], tmp_path, tries, seed=2))
    took = time.monotonic() - started
    counted = "; ".join(str(dict(counts)) for counts in (here.won, here.answers, here.store.begun))
    print(f"{name}: {tries} tries, {took:.1f} s: {counted}")  # noqa: T201 - the numbers of a long proof
    assert here.wrong == []
    assert here.tool.received
    if tries >= TRIES:
        each_cap = {"limit_concurrency", "limit_reached"} <= here.answers.keys()
        assert len(here.won) > 1 or each_cap, "each side won at times, or each cap was the one that refused"
        assert here.store.begun["Conflict"] + here.store.begun["Full"], "and the transaction had the last word"


async def until_wrong(race: Race, folder: Path) -> tuple[int, list[str]]:
    async with arena(folder, 3, race.control, race.first()) as here:
        for number in range(CONTROL_TRIES):
            await race.of(here, number)
            if number % 10 == 9 and (wrong := await wrongs(here, race.at_once_max, race.a_day_max)):
                return number + 1, wrong
    return CONTROL_TRIES, []


@pytest.mark.parametrize("name", RACES)
def test_control_without_its_guard_something_does(name: str, tmp_path: Path) -> None:
    tries, wrong = asyncio.run(until_wrong(RACES[name], tmp_path))
    print(f"{name}: seen within {tries} tries, {wrong[0]}")  # noqa: T201 - the numbers of the control
    assert wrong
