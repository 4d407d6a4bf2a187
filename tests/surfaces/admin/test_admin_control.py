"""What people can do to a running gateway, each thing by those who may, and by nobody else."""

import asyncio
import re
from base64 import urlsafe_b64encode
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.surfaces.admin.admin_stage import ROLES, WIPING, Stage, certificate, compared

from remit.core import Json
from remit.identity import Cut, read_agent_key
from remit.permissions import Approval
from remit.pipeline import Deployed, Done, Refused
from remit.records import event
from remit.surfaces.admin._users import OLDER_LOGINS_SHOWN
from remit.testing import NOON, Desk, desk_task

LOGIN = ("POST", "/development/token")
FOR_ANYBODY_KNOWN = {
    ("GET", "/openapi.json"),
    ("GET", "/v1/whoami"),
    ("GET", "/v1/agents"),
    ("GET", "/v1/approvals"),
    ("GET", "/v1/approvals/x_1"),
    ("POST", "/v1/approvals/x_1/approve"),
    ("POST", "/v1/approvals/x_1/deny"),
    ("POST", "/v1/approvals/x_1/edit"),
}
OPERATORS = {
    ("GET", "/v1/agents/x_1"),
    ("GET", "/v1/agents/x_1/activity"),
    ("POST", "/v1/agents/x_1/revoke"),
    ("POST", "/v1/agents/x_1/restore"),
    ("POST", "/v1/agents/x_1/keys"),
    ("POST", "/v1/agents/x_1/keys/remove"),
    ("POST", "/v1/agents/x_1/keys/revoke"),
    ("GET", "/v1/users"),
    ("POST", "/v1/users/revoke"),
    ("POST", "/v1/users/restore"),
    ("POST", "/v1/tasks/x_1/revoke"),
    ("POST", "/v1/stop"),
    ("POST", "/v1/resume"),
    ("GET", "/v1/tools"),
    ("POST", "/v1/tools/check"),
    ("POST", "/v1/tools/x_1/release"),
    ("POST", "/v1/directories/x_1/remove"),
    ("GET", "/v1/releases"),
    ("POST", "/v1/releases"),
    ("POST", "/v1/releases/rollback"),
    ("GET", "/v1/status"),
    ("GET", "/v1/tasks"),
    ("GET", "/v1/tasks/x_1/records"),
    ("GET", "/v1/records/controls"),
    ("GET", "/v1/records/refusals"),
    ("GET", "/v1/records/x_1/who"),
    ("GET", "/v1/records/export"),
}
FOR_ANY_ROLE = {("GET", "/v1/directories")}
OTHER_DIGEST = "sha256:" + "0" * 64


@pytest.fixture
def stage() -> Stage:
    return Stage(Desk())


@pytest.fixture
def wiping() -> Stage:
    return Stage(Desk(policy=WIPING))


def code(answer: Any) -> tuple[int, str]:
    return answer.status_code, str(answer.json().get("code", ""))


def routes(stage: Stage) -> set[tuple[str, str]]:
    """Return every route that is described, and the description's own."""
    paths = stage.ask("GET", "/openapi.json", "gus").json()["paths"]
    found = {(method.upper(), re.sub(r"\{\w+\}", "x_1", path)) for path, by in paths.items() for method in by}
    return found - {LOGIN} | {("GET", "/openapi.json")}


def body_of(route: tuple[str, str]) -> Json:
    """Return a body in the form of the route, so that nothing but the asking person can be what is refused."""
    bodies: dict[str, Json] = {
        "approve": {"digest": OTHER_DIGEST},
        "edit": {"digest": OTHER_DIGEST, "arguments": {}, "why": "because"},
        "rollback": {"to": ""},
        "keys": {"jwk": {}},
        "remove": {"kid": "k"},
    }
    if "/directories/" in route[1]:
        return {"value": "v", "why": "because"}
    if "/keys/revoke" in route[1]:
        return {"kid": "k", "why": "because"}
    if "/users/" in route[1]:
        return {"user": "corp:nobody", "why": "because"}
    last = route[1].rpartition("/")[2]
    return bodies.get(last, {"why": "because"} if last not in ("check", "releases") else {})


