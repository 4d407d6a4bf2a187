"""The commands that decide held calls and change what runs, typed against a real admin API on the desk."""

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from click.testing import CliRunner, Result
from tests.surfaces.admin.admin_stage import WIPING, Stage, certificate, compared

from remit.app import LocalWorkshop
from remit.core import JsonObject
from remit.identity import Cut
from remit.pipeline import Deployed, Done, Refused
from remit.records import event, refused
from remit.surfaces.cli import command_line
from remit.testing import NOON, POLICY, Desk, desk_delegation

READY_S = 60
Remit = Callable[..., Result]


class Server(uvicorn.Server):
    """A server in a thread. `ready` is set once it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@contextmanager
def listening(policy: str = POLICY) -> Iterator[Stage]:
    """Serve the stage on a free loopback port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        stage = Stage(Desk(policy=policy), base=f"http://127.0.0.1:{listener.getsockname()[1]}")
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
    with listening() as served:
        yield served


@pytest.fixture
def wiping() -> Iterator[Stage]:
    with listening(WIPING) as served:
        yield served


def remit(stage: Stage, folder: Path, person: str, *words: str, typed: str = "") -> Result:
    """Run a command as `person`, who types `typed` when asked."""
    (folder / "var").mkdir(exist_ok=True)
    (folder / "var/gateway.json").write_text(json.dumps({"data": stage.base, "admin": stage.base}), "utf-8")
    login = {"person": person, "tokens": {stage.base: person}}
    (folder / "var/login.json").write_text(json.dumps(login), "utf-8")
    command = command_line(LocalWorkshop(0), lambda _: 0)
    return CliRunner().invoke(command, [*words, "-C", str(folder)], input=typed)


# --- held calls ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5")
def test_one_screen_tells_what_is_approved(stage: Stage, tmp_path: Path) -> None:
    held: Any = stage.call("pay", {"amount": 60, "to": "eve", "note": "a\u202eb\n\x1b[2J"}, rationale="trust\x1b[2Jme")
    shown = remit(stage, tmp_path, "oli", "approvals", "show", held.approval)
    assert shown.exit_code == 0, shown.output
    for told in (
        "pay, by the agent clerk (owned by ana) for tom",
        'to = "eve"',
        "amount = 60",
        "/to from NOWHERE that the gateway has seen: NOT an accepted source",
        "which nobody has checked: trust<U+001B>[2Jme",
        "needs      1 of ops (approval): missing",
        "needs      1 of operator (provenance): missing",
        f"digest     {stage.shown(held.approval)['digest']}",
    ):
        assert told in shown.output, told
    assert "\x1b" not in shown.output
    assert "\u202e" not in shown.output
    assert "<U+202E>" in shown.output
    listed = remit(stage, tmp_path, "oli", "approvals", "list")
    assert held.approval in listed.output
    assert "waits for 1 of ops (approval)" in listed.output
    assert remit(stage, tmp_path, "fay", "approvals", "list").output == ""
    as_json = json.loads(remit(stage, tmp_path, "oli", "approvals", "show", held.approval, "--json").stdout)
    assert as_json == stage.shown(held.approval)


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(("said", "done"), [("y\n", True), ("n\n", False), ("", False)])
def test_a_yes_is_asked_for(stage: Stage, tmp_path: Path, said: str, done: bool) -> None:
    approval = stage.held(amount=60)
    answer = remit(stage, tmp_path, "oli", "approvals", "approve", approval, typed=said)
    assert "amount = 60" in answer.output
    assert "approve exactly this?" in answer.output
    assert (answer.exit_code == 0) is done
    assert isinstance(stage.call("pay", {"amount": 60}, "c_2"), Done if done else Refused)


@pytest.mark.requirement("R3.5")
def test_what_is_posted_is_the_digest_that_was_shown(stage: Stage, tmp_path: Path) -> None:
    approval = stage.held(amount=60)
    answer = remit(stage, tmp_path, "oli", "approvals", "approve", approval, "--yes", "--json")
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["state"] == "approved"
    assert "amount = 60" in answer.stderr, "what was approved is shown beside the JSON"
    assert stage.said("approval")["call_digest"] == json.loads(answer.stdout)["digest"]
    twice = remit(stage, tmp_path, "oli", "approvals", "approve", approval, "--yes")
    assert (twice.exit_code, "approver_twice" in twice.stderr) == (1, True)


