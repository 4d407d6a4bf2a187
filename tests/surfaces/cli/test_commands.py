"""The `remit` command as people type it, against a real gateway on the refund desk."""

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from click.testing import CliRunner, Result

from remit.app import LocalWorkshop
from remit.surfaces.cli import command_line

READY_S = 60
DESK = Path(__file__).parents[3] / "examples" / "refund_desk"
POLICY = "agents/refunds/policies/refunds.cedar"
CALL = {
    "jsonrpc": "2.0",
    "method": "tools/call",
    "params": {
        "name": "get_order",
        "arguments": {"order_id": "ord-1001"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        },
    },
}

Remit = Callable[..., Result]


def type_in(*words: object) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(command_line(LocalWorkshop(0), lambda _: 0), [str(word) for word in words])


@pytest.fixture
def remit(desk: Any) -> Iterator[Remit]:
    """Run commands on the running desk's project, as ana unless somebody else logs in."""

    def run(*words: object) -> Result:
        at = 2 if words[0] in ("agents", "approvals", "records", "release", "tasks", "tools") else 1
        return type_in(*words[:at], "-C", desk.project, *words[at:])

    assert run("login", "ana").exit_code == 0
    yield run
    (desk.project / "var/login.json").unlink(missing_ok=True)


@contextmanager
def up(project: Path, *options: str) -> Iterator[str]:
    """Run a gateway of our own on `project`; yield what it printed."""
    command = [sys.executable, "-m", "remit", "up", "-C", str(project), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        said: list[str] = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("ready after"):
                break
        try:
            yield "".join(said)
        finally:
            process.terminate()
            process.communicate(timeout=READY_S)


@pytest.fixture
def own(desk: Any, tmp_path: Path) -> Path:
    """A project of its own, in front of the desk's tool server; its ports are the running gateway's plus nothing."""
    project = tmp_path / "own"
    shutil.copytree(desk.project, project, ignore=shutil.ignore_patterns("var", "checkpoints"))
    if (desk.project / "var/trust.json").exists():  # of all that is in var, the one thing that is not the gateway's own
        (project / "var").mkdir(mode=0o700)
        shutil.copy(desk.project / "var/trust.json", project / "var/trust.json")
    import_free = [_free_port(), _free_port()]
    settings = project / "remit.yaml"
    text = settings.read_text("utf-8")
    for old, new in ((desk.data_port, import_free[0]), (desk.admin_port, import_free[1])):
        text = text.replace(str(old), str(new))
    settings.write_text(text, "utf-8")
    return project


# --- a project's files ---------------------------------------------------------------------------------------------


def test_a_new_project_passes_its_own_check(tmp_path: Path) -> None:
    made = type_in("init", tmp_path / "desk")
    assert made.exit_code == 0, made.output
    assert "&& remit check && remit up" in made.output
    checked = type_in("check", "-C", tmp_path / "desk")
    assert checked.exit_code == 0, checked.output
    assert "ok: 1 agent(s)" in checked.output


def test_init_never_overwrites(tmp_path: Path) -> None:
    assert type_in("init", tmp_path).exit_code == 0
    before = (tmp_path / "remit.yaml").read_bytes()
    again = type_in("init", tmp_path)
    assert again.exit_code == 1
    assert "file_exists" in again.stderr
    assert (tmp_path / "remit.yaml").read_bytes() == before


def test_an_existing_client_configuration_becomes_a_project(desk: Any, tmp_path: Path) -> None:
    url = next(
        line.split(maxsplit=1)[1]
        for line in (desk.project / "catalogue/orders.yaml").read_text("utf-8").splitlines()
        if line.startswith("url:")
    )
    secret = "sk-canary-0451"
    servers = {
        "orders": {"url": url, "headers": {"Authorization": f"Bearer {secret}"}},
        "gone": {"url": "http://127.0.0.1:9/mcp"},
        "files": {"command": "no-such-program", "args": ["server"], "env": {"KEY": secret}},
    }
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}), "utf-8")
    made = type_in("init", tmp_path / "shop", "--from", tmp_path / "mcp.json", "--owner", "ana")
    assert made.exit_code == 0, made.output
    assert "server `files`: not imported" in made.output
    assert "server `gone`: not imported" in made.output
    written = "".join(path.read_text("utf-8") for path in (tmp_path / "shop").rglob("*") if path.is_file())
    assert secret not in written + made.output
    checked = type_in("check", "-C", tmp_path / "shop", "--json")
    assert checked.exit_code == 0, checked.output
    assert "never_permitted" in checked.stdout  # only what says that it reads is permitted
    assert type_in("doctor", "-C", tmp_path / "shop").exit_code == 0