# --- who may ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.6")
def test_the_table_below_names_every_route(stage: Stage) -> None:
    assert routes(stage) == FOR_ANYBODY_KNOWN | FOR_ANY_ROLE | OPERATORS


@pytest.mark.parametrize("route", sorted(FOR_ANYBODY_KNOWN | FOR_ANY_ROLE | OPERATORS), ids=" ".join)
def test_a_route_refuses_who_has_not_logged_in(stage: Stage, route: tuple[str, str]) -> None:
    for person, said in (("", "token_missing"), ("mallory", "token_invalid")):
        answer = stage.ask(*route, person, body_of(route) if route[0] == "POST" else None)
        assert code(answer) == (401, said)
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert stage.desk.store.log == []


@pytest.mark.parametrize("route", sorted(OPERATORS), ids=" ".join)
def test_what_operators_do_is_refused_to_everybody_else(stage: Stage, route: tuple[str, str]) -> None:
    for person in sorted(ROLES.keys() - {"ana", "omar"}):
        answer = stage.ask(*route, person, body_of(route) if route[0] == "POST" else None)
        assert code(answer) == (403, "role_missing"), person
    assert stage.desk.store.log == []
    assert stage.rolled == []
    control = stage.ask(*route, "omar", body_of(route) if route[0] == "POST" else None)
    assert control.status_code in (200, 400, 404, 409), control.text


@pytest.mark.parametrize("route", sorted(FOR_ANYBODY_KNOWN), ids=" ".join)
def test_what_everybody_may_ask_needs_no_role(stage: Stage, route: tuple[str, str]) -> None:
    answer = stage.ask(*route, "gus", body_of(route) if route[0] == "POST" else None)
    assert answer.status_code == 200 or code(answer) == (404, "approval_unknown")


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("route", sorted(FOR_ANY_ROLE), ids=" ".join)
def test_what_any_role_may_ask_is_refused_to_mere_users(stage: Stage, route: tuple[str, str]) -> None:
    said = {person: stage.ask(*route, person) for person in ROLES}
    assert {person for person, answer in said.items() if answer.status_code == 200} == {
        "ana",
        "fay",
        "oli",
        "omar",
        "pam",
    }
    assert {code(said[person]) for person in ("tom", "gus")} == {(403, "role_missing")}


# --- held calls ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5")
def test_a_held_call_is_shown_whole(stage: Stage) -> None:
    stage.call("look", {})
    answer: Any = stage.call("pay", {"amount": 60, "to": "eve", "note": "thanks"}, "c_2", "the customer asked twice")
    shown = stage.shown(answer.approval, "oli")
    assert shown["digest"].startswith("sha256:")
    assert {key: shown[key] for key in ("id", "task", "user", "agent", "owner", "use_case", "operation", "state")} == {
        "id": answer.approval,
        "task": "t_desk",
        "user": "tom",
        "agent": "clerk",
        "owner": "ana",
        "use_case": "serve",
        "operation": "pay",
        "state": "waiting",
    }
    assert shown["arguments"] == {"amount": 60, "to": "eve", "note": "thanks"}
    assert [(line["pointer"], line["label"], line["accepted"]) for line in shown["sources"]] == [
        ("/to", "nowhere", False)
    ]
    assert {(need["kind"], *need["approvers"], need["missing"]) for need in shown["requirements"]} == {
        ("provenance", "operator", True),
        ("approval", "ops", True),
    }
    assert shown["agents_own_words"] == "the customer asked twice"
    assert shown["message"]
    assert (shown["opened_at"], shown["grants"]) == ("2026-11-22T12:00:00.000000Z", [])


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("person", "sees"),
    [("ana", True), ("omar", True), ("tom", True), ("oli", True), ("pam", True), ("fay", False), ("gus", False)],
)
def test_an_approval_is_seen_by_who_could_decide_it(stage: Stage, person: str, sees: bool) -> None:
    approval = stage.held()
    listed = [each["id"] for each in stage.ask("GET", "/v1/approvals", person).json()]
    assert listed == ([approval] if sees else [])
    answer = stage.ask("GET", f"/v1/approvals/{approval}", person)
    assert answer.status_code == (200 if sees else 404)
    for verb, body in (("approve", {"digest": OTHER_DIGEST}), ("deny", {"why": "no"})):
        if not sees:
            absent = stage.ask("POST", f"/v1/approvals/a_{'0' * 24}/{verb}", person, body)
            hidden = stage.ask("POST", f"/v1/approvals/{approval}/{verb}", person, body)
            assert hidden.status_code == 404
            assert hidden.content == absent.content, "what may not be seen looks like nothing"
    assert stage.shown(approval)["state"] == "waiting"


