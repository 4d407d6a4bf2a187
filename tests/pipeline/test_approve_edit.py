"""A held call that a person changes: another call, decided afresh, approved by others, made once instead."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.pipeline.approving_stage import (
    ANA,
    CLERK,
    LESS,
    OPAL,
    OSCAR,
    TOM_WITH_ROLES,
    edit,
    edited,
    editing,
    say_yes,
    sent,
)
from tests.pipeline.pipeline_stage import HELD, OLGA, Stage, code_of, play

from remit.core import JsonObject, Reason, StoreUnavailableError
from remit.identity import Person
from remit.permissions import Approval, State, same_call
from remit.pipeline import Committed, Conflict, Done, Proposed, Refused
from remit.records import Draft
from remit.testing import Desk, MemoryStore

pytestmark = pytest.mark.requirement("R3.5")


async def changed_and_approved(stage: Stage) -> Approval:
    made = await edited(stage, await stage.held(), LESS)
    return await stage.approve(made)


def test_the_agents_own_call_is_answered_by_the_edited_one_which_is_made_once() -> None:
    async def scene(stage: Stage) -> None:
        await changed_and_approved(stage)
        first, again = await stage.present(), await stage.present()
        assert isinstance(first, Done)
        assert isinstance(again, Done)
        assert (again.call, again.repeated) == (first.call, True)

    stage = play(scene, editing(Desk()))
    assert sent(stage) == [LESS]


def test_an_edit_is_void_for_the_old_and_opens_a_new_one_with_an_entry_each() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.held()
        new = await edited(stage, old, LESS)
        kept = stage.desk.store.approvals
        assert kept[old.id].state is State.VOID
        assert kept[old.id].by == f"edited by opal: {new.id}"
        assert kept[new.id] == new == stage.desk.live.approval(new.id)
        assert (new.editor, new.grants, new.state) == ("opal", (), State.WAITING)
        assert (new.instead_of, json.loads(new.edited)) == (same_call("pay", stage.call().canonical), LESS)
        (one,) = stage.leaves("approval")
        assert (one["approval"], one["answer"], one["into"], one["by"]) == (old.id, "edited", new.id, "opal")
        assert one["why"] == "too much"
        _, two = stage.leaves("held")
        assert (two["approval"], two["edited_of"], two["edited_by"]) == (new.id, old.id, "opal")
        assert (two["call_digest"], two["edited_entry"]) == (new.digest, old.entry)
        log = stage.desk.store.log
        assert not [entry for entry in log if b'"amount"' in entry.leaf], "no leaf has an argument"

    play(scene, editing(Desk()))


def test_what_was_given_before_an_edit_lets_neither_call_through() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.approve(await stage.held())
        await edited(stage, old, LESS)
        answer = await stage.present()
        assert code_of(answer) == "approval_required"
        assert await say_yes(stage, old, OSCAR) == "approval_closed"

    assert play(scene, editing(Desk())).paid == 0

    async def control(stage: Stage) -> None:
        await stage.approve(await stage.held())
        assert isinstance(await stage.present(), Done)

    assert play(control, editing(Desk())).paid == 1


def test_who_edited_does_not_count_and_an_earlier_approver_may_look_again() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.approve(await stage.held(), OSCAR)
        new = await edited(stage, old, LESS, OPAL)
        assert await say_yes(stage, new, OPAL) == "approver_is_editor"
        assert isinstance(await stage.present(), Refused)
        assert await say_yes(stage, new, OSCAR) == ""
        assert isinstance(await stage.present(), Done)

    assert play(scene, editing(Desk())).paid == 1


@pytest.mark.parametrize(
    ("person", "code"),
    [
        (TOM_WITH_ROLES, "approver_is_requester"),
        (ANA, "approver_is_owner"),
        (CLERK, "approver_is_agent"),
        (Person("kim", frozenset({"audit"})), "approver_role_missing"),
        (Person("kim", frozenset()), "approver_role_missing"),
    ],
    ids=["user", "owner", "agent", "other role", "no role"],
)
def test_who_may_not_approve_may_not_edit(person: Person, code: str) -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.held()
        answer = await edit(stage, old, LESS, person)
        assert isinstance(answer, Reason)
        assert answer.code == code
        assert stage.desk.live.approvals() == (old,)
        assert isinstance(await edit(stage, old, LESS, OPAL), Approval), "the control"

    play(scene, editing(Desk()))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (HELD, "edit_unchanged"),
        ({"amount": 500}, "policy_no_permit"),
        ({"amount": -1}, "arguments_invalid"),
        ({"amount": "60"}, "arguments_invalid"),
        ({}, "arguments_invalid"),
        ({"amount": 60, "cc": "x"}, "arguments_invalid"),
    ],
    ids=str,
)
def test_an_edit_that_may_not_be_changes_nothing(arguments: JsonObject, code: str) -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.held()
        entries = len(stage.desk.store.log)
        answer = await edit(stage, old, arguments)
        assert isinstance(answer, Reason), answer
        assert answer.code == code
        assert stage.desk.live.approvals() == (old,)
        assert len(stage.desk.store.log) == entries

    play(scene, editing(Desk()))


def test_an_edit_of_a_call_that_was_not_shown_or_waits_no_more_is_refused() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.held()
        assert code_in(await edit(stage, old, LESS, digest="sha256:" + "0" * 64)) == "approval_digest_mismatch"
        assert code_in(await stage.desk.approvals.edit(OPAL, "a_none", old.digest, LESS, "")) == "approval_unknown"
        await stage.deny(old)
        assert code_in(await edit(stage, old, LESS)) == "approval_closed"
        late = await stage.held("pay", {"amount": 80, "to": "somebody else"})
        stage.desk.live.dismiss(late.task)
        assert code_in(await edit(stage, late, LESS)) == "approval_closed"

    play(scene, editing(Desk()))


def test_where_nobody_decides_afresh_nobody_edits() -> None:
    async def scene(stage: Stage) -> None:
        assert code_in(await edit(stage, await stage.held(), LESS)) == "edit_not_offered"

    desk = Desk()
    from_nobody = desk.approvals
    desk.approvals = type(from_nobody)(live=desk.live, store=desk.store, clock=desk.clock, bell=desk.bell)
    play(scene, desk)


def code_in(answer: Approval | Reason) -> str:
    assert isinstance(answer, Reason), answer
    return answer.code


def test_whatever_is_proposed_nobody_has_approved_it_yet() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.approve(await stage.held())
        proposed = stage.desk.gateway.propose

        async def eagerly(approval: Approval, arguments: JsonObject, editor: str) -> Proposed | Reason:
            made = await proposed(approval, arguments, editor)
            assert isinstance(made, Proposed)
            return replace(made, approval=replace(made.approval, editors=(), grants=old.grants))

        stage.desk.approvals = replace(stage.desk.approvals, propose=eagerly)
        made = await edited(stage, old, LESS, OSCAR)
        assert (made.editors, made.grants) == (("oscar",), ())
        assert isinstance(await stage.present(), Refused)

    play(scene, editing(Desk()))


def test_an_edited_call_can_be_edited_again_and_still_stands_for_what_the_agent_asked() -> None:
    async def scene(stage: Stage) -> None:
        first = await edited(stage, await stage.held(), LESS, OPAL)
        second = await edited(stage, first, {"amount": 55}, OSCAR)
        assert (second.editors, second.instead_of) == (("opal", "oscar"), first.instead_of)
        await stage.approve(second, OLGA)
        assert isinstance(await stage.present(), Done)

    assert sent(play(scene, editing(Desk()))) == [{"amount": 55}]


@pytest.mark.parametrize("last", [{"amount": 60, "note": "thanks"}, {"amount": 55}, HELD], ids=str)
def test_nobody_who_edited_on_the_way_counts_for_the_last_version(last: JsonObject) -> None:
    async def scene(stage: Stage) -> None:
        first = await edited(stage, await stage.held(), LESS, OPAL)
        second = await edited(stage, first, last, OSCAR)
        for person in (OPAL, OSCAR):
            assert await say_yes(stage, second, person) == "approver_is_editor"
        assert isinstance(await stage.present(), Refused)
        await stage.restart()
        assert await say_yes(stage, second, OPAL) == "approver_is_editor"
        assert await say_yes(stage, second, OLGA) == "", "the control"
        assert isinstance(await stage.present(), Done)

    assert sent(play(scene, editing(Desk()))) == [last]


def test_two_edits_at_once_leave_one_that_waits() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.held()
        answers = await asyncio.gather(
            edit(stage, old, {"amount": 60}, OPAL), edit(stage, old, {"amount": 61}, OSCAR), stage.present()
        )
        made = [answer for answer in answers[:2] if isinstance(answer, Approval)]
        assert [code_in(answer) for answer in answers[:2] if isinstance(answer, Reason)] == ["approval_closed"]
        waiting = [each.id for each in stage.desk.live.approvals() if each.state is State.WAITING and each.edited]
        assert waiting == [each.id for each in made]

    assert play(scene, editing(Desk())).paid == 0


def test_an_edit_and_the_call_at_once_never_make_both_calls() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.approve(await stage.held())
        answer, _ = await asyncio.gather(edit(stage, old, LESS, OSCAR), stage.present())
        if isinstance(answer, Approval):
            await stage.approve(answer, OPAL)
        for _ in range(3):
            await stage.present()

    assert play(scene, editing(Desk())).paid == 1


def test_a_no_to_the_edited_call_is_a_no_to_what_the_agent_asked() -> None:
    async def scene(stage: Stage) -> None:
        await stage.deny(await edited(stage, await stage.held(), LESS))
        assert code_of(await stage.present()) == "approval_denied"
        assert code_of(await stage.present("pay", LESS)) == "approval_denied"

    assert play(scene, editing(Desk())).paid == 0


def test_an_edit_that_expired_stands_for_nothing_and_the_call_is_held_anew() -> None:
    async def scene(stage: Stage) -> None:
        old = await stage.held()
        new = await stage.approve(await edited(stage, old, LESS))
        assert new.expires_at <= stage.desk.clock.now() + timedelta(hours=1)
        stage.desk.clock.advance(new.expires_at - stage.desk.clock.now())
        assert not isinstance(await stage.present(), Done)

    assert play(scene, editing(Desk())).paid == 0


class LosesSecond(MemoryStore):
    """A store that takes what makes the old one void, and not the new one."""

    armed = False

    async def keep(self, approval: Approval, entry: Draft, read: Any = ()) -> Committed | Conflict:
        if self.armed and approval.editor:
            raise StoreUnavailableError("store_unavailable", "the disk is full", "make room")
        return await super().keep(approval, entry, read)


def test_an_edit_that_was_kept_by_half_lets_nothing_through() -> None:
    async def scene(stage: Stage) -> None:
        assert isinstance(stage.desk.store, LosesSecond)
        old = await stage.approve(await stage.held())
        stage.desk.store.armed = True
        with pytest.raises(StoreUnavailableError):
            await edit(stage, old, LESS, OSCAR)
        stage.desk.store.armed = False
        again = await stage.held()
        assert (again.id != old.id, again.digest) == (True, old.digest)
        await stage.restart()
        assert isinstance(await stage.present(), Refused)

    assert play(scene, editing(Desk(store=LosesSecond()))).paid == 0


def test_an_edit_outlives_a_restart() -> None:
    async def scene(stage: Stage) -> None:
        await changed_and_approved(stage)
        await stage.restart()
        assert isinstance(await stage.present(), Done)

    assert sent(play(scene, editing(Desk()))) == [LESS]


def test_an_agent_that_waits_is_woken_by_an_edit_and_by_the_yes_to_it() -> None:
    async def scene(stage: Stage) -> None:
        call = asyncio.ensure_future(stage.present())
        for _ in range(50):
            await asyncio.sleep(0)
        [old] = stage.desk.live.approvals()
        await stage.approve(await edited(stage, old, LESS), OLGA)
        assert isinstance(await call, Done)

    assert sent(play(scene, editing(Desk(hold_wait_s=600.0)))) == [LESS]