def test_who_may_not_is_told_why(stage: Stage, tmp_path: Path) -> None:
    approval = stage.held()
    for person, said in (("tom", "approver_is_requester"), ("ana", "approver_is_owner"), ("fay", "approval_unknown")):
        answer = remit(stage, tmp_path, person, "approvals", "approve", approval, "--yes")
        assert answer.exit_code == 1
        assert said in answer.stderr
    for wrong in ("../stop", "A", "a b", "", "a\x1b[2J"):
        answer = remit(stage, tmp_path, "oli", "approvals", "approve", wrong, "--yes")
        assert answer.exit_code == 2
        assert "\x1b" not in answer.output
    assert stage.shown(approval)["state"] == "waiting"


@pytest.mark.requirement("R7.4")
def test_a_confirmation_is_typed_and_no_flag_stands_for_it(wiping: Stage, tmp_path: Path) -> None:
    approval = wiping.held("wipe")
    words = ("approvals", "approve", approval)
    for options, typed in ((("--yes",), ""), ((), "y\n"), (("--typed", "yes"), "")):
        answer = remit(wiping, tmp_path, "tom", *words, *options, typed=typed)
        assert answer.exit_code == 1, answer.output
        assert wiping.shown(approval)["state"] == "waiting"
    assert "it cannot be undone; to confirm, type wipe" in remit(wiping, tmp_path, "tom", *words, typed="\n").output
    answer = remit(wiping, tmp_path, "tom", *words, typed="wipe\n")
    assert answer.exit_code == 0, answer.output
    assert wiping.shown(approval)["state"] == "approved"


@pytest.mark.requirement("R7.4")
def test_a_confirmation_can_be_given_with_the_command(wiping: Stage, tmp_path: Path) -> None:
    approval = wiping.held("wipe")
    answer = remit(wiping, tmp_path, "tom", "approvals", "approve", approval, "--typed", "wipe")
    assert answer.exit_code == 0, answer.output


def test_a_no_is_given_with_its_reason(stage: Stage, tmp_path: Path) -> None:
    approval = stage.held()
    assert remit(stage, tmp_path, "oli", "approvals", "deny", approval).exit_code == 2
    denied = remit(stage, tmp_path, "oli", "approvals", "deny", approval, "--reason", "too much")
    assert denied.output == f"{approval}: denied\n"
    assert stage.said("approval")["why"] == "too much"


# --- agents ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.11")
def test_an_agent_is_shown_cut_off_and_let_act_again(stage: Stage, tmp_path: Path) -> None:
    approval = stage.held()
    shown = remit(stage, tmp_path, "ana", "agents", "show", "clerk")
    assert "clerk, owned by ana: look things up" in shown.output
    assert "open tasks:\n    t_desk  level A, for tom in serve\n" in shown.output
    assert f"waiting approvals: {approval}" in shown.output
    assert remit(stage, tmp_path, "ana", "agents", "revoke", "clerk").exit_code == 2, "without a reason"
    revoked = remit(stage, tmp_path, "ana", "agents", "revoke", "clerk", "--reason", "odd")
    died = "1 task(s), 1 approval(s), 0 call(s) under way, 0 token(s) ended"
    assert revoked.output == f"revoked clerk: {died}, after 0.0 ms\n"
    assert "clerk, owned by ana, REVOKED" in remit(stage, tmp_path, "tom", "agents", "list").output
    assert "odd" in remit(stage, tmp_path, "ana", "agents", "show", "clerk").output
    assert remit(stage, tmp_path, "tom", "agents", "restore", "clerk", "--reason", "x").exit_code == 1
    assert remit(stage, tmp_path, "ana", "agents", "restore", "clerk", "--reason", "mended").exit_code == 0
    assert "REVOKED" not in remit(stage, tmp_path, "tom", "agents", "list").output


@pytest.mark.requirement("R2.11")
def test_a_user_is_listed_cut_off_and_let_act_again(stage: Stage, tmp_path: Path) -> None:
    assert remit(stage, tmp_path, "ana", "users", "list").output == "tom: 1 open task(s) with clerk\n"
    assert remit(stage, tmp_path, "ana", "users", "revoke", "tom").exit_code == 2, "without a reason"
    assert remit(stage, tmp_path, "tom", "users", "revoke", "tom", "--reason", "x").exit_code == 1
    revoked = remit(stage, tmp_path, "ana", "users", "revoke", "tom", "--agent", "clerk", "--reason", "odd")
    assert revoked.output.startswith("revoked tom with clerk: 1 task(s), 0 approval(s)")
    assert remit(stage, tmp_path, "ana", "users", "revoke", "corp:Eve", "--reason", "left").exit_code == 0
    eve, cut, tom, with_clerk = remit(stage, tmp_path, "ana", "users", "list").output.splitlines()
    assert (eve, tom) == ("corp:Eve: 0 open task(s) with no agent", "tom: 0 open task(s) with no agent")
    assert cut.startswith("  REVOKED with every agent by ana at 2026-11-22T12:00:00")
    assert with_clerk.startswith("  REVOKED with clerk by ana at ")
    assert with_clerk.endswith(": odd")
    wrong = remit(stage, tmp_path, "ana", "users", "restore", "tom", "--reason", "x")
    assert (wrong.exit_code, "user_not_revoked" in wrong.stderr) == (1, True)
    restored = remit(stage, tmp_path, "ana", "users", "restore", "tom", "--agent", "clerk", "--reason", "mended")
    assert restored.output == "restored tom: `clerk` may act for them again, in new tasks\n"
    told = remit(stage, tmp_path, "ana", "users", "list", "--json")
    assert [each["user"] for each in json.loads(told.stdout)["users"]] == ["corp:Eve"]