@pytest.mark.requirement("R3.5")
def test_a_yes_lets_this_very_call_through_once(stage: Stage) -> None:
    approval = stage.held(amount=60)
    digest = stage.shown(approval)["digest"]
    answer = stage.ask("POST", f"/v1/approvals/{approval}/approve", "oli", {"digest": digest})
    assert answer.status_code == 200, answer.text
    assert answer.json()["state"] == "approved"
    assert [(grant["person"], grant["role"]) for grant in answer.json()["grants"]] == [("oli", "ops")]
    assert not answer.json()["requirements"][0]["missing"]
    assert isinstance(stage.call("pay", {"amount": 61}, "c_2"), Refused), "another call waits for its own yes"
    assert isinstance(stage.call("pay", {"amount": 60}, "c_3"), Done)
    assert [received.call for received in stage.desk.upstream.received] == ["c_3"]
    used = stage.shown(approval)
    assert (used["state"], used["call"]) == ("used", "c_3")
    assert approval not in [each["id"] for each in stage.ask("GET", "/v1/approvals", "oli").json()]
    assert approval in [each["id"] for each in stage.ask("GET", "/v1/approvals?all=true", "oli").json()]


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("person", "digest", "status", "said"),
    [
        ("tom", "", 403, "approver_is_requester"),
        ("ana", "", 403, "approver_is_owner"),
        ("omar", "", 403, "approver_role_missing"),
        ("fay", "", 404, "approval_unknown"),
        ("oli", OTHER_DIGEST, 409, "approval_digest_mismatch"),
    ],
)
def test_a_yes_that_does_not_count_changes_nothing(
    stage: Stage, person: str, digest: str, status: int, said: str
) -> None:
    approval = stage.held(amount=60)
    before = stage.shown(approval)
    path = f"/v1/approvals/{approval}/approve"
    assert code(stage.ask("POST", path, person, {"digest": digest or before["digest"]})) == (status, said)
    assert stage.shown(approval) == before
    assert isinstance(stage.call("pay", {"amount": 60}, "c_2"), Refused)
    assert stage.desk.upstream.received == []
    control = stage.ask("POST", path, "oli", {"digest": before["digest"]})
    assert control.status_code == 200


@pytest.mark.requirement("R3.5")
def test_nobody_counts_twice_and_nothing_counts_too_late(stage: Stage) -> None:
    approval = stage.held()
    yes = {"digest": stage.shown(approval)["digest"]}
    path = f"/v1/approvals/{approval}/approve"
    assert stage.ask("POST", path, "oli", yes).status_code == 200
    assert code(stage.ask("POST", path, "oli", yes)) == (403, "approver_twice")
    late = Stage(Desk())
    approval = late.held()
    shown = late.shown(approval)
    late.desk.live.admit(desk_task(expires_at=NOON + timedelta(days=9)))  # so that only the approval is over
    late.desk.clock.advance(timedelta(days=2))
    answer = late.ask("POST", f"/v1/approvals/{approval}/approve", "oli", {"digest": shown["digest"]})
    assert code(answer) == (409, "approval_expired")
    assert late.shown(approval)["state"] == "expired"
    assert late.ask("GET", "/v1/approvals", "oli").json() == []


