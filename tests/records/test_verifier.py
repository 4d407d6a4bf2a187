"""The standalone verifier: honest exports are proven, tampered ones never, and no export makes it fall over."""

import base64
import hashlib
import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.records._merkle import Frontier, leaf_hash
from remit.records._note import Checkpoint, checkpoint_text, open_note, parse_checkpoint, sign_note, verifier_key
from remit_verifier import Report, verify
from remit_verifier.__main__ import main
from remit_verifier._entries import KINDS
from remit_verifier._notes import SIGNATURES_MAX, read_checkpoint, read_key
from remit_verifier._report import PROBLEMS_MAX
from remit_verifier._strict import UnreadableError
from remit_verifier._tree import Tree

pytestmark = pytest.mark.requirement("R5.6")

ORIGIN = "logs.example/refunds"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(range(32, 64)))
KEY = verifier_key(ORIGIN, PRIVATE.public_key())

Entry = dict[str, Any]


def signed(leaves: Sequence[str], origin: str = ORIGIN, private: Ed25519PrivateKey = PRIVATE) -> str:
    """A checkpoint over the leaves, made with the product's own code."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf.encode()))
    return sign_note(checkpoint_text(Checkpoint(origin, frontier.size, frontier.root())), origin, private)


@dataclass(frozen=True, slots=True)
class Log:
    """An export in parts, to be put together again in an honest or another way."""

    entries: tuple[Entry, ...]
    outside: tuple[str, ...] = ()
    origin: str = ORIGIN
    own: str | None = None  # the closing note; None: sign whatever the entries are

    @property
    def leaves(self) -> list[str]:
        return [entry["leaf"] for entry in self.entries]

    @property
    def lines(self) -> list[str]:
        own = signed(self.leaves) if self.own is None else self.own
        values = [{"format": "remit-export/1", "origin": self.origin}, *self.entries, {"checkpoint": own}]
        return [json.dumps(value, separators=(",", ":")) for value in values]

    @property
    def kept(self) -> str:
        return "".join(f"{note}\n" for note in self.outside)

    def check(self) -> Report:
        return verify(self.lines, KEY, self.kept)


@dataclass(slots=True)
class Writer:
    """Writes honest logs, from a seed."""

    dice: random.Random
    entries: list[Entry] = field(default_factory=list)

    def add(self, kind: str, call: str = "", payload: str = "", *, erased: bool = False) -> None:
        leaf: dict[str, Any] = {"v": 1, "kind": kind, "at": f"2026-07-01T10:00:{len(self.entries):05}Z"}
        payloads = []
        if call:
            leaf |= {"call": call, "task": "t_1"}
        if payload:
            salt, body = self.dice.randbytes(16), self.dice.randbytes(self.dice.randrange(1, 60))
            commitment = f"sha256:{hashlib.sha256(salt + body).hexdigest()}"
            leaf[payload] = {"commitment": commitment, "bytes": len(body)}
            if not erased:
                encoded = {"salt": base64.b64encode(salt).decode(), "body": base64.b64encode(body).decode()}
                payloads = [{"name": payload, **encoded}]
        text = json.dumps(leaf, sort_keys=True, separators=(",", ":"))
        self.entries.append({"index": len(self.entries), "leaf": text, "payloads": payloads})


def honest(seed: int, size: int, checkpoints: int, *, erase: float = 0.1, in_flight: float = 0.1) -> Log:
    """An honest log of at least `size` entries; the last outside checkpoint is of the export's own size."""
    dice = random.Random(seed)
    writer = Writer(dice)
    for kind in ("started", "release", "task_opened"):
        writer.add(kind)
    waiting: list[str] = []
    while len(writer.entries) < size:
        call = f"c_{seed}_{len(writer.entries)}"
        if waiting and dice.random() < 0.5:
            ended = waiting.pop(dice.randrange(len(waiting)))
            if dice.random() < 0.2:
                writer.add("unknown", ended)
            else:
                writer.add("outcome", ended, "result" if dice.random() < 0.8 else "", erased=dice.random() < erase)
        elif dice.random() < 0.3:
            writer.add(dice.choice(["denied", "held"]), call)
        elif dice.random() < 0.1:
            writer.add("refused")
        else:
            writer.add("intent", call, "arguments", erased=dice.random() < erase)
            waiting.append(call)
    for call in waiting:
        if dice.random() >= in_flight:
            writer.add("outcome", call, "result")
    leaves = [entry["leaf"] for entry in writer.entries]
    sizes = sorted(dice.randrange(len(leaves) + 1) for _ in range(checkpoints - 1)) + [len(leaves)] * (checkpoints > 0)
    return Log(tuple(writer.entries), tuple(signed(leaves[:size]) for size in sizes))


