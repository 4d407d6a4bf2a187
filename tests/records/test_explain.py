"""What `explain` prints is safe for a terminal, whatever a tool or an agent wrote."""

import json

from remit.records import Entry, Payload, explain, printable

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