@pytest.mark.requirement("R3.5")
def test_a_no_sticks(stage: Stage) -> None:
    approval = stage.held(amount=60, note="please")
    denied = stage.ask("POST", f"/v1/approvals/{approval}/deny", "oli", {"why": "too much"})
    assert (denied.json()["state"], denied.json()["by"]) == ("denied", "oli")
    assert stage.said("approval")["why"] == "too much"
    yes = {"digest": denied.json()["digest"]}
    assert code(stage.ask("POST", f"/v1/approvals/{approval}/approve", "pam", yes)) == (409, "approval_closed")
    again: Any = stage.call("pay", {"amount": 60, "note": "please, please"}, "c_2")
    assert (again.held, again.reason.code) == (False, "approval_denied")


@pytest.mark.requirement("R7.4")
def test_what_cannot_be_undone_is_confirmed_by_typing_it(wiping: Stage) -> None:
    approval = wiping.held("wipe")
    shown = wiping.shown(approval, "tom")
    (need,) = [each for each in shown["requirements"] if each["kind"] == "confirmation"]
    path = f"/v1/approvals/{approval}/approve"
    for typed in ("", "Wipe", "wipe "):
        answer = wiping.ask("POST", path, "tom", {"digest": shown["digest"], "typed": typed})
        assert code(answer) == (409, "confirmation_mismatch"), typed
    assert isinstance(wiping.call("wipe", {"amount": 60}, "c_2"), Refused)
    done = wiping.ask("POST", path, "tom", {"digest": shown["digest"], "typed": need["typed"]})
    assert done.json()["state"] == "approved"
    assert isinstance(wiping.call("wipe", {"amount": 60}, "c_3"), Done)


def test_what_the_store_has_not_confirmed_is_not_shown(stage: Stage) -> None:
    """A hold on its way into the store has no entry yet: entry 0 is some other call's."""
    approval = stage.held()
    found = stage.desk.live.approval(approval)
    assert isinstance(found, Approval)
    assert stage.shown(approval)["arguments"] == {"amount": 60}
    under_way = replace(found, id="a_" + "1" * 24, entry=0)
    stage.desk.live.put(under_way)
    assert code(stage.ask("GET", f"/v1/approvals/{under_way.id}", "ana")) == (404, "approval_unknown")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"digest": ""},
        {"digest": "sha256:" + "0" * 63},
        {"digest": OTHER_DIGEST, "typed": None},
        {"digest": OTHER_DIGEST, "typed": "x" * 4_097},
        {"digest": OTHER_DIGEST, "approver": "pam"},
    ],
    ids=str,
)
def test_a_yes_in_another_form_is_none(stage: Stage, body: Json) -> None:
    approval = stage.held()
    assert code(stage.ask("POST", f"/v1/approvals/{approval}/approve", "oli", body)) == (422, "request_invalid")
    assert stage.shown(approval)["state"] == "waiting"


def test_the_page_knows_nothing_and_says_how_to_decide(stage: Stage) -> None:
    approval = stage.held(amount=60, note="canary")
    page = stage.ask("GET", f"/approvals/{approval}")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "form-action 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert f"remit approvals show {approval}" in page.text
    for secret in ("canary", "pay", "tom", "clerk", "60"):
        assert secret not in page.text.replace(approval, "")
    other = stage.ask("GET", f"/approvals/a_{'0' * 24}")
    assert other.text == page.text.replace(approval, f"a_{'0' * 24}"), "nor whether there is such an approval"
    for wrong in ("x", "a_1", f"{approval}%0A", f"a_{'G' * 24}", "%3Cscript%3E", approval.upper()):
        assert code(stage.ask("GET", f"/approvals/{wrong}")) == (404, "path_unknown")