@pytest.mark.requirement("R1.1", "R3.8")
@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        (POLICY, "amount_minor <=", "amout_minor <=", ("policy_unknown_attribute", "amount_minor", f"{POLICY}:")),
        ("agents/refunds/agent.yaml", "owner: ana", "", ("charter_incomplete", "owner", "agent.yaml:")),
        ("agents/refunds/agent.yaml", "get_order,", "get_ordr,", ("operation_unknown", "get_order", "agent.yaml:")),
        ("catalogue/orders.yaml", "effect: read", "effect: unreviewed", ("unreviewed", "effect", "orders.yaml:")),
    ],
)
def test_a_broken_file_is_named_with_its_line_and_the_way_to_mend_it(
    tmp_path: Path, file: str, old: str, new: str, expected: tuple[str, ...]
) -> None:
    shutil.copytree(DESK / "project", tmp_path / "project")
    path = tmp_path / "project" / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    checked = type_in("check", "-C", tmp_path / "project")
    assert checked.exit_code == 1
    for word in (*expected, "fix: "):
        assert word in checked.stderr
    control = path.write_text(text, "utf-8")
    assert control
    assert type_in("check", "-C", tmp_path / "project").exit_code == 0


def test_doctor_says_what_is_wrong(tmp_path: Path) -> None:
    type_in("init", tmp_path)
    looked = type_in("doctor", "-C", tmp_path)  # nothing serves the scaffold's example tool
    assert looked.exit_code == 1
    assert "FAIL  tool orders" in looked.output
    assert "fix: start it" in looked.output
    (tmp_path / "remit.yaml").write_text("nmae: x\n", "utf-8")
    looked = type_in("doctor", "-C", tmp_path, "--json")
    assert looked.exit_code == 1
    assert any(found["name"] == "project" and not found["ok"] for found in json.loads(looked.output))


@pytest.mark.parametrize(
    "given", ['{"a": NaN}', '{"a": 1e999}', 'a="\\ud800"', '{"a":"x","a":"y"}', "[" * 50_000, "no-equals-sign"]
)
def test_arguments_that_are_not_json_are_usage_errors(tmp_path: Path, given: str) -> None:
    type_in("init", tmp_path)
    words = ("get_order", given) if "=" in given or given[0] in "{[" else ("get_order", given, "x")
    tried = type_in("try", "-C", tmp_path, *words)
    assert tried.exit_code == 2, tried.output


def test_a_refusal_is_json_where_json_is_asked_for(tmp_path: Path) -> None:
    shutil.copytree(DESK / "project", tmp_path / "project")
    charter = tmp_path / "project/agents/refunds/agent.yaml"
    charter.write_text(charter.read_text("utf-8").replace("owner: ana\n", ""), "utf-8")
    checked = type_in("check", "-C", tmp_path / "project", "--json")
    assert checked.exit_code == 1
    said = json.loads(checked.stdout)
    assert said["code"] == "project_invalid"
    (problem,) = said["problems"]
    assert (problem["code"], problem["file"]) == ("charter_incomplete", "agents/refunds/agent.yaml")
    assert problem["line"] > 0
    assert problem["fix"]


