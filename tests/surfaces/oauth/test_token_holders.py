"""`POST /oauth/introspect` and `POST /oauth/revoke`: an agent learns of its own tokens, and ends its own task."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.surfaces.oauth.oauth_stage import ISSUER, MCP, Answer, Stage

from remit.adapters.oauth import TaskTokens
from remit.core import Authority, Reason
from remit.identity import Cut
from remit.surfaces.oauth._holder import _of_itself
from remit.testing import FailingStore, ManualClock, MemoryStore, desk_task

INTROSPECT, REVOKE = "/oauth/introspect", "/oauth/revoke"


def token_of(stage: Stage, agent: str = "clerk") -> str:
    return str(stage.exchange(agent, stage.login(may_act={agent})).json["access_token"])


def ask(stage: Stage, path: str, agent: str, token: Any, **changes: Any) -> Answer:
    return stage.post(path, {**stage.proof(agent), "token": token, **changes})


# --- introspection ---------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.9")
def test_an_agent_learns_what_its_own_token_stands_for() -> None:
    stage = Stage()
    token = token_of(stage)
    task = stage.minted[token].task
    answer = ask(stage, INTROSPECT, "clerk", token, token_type_hint="access_token")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json == {
        "active": True,
        "iss": ISSUER,
        "aud": MCP,
        "sub": "tom",
        "client_id": "clerk",
        "act": {"sub": "clerk"},
        "txn": task.id,
        "exp": int(task.expires_at.timestamp()),
        "token_type": "Bearer",
        "authorization_details": [
            {"type": "agent_task", "use_case": "serve", "expires_at": "2026-11-22T13:00:00.000000Z"}
        ],
    }


@pytest.mark.requirement("R2.9")
def test_it_learns_what_the_token_is_bound_to_and_since_when_it_counts() -> None:
    tokens = TaskTokens(Ed25519PrivateKey.from_private_bytes(bytes(32)), ISSUER, MCP, ManualClock())
    key = "A" * 43
    proven = _of_itself(tokens.mint(desk_task(), bound=key))
    assert (proven["token_type"], proven["cnf"]) == ("DPoP", {"jkt": key})
    assert proven["iat"] == int(desk_task().opened_at.timestamp())
    assert proven["jti"]
    over_tls = _of_itself(tokens.mint(desk_task(), certificate=key))
    assert (over_tls["token_type"], over_tls["cnf"]) == ("Bearer", {"x5t#S256": key})
    borne = _of_itself(tokens.mint(desk_task()))
    assert (borne["token_type"], "cnf" in borne) == ("Bearer", False)


@pytest.mark.requirement("R2.9")
def test_of_work_that_was_handed_on_it_learns_the_chain() -> None:
    stage = Stage()
    handed = str(stage.exchange("mate", token_of(stage)).json["access_token"])
    assert ask(stage, INTROSPECT, "mate", handed).json["act"] == {"sub": "mate", "act": {"sub": "clerk"}}


def test_it_learns_what_its_task_may_do() -> None:
    stage = Stage()
    token = token_of(stage)
    task = replace(stage.minted[token].task, authority=Authority(calls_max=3))
    stage.live.admit(task)
    [said] = ask(stage, INTROSPECT, "clerk", token).json["authorization_details"]
    assert said["limits"] == {"calls": 3}


@pytest.mark.requirement("R2.6")
def test_of_anything_else_it_learns_that_it_does_not_count_and_no_more() -> None:
    stage = Stage()
    mates = token_of(stage, "mate")
    others = [mates, stage.login(may_act={"clerk"}), stage.asserted(), stage.delegation(), "canary", "clerk no 1"]
    for token in others:
        answer = ask(stage, INTROSPECT, "clerk", token)
        assert (answer.status, answer.json) == (200, {"active": False})
    assert ask(stage, INTROSPECT, "mate", mates).json["active"] is True


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    "happens",
    [
        lambda stage, task: stage.live.dismiss(task),
        lambda stage, _: stage.clock.advance(timedelta(hours=1)),
        lambda stage, _: stage.live.set_control("agent/clerk", 1, "it was published"),
        lambda stage, task: stage.live.set_control(f"task/{task}", 1, "it was published"),
        lambda stage, _: stage.live.set_control("key/key-clerk", 1, "it was published"),
    ],
    ids=["closed", "expired", "agent", "task", "key"],
)
def test_a_token_that_counts_no_more_is_inactive_at_once(happens: Callable[[Stage, str], Any]) -> None:
    stage = Stage()
    token = token_of(stage)
    assert ask(stage, INTROSPECT, "clerk", token).json["active"] is True
    happens(stage, stage.minted[token].task.id)
    assert ask(stage, INTROSPECT, "clerk", token).json == {"active": False}


# --- revocation ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.11")
def test_an_agent_ends_its_own_task_and_what_it_handed_on() -> None:
    stage = Stage()
    token, other = token_of(stage), token_of(stage)
    handed = str(stage.exchange("mate", token).json["access_token"])
    answer = ask(stage, REVOKE, "clerk", token)
    assert (answer.status, answer.json) == (200, {})
    task = stage.minted[token].task.id
    assert stage.live.task(task) is None
    assert ask(stage, INTROSPECT, "clerk", token).json == {"active": False}
    assert ask(stage, INTROSPECT, "mate", handed).json == {"active": False}
    assert ask(stage, INTROSPECT, "clerk", other).json["active"] is True
    revoked = [leaf for leaf in stage.leaves("control") if leaf["word"] == "revoked"]
    assert [(leaf["control"], leaf["by"], leaf["why"]) for leaf in revoked] == [
        (f"task/{task}", "agent clerk", "revoked by its holder")
    ]


def test_a_token_that_counts_for_nothing_is_as_good_as_revoked() -> None:
    stage = Stage()
    token = token_of(stage)
    assert ask(stage, REVOKE, "clerk", token).status == 200
    ended = len(stage.store.log)
    assert ask(stage, REVOKE, "clerk", token).status == 200
    assert len(stage.store.log) == ended
    expired = token_of(stage)
    stage.clock.advance(timedelta(hours=1))
    before = len(stage.store.log)
    for each in (token, expired, stage.login(), stage.delegation(), "canary"):
        answer = ask(stage, REVOKE, "clerk", each)
        assert (answer.status, answer.json) == (200, {})
    assert len(stage.store.log) == before


@pytest.mark.requirement("R2.6")
def test_an_agent_does_not_end_anothers_task() -> None:
    stage = Stage()
    token = token_of(stage)
    answer = ask(stage, REVOKE, "mate", token)
    assert (answer.status, answer.json["error"], answer.code) == (400, "invalid_grant", "token_other_agent")
    assert ask(stage, INTROSPECT, "clerk", token).json["active"] is True
    assert [refusal[3] for refusal in stage.refusals()] == ["token_other_agent"]


def test_a_revocation_that_is_not_durable_is_not_said_to_be_done() -> None:
    stage = Stage()
    token = token_of(stage)
    failing = FailingStore(MemoryStore(), at={1}, kept=False)
    stage.ports = replace(stage.ports, ending=replace(stage.desk.controls, store=failing))
    stage.rewire()
    answer = ask(stage, REVOKE, "clerk", token)
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert ask(stage, INTROSPECT, "clerk", token).json["active"] is True


def test_a_revocation_that_is_refused_is_not_said_to_be_done() -> None:
    stage = Stage()
    token = token_of(stage)

    class Unwilling:
        async def cut(self, _cut: Cut, _by: str, _why: str) -> object:
            return Reason("stopped", "everything stands still", "wait")

    stage.ports = replace(stage.ports, ending=Unwilling())
    stage.rewire()
    answer = ask(stage, REVOKE, "clerk", token)
    assert (answer.status, answer.code) == (400, "stopped")
    assert stage.live.task(stage.minted[token].task.id) is not None


# --- both ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.2")
@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
def test_only_an_agent_that_proves_who_it_is_is_answered(path: str) -> None:
    stage = Stage()
    token = token_of(stage)
    for changes, code in (
        ({"client_assertion": ..., "client_assertion_type": ...}, "assertion_missing"),
        ({"client_assertion": "canary"}, "assertion_invalid"),
        ({"client_secret": "x"}, "client_secret_refused"),
    ):
        answer = ask(stage, path, "clerk", token, **changes)
        assert (answer.status, answer.json["error"], answer.code) == (401, "invalid_client", code)
    assert stage.live.task(stage.minted[token].task.id) is not None


@pytest.mark.parametrize("path", [INTROSPECT, REVOKE])
def test_a_request_that_is_none_is_refused(path: str) -> None:
    stage = Stage()
    answer = ask(stage, path, "clerk", ...)
    assert (answer.status, answer.json["error"], answer.code) == (400, "invalid_request", "token_missing")
    assert (stage.ask("GET", path).status, stage.ask("GET", path).headers["allow"]) == (405, "POST")
    assert stage.ask("POST", path, b"{}", (b"content-type", b"application/json")).status == 415
    assert stage.refusals() == [("", "clerk", "", "token_missing")]