# --- cutting off -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.11")
def test_an_agent_is_cut_off_and_let_act_again(stage: Stage) -> None:
    approval = stage.held()
    before = stage.ask("GET", "/v1/agents/clerk", "ana").json()
    assert (before["revoked"], before["revoked_why"]) == (False, "")
    assert [(task["task"], task["user"], task["level"]) for task in before["open_tasks"]] == [("t_desk", "tom", "A")]
    assert before["waiting_approvals"] == [approval]
    revoked = stage.ask("POST", "/v1/agents/clerk/revoke", "omar", {"why": "it pays too much"})
    died = {"tasks": 1, "approvals": 1, "calls": 0, "tokens": 0, "elapsed_us": 0}
    assert {**revoked.json(), "elapsed_us": 0} == {"agent": "clerk", "revoked": True, **died}
    shown = stage.ask("GET", "/v1/agents/clerk", "ana").json()
    assert (shown["revoked"], shown["open_tasks"], shown["waiting_approvals"]) == (True, [], [])
    assert "by omar" in shown["revoked_why"]
    assert "it pays too much" in shown["revoked_why"]
    assert stage.ask("GET", "/v1/agents", "gus").json()[0]["revoked"] is True
    assert "it pays too much" not in stage.ask("GET", "/v1/agents", "gus").text
    assert isinstance(stage.call("look", {}, "c_2"), Refused)
    assert stage.ask("POST", "/v1/agents/clerk/restore", "ana", {"why": "mended"}).json()["revoked"] is False
    again = stage.ask("POST", "/v1/agents/clerk/restore", "ana", {"why": "mended"})
    assert code(again) == (409, "agent_not_revoked")
    for verb in ("revoke", "restore"):
        assert code(stage.ask("POST", f"/v1/agents/nobody/{verb}", "ana", {"why": "x"})) == (404, "agent_unknown")
    assert code(stage.ask("GET", "/v1/agents/nobody", "ana")) == (404, "agent_unknown")


def users(stage: Stage) -> Any:
    return stage.ask("GET", "/v1/users", "ana").json()["users"]


@pytest.mark.requirement("R2.11")
def test_users_of_whom_only_older_logins_ended_hide_nobody_who_is_cut_off(stage: Stage) -> None:
    async def ended() -> None:
        for number in range(OLDER_LOGINS_SHOWN + 2):
            cut, moment = Cut(user=f"corp:u{number}"), NOON + timedelta(seconds=number)
            await stage.desk.controls.cut(cut, "issuer corp", "session-revoked (event j)", before=moment)
        await stage.desk.controls.cut(Cut(user="corp:u7"), "ana", "left")

    asyncio.run(ended())
    said = stage.ask("GET", "/v1/users", "ana").json()
    assert [each["user"] for each in said["users"]] == ["corp:u7", "tom"]
    assert said["older_logins_count"] == OLDER_LOGINS_SHOWN + 1
    older = said["older_logins"]
    assert (len(older), older[0]["user"]) == (OLDER_LOGINS_SHOWN, f"corp:u{OLDER_LOGINS_SHOWN + 1}")
    assert "corp:u0" not in [each["user"] for each in older], "the oldest"
    assert [(each["out"], each["before"] is None) for each in older[0]["revoked"]] == [(False, False)]


@pytest.mark.requirement("R2.11")
def test_a_user_of_an_issuer_that_nobody_described_is_not_said_to_be_cut_off(stage: Stage) -> None:
    answer = stage.ask("POST", "/v1/users/revoke", "omar", {"user": "crop:alice", "why": "left"})
    assert code(answer) == (404, "issuer_unknown")
    assert "`corp:alice`" in answer.json()["fix"]
    assert stage.ask("POST", "/v1/users/revoke", "omar", {"user": "corp:alice", "why": "left"}).status_code == 200