@pytest.mark.parametrize("name", ["stop.cedr", "forbid.cedar.txt", "forbid.cedar.bak"])
def test_a_policy_that_would_never_be_read_is_found(tmp_path: Path, name: str) -> None:
    shutil.copytree(DESK / "project", tmp_path / "project")
    (tmp_path / "project/agents/refunds/policies" / name).write_text("forbid (principal, action, resource);", "utf-8")
    checked = type_in("check", "-C", tmp_path / "project")
    assert checked.exit_code == 1
    assert "file_misplaced" in checked.stderr


def test_a_token_does_not_travel_through_a_proxy(remit: Remit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as proxy:
        proxy.bind(("127.0.0.1", 0))
        proxy.listen()
        proxy.settimeout(0.2)
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert remit("records", "export", tmp_path / "log.jsonl").exit_code == 0
        assert remit("tasks", "list").exit_code == 0
        with pytest.raises(TimeoutError):
            proxy.accept()


def test_usage_errors_exit_with_two(tmp_path: Path) -> None:
    assert type_in("check", "--nonsense").exit_code == 2
    assert type_in("try").exit_code == 2
    type_in("init", tmp_path)
    assert type_in("try", "-C", tmp_path, "get_order", "no-equals-sign", "x").exit_code == 2


# --- a running gateway -----------------------------------------------------------------------------------------------


def test_without_a_gateway_or_a_login_the_fix_is_named(tmp_path: Path, desk: Any) -> None:
    type_in("init", tmp_path)
    said = type_in("tasks", "list", "-C", tmp_path)
    assert (said.exit_code, "remit up" in said.stderr) == (1, True)
    (desk.project / "var/login.json").unlink(missing_ok=True)
    said = type_in("tasks", "list", "-C", desk.project)
    assert said.exit_code == 1
    assert "login_needed" in said.stderr
    said = type_in("login", "nobody", "-C", desk.project)
    assert said.exit_code == 1
    assert "login_refused" in said.stderr


@pytest.mark.requirement("R1.2", "R3.1", "R7.5")
def test_try_makes_one_governed_call(remit: Remit, desk: Any) -> None:
    before = len(desk.received())
    done = remit("try", "get_order", "order_id=ord-1001")
    assert done.exit_code == 0, done.output
    assert '"order_id": "ord-1001"' in done.output
    assert len(desk.received()) == before + 1
    denied = remit("try", "refund_order", "order_id=ord-1001", "amount_minor=100001", "currency=EUR", "reason=x")
    assert denied.exit_code == 1
    assert "policy_no_permit" in denied.output
    unlisted = remit("try", "close_account", "customer_id=cus-001", "--use-case", "refund_request", "--json")
    assert unlisted.exit_code == 1
    assert json.loads(unlisted.output)["answer"]["error"]["data"]["code"] == "outside_use_case"
    assert [each["tool"] for each in desk.received()[before:]] == ["get_order", "get_order"]  # one to know the order
    told = remit("records", "explain", json.loads(unlisted.output)["task"])
    assert told.exit_code == 0
    assert "DENIED" in told.output
    assert "replayed: 1 of 1" in told.output


@pytest.mark.requirement("R2.2")
def test_an_agent_with_a_key_is_handed_a_delegation_unless_a_bearer_token_is_asked_for(
    remit: Remit, tmp_path: Path
) -> None:
    words = ("tasks", "open", "tracker", "tracking", "--json")
    assert "token" in json.loads(remit(*words).stdout)
    assert remit("agents", "register", "tracker", "--new-key", tmp_path / "key.pem").exit_code == 0
    [kid] = json.loads(remit("agents", "show", "tracker", "--json").stdout)["keys"]
    try:
        assert "delegation" in json.loads(remit(*words).stdout)
        assert "to be exchanged" in remit(*words[:-1]).stderr
        assert "token" in json.loads(remit(*words, "--bearer").stdout)
    finally:
        assert remit("agents", "forget-key", "tracker", kid).exit_code == 0
    assert "agent_has_no_key" in remit(*words[:-1], "--delegation").stderr


@pytest.mark.requirement("R3.8")
def test_a_policy_that_does_not_load_changes_nothing(remit: Remit, desk: Any) -> None:
    policy = desk.project / POLICY
    right = policy.read_text("utf-8")
    runs = json.loads(remit("release", "status", "--json").output)["bundle"]
    try:
        policy.write_text(right.replace("amount_minor <=", "amout_minor <=", 1), "utf-8")
        refused = remit("release", "deploy")
        assert refused.exit_code == 1
        assert "amout_minor" in refused.stderr
        assert "`context.arguments` there has `amount_minor: Long`" in refused.stderr
        assert json.loads(remit("release", "status", "--json").output)["bundle"] == runs
        assert remit("try", "get_order", "order_id=ord-1001").exit_code == 0
        policy.write_text(right.replace("<= 100000", "<= 100"), "utf-8")
        assert "deployed: sha256:" in remit("release", "deploy").output
        small = ("order_id=ord-1001", "amount_minor=101", "currency=EUR", "reason=x")
        assert "policy_no_permit" in remit("try", "refund_order", *small).output
        log = [json.loads(json.loads(line)["leaf"]) for line in desk.export()[1:-1]]
        assert [leaf["by"] for leaf in log if leaf["kind"] == "release"][-1] == "ana"
    finally:
        policy.write_text(right, "utf-8")
        assert remit("release", "deploy").exit_code == 0
    assert json.loads(remit("release", "status", "--json").output)["bundle"] == runs


def test_who_is_no_operator_operates_nothing(remit: Remit) -> None:
    assert remit("login", "tom").exit_code == 0
    for words in (("release", "status"), ("release", "deploy"), ("tasks", "list"), ("records", "verify")):
        said = remit(*words)
        assert said.exit_code == 1
        assert "role_missing" in said.stderr
    assert remit("try", "get_order", "order_id=ord-1001").exit_code == 0  # but a channel he is


@pytest.mark.requirement("R5.6")
def test_the_log_proves_itself_to_a_stranger(remit: Remit, tmp_path: Path) -> None:
    remit("try", "get_order", "order_id=ord-1001")
    said = json.loads(remit("records", "verify", "--json").output)
    assert said["proven"]
    assert said["entries"] > 0
    assert remit("records", "export", tmp_path / "log.jsonl").exit_code == 0
    assert remit("records", "verify", "--export", tmp_path / "log.jsonl").exit_code == 0
    lines = (tmp_path / "log.jsonl").read_text("utf-8").splitlines(keepends=True)
    (tmp_path / "log.jsonl").write_text("".join(lines[:2] + lines[3:]), "utf-8")
    tampered = remit("records", "verify", "--export", tmp_path / "log.jsonl")
    assert tampered.exit_code == 1
    assert "NOT PROVEN" in tampered.output


def test_refusals_are_summarised(remit: Remit) -> None:
    for _ in range(2):
        remit("try", "refund_order", "order_id=ord-1002", "amount_minor=100001", "currency=EUR", "reason=x")
    found = json.loads(remit("records", "refusals", "--json").output)
    most = next(each for each in found if each["code"] == "policy_no_permit")
    assert most["count"] >= 2
    assert most["operation"] == "refund_order"


# --- observing, and starting again -----------------------------------------------------------------------------------


def test_try_names_what_to_do_where_the_agent_may_bear_no_token(own: Path) -> None:
    charter = own / "agents/refunds/agent.yaml"
    text = charter.read_text("utf-8")
    assert "bearer: true" in text
    charter.write_text(text.replace("bearer: true", "bearer: false"), "utf-8")
    with up(own):
        assert type_in("login", "ana", "-C", own).exit_code == 0
        tried = type_in("try", "-C", own, "get_order", "order_id=ord-1001", "--agent", "refunds")
    assert tried.exit_code == 1
    for said in ("bearer_refused", "uses a bearer token", "bearer: true", "`remit tasks open refunds refund_request`"):
        assert said in tried.stderr


def test_observe_mode_refuses_nothing_and_says_so_loudly(own: Path, desk: Any) -> None:
    before = len(desk.received())
    with up(own, "--observe") as said:
        assert "NOTHING IS REFUSED" in said
        assert type_in("login", "ana", "-C", own).exit_code == 0
        tried = type_in("try", "-C", own, "search_orders", "limit=1", "agent=x")  # off its schema
        assert tried.exit_code == 0, tried.output
        assert len(desk.received()) == before + 1
        status = json.loads(type_in("release", "status", "-C", own, "--json").output)
        assert status["mode"] == "observe"
        refusal = json.loads(type_in("records", "refusals", "-C", own, "--json").output)[0]
        assert (refusal["code"], refusal["observed"], refusal["count"]) == ("arguments_invalid", 1, 1)
        proof = json.loads(type_in("records", "verify", "-C", own, "--json").output)
        assert (proof["proven"], proof["observed"]) == (True, 1)
        unknown = type_in("try", "-C", own, "drop_tables")
        assert unknown.exit_code == 1  # there is nowhere to forward it to
    with up(own) as said:  # the control: enforcing, the same call stays here
        assert "enforcing" in said
        assert type_in("try", "-C", own, "search_orders", "limit=1", "agent=x").exit_code == 1
        assert len(desk.received()) == before + 1


@pytest.mark.requirement("R5.6")
def test_a_gateway_does_not_go_on_with_yesterdays_copy_of_the_log(own: Path, tmp_path: Path) -> None:
    with up(own):
        pass
    shutil.copytree(own / "var", tmp_path / "yesterday")
    with up(own):
        type_in("login", "ana", "-C", own)
        assert type_in("try", "-C", own, "get_order", "order_id=ord-1001").exit_code == 0
    today = tmp_path / "today"
    shutil.move(own / "var", today)
    shutil.copytree(tmp_path / "yesterday", own / "var")
    with up(own) as said:
        assert "log_rolled_back" in said
        assert "ready after" not in said
    shutil.rmtree(own / "var")
    shutil.move(today, own / "var")
    with up(own) as said:
        assert "ready after" in said


@pytest.mark.requirement("R5.6")
def test_a_longer_log_with_another_history_is_refused(own: Path, tmp_path: Path) -> None:
    """Yesterday's copy, grown past today's size: only the root over the checkpoint's size tells."""
    with up(own):
        pass
    shutil.copytree(own / "var", tmp_path / "yesterday")
    with up(own):
        pass
    today = (own / "checkpoints").rename(tmp_path / "today")
    shutil.rmtree(own / "var")
    shutil.copytree(tmp_path / "yesterday", own / "var")
    (own / "checkpoints").mkdir()
    (own / "checkpoints/log.checkpoints").touch()
    for _ in range(2):
        with up(own) as said:
            assert "ready after" in said, "the control: by itself the forged log starts"
    shutil.rmtree(own / "checkpoints")
    today.rename(own / "checkpoints")
    with up(own) as said:
        assert "log_rolled_back" in said


def test_checkpoints_that_are_gone_are_missed(own: Path) -> None:
    with up(own):
        pass
    kept = own / "checkpoints/log.checkpoints"
    away = kept.rename(own / "checkpoints/away")
    with up(own) as said:
        assert "checkpoints_missing" in said
    kept.touch()  # on purpose: begun anew, and the log says so
    with up(own) as said:
        assert "ready after" in said
        type_in("login", "ana", "-C", own)
        type_in("records", "export", "-C", own, own / "log.jsonl")
    started = [
        json.loads(json.loads(line)["leaf"]) for line in (own / "log.jsonl").read_text("utf-8").splitlines()[1:-1]
    ]
    assert ["checkpoints" in leaf for leaf in started if leaf["kind"] == "started"] == [False, True]
    assert (own / "log.jsonl").stat().st_mode & 0o077 == 0
    away.replace(kept)
    with up(own) as said:
        assert "ready after" in said, "the older checkpoints still are of this log"


def test_a_clean_stop_leaves_one_file_to_copy(own: Path) -> None:
    with up(own):
        pass
    assert not (own / "var/remit.db-wal").exists()
    with closing(sqlite3.connect(own / "var/remit.db")) as store:
        assert store.execute("SELECT max(kind = 'stopped') FROM entries").fetchone()[0] == 1


def test_a_task_is_opened_and_its_token_printed(remit: Remit, desk: Any) -> None:
    listed = remit("agents", "list")
    assert "refunds, owned by ana" in listed.output
    assert "refund_request: get_order" in listed.output
    opened = remit("tasks", "open", "refunds", "refund_request", "--input", "look at ord-1001", "--json")
    assert opened.exit_code == 0
    said = json.loads(opened.stdout)
    done = desk.call(said["token"], {**CALL, "id": 1})
    assert done.status == 200
    told = remit("records", "explain", said["task"]).output
    assert "look at ord-1001" in told
    assert said["token"] not in told
    refused = remit("tasks", "open", "refunds", "holidays")
    assert refused.exit_code == 1
    assert "use_case_unknown" in refused.stderr


def test_two_gateways_do_not_share_a_store(own: Path) -> None:
    with up(own), up(own) as said:
        assert "store_locked" in said
        assert "fix: stop it" in said


def test_what_the_gateway_writes_is_its_owners_alone(own: Path) -> None:
    with up(own):
        for path in (own / "var").rglob("*"):
            assert path.stat().st_mode & 0o077 == 0, path
        with closing(sqlite3.connect(f"file:{own / 'var/remit.db'}?mode=ro", uri=True)) as store:
            assert store.execute("SELECT count(*) FROM entries").fetchone()[0] > 0


# --- deciding and cutting off, on a gateway of one's own --------------------------------------------------------------


def call_as_agent(project: Path, token: str) -> Any:
    """Make the look-up of `CALL` under a task's token; return the answer's JSON."""
    data = json.loads((project / "var/gateway.json").read_text("utf-8"))["data"]
    headers = {
        "authorization": f"Bearer {token}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "get_order",
    }
    return httpx2.post(f"{data}/mcp", json={**CALL, "id": 1}, headers=headers, timeout=READY_S, trust_env=False).json()


@pytest.mark.requirement("R3.5")
def test_a_held_call_goes_on_after_a_yes(own: Path, desk: Any) -> None:
    (own / "agents/refunds/policies/look.cedar").write_text(
        '@id("ask-first")\n@hold("approval")\n@approvers("stewards")\n'
        'forbid (principal, action == Action::"get_order", resource);\n',
        "utf-8",
    )
    settings = own / "remit.yaml"
    people = "  people:\n    zoe: {roles: [stewards]}"
    settings.write_text(settings.read_text("utf-8").replace("  people:", people, 1), "utf-8")
    before = len(desk.received())
    with up(own):
        assert type_in("login", "tom", "-C", own).exit_code == 0
        words = ("refunds", "refund_request", "--input", "look at ord-1001", "--json")
        opened = json.loads(type_in("tasks", "open", "-C", own, *words).stdout)
        held = call_as_agent(own, opened["token"])
        (waits,) = json.loads(type_in("approvals", "list", "-C", own, "--json").stdout)
        assert waits["id"] in json.dumps(held)
        refused = type_in("approvals", "approve", "-C", own, waits["id"], "--yes")
        assert (refused.exit_code, "approver_is_requester" in refused.stderr) == (1, True)
        assert type_in("login", "zoe", "-C", own).exit_code == 0
        assert 'order_id = "ord-1001"' in type_in("approvals", "show", "-C", own, waits["id"]).output
        assert len(desk.received()) == before
        assert type_in("approvals", "approve", "-C", own, waits["id"], "--yes").exit_code == 0
        done = call_as_agent(own, opened["token"])
        assert "ord-1001" in json.dumps(done["result"]["content"])
        assert len(desk.received()) == before + 1


@pytest.mark.requirement("R2.11")
def test_an_agent_is_cut_off_and_everything_is_stopped(own: Path, desk: Any) -> None:
    look = ("try", "-C", own, "get_order", "order_id=ord-1001")
    before = len(desk.received())
    with up(own):
        assert type_in("login", "ana", "-C", own).exit_code == 0
        assert type_in(*look).exit_code == 0
        assert type_in("agents", "revoke", "-C", own, "refunds", "--reason", "odd").exit_code == 0
        assert type_in(*look).exit_code == 1
        assert type_in("agents", "restore", "-C", own, "refunds", "--reason", "mended").exit_code == 0
        assert type_in(*look).exit_code == 0
        assert type_in("stop-all", "-C", own, "--reason", "fire").exit_code == 0
    with up(own):  # stopped is stopped, also after a start
        assert type_in("login", "ana", "-C", own).exit_code == 0
        assert type_in(*look).exit_code == 1
        assert type_in("stop-all", "-C", own, "--lift", "--reason", "out").exit_code == 0
        assert type_in(*look).exit_code == 0
    assert len(desk.received()) == before + 3


@pytest.mark.requirement("R8.6")
def test_a_release_is_gone_back_from(own: Path) -> None:
    policy = own / POLICY
    with up(own):
        assert type_in("login", "ana", "-C", own).exit_code == 0
        first = json.loads(type_in("release", "status", "-C", own, "--json").stdout)["bundle"]
        policy.write_text(policy.read_text("utf-8").replace("<= 100000", "<= 100"), "utf-8")
        assert "deployed: sha256:" in type_in("release", "deploy", "-C", own).output
        assert json.loads(type_in("release", "status", "-C", own, "--json").stdout)["bundle"] != first
        assert type_in("release", "rollback", "-C", own).exit_code == 0
        assert json.loads(type_in("release", "status", "-C", own, "--json").stdout)["bundle"] == first
        told = json.loads(type_in("release", "history", "-C", own, "--json").stdout)
        assert [each["how"] for each in told] == ["rollback", "deploy", "deploy"]
        nowhere = type_in("release", "rollback", "-C", own, "--to", "sha256:" + "0" * 64)
        assert (nowhere.exit_code, "bundle_unknown" in nowhere.stderr) == (1, True)


@pytest.mark.requirement("R4.2", "R4.7")
def test_the_running_catalogue_is_told_and_compared(remit: Remit) -> None:
    listed = {each["operation"]: each for each in json.loads(remit("tools", "list", "--json").stdout)}
    assert listed["get_order"]["missing"] == ""
    assert listed["get_order"]["pinned_by"] == ["refunds", "tracker"]
    compared = remit("tools", "diff", "--json")
    states = {each["operation"]: each["state"] for each in json.loads(compared.stdout)}
    assert states.keys() == listed.keys()
    assert states["get_order"] == "reviewed"
    assert compared.exit_code == (0 if set(states.values()) == {"reviewed"} else 1)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.mark.requirement("R2.2")
def test_a_lost_key_is_taken_from_its_agent(own: Path, desk: Any, tmp_path: Path) -> None:
    del desk
    with up(own):
        assert type_in("login", "ana", "-C", own).exit_code == 0
        assert type_in("agents", "register", "-C", own, "refunds", "--new-key", tmp_path / "k.pem").exit_code == 0
        (kid,) = json.loads(type_in("agents", "show", "-C", own, "refunds", "--json").stdout)["keys"]
        assert type_in("agents", "forget-key", "-C", own, "refunds", kid).exit_code == 0
        assert json.loads(type_in("agents", "show", "-C", own, "refunds", "--json").stdout)["keys"] == []
        again = type_in("agents", "forget-key", "-C", own, "refunds", kid)
        assert (again.exit_code, "key_unknown" in again.stderr) == (1, True)
        assert "keys/refunds keys_changed by ana" in type_in("records", "controls", "-C", own).stdout