LOG = honest(seed=1, size=40, checkpoints=5, erase=0.0, in_flight=0.0)
SIZES = [parse_checkpoint(open_note(note, KEY)).size for note in LOG.outside]


def renumbered(entries: Sequence[Entry]) -> tuple[Entry, ...]:
    return tuple(entry | {"index": index} for index, entry in enumerate(entries))


def with_entry(at: int, **changes: object) -> tuple[Entry, ...]:
    return (*LOG.entries[:at], LOG.entries[at] | changes, *LOG.entries[at + 1 :])


def kind_of(entry: Entry) -> str:
    return str(json.loads(entry["leaf"])["kind"])


def other_character(dice: random.Random, was: str) -> str:
    return dice.choice([each for each in 'abz019ABZ-_.:{}[]," ' if each != was])


# The attacker of the first five families has no key: the closing note stays what it was.
OWN = signed(LOG.leaves)
Tampered = tuple[str, Log]
Family = Callable[[random.Random], Iterator[Tampered]]


def edited(dice: random.Random) -> Iterator[Tampered]:
    for at, entry in enumerate(LOG.entries):
        for _ in range(3):
            leaf: str = entry["leaf"]
            spot = dice.randrange(len(leaf))
            changed = leaf[:spot] + other_character(dice, leaf[spot]) + leaf[spot + 1 :]
            yield f"leaf {at} edited at {spot}", replace(LOG, entries=with_entry(at, leaf=changed), own=OWN)
        yield f"leaf {at} with a space", replace(LOG, entries=with_entry(at, leaf=entry["leaf"] + " "), own=OWN)
        yield f"index {at} off by one", replace(LOG, entries=with_entry(at, index=at + 1), own=OWN)


def deleted_inserted_moved(dice: random.Random) -> Iterator[Tampered]:
    entries = LOG.entries
    for at, entry in enumerate(entries):
        without = (*entries[:at], *entries[at + 1 :])
        yield f"{at} deleted", replace(LOG, entries=without, own=OWN)
        yield f"{at} deleted, renumbered", replace(LOG, entries=renumbered(without), own=OWN)
        twice = (*entries[: at + 1], entry, *entries[at + 1 :])
        yield f"{at} duplicated", replace(LOG, entries=renumbered(twice), own=OWN)
        new = {"leaf": '{"at":"2026-07-01T10:00:00Z","kind":"refused","v":1}', "payloads": []}
        inserted = (*entries[:at], new, *entries[at:])
        yield f"inserted at {at}", replace(LOG, entries=renumbered(inserted), own=OWN)
        other = dice.choice([each for each in range(len(entries)) if each != at])
        swapped = list(entries)
        swapped[at], swapped[other] = swapped[other], swapped[at]
        yield f"{at} and {other} swapped", replace(LOG, entries=renumbered(swapped), own=OWN)


def cut(_dice: random.Random) -> Iterator[Tampered]:
    for count in range(1, len(LOG.entries) + 1):
        head, tail = LOG.entries[:-count], renumbered(LOG.entries[count:])
        yield f"tail of {count} cut", replace(LOG, entries=head, own=OWN)
        yield f"tail of {count} cut, signed by the log itself", replace(LOG, entries=head)
        yield f"head of {count} cut", replace(LOG, entries=tail, own=OWN)
        yield f"head of {count} cut, signed by the log itself", replace(LOG, entries=tail)
    for size, note in zip(SIZES[:-1], LOG.outside[:-1], strict=True):
        yield f"rolled back to the signed checkpoint of {size}", replace(LOG, entries=LOG.entries[:size], own=note)


