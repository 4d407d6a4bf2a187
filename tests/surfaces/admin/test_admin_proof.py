"""A real export, proven by the stand-alone verifier; and real exports tampered with, which it refuses."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.conftest import Gateway, tool_call

from remit.records import verifier_key
from remit_verifier import verify

Lines = list[str]


@dataclass(frozen=True)
class Proof:
    """An export with what a stranger checks it against."""

    lines: Lines
    vkey: str
    checkpoints: str


@pytest.fixture(scope="module")
def proof(desk: Gateway) -> Proof:
    opened = desk.open()
    desk.call(opened.token, tool_call())
    desk.call(opened.token, tool_call("close_account", {"customer_id": "cus-001"}))
    lines = desk.export()
    [checkpoints] = list(desk.project.rglob("*.checkpoints"))
    vkey = checkpoints.with_suffix(".vkey").read_text("utf-8").strip()
    assert desk.ask("GET", "/v1/status").json["verifier_key"] == vkey
    return Proof(lines, vkey, checkpoints.read_text("utf-8"))


def find(lines: Lines, kind: str) -> int:
    """Return the newest line that holds an entry of `kind`."""
    return max(at for at, line in enumerate(lines) if f'\\"kind\\":\\"{kind}\\"' in line)


def leaf(lines: Lines, kind: str, old: str, new: str) -> Lines:
    at = find(lines, kind)
    assert old in lines[at]
    return [line.replace(old, new) if number == at else line for number, line in enumerate(lines)]


def dropped(lines: Lines, kind: str) -> Lines:
    at = find(lines, kind)
    return lines[:at] + lines[at + 1 :]


def renumbered(lines: Lines) -> Lines:
    """Drop a denial and number what is left as if it had never been."""
    entries = [json.loads(line) for line in dropped(lines, "denied")[1:-1]]
    return [lines[0], *(json.dumps({**entry, "index": at}) for at, entry in enumerate(entries)), lines[-1]]


def payload_changed(lines: Lines) -> Lines:
    at = find(lines, "intent")
    entry = json.loads(lines[at])
    entry["payloads"][0]["body"] = "e30="  # {}
    return [json.dumps(entry) if number == at else line for number, line in enumerate(lines)]


def swapped(lines: Lines) -> Lines:
    at = find(lines, "denied")
    return [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]]


@pytest.mark.requirement("R5.6")
def test_a_real_export_is_proven(proof: Proof) -> None:
    report = verify(proof.lines, proof.vkey, proof.checkpoints)
    assert report.proven, report.problems
    assert report.entries == len(proof.lines) - 2
    assert report.intents == report.outcomes
    assert report.checkpoints > 0


@pytest.mark.requirement("R5.6")
@pytest.mark.parametrize(
    "tamper",
    [
        lambda lines: leaf(lines, "denied", "close_account", "get_order----"),
        lambda lines: leaf(lines, "intent", '\\"user\\":\\"tom\\"', '\\"user\\":\\"ana\\"'),
        lambda lines: leaf(lines, "outcome", "done", "fail"),
        lambda lines: dropped(lines, "denied"),
        lambda lines: dropped(lines, "outcome"),
        renumbered,
        payload_changed,
        swapped,
        lambda lines: lines[:-1],
        lambda lines: [*lines[:-3], lines[-1]],
        lambda lines: [*lines[:-1], lines[-2], lines[-1]],
        lambda lines: lines[:1] + lines[-1:],
        lambda _lines: [],
    ],
    ids=["a name", "a user", "an outcome", "no denial", "no outcome", "renumbered", "a payload", "swapped",
         "no checkpoint", "a cut tail", "an entry twice", "no entries", "nothing"],
)  # fmt: skip
def test_a_tampered_export_is_not(proof: Proof, tamper: Callable[[Lines], Lines]) -> None:
    tampered = tamper(list(proof.lines))
    assert tampered != proof.lines
    report = verify(tampered, proof.vkey, proof.checkpoints)
    assert not report.proven
    assert report.problems


@pytest.mark.requirement("R5.6")
def test_an_older_whole_export_is_caught_by_the_checkpoints_outside(desk: Gateway, proof: Proof) -> None:
    """Cut back to an earlier signed state, the log looks whole; only what is kept outside shows the missing end."""
    desk.open()
    newer = desk.export()
    [checkpoints] = list(desk.project.rglob("*.checkpoints"))
    outside = checkpoints.read_text("utf-8")
    assert verify(newer, proof.vkey, outside).proven
    report = verify(proof.lines, proof.vkey, outside)
    assert "tail_missing" in {problem.code for problem in report.problems}


@pytest.mark.requirement("R5.6")
def test_another_logs_key_proves_nothing(proof: Proof) -> None:
    forged = verifier_key("refund-desk.remit.local", Ed25519PrivateKey.generate().public_key())
    assert not verify(proof.lines, forged, proof.checkpoints).proven