@pytest.mark.requirement("R2.11")
def test_a_user_is_cut_off_with_one_agent_or_with_all_and_let_act_again(stage: Stage) -> None:
    [before] = users(stage)
    assert before == {"user": "tom", "tasks": 1, "agents": ["clerk"], "revoked": []}
    body = {"user": "tom", "agent": "clerk", "why": "left the team"}
    done = stage.ask("POST", "/v1/users/revoke", "omar", body).json()
    assert (done["user"], done["agent"], done["revoked"], done["tasks"]) == ("tom", "clerk", True, 1)
    stage.ask("POST", "/v1/users/revoke", "omar", {"user": "corp:eve", "why": "left"})
    eve, tom = users(stage)
    assert (eve["user"], [(each["agent"], each["before"]) for each in eve["revoked"]]) == ("corp:eve", [("", None)])
    assert (tom["tasks"], tom["agents"], [each["agent"] for each in tom["revoked"]]) == (0, [], ["clerk"])
    assert "by omar" in tom["revoked"][0]["why"]
    assert "left the team" in tom["revoked"][0]["why"]
    assert isinstance(stage.call("look", {}, "c_2"), Refused)
    all_agents = stage.ask("POST", "/v1/users/restore", "ana", {"user": "tom", "why": "x"})
    assert code(all_agents) == (409, "user_not_revoked")
    assert stage.ask("POST", "/v1/users/restore", "ana", body).json()["revoked"] is False
    assert [each["user"] for each in users(stage)] == ["corp:eve"]
    for wrong, said in ((("Tom", ""), (400, "user_invalid")), (("tom", "nobody"), (404, "agent_unknown"))):
        named = dict(zip(("user", "agent"), wrong, strict=True))
        assert code(stage.ask("POST", "/v1/users/revoke", "ana", {**named, "why": "x"})) == said


@pytest.mark.requirement("R2.11")
def test_an_agent_is_cut_off_for_one_user_alone(stage: Stage) -> None:
    body = {"why": "odd", "user": "tom"}
    assert stage.ask("POST", "/v1/agents/clerk/revoke", "ana", body).json()["tasks"] == 1
    assert stage.ask("GET", "/v1/agents/clerk", "ana").json()["revoked"] is False
    assert stage.said("control")["control"] == "user/tom"
    assert stage.ask("POST", "/v1/agents/clerk/restore", "ana", body).status_code == 200
    assert code(stage.ask("POST", "/v1/agents/clerk/restore", "ana", body)) == (409, "user_not_revoked")


@pytest.mark.requirement("R2.11")
def test_a_task_is_cut_off_for_good(stage: Stage) -> None:
    stage.held()
    done = stage.ask("POST", "/v1/tasks/t_desk/revoke", "omar", {"why": "not what was asked"}).json()
    assert (done["task"], done["tasks"], done["approvals"]) == ("t_desk", 1, 1)
    assert isinstance(stage.call("look", {}, "c_2"), Refused)
    again = stage.ask("POST", "/v1/tasks/t_desk/revoke", "omar", {"why": "x"})
    assert code(again) == (404, "task_unknown")


def test_everything_stops_and_goes_on(stage: Stage) -> None:
    assert stage.ask("POST", "/v1/stop", "ana", {"why": "fire"}).json() == {"stopped": True}
    stopped: Any = stage.call("look", {})
    assert stopped.reason.code
    assert stage.desk.upstream.received == []
    assert stage.ask("POST", "/v1/resume", "omar", {"why": "out"}).json() == {"stopped": False}
    assert code(stage.ask("POST", "/v1/resume", "omar", {"why": "out"})) == (409, "not_stopped")
    assert isinstance(stage.call("look", {}, "c_2"), Done)


@pytest.mark.parametrize("why", ["", "   ", "x" * 501, "a\nb", "\u202egnp", "\x1b[2J", None, 5])
def test_a_reason_is_one_line_that_people_can_see(stage: Stage, why: Json) -> None:
    for path in ("/v1/stop", "/v1/agents/clerk/revoke", "/v1/tools/look/release", "/v1/tasks/t_desk/revoke"):
        assert code(stage.ask("POST", path, "ana", {"why": why})) == (422, "request_invalid")
    for path, body in (("/v1/users/revoke", {"user": "tom"}), ("/v1/agents/clerk/keys/revoke", {"kid": "k"})):
        assert code(stage.ask("POST", path, "ana", {**body, "why": why})) == (422, "request_invalid")
    assert stage.desk.store.log == []