def payloads_changed(_dice: random.Random) -> Iterator[Tampered]:
    for at, entry in enumerate(LOG.entries):
        for payload in entry["payloads"]:
            salt, body = base64.b64decode(payload["salt"]), base64.b64decode(payload["body"])
            for what, new_salt, new_body in (
                ("body", salt, body[:-1] + bytes([body[-1] ^ 1])),
                ("salt", bytes([salt[0] ^ 128]) + salt[1:], body),
                ("border", salt + body[:1], body[1:]),
                ("swap", body, salt),
            ):
                encoded = {"salt": base64.b64encode(new_salt).decode(), "body": base64.b64encode(new_body).decode()}
                yield f"{what} of {at}", replace(LOG, entries=with_entry(at, payloads=[payload | encoded]), own=OWN)
            named = [payload | {"name": "other"}]
            yield f"payload of {at} renamed", replace(LOG, entries=with_entry(at, payloads=named), own=OWN)
            yield f"payload of {at} twice", replace(LOG, entries=with_entry(at, payloads=[payload] * 2), own=OWN)


def signatures_changed(dice: random.Random) -> Iterator[Tampered]:
    for at in range(0, len(OWN), 3):
        changed = OWN[:at] + other_character(dice, OWN[at]) + OWN[at + 1 :]
        yield f"own note edited at {at}", replace(LOG, own=changed)
    yield "signed by a stranger in the log's name", replace(LOG, own=signed(LOG.leaves, ORIGIN, STRANGER))
    yield "unsigned", replace(LOG, own=OWN.partition("\n\n")[0] + "\n")
    yield "signature of another note", replace(LOG, own=OWN.partition("— ")[0] + LOG.outside[0][-100:])
    yield "another origin in the header", replace(LOG, origin="logs.example/payments")
    elsewhere = signed(LOG.leaves, "logs.example/payments")
    yield "another log's note", replace(LOG, own=elsewhere)
    yield "another log altogether", replace(LOG, origin="logs.example/payments", own=elsewhere)
    for at in range(len(LOG.outside)):
        note = LOG.outside[at]
        spot = dice.randrange(len(note))
        changes = {
            "edited": note[:spot] + other_character(dice, note[spot]) + note[spot + 1 :],
            "forged": signed(LOG.leaves[: SIZES[at]], ORIGIN, STRANGER),
            "of another log": signed(LOG.leaves[: SIZES[at]], "logs.example/payments"),
            "cut": note[:-10],
            "empty": "",
            "of other leaves": signed([*LOG.leaves[: SIZES[at] - 1], "x"]),
        }
        for what, changed in changes.items():
            yield f"outside {at} {what}", replace(LOG, outside=(*LOG.outside[:at], changed, *LOG.outside[at + 1 :]))
        for other in range(at):
            swapped = list(LOG.outside)
            swapped[at], swapped[other] = swapped[other], swapped[at]
            yield f"outside {at} and {other} swapped", replace(LOG, outside=tuple(swapped))
    yield "no outside checkpoint left", replace(LOG, outside=())


def rewritten_by_the_log_itself(_dice: random.Random) -> Iterator[Tampered]:
    """The attacker holds the log's key and signs again: only what is kept outside can tell."""
    for at, entry in enumerate(LOG.entries):
        without = (*LOG.entries[:at], *LOG.entries[at + 1 :])
        yield f"{kind_of(entry)} {at} dropped and all signed anew", replace(LOG, entries=renumbered(without))
        later = json.dumps(json.loads(entry["leaf"]) | {"at": "2027"}, sort_keys=True, separators=(",", ":"))
        yield f"{at} rewritten and all signed anew", replace(LOG, entries=with_entry(at, leaf=later))


FAMILIES: list[Family] = [
    edited,
    deleted_inserted_moved,
    cut,
    payloads_changed,
    signatures_changed,
    rewritten_by_the_log_itself,
]


def tampered() -> list[Tampered]:
    return [each for number, family in enumerate(FAMILIES) for each in family(random.Random(number))]


def test_the_honest_log_is_proven_and_counted() -> None:
    report = LOG.check()
    assert report.problems == ()
    assert report.proven
    kinds = [kind_of(entry) for entry in LOG.entries]
    assert (report.entries, report.checkpoints) == (len(LOG.entries), 5)
    assert (report.intents, report.outcomes) == (kinds.count("intent"), kinds.count("outcome"))
    assert (report.unknown, report.open, report.erased) == (kinds.count("unknown"), 0, 0)
    assert min(kinds.count(kind) for kind in ("intent", "outcome", "unknown", "denied", "held")) > 0


