"""A thousand at once under one ceiling, on the real store: what began is counted, and is never more than allowed."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from remit.adapters.sqlite import SqliteStore
from remit.adapters.sqlite._writer import Transaction
from remit.core import Add, canonical_bytes
from remit.pipeline import Committed
from remit.records import Draft
from remit.testing import NOON

pytestmark = pytest.mark.requirement("R3.4")

SPENDERS = 1_000
FEW = 100
CEILING = 150
DEAREST = 9
BY_USER, FOR_EVER = "#paid_today/1f@2026-11-22", "#paid/2e@"


@dataclass
class Spent:
    """What was let begin and not given back, as those who spent it know, and how often somebody else was first."""

    total: int = 0
    conflicts: int = 0
    refused: int = 0


def draft(kind: str, call: str) -> Draft:
    return Draft(kind=kind, task="t_1", call=call, leaf=canonical_bytes({"kind": kind, "call": call, "task": "t_1"}))


async def spend(store: SqliteStore, call: str, dice: random.Random, spent: Spent) -> None:
    """Begin on what is counted now; where somebody else was first, look again. A few have sent nothing in the end."""
    by, void = dice.randint(1, DEAREST), dice.random() < 0.2
    while True:
        seen = await store.tallies((BY_USER, FOR_EVER))
        today, ever = seen.get(BY_USER, 0), seen.get(FOR_EVER, 0)
        if today + by > CEILING:
            spent.refused += 1
            return
        adds = (Add(BY_USER, by, today, NOON + timedelta(hours=12)), Add(FOR_EVER, by, ever, None))
        if isinstance(await store.begin(draft("intent", call), (), adds), Committed):
            break
        spent.conflicts += 1
    spent.total += by
    if void:
        spent.total -= by  # (before it is given back: nobody may count on room that is not there yet)
        await store.finish(draft("outcome", call), void=True)


async def all_at_once(folder: Path, spenders: int) -> tuple[Spent, int, int]:
    store, spent, dice = await SqliteStore.open(folder / "remit.db"), Spent(), random.Random(spenders)
    try:
        await asyncio.gather(*(spend(store, f"c_{number}", dice, spent) for number in range(spenders)))
        told = await store.tallies((BY_USER, FOR_EVER))
        return spent, told[BY_USER], told[FOR_EVER]
    finally:
        await store.close()


def check(folder: Path, spenders: int) -> None:
    spent, today, ever = asyncio.run(all_at_once(folder, spenders))
    print(f"{spenders} spenders: {spent}")  # noqa: T201 - the numbers of the proof
    assert spent.total == today == ever
    assert CEILING - DEAREST < today <= CEILING
    assert spent.conflicts, "they did meet"
    assert spent.refused


def test_a_hundred_at_once_never_spend_more_than_the_ceiling(tmp_path: Path) -> None:
    check(tmp_path, FEW)


@pytest.mark.long
def test_a_thousand_at_once_never_spend_more_than_the_ceiling(tmp_path: Path, share: Callable[[int], int]) -> None:
    check(tmp_path, max(FEW, share(SPENDERS)))


def test_control_a_store_that_does_not_compare_lets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transaction, "moved", lambda *_: None)
    _, today, _ = asyncio.run(all_at_once(tmp_path, FEW))
    assert today > CEILING