@pytest.mark.requirement("R2.11")
def test_who_is_restored_is_told_what_still_stands(stage: Stage, tmp_path: Path) -> None:
    for words in (
        ("users", "revoke", "tom"),
        ("users", "revoke", "tom", "--agent", "clerk"),
        ("agents", "revoke", "clerk"),
    ):
        assert remit(stage, tmp_path, "ana", *words, "--reason", "odd").exit_code == 0
    restore = ("users", "restore", "tom", "--reason", "mended")
    one = remit(stage, tmp_path, "ana", *restore, "--agent", "clerk").output
    assert "; still REVOKED: tom with every agent by ana at " in one
    assert "; clerk by ana at " in one
    assert (
        remit(stage, tmp_path, "ana", "users", "revoke", "tom", "--agent", "clerk", "--reason", "again").exit_code == 0
    )
    every = remit(stage, tmp_path, "ana", *restore).output
    assert every.startswith(
        "restored tom: agents may act for them again, in new tasks; still REVOKED: tom with clerk by "
    )
    assert remit(stage, tmp_path, "ana", "agents", "restore", "clerk", "--reason", "mended").exit_code == 0
    last = remit(stage, tmp_path, "ana", "agents", "restore", "clerk", "--user", "tom", "--reason", "mended")
    assert last.output == "restored clerk for tom: it may act again, in new tasks\n", "the control: nothing stands"


@pytest.mark.requirement("R2.11")
def test_a_login_that_ended_is_told_as_such_and_not_as_a_user_cut_off(stage: Stage, tmp_path: Path) -> None:
    moment = NOON + timedelta(hours=2, minutes=54, seconds=7)
    for user in ("tom", "corp:eve"):
        asyncio.run(stage.desk.controls.cut(Cut(user=user), "issuer corp", "session-revoked (event j)", before=moment))
    ended = "  logins before 2026-11-22 14:54:07 count no more with every agent: by issuer corp at "
    head, eve, cut, *rest = remit(stage, tmp_path, "ana", "users", "list").output.splitlines()
    assert (head, eve) == ("only older logins count no more, of 2 user(s):", "tom:")
    assert cut.startswith(ended)
    assert rest[0] == "corp:eve:"
    assert "REVOKED" not in cut
    assert remit(stage, tmp_path, "ana", "users", "revoke", "tom", "--reason", "left").exit_code == 0
    _, out, logins, *_ = remit(stage, tmp_path, "ana", "users", "list").output.splitlines()
    assert out.startswith("  REVOKED with every agent by ana at ")
    assert logins == "  logins before 2026-11-22 14:54:07 count no more with every agent"


def test_refusals_at_the_doors_are_summarised_and_steer_no_terminal(stage: Stage, tmp_path: Path) -> None:
    by = replace(desk_delegation(""), user="omar", agent="")
    for _ in range(2):
        entry = refused(by, at=NOON, surface="tasks", code="role_missing", message="no role \x1b[2J")
        asyncio.run(stage.desk.store.append(entry))
    told = remit(stage, tmp_path, "ana", "records", "refusals").output
    assert told == "     2x  no agent for omar: at the door (tasks): role_missing\n         no role <U+001B>[2J\n"


@pytest.mark.requirement("R2.8")
def test_an_agent_not_seen_since_the_start_is_not_said_to_have_made_no_call(stage: Stage, tmp_path: Path) -> None:
    assert "t_desk  no call yet, for tom" in remit(stage, tmp_path, "ana", "agents", "show", "clerk").output
    stage.desk.live.began_at = NOON + timedelta(seconds=1)
    assert (
        "t_desk  not seen since the start, for tom" in remit(stage, tmp_path, "ana", "agents", "show", "clerk").output
    )


