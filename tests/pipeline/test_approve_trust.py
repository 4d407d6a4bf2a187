"""Trusting a value while approving: by the approver's own signature, for a time, and only what the call is held for."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.pipeline.approving_stage import (
    ELI,
    LESS,
    OPAL,
    PAID_TO,
    SUE,
    TO,
    edited,
    say_yes,
    trust,
    trusting,
)
from tests.pipeline.pipeline_stage import Stage, play

from remit.core import InputRefusedError, JsonObject, StoreUnavailableError, utc_text
from remit.permissions import Approval, Directory, Kind
from remit.pipeline import Committed, Conflict, Done, Refused, Trusted, directory_control, trusted_in
from remit.pipeline._trusting import TRUSTED_MAX, with_trusted, without_trusted
from remit.records import Draft
from remit.testing import NOON, MemoryStore

pytestmark = pytest.mark.requirement("R3.9")

AGAIN: JsonObject = {"amount": 21, "to": TO}


def says(stage: Stage, directory: str = "payees") -> list[Any]:
    return [[each.value, utc_text(each.until), each.person] for each in trusted_in(live_says(stage, directory))]


def live_says(stage: Stage, directory: str) -> str:
    return stage.desk.live.says(directory_control(directory))


async def trusted(stage: Stage, **said: Any) -> Approval:
    """Let sue approve a payment to a stranger, and trust them from now on."""
    held = await stage.held("pay", PAID_TO)
    assert await say_yes(stage, held, SUE, [trust(held, **said)]) == ""
    return held


def test_a_value_that_was_trusted_holds_no_further_call() -> None:
    async def scene(stage: Stage) -> None:
        held = await trusted(stage)
        assert [need.kind for need in held.requirements] == ["provenance"]
        assert isinstance(await stage.present("pay", PAID_TO), Done)
        assert isinstance(await stage.present("pay", AGAIN), Done)
        assert isinstance(await stage.present("pay", {"amount": 21, "to": "mallory@corp.example"}), Refused)

    stage = play(scene, trusting())
    assert says(stage) == [[TO, "2026-12-22T12:00:00.000000Z", "sue"]]
    assert stage.paid == 2


def test_control_a_yes_alone_trusts_nothing() -> None:
    async def scene(stage: Stage) -> None:
        assert await say_yes(stage, await stage.held("pay", PAID_TO), SUE) == ""
        assert isinstance(await stage.present("pay", PAID_TO), Done)
        assert isinstance(await stage.present("pay", AGAIN), Refused)

    assert says(play(scene, trusting())) == []


def test_what_was_trusted_is_over_at_its_time_to_the_microsecond() -> None:
    async def scene(stage: Stage, late: timedelta) -> None:
        await trusted(stage, until=NOON + timedelta(minutes=10))
        stage.desk.clock.advance(timedelta(minutes=10) + late)
        assert isinstance(await stage.present("pay", AGAIN), Refused if late >= timedelta(0) else Done)

    play(lambda stage: scene(stage, timedelta(microseconds=-1)), trusting())
    play(lambda stage: scene(stage, timedelta(0)), trusting())


def test_what_was_trusted_outlives_a_restart_and_can_be_taken_back() -> None:
    async def scene(stage: Stage) -> None:
        await trusted(stage)
        await stage.restart()
        assert isinstance(await stage.present("pay", AGAIN), Done)
        assert await stage.desk.approvals.distrust(OPAL, "payees", TO, "a mistake") is None
        refused = await stage.desk.approvals.distrust(OPAL, "payees", TO, "once more")
        assert refused is not None
        assert refused.code == "trusted_unknown"
        assert isinstance(await stage.present("pay", {**AGAIN, "amount": 22}), Refused)

    stage = play(scene, trusting())
    assert says(stage) == []
    assert [leaf["word"] for leaf in stage.leaves("control")] == ["extended", "reduced"]


def test_the_entry_has_the_signature_apart_and_says_who_until_when_and_for_which_approval() -> None:
    async def scene(stage: Stage) -> None:
        held = await trusted(stage)
        [entry] = [entry for entry in stage.desk.store.log if entry.kind == "control"]
        leaf = json.loads(entry.leaf)
        assert (leaf["control"], leaf["word"], leaf["by"]) == ("directory/payees", "extended", "sue")
        assert (leaf["approval"], leaf["until"]) == (held.id, "2026-12-22T12:00:00.000000Z")
        assert leaf["envelope"]["commitment"].startswith("sha256:")
        [payload] = entry.payloads
        assert (payload.name, payload.body) == ("envelope", trust(held).envelope)
        assert TO.encode() not in b"".join(each.leaf for each in stage.desk.store.log)

    play(scene, trusting())


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "another value": ({"value": "mallory@corp.example"}, "trust_not_a_reason"),
    "a part of it": ({"value": "eve@corp"}, "trust_not_a_reason"),
    "in capitals": ({"value": TO.upper()}, "trust_not_a_reason"),
    "a value that is no reason": ({"value": "20"}, "trust_not_a_reason"),
    "nothing": ({"value": ""}, "trust_not_a_reason"),
    "its domain, in a list of whole values": ({"value": "corp.example"}, "trust_not_a_reason"),
    "a list that its argument does not accept": ({"directory": "others"}, "trust_not_a_reason"),
    "a list that does not exist": ({"directory": "staff"}, "directory_unknown"),
    "now": ({"until": NOON}, "trust_too_long"),
    "in the past": ({"until": NOON - timedelta(days=1)}, "trust_too_long"),
    "a microsecond over a year": ({"until": NOON + timedelta(days=365, microseconds=1)}, "trust_too_long"),
    "the domain above": ({"directory": "hosts", "value": "example"}, "trust_not_a_reason"),
    "another's domain": ({"directory": "hosts", "value": "mallory.example"}, "trust_not_a_reason"),
    "the whole address as a domain": ({"directory": "hosts", "value": "orp.example"}, "trust_not_a_reason"),
    "by another person": ({"key": "eli"}, "extension_by_other"),
    "signed for another value": ({"signed": {"value": "known@desk.example"}}, "extension_invalid"),
    "signed for another list": ({"signed": {"directory": "hosts"}}, "extension_invalid"),
    "signed for another time": ({"signed": {"until": NOON + timedelta(days=31)}}, "extension_invalid"),
    "signed for another approval": ({"signed": {"approval": "a_" + "0" * 24}}, "extension_invalid"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_may_not_be_trusted_is_not_and_with_it_the_whole_answer_is_refused(name: str) -> None:
    said, code = WRONG[name]

    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", PAID_TO)
        assert await say_yes(stage, held, SUE, [trust(held), trust(held, **said)]) == code
        assert isinstance(await stage.present("pay", PAID_TO), Refused)
        assert await say_yes(stage, held, SUE, [trust(held)]) == "", "the control"

    assert says(play(scene, trusting()), "hosts") == []


@pytest.mark.parametrize(
    ("said", "directory"),
    [
        ({"until": NOON + timedelta(days=365)}, "payees"),
        ({"until": NOON + timedelta(microseconds=1)}, "payees"),
        ({"directory": "hosts", "value": "corp.example"}, "hosts"),
    ],
    ids=str,
)
def test_what_may_be_trusted_just_so_is(said: dict[str, Any], directory: str) -> None:
    async def scene(stage: Stage) -> None:
        await trusted(stage, **said)

    assert len(says(play(scene, trusting()), directory)) == 1


@pytest.mark.parametrize(
    ("to", "value", "code"),
    [
        ("https://com/", "com", "trust_not_an_entry"),
        ("https://192.0.2.1/", "192.0.2.1", "trust_not_an_entry"),
        (TO, "CORP.example", "trust_not_an_entry"),
        ("eve@b\u00fccher.example", "b\u00fccher.example", "trust_not_an_entry"),
        ("eve@b\u00fccher.example", "xn--bcher-kva.example", ""),
        (TO, "corp.example", ""),
    ],
)
def test_what_could_not_stand_in_the_signed_list_is_not_trusted_either(to: str, value: str, code: str) -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", {"amount": 20, "to": to})
        assert await say_yes(stage, held, SUE, [trust(held, value, directory="hosts")]) == code

    assert [line[0] for line in says(play(scene, trusting()), "hosts")] == ([] if code else [value])


def test_a_value_with_blanks_around_it_is_not_trusted() -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", {"amount": 20, "to": f"{TO} "})
        assert await say_yes(stage, held, SUE, [trust(held, f"{TO} ")]) == "trust_not_an_entry"

    assert says(play(scene, trusting())) == []


def test_a_host_that_was_trusted_says_nothing_of_what_is_below_it() -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", {"amount": 20, "to": "x@co.example"})
        assert await say_yes(stage, held, SUE, [trust(held, "co.example", directory="hosts")]) == ""
        await stage.restart()
        for below in ("eve@evil.co.example", "https://evil.co.example/leak"):
            assert isinstance(await stage.present("pay", {"amount": 21, "to": below}), Refused), below
        assert isinstance(await stage.present("pay", {"amount": 21, "to": "eve@co.example"}), Done), "the control"
        assert isinstance(await stage.present("pay", {"amount": 21, "to": "gil@a.desk.example"}), Done), "signed"

    play(scene, trusting())


LINK = "https://corp.example/a"
SENT: JsonObject = {"amount": 20, "note": f"see {LINK}, thanks"}


@pytest.mark.parametrize(("directory", "value"), [("payees", LINK), ("hosts", "corp.example")])
def test_an_address_in_what_the_call_says_may_be_trusted_too(directory: str, value: str) -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", SENT)
        assert held.code == "provenance_link"
        assert await say_yes(stage, held, SUE, [trust(held, LINK, directory="others")]) == "trust_not_a_reason"
        for wrong in ("see", "https://corp.example/", "corp.example/a", "example", f"see {LINK}, thanks"):
            answer = await say_yes(stage, held, SUE, [trust(held, wrong, directory=directory)])
            assert answer == "trust_not_a_reason", wrong
        assert await say_yes(stage, held, SUE, [trust(held, value, directory=directory)]) == ""
        assert isinstance(await stage.present("pay", {"amount": 21, "note": LINK}), Done)
        assert isinstance(await stage.present("pay", {"amount": 21, "note": "https://evil.example/a"}), Refused)

    assert [line[0] for line in says(play(scene, trusting()), directory)] == [value]


def test_a_value_that_is_accepted_already_is_no_reason() -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", {**SENT, "to": "known@desk.example"})
        assert await say_yes(stage, held, SUE, [trust(held, "known@desk.example")]) == "trust_not_a_reason"

    play(scene, trusting())


def test_nobody_extends_a_list_that_nobody_signed() -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", PAID_TO)
        live = stage.desk.live
        unsigned = {**live.snapshot.directories, "payees": Directory("payees", Kind.VALUES, {}, "it is not signed")}
        live._snapshot = replace(live.snapshot, directories=unsigned)
        assert await say_yes(stage, held, SUE, [trust(held)]) == "directory_not_signed"

    play(scene, trusting(), replayed=False)


def test_what_approvers_add_is_bounded_and_what_is_over_makes_room() -> None:
    over = [Trusted(value=f"v{number}", until=NOON, person="sue") for number in range(TRUSTED_MAX)]
    lasting = [replace(each, until=NOON + timedelta(days=1)) for each in over]
    more = [Trusted(value="one more", until=NOON + timedelta(days=1), person="sue")]
    assert trusted_in(with_trusted(with_trusted("", over, NOON - timedelta(days=1)), more, NOON)) == tuple(more)
    with pytest.raises(InputRefusedError, match="directory_full"):
        with_trusted(with_trusted("", lasting, NOON), more, NOON)
    assert trusted_in(without_trusted(with_trusted("", more, NOON), "one more")) == ()


def test_who_lifts_only_the_amount_trusts_nobody() -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", {"amount": 75, "to": TO})
        assert await say_yes(stage, held, OPAL, [trust(held)]) == "trust_role_missing"
        assert await say_yes(stage, held, ELI, [trust(held, key="eli")]) == "", "the control"

    assert [line[2] for line in says(play(scene, trusting()))] == ["eli"]


def test_of_an_edited_call_what_a_person_wrote_is_a_reason_and_not_what_stood_there_before() -> None:
    async def scene(stage: Stage) -> None:
        held = await stage.held("pay", {"amount": 75, "to": TO})
        made = await edited(stage, held, {**LESS, "to": "mallory@corp.example"}, OPAL)
        assert await say_yes(stage, made, SUE, [trust(made)]) == "trust_not_a_reason"
        assert await say_yes(stage, made, OPAL, [trust(made, "mallory@corp.example")]) == "approver_is_editor"
        assert not await say_yes(stage, made, SUE, [trust(made, "mallory@corp.example")])

    assert [line[0] for line in says(play(scene, trusting()))] == ["mallory@corp.example"]


def test_two_who_trust_at_once_are_both_heard() -> None:
    async def scene(stage: Stage) -> None:
        one = await stage.held("pay", PAID_TO)
        other = await stage.held("pay", {"amount": 20, "to": "gil@corp.example"})
        answers = await asyncio.gather(
            say_yes(stage, one, SUE, [trust(one)]),
            say_yes(stage, other, ELI, [trust(other, "gil@corp.example", key="eli")]),
        )
        assert not any(answers)

    assert [line[2] for line in says(play(scene, trusting()))] == ["sue", "eli"]


class LosesControls(MemoryStore):
    async def control(self, name: str, says: str, entry: Draft, **more: Any) -> Any:
        del name, says, entry, more
        raise StoreUnavailableError("store_unavailable", "the disk is full", "make room")


class LosesYeses(MemoryStore):
    armed = False

    async def keep(self, approval: Approval, entry: Draft, read: Any = ()) -> Committed | Conflict:
        return Conflict("approval") if self.armed else await super().keep(approval, entry, read)


def test_no_value_is_trusted_without_a_yes_that_was_kept() -> None:
    async def no_yes(stage: Stage) -> None:
        assert isinstance(stage.desk.store, LosesYeses)
        held = await stage.held("pay", PAID_TO)
        stage.desk.store.armed = True
        assert await say_yes(stage, held, SUE, [trust(held)]) == "conflict"
        assert isinstance(await stage.present("pay", PAID_TO), Refused)

    async def no_control(stage: Stage) -> None:
        held = await stage.held("pay", PAID_TO)
        with pytest.raises(StoreUnavailableError):
            await say_yes(stage, held, SUE, [trust(held)])
        assert isinstance(await stage.present("pay", AGAIN), Refused)
        assert isinstance(await stage.present("pay", PAID_TO), Done), "the yes was kept"

    assert says(play(no_yes, trusting(LosesYeses()))) == []
    assert says(play(no_control, trusting(LosesControls()))) == []