def test_every_generated_tampering_is_detected_and_explained() -> None:
    cases = tampered()
    assert len(cases) >= 300
    reports = [(label, log.check()) for label, log in cases]
    assert [label for label, report in reports if report.proven] == []
    for label, report in reports:
        assert report.problems, label
        assert all(problem.code and problem.message.isprintable() for problem in report.problems), label


@pytest.mark.parametrize("family", [edited, deleted_inserted_moved])
def test_the_exports_own_checkpoint_shows_every_change_by_one_without_the_key(family: Family) -> None:
    for label, log in family(random.Random(7)):
        codes = {each.code for each in verify(log.lines, KEY).problems}
        assert codes & {"root_mismatch", "size_mismatch", "index_gap"}, label


@pytest.mark.parametrize(("count", "code"), [(0, "root_mismatch"), (5, "size_mismatch")])
def test_the_exports_own_checkpoint_alone_shows_an_edit_and_a_cut(count: int, code: str) -> None:
    leaf = LOG.entries[0]["leaf"].replace("2026", "2027")
    entries = with_entry(0, leaf=leaf) if not count else LOG.entries[:-count]
    assert [each.code for each in verify(replace(LOG, entries=entries, own=OWN).lines, KEY).problems] == [code]


def test_a_checkpoint_of_another_log_is_refused_even_under_the_name_and_key_of_this_one() -> None:
    checkpoint = parse_checkpoint(open_note(OWN, KEY))
    other = sign_note(checkpoint_text(replace(checkpoint, origin="logs.example/payments")), ORIGIN, PRIVATE)
    assert [each.code for each in replace(LOG, own=other).check().problems] == ["signature_invalid"]


def test_base64_in_another_spelling_is_refused() -> None:
    at, payload = next((at, entry["payloads"][0]) for at, entry in enumerate(LOG.entries) if entry["payloads"])
    assert payload["salt"].endswith("==")
    salt = payload["salt"][:-3] + chr(ord(payload["salt"][-3]) + 1) + "=="  # only bits that no byte holds
    assert base64.b64decode(salt) == base64.b64decode(payload["salt"])
    problems = replace(LOG, entries=with_entry(at, payloads=[payload | {"salt": salt}])).check().problems
    assert [(each.code, each.index) for each in problems] == [("payload_mismatch", at)]


def test_any_changed_character_of_the_file_is_detected() -> None:
    dice = random.Random(6)
    lines = LOG.lines
    for _ in range(200):
        at = dice.randrange(len(lines))
        spot = dice.randrange(len(lines[at]))
        changed = lines[at][:spot] + other_character(dice, lines[at][spot]) + lines[at][spot + 1 :]
        report = verify([*lines[:at], changed, *lines[at + 1 :]], KEY, LOG.kept)
        assert report.problems, (at, spot, changed)


@pytest.mark.parametrize("seed", range(50))
def test_an_honest_log_raises_no_alarm(seed: int) -> None:
    dice = random.Random(1000 + seed)
    log = honest(seed, size=dice.randrange(1, 60), checkpoints=dice.randrange(1, 9))
    for report in (
        log.check(),
        verify(log.lines, KEY, log.kept[:-1]),
        verify([f"{line}\n" for line in log.lines], KEY),
    ):
        assert report.problems == ()
        assert report.proven


def test_an_export_taken_after_the_last_outside_checkpoint_is_proven() -> None:
    report = replace(LOG, outside=LOG.outside[:-1]).check()
    assert (report.proven, report.checkpoints) == (True, 4)


@pytest.mark.parametrize("kept", [True, False])
def test_only_the_outside_checkpoints_show_a_rollback_to_an_older_signed_state(*, kept: bool) -> None:
    rolled_back = replace(LOG, entries=LOG.entries[: SIZES[1]], own=LOG.outside[1])
    report = verify(rolled_back.lines, KEY, LOG.kept if kept else None)
    assert report.proven is not kept
    missing = len(LOG.entries) - SIZES[1]
    found = [(each.code, each.index) for each in report.problems if f"{missing} entries are missing" in each.message]
    assert found == ([("tail_missing", SIZES[1])] if kept else [])