# --- keys ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.2")
def test_an_agents_key_is_registered_and_only_its_name_is_told(stage: Stage) -> None:
    key = read_agent_key({"kty": "OKP", "crv": "Ed25519", "x": _x()})
    assert stage.ask("POST", "/v1/agents/clerk/keys", "ana", {"jwk": key}).status_code == 200
    assert stage.ask("GET", "/v1/agents/clerk", "ana").json()["keys"] == [key["kid"]]
    assert code(stage.ask("POST", "/v1/agents/clerk/keys", "ana", {"jwk": key})) == (409, "key_registered")
    private = stage.ask("POST", "/v1/agents/clerk/keys", "ana", {"jwk": {**key, "d": "canary"}})
    assert code(private) == (400, "key_private")
    assert "canary" not in private.text
    assert code(stage.ask("POST", "/v1/agents/nobody/keys", "ana", {"jwk": key})) == (404, "agent_unknown")
    assert code(stage.ask("POST", "/v1/agents/clerk/keys", "ana", {})) == (400, "key_invalid")


@pytest.mark.requirement("R2.2")
def test_a_certificate_is_registered_by_its_thumbprint(stage: Stage) -> None:
    pem, sha256, private = certificate()
    path = "/v1/agents/clerk/keys"
    assert stage.ask("POST", path, "ana", {"certificate": pem}).json() == {"agent": "clerk", "kid": sha256}
    assert stage.ask("GET", "/v1/agents/clerk", "ana").json()["keys"] == [sha256]
    seen = stage.ask("POST", path, "ana", {"certificate": pem + private})
    assert code(seen) == (400, "key_private")
    assert private.splitlines()[1] not in seen.text
    for wrong in ("", "canary", pem[:200]):
        assert code(stage.ask("POST", path, "ana", {"certificate": wrong})) == (400, "certificate_invalid")
    assert code(stage.ask("POST", path, "ana", {"certificate": pem, "jwk": {}})) == (400, "key_invalid")


@pytest.mark.requirement("R2.11", "R2.2")
def test_a_key_is_revoked_for_good(stage: Stage) -> None:
    key = read_agent_key({"kty": "OKP", "crv": "Ed25519", "x": _x()})
    path, body = "/v1/agents/clerk/keys/revoke", {"kid": key["kid"], "why": "it was published"}
    assert code(stage.ask("POST", path, "ana", body)) == (404, "key_unknown")
    stage.ask("POST", "/v1/agents/clerk/keys", "ana", {"jwk": key})
    done = stage.ask("POST", path, "omar", body).json()
    assert (done["kid"], done["tasks"], done["calls"]) == (key["kid"], 0, 0)
    assert stage.ask("GET", "/v1/agents/clerk", "ana").json()["keys"] == []
    assert code(stage.ask("POST", "/v1/agents/clerk/keys", "ana", {"jwk": key})) == (409, "key_revoked")
    assert code(stage.ask("POST", "/v1/agents/nobody/keys/revoke", "ana", body)) == (404, "agent_unknown")


def test_a_key_is_taken_away(stage: Stage) -> None:
    key = read_agent_key({"kty": "OKP", "crv": "Ed25519", "x": _x()})
    stage.ask("POST", "/v1/agents/clerk/keys", "ana", {"jwk": key})
    path, body = "/v1/agents/clerk/keys/remove", {"kid": key["kid"]}
    assert stage.ask("POST", path, "ana", body).json() == {"agent": "clerk", "removed": key["kid"]}
    assert code(stage.ask("POST", path, "ana", body)) == (404, "key_unknown")


def _x() -> str:
    raw = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32).public_key().public_bytes_raw()
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


# --- the catalogue and releases --------------------------------------------------------------------------------------


