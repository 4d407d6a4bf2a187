"""One approval, presented a thousand times at once: made once, in memory and on the real store."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.pipeline.approving_stage import LESS, OSCAR, edited, editing, sent
from tests.pipeline.pipeline_stage import HELD, OLGA, BeginsBlindly, Stage, play
from tests.races.arena import OLGA as OLGA_THERE
from tests.races.arena import arena

from remit.pipeline import Done, Gateway
from remit.testing import Desk

pytestmark = pytest.mark.requirement("R3.5")

AT_ONCE = 1_000


async def approved_and_presented(stage: Stage) -> None:
    await stage.approve(await stage.held())
    await asyncio.gather(*(stage.present() for _ in range(AT_ONCE)))


def test_a_thousand_uses_at_once_of_one_approval_are_one() -> None:
    async def scene(stage: Stage) -> None:
        await approved_and_presented(stage)
        again = await stage.present()
        assert isinstance(again, Done)
        assert again.repeated

    stage = play(scene, Desk(), replayed=False)
    assert stage.paid == 1
    assert len(stage.leaves("intent")) == 1


def test_control_a_gateway_that_compares_nothing_pays_more_than_once() -> None:
    assert play(approved_and_presented, Desk(kind=BeginsBlindly), replayed=False).paid > 1


def test_a_thousand_uses_at_once_of_one_edit_are_one_and_the_edited_call() -> None:
    async def scene(stage: Stage) -> None:
        await stage.approve(await edited(stage, await stage.held(), LESS, OSCAR), OLGA)
        await asyncio.gather(*(stage.present() for _ in range(AT_ONCE)))

    assert sent(play(scene, editing(Desk()), replayed=False)) == [LESS]


@pytest.mark.long
def test_a_thousand_uses_at_once_on_the_real_store_are_one(tmp_path: Path, share: Callable[[int], int]) -> None:
    async def scene() -> tuple[int, Counter[str]]:
        async with arena(tmp_path, 1, Gateway) as here:
            await here.open("t_1")
            approval = await here.held(HELD, "t_1")
            await here.approvals.approve(OLGA_THERE, approval.id, approval.digest, "")
            answers = await asyncio.gather(*(here.ask("pay", HELD, "t_1") for _ in range(share(AT_ONCE))))
            return len(here.tool.received), Counter(answers)

    received, answers = asyncio.run(scene())
    assert received == 1
    assert answers["done"] == 1