@pytest.mark.parametrize("kept", [True, False])
def test_only_the_outside_checkpoints_show_an_outcome_dropped_by_the_holder_of_the_key(*, kept: bool) -> None:
    at = next(index for index, entry in enumerate(LOG.entries) if kind_of(entry) == "outcome")
    log = replace(LOG, entries=renumbered((*LOG.entries[:at], *LOG.entries[at + 1 :])))
    report = verify(log.lines, KEY, LOG.kept if kept else None)
    assert report.proven is not kept
    assert [each.call for each in report.open_calls] == [json.loads(LOG.entries[at]["leaf"])["call"]]


def test_completeness_shows_an_intent_dropped_by_the_holder_of_the_key() -> None:
    at, entry = next((at, entry) for at, entry in enumerate(LOG.entries) if kind_of(entry) == "intent")
    log = replace(LOG, entries=renumbered((*LOG.entries[:at], *LOG.entries[at + 1 :])), outside=())
    problems = verify(log.lines, KEY).problems
    assert [each.code for each in problems] == ["outcome_without_intent"]
    assert json.loads(entry["leaf"])["call"] in problems[0].message


def story(*steps: tuple[str, str]) -> Report:
    writer = Writer(random.Random(0))
    for kind, call in steps:
        writer.add(kind, call, "arguments" if kind == "intent" else "")
    return verify(Log(tuple(writer.entries)).lines, KEY)


@pytest.mark.parametrize(
    ("steps", "code", "index"),
    [
        ([("outcome", "a")], "outcome_without_intent", 0),
        ([("unknown", "a")], "outcome_without_intent", 0),
        ([("outcome", "a"), ("intent", "a")], "outcome_without_intent", 0),
        ([("intent", "a"), ("outcome", "b")], "outcome_without_intent", 1),
        ([("intent", "a"), ("intent", "a")], "intent_twice", 1),
        ([("intent", "a"), ("outcome", "a"), ("intent", "a")], "intent_twice", 2),
        ([("intent", "a"), ("outcome", "a"), ("outcome", "a")], "outcome_twice", 2),
        ([("intent", "a"), ("unknown", "a"), ("outcome", "a")], "outcome_twice", 2),
        ([("denied", "a"), ("outcome", "a")], "outcome_without_intent", 1),
    ],
)
def test_an_incomplete_story_is_named_at_its_entry(steps: list[tuple[str, str]], code: str, index: int) -> None:
    report = story(*steps)
    assert [(each.code, each.index) for each in report.problems] == [(code, index)]
    assert not report.proven


def test_a_call_in_flight_is_counted_and_named_and_no_failure() -> None:
    report = story(("started", ""), ("intent", "a"), ("intent", "b"), ("held", "c"), ("unknown", "a"))
    assert report.proven
    assert report.open == 1
    assert [(each.index, each.call) for each in report.open_calls] == [(2, "b")]


def test_an_erased_payload_is_counted_and_leaves_the_proof_intact() -> None:
    with_payload = [at for at, entry in enumerate(LOG.entries) if entry["payloads"]]
    entries = tuple(entry | {"payloads": []} for entry in LOG.entries)
    without_key = tuple({"index": entry["index"], "leaf": entry["leaf"]} for entry in LOG.entries)
    for log in (replace(LOG, entries=entries), replace(LOG, entries=without_key)):
        report = log.check()
        assert (report.proven, report.erased) == (True, len(with_payload))


@pytest.mark.parametrize("at", [0, 7, 25])
def test_the_first_changed_entry_lies_where_the_outside_checkpoints_say(at: int) -> None:
    kept = tuple(signed(LOG.leaves[:size]) for size in range(len(LOG.entries) + 1))
    leaf = LOG.entries[at]["leaf"].replace("2026", "2027")
    problems = replace(LOG, entries=with_entry(at, leaf=leaf), outside=kept).check().problems
    assert [(each.code, each.index) for each in problems] == [("checkpoint_mismatch", at)]


LEAF = '{"at":"2026","kind":"started","v":1}'
ARGUMENTS = f'{{"commitment":"sha256:{"0" * 64}","bytes":1}}'