@pytest.mark.requirement("R4.2")
def test_operations_are_listed_with_their_reviews(stage: Stage) -> None:
    listed = {each["operation"]: each for each in stage.ask("GET", "/v1/tools", "ana").json()}
    assert set(listed) == {"look", "pay", "wipe", "spare"}
    pay = listed["pay"]
    assert (pay["tool"], pay["version"], pay["effect"]) == ("desk", "1.0.0", "write")
    assert {(signer["person"], signer["role"]) for signer in pay["signers"]} == {
        ("sue", "security"),
        ("eli", "engineering"),
    }
    assert (pay["missing"], pay["development"], pay["pinned_by"]) == ("", False, ["clerk"])
    assert (pay["pinned_otherwise_by"], pay["differences"]) == ([], [])


@pytest.mark.requirement("R4.7")
def test_a_quarantined_operation_is_released_only_once_it_is_served_as_reviewed(stage: Stage) -> None:
    asyncio.run(stage.desk.controls.quarantine("look", ['title: - "Look"', 'title: + "Leak"']))
    listed = {each["operation"]: each for each in stage.ask("GET", "/v1/tools", "ana").json()}
    assert listed["look"]["differences"] == ['title: - "Look"', 'title: + "Leak"']
    assert isinstance(stage.call("look", {}), Refused)
    path, why = "/v1/tools/look/release", {"why": "mended"}
    for state, said in (("changed", "still_changed"), ("unverified", "not_verified"), ("not_pinned", "not_verified")):
        stage.checked = [compared("pay", "reviewed"), compared("look", state)]
        assert code(stage.ask("POST", path, "ana", why)) == (409, said)
    stage.checked = [compared("pay", "reviewed")]
    assert code(stage.ask("POST", path, "ana", why)) == (409, "not_verified"), "silence is no comparison"
    assert isinstance(stage.call("look", {}, "c_2"), Refused)
    stage.checked = [compared("look", "reviewed")]
    assert stage.ask("POST", path, "ana", why).json() == {"operation": "look", "quarantined": False}
    assert isinstance(stage.call("look", {}, "c_3"), Done)
    assert code(stage.ask("POST", path, "ana", why)) == (409, "not_quarantined")
    assert code(stage.ask("POST", "/v1/tools/nothing/release", "ana", why)) == (404, "operation_unknown")


def test_a_comparison_is_made_when_it_is_asked_for(stage: Stage) -> None:
    stage.checked = [compared("look", "changed", 'title: + "Leak"')]
    assert stage.ask("POST", "/v1/tools/check", "ana", {}).json() == stage.checked


def test_releases_are_told_and_gone_back_from(stage: Stage) -> None:
    for number, how in ((1, "deploy"), (2, "rollback")):
        release = Deployed(number=number, bundle=f"sha256:{number}", at=NOON, by="ana", how=how)
        entry = event("release", at=NOON, by="ana", said={})
        asyncio.run(stage.desk.store.deploy(release, {"agents/x": b"x"}, entry))
    told = stage.ask("GET", "/v1/releases", "ana").json()
    assert [(each["bundle"], each["how"], each["by"]) for each in told] == [
        ("sha256:2", "rollback", "ana"),
        ("sha256:1", "deploy", "ana"),
    ]
    assert told[0]["at"] == "2026-11-22T12:00:00.000000Z"
    for to in ("", OTHER_DIGEST):
        assert stage.ask("POST", "/v1/releases/rollback", "omar", {"to": to}).status_code == 200
    assert stage.rolled == [("omar", ""), ("omar", OTHER_DIGEST)]
    for wrong in ({}, {"to": "sha256:1"}, {"to": "../x"}, {"to": None}):
        assert code(stage.ask("POST", "/v1/releases/rollback", "omar", wrong)) == (422, "request_invalid")


def test_every_change_is_on_record_with_who_made_it(stage: Stage) -> None:
    stage.ask("POST", "/v1/stop", "omar", {"why": "fire"})
    said = stage.said("control")
    assert (said["control"], said["word"], said["by"], said["why"]) == ("stop", "stopped", "omar", "fire")