@pytest.mark.requirement("R2.11")
def test_an_agent_is_cut_off_for_one_user_and_a_task_by_itself(stage: Stage, tmp_path: Path) -> None:
    words = ("agents", "revoke", "clerk", "--reason", "odd")
    both = remit(stage, tmp_path, "ana", *words, "--user", "tom", "--key", "k")
    assert (both.exit_code, "not both" in both.stderr) == (2, True)
    assert remit(stage, tmp_path, "ana", *words, "--user", "ute").output.startswith("revoked clerk for ute: 0 task(s)")
    assert remit(stage, tmp_path, "ana", "agents", "restore", "clerk", "--reason", "x", "--user", "ute").exit_code == 0
    approval = stage.held()
    ended = remit(stage, tmp_path, "ana", "tasks", "revoke", "t_desk", "--reason", "not what was asked")
    assert ended.output.startswith("revoked t_desk: 1 task(s), 1 approval(s)")
    assert stage.said("approval")["approval"] == approval
    again = remit(stage, tmp_path, "ana", "tasks", "revoke", "t_desk", "--reason", "x")
    assert (again.exit_code, "task_unknown" in again.stderr) == (1, True)
    assert "open tasks: none" in remit(stage, tmp_path, "ana", "agents", "show", "clerk").output


@pytest.mark.requirement("R2.2", "R2.11")
def test_an_agent_gets_a_certificate_which_is_revoked_for_good(stage: Stage, tmp_path: Path) -> None:
    pem, sha256, private = certificate()
    file, seen = tmp_path / "clerk.crt", tmp_path / "both.pem"
    file.write_text(pem, "ascii")
    seen.write_text(pem + private, "ascii")
    words = ("agents", "register", "clerk", "--certificate")
    assert remit(stage, tmp_path, "ana", *words, str(file), "--key", __file__).exit_code == 2
    refused = remit(stage, tmp_path, "ana", *words, str(seen))
    assert (refused.exit_code, "key_private" in refused.stderr) == (1, True)
    assert remit(stage, tmp_path, "ana", *words, str(file)).output == f"registered a certificate of clerk: {sha256}\n"
    assert f"keys: {sha256} (a certificate)" in remit(stage, tmp_path, "ana", "agents", "show", "clerk").output
    revoked = remit(stage, tmp_path, "ana", "agents", "revoke", "clerk", "--key", sha256, "--reason", "published")
    died = "tokens that rest on it count no more; 0 call(s) under way ended"
    assert revoked.output == f"revoked a key of clerk: {died}, after 0.0 ms\n"
    told = remit(stage, tmp_path, "ana", "records", "controls").output
    for line in (
        f"keys/clerk keys_changed by ana: registered {sha256}",
        f"keys/clerk keys_changed by ana: removed {sha256}",
        f"the revocation of key/{sha256} is complete",
    ):
        assert line in told
    assert "0 task(s)" not in told
    again = remit(stage, tmp_path, "ana", *words, str(file))
    assert (again.exit_code, "key_revoked" in again.stderr) == (1, True)


@pytest.mark.requirement("R2.2")
def test_an_agent_gets_a_key_whose_private_half_stays_here(stage: Stage, tmp_path: Path) -> None:
    words = ("agents", "register", "clerk")
    for wrong in ((), ("--new-key", str(tmp_path / "a"), "--key", __file__)):
        assert remit(stage, tmp_path, "ana", *words, *wrong).exit_code == 2
    private = tmp_path / "clerk.pem"
    made = remit(stage, tmp_path, "ana", *words, "--new-key", str(private))
    assert made.exit_code == 0, made.output
    (kid,) = stage.ask("GET", "/v1/agents/clerk", "ana").json()["keys"]
    assert made.output == f"registered a key of clerk: {kid}; its private half is in {private}\n"
    assert f"keys: {kid}\n" in remit(stage, tmp_path, "ana", "agents", "show", "clerk").output
    assert private.stat().st_mode & 0o077 == 0
    again = remit(stage, tmp_path, "ana", *words, "--new-key", str(private))
    assert (again.exit_code, "file_exists" in again.stderr) == (1, True)
    refused = remit(stage, tmp_path, "ana", *words, "--key", str(private))
    assert (refused.exit_code, "key_private" in refused.stderr) == (1, True)
    unmade = tmp_path / "unmade.pem"
    for person, agent in (("tom", "clerk"), ("ana", "nobody")):
        assert remit(stage, tmp_path, person, "agents", "register", agent, "--new-key", str(unmade)).exit_code == 1
    assert not unmade.exists(), "no key is made for whom there is none to give"
    assert len(stage.ask("GET", "/v1/agents/clerk", "ana").json()["keys"]) == 1
    assert private.read_text("ascii") not in json.dumps(stage.said("control"))