@pytest.mark.parametrize(
    "leaf",
    [
        "",
        "[]",
        "null",
        "{",
        '{"at":"2026","kind":"started","v":2}',
        '{"at":"2026","kind":"started","v":true}',
        '{"at":"2026","kind":"started","v":1.0}',
        '{"at":"2026","kind":"started"}',
        '{"at":"2026","kind":"other","v":1}',
        '{"at":"2026","kind":["started"],"v":1}',
        '{"at":7,"kind":"started","v":1}',
        '{"kind":"started","v":1}',
        '{"at":"2026","kind":"started","v":1,"v":1}',
        '{"at":"2026","kind":"started","v":1,"x":{"a":1,"a":2}}',
        '{"at":"2026","kind":"started","v":1,"x":NaN}',
        '{"at":"2026","kind":"started","v":1,"x":' + "9" * 5000 + "}",
        '{"at":"2026","kind":"started","v":1,"x":' + "[" * 100_000 + "}",
        '{"at":"2026","kind":"started","v":' + "[" * 900 + "]" * 900 + "}",
        '{"at":"2026","kind":"denied","v":1}',
        '{"at":"2026","kind":"denied","v":1,"call":""}',
        '{"at":"2026","kind":"intent","v":1,"call":"a"}',
        '{"at":"2026","kind":"intent","v":1,"call":"a","arguments":{}}',
        f'{{"at":"2026","kind":"intent","v":1,"call":"a","arguments":{ARGUMENTS.replace("0", "G")}}}',
        f'{{"at":"2026","kind":"intent","v":1,"call":"a","arguments":{ARGUMENTS.replace(":1", ":-1")}}}',
    ],
)
def test_a_leaf_that_is_none_is_named_even_when_the_log_signed_it(leaf: str) -> None:
    entries = tuple({"index": index, "leaf": each, "payloads": []} for index, each in enumerate([LEAF, leaf]))
    problems = verify(Log(entries).lines, KEY).problems
    assert [(each.code, each.index) for each in problems] in ([("leaf_invalid", 1)], [("payload_mismatch", 1)])
    control = tuple({"index": index, "leaf": LEAF} for index in range(2))
    assert verify(Log(control).lines, KEY).proven


HEADER = '{"format":"remit-export/1","origin":"logs.example/refunds"}'


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["\n"],
        [HEADER],
        [HEADER.replace("/1", "/2")],
        [HEADER.replace("}", ',"more":1}')],
        [HEADER, ""],
        [HEADER, "null"],
        [HEADER, "[" * 100_000],
        [HEADER, '{"index":0,"index":0,"leaf":"x"}'],
        [HEADER, '{"index":0,"leaf":7}'],
        [HEADER, '{"index":0,"leaf":"\\ud800"}'],
        [HEADER, '{"index":0,"leaf":"\udc80"}'],
        [HEADER, '{"index":0,"leaf":"{}","payloads":null}'],
        [HEADER, '{"index":0,"leaf":"{}","more":1}'],
        [HEADER, '{"checkpoint":7}'],
        [HEADER, '{"checkpoint":"\\ud800"}'],
        [HEADER, json.dumps({"checkpoint": signed([])})],
        [*LOG.lines, LOG.lines[-1]],
        [*LOG.lines, ""],
        [LOG.lines[0], *LOG.lines],
        LOG.lines[1:],
        LOG.lines[:-1],
    ],
)
def test_a_file_that_is_no_export_proves_nothing(lines: list[str]) -> None:
    report = verify(lines, KEY, LOG.kept)
    assert report.problems
    assert not report.proven


@pytest.mark.parametrize("payloads", [7, {}, [7], [{}], [{"name": "x", "salt": "", "body": "", "more": 1}]])
def test_payloads_that_are_none_are_named(payloads: object) -> None:
    problems = replace(LOG, entries=with_entry(5, payloads=payloads)).check().problems
    assert [(each.code, each.index) for each in problems] == [("payload_mismatch", 5)]


def test_an_empty_export_proves_nothing_even_if_signed() -> None:
    assert [each.code for each in verify(Log(()).lines, KEY).problems] == ["export_empty"]


