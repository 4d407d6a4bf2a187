"""Commands that change a held call and trust while approving, typed against a real admin API on the desk."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from tests.pipeline.approving_stage import PAID_TO, TO, editing, trusting
from tests.surfaces.admin.admin_stage import ROLES, Stage
from tests.surfaces.cli.test_control_commands import READY_S, Server, remit

from remit.pipeline import Done
from remit.records import Payload
from remit.testing import Desk, reviewer_key


@contextmanager
def serving(desk: Desk) -> Iterator[Stage]:
    """Serve a desk on a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        stage = Stage(desk, base=f"http://127.0.0.1:{listener.getsockname()[1]}")
        server = Server(uvicorn.Config(stage.app, lifespan="off", ws="none", log_level="warning"))
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        assert server.ready.wait(READY_S)
        try:
            yield stage
        finally:
            server.should_exit = True
            thread.join(READY_S)


@pytest.fixture
def stage() -> Iterator[Stage]:
    with serving(editing(Desk())) as served:
        yield served


@pytest.fixture
def payees(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setitem(ROLES, "sue", {"operator"})
    with serving(trusting()) as served:
        yield served


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "sue.pem"
    path.write_bytes(reviewer_key("sue"))
    return path


@pytest.mark.requirement("R3.5")
def test_an_edit_gives_arguments_other_values_and_leaves_some_out(stage: Stage, tmp_path: Path) -> None:
    approval = stage.held(amount=75, note="please")
    words = ("--set", "amount=60", "--set", "to=75", "--unset", "note", "--why", "too much")
    answer = remit(stage, tmp_path, "oli", "approvals", "edit", approval, *words)
    assert answer.exit_code == 0, answer.output
    [made] = [each.id for each in stage.desk.live.approvals() if each.editor]
    for told in (
        f"{approval}: void; the edited call waits as {made}",
        "amount = 60    (the agent gave 75)",
        'to = "75"    (the agent gave nothing)',  # text, as its schema says, although it reads as a number
        'note left out    (the agent gave "please")',
        # (A value that a person writes comes from nowhere that the gateway has seen.)
        f"{made}: waits for 1 of operator (provenance); waits for 1 of ops (approval)",
    ):
        assert told in answer.output, told
    assert stage.said("approval")["why"] == "too much"
    shown = remit(stage, tmp_path, "pam", "approvals", "show", made).output
    assert "edited by  oli, who does not count for it" in shown
    listed = remit(stage, tmp_path, "pam", "approvals", "list", "--all").output.splitlines()
    [old] = [listed[at + 1] for at, line in enumerate(listed) if line.startswith(f"{approval}  void")]
    [new] = [listed[at + 1] for at, line in enumerate(listed) if line.startswith(f"{made}  waiting")]
    assert old.startswith(f"    edited into {made}; until ")
    assert "; edited by oli; until " in new
    refused = remit(stage, tmp_path, "oli", "approvals", "approve", made, "--yes")
    assert (refused.exit_code, "approver_is_editor" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--why", "x"),
        ("--set", "amount=60"),
        ("--set", "amount", "--why", "x"),
        ("--set", "=60", "--why", "x"),
        ("--set", '{"a"=60', "--why", "x"),
        ("--unset", "to", "--why", "x"),
    ],
    ids=str,
)
def test_an_edit_that_cannot_be_understood_is_a_usage_error(
    stage: Stage, tmp_path: Path, words: tuple[str, ...]
) -> None:
    approval = stage.held(amount=75)
    assert remit(stage, tmp_path, "oli", "approvals", "edit", approval, *words).exit_code == 2
    assert stage.shown(approval)["state"] == "waiting"


@pytest.mark.requirement("R3.5")
def test_what_a_call_would_change_is_told_beside_what_is_there(stage: Stage, tmp_path: Path) -> None:
    approval = stage.held(amount=75)
    found = stage.desk.live.approval(approval)
    assert found is not None
    entry = stage.desk.store.log[found.entry]
    before = Payload(name="before", salt=b"", body=b'{"amount":70,"owner":"eve\\u001b[2J"}')
    stage.desk.store.log[found.entry] = replace(entry, payloads=(*entry.payloads, before))
    shown = remit(stage, tmp_path, "oli", "approvals", "show", approval)
    assert shown.exit_code == 0, shown.output
    assert "amount = 75    (is now 70)" in shown.output
    assert "before     as it was at 2026-11-22T12:00:00.000000Z" in shown.output
    assert "\x1b" not in shown.output


@pytest.mark.requirement("R3.9")
def test_an_approver_trusts_with_a_key_of_their_own_which_goes_nowhere(
    payees: Stage, tmp_path: Path, key: Path
) -> None:
    approval = payees.held(**PAID_TO)
    words = ("--trust", "to", "--directory", "payees", "--until", "30d", "--key", str(key))
    answer = remit(payees, tmp_path, "sue", "approvals", "approve", approval, *words, "--yes")
    assert answer.exit_code == 0, answer.output
    assert f"trusts     {TO} in the directory payees until 2026-12-22T12:00:00.000000Z" in answer.output
    assert answer.output.endswith(f"\n{TO} is trusted until 2026-12-22T12:00:00.000000Z in payees\n")
    assert isinstance(payees.call("pay", {**PAID_TO, "amount": 1}, "c_2"), Done)
    listed = remit(payees, tmp_path, "omar", "directories", "list").output
    assert f"payees: 1 signed (values)\n    {TO}  trusted by sue until 2026-12-22T12:00:00.000000Z\n" in listed
    assert json.loads(remit(payees, tmp_path, "omar", "directories", "list", "--json").stdout)[2]["added"]
    gone = remit(payees, tmp_path, "omar", "directories", "remove", "payees", TO, "--reason", "a mistake")
    assert gone.output == f"payees: {TO} is no longer trusted\n"
    assert TO not in remit(payees, tmp_path, "omar", "directories", "list").output
    assert b"PRIVATE" not in b"".join(each.leaf for each in payees.desk.store.log)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--trust", "to"), 2, "go together"),
        (("--directory", "payees"), 2, "go together"),
        (("--trust", "to", "--directory", "payees", "--until", "soon"), 2, "30d"),
        (("--trust", "to", "--directory", "../x", "--until", "30d"), 2, "directory"),
        (("--trust", "cc", "--directory", "payees", "--until", "30d"), 2, "is no text among the arguments"),
        (("--trust", "/to/0", "--directory", "payees", "--until", "30d"), 2, "is no text among the arguments"),
        (("--trust", "to=mallory", "--directory", "payees", "--until", "30d"), 1, "trust_not_a_reason"),
        (("--trust", "/to", "--directory", "payees", "--until", "366d"), 1, "trust_too_long"),
        (("--trust", "to=corp.example", "--directory", "hosts", "--until", "12h"), 0, "approved"),
        (("--trust", "/to", "--directory", "payees", "--until", "365d"), 0, "approved"),
    ],
    ids=str,
)
def test_what_is_trusted_is_given_whole(  # noqa: PLR0913, PLR0917 - two fixtures beside what the table gives
    payees: Stage, tmp_path: Path, key: Path, words: tuple[str, ...], status: int, said: str
) -> None:
    approval = payees.held(**PAID_TO)
    key_words = ("--key", str(key)) if "--until" in words else ()
    answer = remit(payees, tmp_path, "sue", "approvals", "approve", approval, *words, *key_words, "--yes")
    assert (answer.exit_code, said in answer.output + answer.stderr) == (status, True), answer.output
    shown: Any = payees.shown(approval)
    assert shown["state"] == ("approved" if status == 0 else "waiting")
