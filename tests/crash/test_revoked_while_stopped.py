"""A gateway is stopped in the middle of a call, and told meanwhile that its authority is gone: nothing is sent.

Real processes, stopped and continued by signals; what they did is read from the log they left behind.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remit.adapters.sqlite import SqliteStore
from remit.records import Entry

pytestmark = pytest.mark.requirement("R2.11")

CHILD = Path(__file__).with_name("stopped_child.py")
FORMS: dict[str, dict[str, str]] = {
    "agent": {"agent": "clerk"},
    "user": {"user": "tom"},
    "user with an agent": {"user": "tom", "agent": "clerk"},
    "task": {"task": "t_desk"},
    "key": {"key": "A" * 43},
}


@pytest.fixture(scope="module")
def server() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, str(CHILD)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@dataclass
class Victims:
    """Gateways that are stopped in the middle of a call."""

    server: "subprocess.Popen[str]"
    path: Path

    def go_on(self, where: str, cut: dict[str, str] | None, kind: str = "gateway") -> tuple[Any, list[Any]]:
        """Stop one, tell it of `cut`, let it go on; return what it says of the call, and its log."""
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        order = {"path": str(self.path), "where": where, "cut": cut, "kind": kind}
        self.server.stdin.write(json.dumps(order) + "\n")
        self.server.stdin.flush()
        said = json.loads(self.server.stdout.readline())
        assert said.pop("stood"), "it stood in the middle of its call"
        return said, [json.loads(entry.leaf) for entry in asyncio.run(_log(self.path))]


@pytest.fixture
def victims(server: "subprocess.Popen[str]", tmp_path: Path) -> Victims:
    return Victims(server, tmp_path / "remit.db")


async def _log(path: Path) -> tuple[Entry, ...]:
    store = await SqliteStore.open(path)
    try:
        return await store.entries(0, 1_000)
    finally:
        await store.close()


def told(log: list[Any]) -> list[str]:
    """Return the kinds of the entries since the call was decided; of controls, the words."""
    return [str(leaf.get("word", leaf["kind"])) for leaf in log if leaf.get("word") != "keys_changed"][1:]


@pytest.mark.parametrize("form", FORMS)
def test_what_was_decided_before_the_revocation_and_not_intended_is_denied(form: str, victims: Victims) -> None:
    said, log = victims.go_on("decided", FORMS[form])
    assert said == {"answer": f"{form.partition(' ')[0]}_revoked", "sent": 0}
    kinds = told(log)
    assert kinds[:2] == ["revoked", "revocation_complete"]
    assert kinds[-1] == "denied"
    assert "intent" not in kinds


@pytest.mark.parametrize("form", FORMS)
def test_what_was_intended_before_the_revocation_and_has_not_left_does_not_leave(form: str, victims: Victims) -> None:
    said, log = victims.go_on("intended", FORMS[form])
    assert said == {"answer": "revoked", "sent": 0}
    kinds = told(log)
    assert kinds[:3] == ["intent", "revoked", "revocation_complete"]
    assert (kinds[-1], log[-1]["status"], log[-1]["code"]) == ("outcome", "failed", "revoked")


@pytest.mark.parametrize("where", ["decided", "intended"])
def test_control_a_call_that_nobody_cut_off_is_sent(where: str, victims: Victims) -> None:
    said, log = victims.go_on(where, None)
    assert (said, told(log)) == ({"answer": "done", "sent": 1}, ["intent", "outcome"])


@pytest.mark.parametrize("where", ["decided", "intended"])
def test_control_a_gateway_that_lacks_the_guards_sends_what_was_cut_off(where: str, victims: Victims) -> None:
    said, log = victims.go_on(where, FORMS["agent"], "blind")
    assert said == {"answer": "done", "sent": 1}
    assert "revoked" in told(log)