@pytest.mark.parametrize("kept", ["", "\n", "\n\n", " \n"])
def test_an_empty_file_of_checkpoints_proves_nothing(kept: str) -> None:
    report = verify(LOG.lines, KEY, kept)
    assert (report.proven, [each.code for each in report.problems]) == (False, ["checkpoints_empty"])


@pytest.mark.parametrize("kept", ["x", "\n" + LOG.kept, LOG.kept + "\n", LOG.kept[:-40], LOG.kept + "\ud800"])
def test_a_file_of_checkpoints_that_is_not_whole_is_refused(kept: str) -> None:
    assert "checkpoint_invalid" in [each.code for each in verify(LOG.lines, KEY, kept).problems]


def test_a_checkpoint_file_whose_sizes_fall_is_refused() -> None:
    problems = replace(LOG, outside=(*LOG.outside, LOG.outside[0])).check().problems
    assert [each.code for each in problems] == ["checkpoint_size_fell"]


def test_problems_are_listed_up_to_a_limit_and_then_counted() -> None:
    entries = tuple({"index": index, "leaf": "x"} for index in range(PROBLEMS_MAX + 50))
    problems = verify(Log(entries).lines, KEY).problems
    assert len(problems) == PROBLEMS_MAX + 1
    assert problems[-1].code == "further_problems"
    assert problems[-1].message.startswith("50 ")


@given(st.lists(st.text(max_size=30) | st.sampled_from(LOG.lines), max_size=8), st.text(max_size=80))
@settings(deadline=None, max_examples=100)
def test_whatever_lines_it_is_given_it_answers(lines: list[str], kept: str) -> None:
    assert not verify([HEADER, *lines], KEY, kept).proven


@pytest.mark.parametrize("key", ["", "x", "a+b+c", KEY[:-4], KEY.replace("refunds", "refund"), KEY + "\n"])
def test_a_key_that_is_none_is_the_callers_error(key: str) -> None:
    with pytest.raises(ValueError, match=r"base64|verifier key"):
        verify(LOG.lines, key)


def test_another_key_proves_nothing() -> None:
    for key in (verifier_key(ORIGIN, STRANGER.public_key()), verifier_key("logs.example/x", PRIVATE.public_key())):
        report = verify(LOG.lines, key)
        assert not report.proven
        assert "signature_invalid" in [each.code for each in report.problems]


@given(st.lists(st.binary(max_size=40), max_size=130))
@settings(deadline=None, max_examples=40)
def test_product_and_verifier_agree_on_every_tree(leaves: list[bytes]) -> None:
    frontier, tree = Frontier(), Tree()
    for leaf in leaves:
        frontier.append(leaf_hash(leaf))
        tree.add(leaf)
        assert (tree.size, tree.root()) == (frontier.size, frontier.root())
    assert Tree().root() == Frontier().root()


