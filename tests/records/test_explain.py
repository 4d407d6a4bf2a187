"""What `explain` prints is safe for a terminal, whatever a tool or an agent wrote."""

import json

import pytest

from remit.core import JsonObject
from remit.records import Draft, Entry, Payload, control, explain, printable, task_opened
from remit.testing import NOON, desk_task, seeded

HOSTILE = "\x1b]0;owned\x07\x1b[2J \u202eevil\u202c \x9b1m zero\u200bwidth"


def outcome(body: str) -> Entry:
    leaf = {
        "v": 1,
        "kind": "outcome",
        "at": "2026-11-22T09:30:00.000000Z",
        "call": "c_1",
        "status": "done",
        "elapsed_us": 1500,
        "result": {"commitment": "sha256:" + "0" * 64, "bytes": len(body)},
        "code": HOSTILE,
        "detail": HOSTILE,
    }
    payload = Payload(name="result", salt=b"", body=body.encode())
    return Entry(index=0, kind="outcome", task="t_1", call="c_1", leaf=json.dumps(leaf).encode(), payloads=(payload,))


def test_nothing_that_steers_a_terminal_is_printed() -> None:
    told = "\n".join(explain([outcome(HOSTILE)]))
    assert all(line.isprintable() for line in told.split("\n")), told
    assert "<U+001B>" in told
    assert "<U+202E>" in told
    assert "evil" in told


def test_what_can_be_seen_stays_as_it_is() -> None:
    assert printable("Größe 4 → 5") == "Größe 4 → 5"


def test_a_long_result_is_cut_where_it_says_so() -> None:
    told = "\n".join(explain([outcome("x" * 5_000)]))
    assert "x" * 300 + "..." in told
    assert "x" * 301 not in told


def line_of(entry: Draft) -> str:
    (first, *_) = explain([Entry(index=0, kind=entry.kind, task="", call="", leaf=entry.leaf, payloads=())])
    return first.partition("  12:00:00.000  ")[2]


@pytest.mark.requirement("R2.9")
@pytest.mark.parametrize(
    ("how", "said"),
    [
        (None, "agent clerk: "),
        ({"by": "channel"}, "agent clerk: "),
        ({"by": "channel", "client": "corp:tickets"}, "agent clerk, through the client corp:tickets: "),
        ({"by": "consent", "given": "2026-11-01"}, "agent clerk, by the consent given at 2026-11-01: "),
        (
            {"by": "may_act", "client": "corp:desk"},
            "agent clerk, whom the user's login names (`may_act`), with a login of the client corp:desk: ",
        ),
        ({"by": "assertion"}, "agent clerk, by the issuer's word, an identity assertion for this agent: "),
        ({"by": "handed_on", "task": "t_1"}, "agent clerk, handed on from task t_1: "),
        ({"by": "client", "client": "corp:desk"}, "agent clerk, a plain client, which opened none itself: "),
    ],
)
def test_why_a_task_was_opened_is_told(how: JsonObject | None, said: str) -> None:
    entry = task_opened(desk_task(), at=NOON, by="agent clerk", random=seeded(1), input_body=b"{}", how=how)
    assert ("how" in json.loads(entry.leaf)) is (how is not None)
    assert line_of(entry) == f"task opened by {said}agent clerk may act for tom in `serve`"


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    ("name", "word", "said", "told"),
    [
        (
            "user/corp:alice",
            "revoked",
            {"agent": "refunds", "why": "odd"},
            "user/corp:alice with refunds revoked by ana: odd",
        ),
        ("user/corp:alice", "revoked", {"agent": "", "why": "odd"}, "user/corp:alice revoked by ana: odd"),
        ("user/corp:alice", "restored", {"agent": "refunds"}, "user/corp:alice with refunds restored by ana"),
        ("user/tom", "revoked", {"agent": "", "before": "T"}, "user/tom revoked for logins before T by ana"),
        (
            "issuer/acme",
            "session-revoked",
            {"user": "acme:bob", "reason": "stolen", "jti": "j"},
            "issuer/acme session-revoked of user acme:bob by ana: stolen",
        ),
        ("issuer/acme", "verification", {"jti": "j"}, "issuer/acme verification of nobody known here by ana"),
        ("keys/refunds", "keys_changed", {"kid": "K"}, "keys/refunds keys_changed by ana: registered K"),
        ("keys/refunds", "keys_changed", {"removed": "K"}, "keys/refunds keys_changed by ana: removed K"),
        ("agent/refunds", "revocation_complete", {"tasks": 1}, "the revocation of agent/refunds is complete"),
        (
            "user/tom",
            "revocation_complete",
            {"agent": "refunds"},
            "the revocation of user/tom with refunds is complete",
        ),
    ],
)
def test_a_control_says_whom_and_what_it_is_about(name: str, word: str, said: JsonObject, told: str) -> None:
    assert line_of(control(name, word, at=NOON, by="ana", said=said)) == told