@pytest.mark.requirement("R2.2")
@pytest.mark.parametrize("dashes", [(), ("--",)])
def test_the_name_of_a_key_may_begin_with_a_dash(stage: Stage, tmp_path: Path, dashes: tuple[str, ...]) -> None:
    kid = "-tNwHArRZxQ_E5A_Qno35yhA2SWoqm6icT_sTMRtBRw"
    key: JsonObject = {"kty": "X509", "x5t#S256": kid}
    assert asyncio.run(stage.desk.controls.register_key("clerk", key, "ana")) == kid
    (tmp_path / "var").mkdir()
    words = ("agents", "forget-key", "clerk", "-C", str(tmp_path), *dashes, kid)
    remit(stage, tmp_path, "ana", "agents", "list")  # (logs in)
    said = CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), words)
    assert (said.exit_code, said.output) == (0, f"clerk can no longer prove itself with {kid}\n"), said.output
    assert asyncio.run(stage.desk.controls.register_key("clerk", key, "ana")) == kid
    revoked = remit(stage, tmp_path, "ana", "agents", "revoke", "clerk", "--key", kid, "--reason", "published")
    assert revoked.output.startswith("revoked a key of clerk: tokens that rest on it count no more")


# --- the catalogue, releases, stopping -------------------------------------------------------------------------------


@pytest.mark.requirement("R4.7")
def test_differences_are_read_and_counted(stage: Stage, tmp_path: Path) -> None:
    asyncio.run(stage.desk.controls.quarantine("look", ['title: + "Leak"']))
    listed = remit(stage, tmp_path, "ana", "tools", "list")
    assert "pay 1.0.0, write, of desk" in listed.output
    assert "signed by eli (engineering), sue (security); pinned by clerk" in listed.output
    assert 'QUARANTINED: title: + "Leak"' in listed.output
    for state, exit_code in (("reviewed", 0), ("not_pinned", 0), ("changed", 1), ("unverified", 1)):
        stage.checked = [compared("look", state, "title: + \x1b[2J")]
        looked = remit(stage, tmp_path, "ana", "tools", "diff")
        assert (looked.exit_code, looked.output.startswith(state)) == (exit_code, True)
        assert "title: + <U+001B>[2J" in looked.output
        assert json.loads(remit(stage, tmp_path, "ana", "tools", "diff", "--json").stdout) == stage.checked
    held_back = remit(stage, tmp_path, "ana", "tools", "release", "look", "--reason", "mended")
    assert (held_back.exit_code, "not_verified" in held_back.stderr) == (1, True)
    stage.checked = [compared("look", "reviewed")]
    assert remit(stage, tmp_path, "ana", "tools", "release", "look", "--reason", "mended").exit_code == 0


def test_releases_are_told_and_gone_back_from(stage: Stage, tmp_path: Path) -> None:
    release = Deployed(number=1, bundle="sha256:" + "1" * 64, at=NOON, by="ana", how="deploy")
    asyncio.run(stage.desk.store.deploy(release, {"agents/x": b"x"}, event("release", at=NOON, by="ana", said={})))
    told = remit(stage, tmp_path, "ana", "release", "history")
    assert "2026-11-22T12:00:00.000000Z  sha256:111111111111  deploy by ana" in told.output
    assert remit(stage, tmp_path, "ana", "release", "rollback").output.startswith("rolled back: sha256:")
    assert remit(stage, tmp_path, "ana", "release", "rollback", "--to", "sha256:" + "1" * 64).exit_code == 0
    assert stage.rolled == [("ana", ""), ("ana", "sha256:" + "1" * 64)]
    wrong = remit(stage, tmp_path, "ana", "release", "rollback", "--to", "sha256:1")
    assert (wrong.exit_code, "request_invalid" in wrong.stderr) == (1, True)


def test_everything_stops_by_one_command(stage: Stage, tmp_path: Path) -> None:
    assert remit(stage, tmp_path, "ana", "stop-all").exit_code == 2
    assert remit(stage, tmp_path, "tom", "stop-all", "--reason", "x").exit_code == 1
    stopped = remit(stage, tmp_path, "ana", "stop-all", "--reason", "fire")
    assert stopped.output.startswith("stopped: fire")
    assert isinstance(stage.call("look", {}), Refused)
    assert remit(stage, tmp_path, "ana", "stop-all", "--lift", "--reason", "out", "--json").exit_code == 0
    assert isinstance(stage.call("look", {}, "c_2"), Done)