@given(st.binary(min_size=32, max_size=32), st.integers(0, 10**18), st.binary(min_size=32, max_size=32))
@settings(deadline=None, max_examples=40)
def test_product_and_verifier_agree_on_every_note(seed: bytes, size: int, root: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    note = sign_note(checkpoint_text(Checkpoint(ORIGIN, size, root)), ORIGIN, private)
    read = read_checkpoint(note, read_key(verifier_key(ORIGIN, private.public_key())))
    assert (read.origin, read.size, read.root) == (ORIGIN, size, root)
    with pytest.raises(UnreadableError):
        read_checkpoint(note.replace(ORIGIN, "logs.example/x"), read_key(verifier_key(ORIGIN, private.public_key())))


def test_a_witness_that_signs_beside_the_log_is_no_obstacle() -> None:
    witness = sign_note(OWN.partition("\n\n")[0] + "\n", "witness.example", STRANGER).rpartition("\n\n")[2]
    assert replace(LOG, own=OWN + witness, outside=tuple(note + witness for note in LOG.outside)).check().proven


def test_the_logs_next_key_may_sign_beside_this_one_under_the_same_name() -> None:
    following = signed(LOG.leaves, ORIGIN, STRANGER).rpartition("\n\n")[2]
    assert replace(LOG, own=OWN + following).check().proven
    assert verify(replace(LOG, own=OWN + following).lines, verifier_key(ORIGIN, STRANGER.public_key())).proven


def test_a_note_with_more_signatures_than_the_limit_is_refused() -> None:
    witness = sign_note(OWN.partition("\n\n")[0] + "\n", "witness.example", STRANGER).rpartition("\n\n")[2]
    assert replace(LOG, own=OWN + witness * (SIGNATURES_MAX - 1)).check().proven
    refused = replace(LOG, own=OWN + witness * SIGNATURES_MAX).check()
    assert [each.code for each in refused.problems] == ["signature_invalid"]


def put(folder: Path, log: Log) -> list[str]:
    (folder / "export.jsonl").write_text("".join(f"{line}\n" for line in log.lines), encoding="utf-8")
    (folder / "checkpoints.txt").write_text(log.kept, encoding="utf-8")
    (folder / "log.key").write_text(f"{KEY}\n", encoding="utf-8")
    keys, notes = f"@{folder / 'log.key'}", str(folder / "checkpoints.txt")
    return [str(folder / "export.jsonl"), "--key", keys, "--checkpoints", notes]


def test_the_command_says_proven_and_returns_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(put(tmp_path, LOG)) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "proven"
    assert said[2] == "5 outside checkpoints hold"


def test_the_command_names_the_problem_and_returns_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(put(tmp_path, replace(LOG, entries=LOG.entries[:30], own=signed(LOG.leaves[:30])))) == 1
    said = capsys.readouterr().out
    assert said.startswith("NOT PROVEN\n")
    assert f"problem: tail_missing: {len(LOG.entries) - 30} entries are missing" in said


def test_the_command_prints_one_json_object_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*put(tmp_path, replace(LOG, entries=with_entry(3, index=9))), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["proven"] is False
    assert said["entries"] == len(LOG.entries)
    assert said["problems"] == [{"code": "index_gap", "index": 3, "message": "entry 3 says that its index is 9"}]


def test_the_command_without_checkpoints_says_what_is_not_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    export = put(tmp_path, LOG)[0]
    assert main([export, "--key", KEY]) == 0
    assert "would not be seen" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["x"], ["x", "--key"], ["x", "--key", "nonsense"], ["--what"]])
def test_the_command_returns_2_for_usage(arguments: list[str]) -> None:
    assert main(arguments) == 2


def test_the_command_returns_3_for_files_it_cannot_read(tmp_path: Path) -> None:
    export = put(tmp_path, LOG)[0]
    missing = str(tmp_path / "missing")
    assert main([missing, "--key", KEY]) == 3
    assert main([str(tmp_path), "--key", KEY]) == 3
    assert main([export, "--key", f"@{missing}"]) == 3
    assert main([export, "--key", KEY, "--checkpoints", missing]) == 3


def test_bytes_that_are_not_utf8_or_steer_a_terminal_are_named_and_not_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = put(tmp_path, LOG)
    body = Path(arguments[0]).read_bytes()
    Path(arguments[0]).write_bytes(body.replace(b'"index":4', b'"index":"\\u001b[2J\\u202e"'))
    assert main(arguments) == 1
    Path(arguments[0]).write_bytes(body.replace(b'"index":4', b'"index":\xff\xfe'))
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert "index_gap: entry 4" in said
    assert "line_invalid: at entry 4: not UTF-8" in said
    assert said.replace("\n", "").isascii()
    assert said.replace("\n", "").isprintable()


def test_the_program_runs_by_itself_and_loads_nothing_of_the_product(tmp_path: Path) -> None:
    arguments = put(tmp_path, LOG)
    ran = subprocess.run(
        [sys.executable, "-m", "remit_verifier", *arguments], capture_output=True, check=False, encoding="utf-8"
    )
    assert (ran.returncode, ran.stderr, ran.stdout.splitlines()[0]) == (0, "", "proven")
    code = "import sys, remit_verifier.__main__; print([m for m in sys.modules if m.split('.')[0] == 'remit'])"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, encoding="utf-8")
    assert loaded.stdout == "[]\n"


def test_the_page_names_every_kind_option_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "verify.md").read_text(encoding="utf-8")
    assert [kind for kind in KINDS if f"`{kind}`" not in page] == []
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    assert [each for each in ("--key", "--checkpoints", "--json") if each not in said or each not in page] == []
    codes = "0 proven, 1 not proven, 2 usage, 3 a file that cannot be read"
    assert codes in " ".join(said.split())
    assert codes in page
