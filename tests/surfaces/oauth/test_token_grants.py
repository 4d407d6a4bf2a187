"""`POST /oauth/token`: what leads to a task token, and that nothing leads to more than user, agent and task allow."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.surfaces.oauth.oauth_stage import (
    ACCESS_TOKEN,
    ASSERTION,
    DETAILS,
    ENDPOINT,
    EXCHANGE,
    ISSUER,
    JWT,
    JWT_BEARER,
    MCP,
    Answer,
    Stage,
)

from remit.core import Authority, Task
from remit.identity import Cut
from remit.pipeline import Cutoff, key_control
from remit.testing import NOON, FailingStore, MemoryStore, desk_task

GRANTED = [{"type": "agent_task", "use_case": "serve", "expires_at": "2026-11-22T13:00:00.000000Z"}]


def task_of(stage: Stage, answer: Answer) -> Task:
    assert answer.status == 200, answer
    return stage.minted[answer.json["access_token"]].task


def refused(answer: Answer, error: str = "invalid_request") -> str:
    assert answer.status == 400, answer
    assert answer.json.keys() == {"error", "error_description", "code", "fix"}
    assert answer.json["error"] == error
    assert answer.headers["cache-control"] == "no-store"
    return answer.code


def cut(stage: Stage, what: Cut) -> None:
    if what.key:  # (the desk cuts off keys that are registered, and here none is)
        stage.live.set_control(key_control(what.key), 1, "it was published")
        return
    cut_off = asyncio.run(stage.desk.controls.cut(what, "ana", "it was published"))
    assert isinstance(cut_off, Cutoff), cut_off


# --- a user's token --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.4", "R2.9")
def test_an_agent_opens_a_task_with_the_token_of_a_user_who_lets_it_act() -> None:
    stage = Stage()
    answer = stage.exchange("clerk", stage.login("corp:alice", may_act={"clerk"}))
    task = task_of(stage, answer)
    assert (task.user, task.agent, task.use_case, task.chain) == ("corp:alice", "clerk", "serve", ())
    assert stage.live.task(task.id) == task
    token = answer.json.pop("access_token")
    assert answer.json == {
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 3_600,
        "authorization_details": GRANTED,
    }
    assert stage.minted[token].keys == ("key-clerk",)
    [leaf] = stage.leaves("task_opened")
    assert [leaf[name] for name in ("user", "agent", "by")] == ["corp:alice", "clerk", "agent clerk"]
    assert stage.refusals() == []


@pytest.mark.requirement("R2.4", "R2.6")
def test_without_may_act_and_without_consent_an_agent_opens_nothing() -> None:
    stage = Stage()
    for may_act in ((), ("mate",)):
        assert refused(stage.exchange("clerk", stage.login(may_act=may_act))) == "consent_missing"
    assert stage.refusals() == [("tom", "clerk", "", "consent_missing")]
    assert (stage.minted, stage.leaves("task_opened")) == ({}, [])
    given = stage.consent("/v1/consents", stage.login(audience=ISSUER), {"agent": "clerk"})
    assert given.status == 200
    assert task_of(stage, stage.exchange("clerk", stage.login())).user == "tom"
    assert refused(stage.exchange("mate", stage.login())) == "consent_missing"  # a consent names one agent
    assert refused(stage.exchange("clerk", stage.login("eve"))) == "consent_missing"  # and is of one user


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(
    ("audience", "code"),
    [
        (ENDPOINT, ""),
        (ISSUER, "token_audience"),
        (MCP, "token_audience"),
        (f"{ISSUER}/", "token_audience"),
        ("", "token_audience"),
    ],
)
def test_a_users_token_counts_that_was_issued_for_here(audience: str, code: str) -> None:
    stage = Stage()
    answer = stage.exchange("clerk", stage.login(audience=audience, may_act={"clerk"}))
    assert answer.code == code
    assert len(stage.minted) == (not code)
    assert stage.refusals() == ([("", "clerk", "", code)] if code else [])


def test_a_token_that_does_not_hold_is_not_tried_for_another_audience() -> None:
    stage = Stage()
    assert refused(stage.exchange("clerk", "canary")) == "token_invalid"
    assert len(stage.tokens.presented) == 1


@pytest.mark.requirement("R2.6")
def test_the_token_of_somebody_without_the_role_of_a_user_opens_nothing() -> None:
    stage = Stage()
    token = stage.login("ana", may_act={"clerk"})
    audience, login = stage.tokens.logins[token]
    operator = replace(login, person=replace(login.person, roles=frozenset({"operator"})))
    stage.tokens.logins[token] = audience, operator
    assert refused(stage.exchange("clerk", token)) == "role_missing"
    assert stage.refusals() == [("ana", "clerk", "", "role_missing")]


@pytest.mark.requirement("R2.5")
def test_the_details_of_request_token_and_consent_are_narrowed_to_what_all_allow() -> None:
    stage = Stage()
    login = stage.login(may_act={"clerk"}, details=[{"type": "agent_task", "operations": ["look", "pay"]}])
    answer = stage.exchange("clerk", login, authorization_details=json.dumps(DETAILS))
    assert task_of(stage, answer).authority == Authority(operations=frozenset({"look"}), calls_max=5)
    [said] = answer.json["authorization_details"]
    assert said == {**GRANTED[0], "operations": ["look"], "limits": {"calls": 5}}
    wider = [{"type": "agent_task", "operations": ["look", "pay", "wipe", "spare"]}]
    answer = stage.exchange("clerk", login, authorization_details=json.dumps(wider))
    assert answer.json["authorization_details"][0]["operations"] == ["look", "pay"]


def test_a_task_ends_with_the_token_or_the_details_that_opened_it() -> None:
    stage = Stage()
    early = stage.login(may_act={"clerk"}, expires_at=NOON + timedelta(minutes=7))
    assert stage.exchange("clerk", early).json["expires_in"] == 420
    details = json.dumps([{"type": "agent_task", "expires_at": "2026-11-22T12:03:00Z"}])
    assert stage.exchange("clerk", early, authorization_details=details).json["expires_in"] == 180


@pytest.mark.parametrize(
    "details",
    ["canary", "{}", "[]", "null", "5", '[{"type":"other"}]', '[{"type":"agent_task","budget":5}]', "[" * 100,
     '[{"type":"agent_task","type":"agent_task"}]', '[{"type":"agent_task"},{"type":"agent_task"}]',
     '[{"type":"agent_task","limits":{"calls":-1}}]', '[{"type":"agent_task","operations":"look"}]'],
)  # fmt: skip
def test_details_that_could_not_be_kept_are_refused(details: str) -> None:
    stage = Stage()
    answer = stage.exchange("clerk", stage.login(may_act={"clerk"}), authorization_details=details)
    assert refused(answer, "invalid_authorization_details") == "authorization_details_invalid"
    assert stage.minted == {}


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    ("what", "code"),
    [
        (Cut(agent="clerk"), "agent_revoked"),
        (Cut(user="tom"), "user_revoked"),
        (Cut(user="tom", agent="clerk"), "user_revoked"),
        (Cut(key="key-clerk"), "key_revoked"),
        (Cut(key="jkt-1"), "key_revoked"),
    ],
    ids=str,
)
def test_nothing_is_opened_for_or_by_whoever_was_cut_off(what: Cut, code: str) -> None:
    stage = Stage()
    proof = (b"dpop", b"jkt-1")
    cut(stage, what)
    assert refused(stage.exchange("clerk", stage.login(may_act={"clerk"}), proof)) == code
    assert stage.leaves("task_opened") == []
    again = stage.exchange("mate", stage.login("eve", may_act={"mate"}), (b"dpop", b"jkt-2"))  # others notice nothing
    assert again.status == 200


def test_a_store_that_is_gone_opens_nothing_and_is_said_to_be() -> None:
    stage = Stage()
    failing = FailingStore(MemoryStore(), at={1}, kept=False)
    stage.ports = replace(stage.ports, opening=replace(stage.opening, store=failing))
    stage.rewire()
    answer = stage.exchange("clerk", stage.login(may_act={"clerk"}))
    assert (answer.status, answer.json["error"]) == (503, "temporarily_unavailable")
    assert stage.minted == {}


# --- another agent's task token --------------------------------------------------------------------------------------


def chained(stage: Stage, *lines: tuple[bytes, bytes], **more: Any) -> Answer:
    first = stage.exchange("clerk", stage.login(may_act={"clerk"}))
    return stage.exchange("mate", first.json["access_token"], *lines, **more)


@pytest.mark.requirement("R2.4", "R2.9")
def test_an_agent_hands_work_on_and_the_chain_says_so() -> None:
    stage = Stage()
    answer = chained(stage, authorization_details=json.dumps(DETAILS))
    task = task_of(stage, answer)
    assert (task.user, task.agent, task.chain) == ("tom", "mate", ("clerk",))
    assert stage.live.task(task.parent) is not None
    assert task.authority.operations == frozenset({"look"})
    assert stage.minted[answer.json["access_token"]].keys == ("key-mate", "key-clerk")


@pytest.mark.requirement("R2.11")
def test_what_was_handed_on_ends_with_the_key_of_whoever_handed_it_on() -> None:
    stage = Stage()
    token = chained(stage).json["access_token"]
    shown = {**stage.proof("mate"), "token": token}
    assert stage.post("/oauth/introspect", shown).json["active"] is True
    cut(stage, Cut(key="key-clerk"))
    assert stage.post("/oauth/introspect", {**shown, **stage.proof("mate")}).json == {"active": False}


@pytest.mark.requirement("R2.6")
def test_work_is_handed_on_only_as_the_charter_says_and_never_in_a_circle() -> None:
    stage = Stage()
    mates = stage.exchange("mate", stage.login(may_act={"mate"})).json["access_token"]
    assert refused(stage.exchange("clerk", mates)) == "handing_on_refused"
    assert refused(stage.exchange("clerk", chained(stage).json["access_token"])) == "handing_on_refused"
    [*_, last] = stage.refusals()
    assert last[:2] == ("tom", "clerk")


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (lambda stage, _: cut(stage, Cut(agent="clerk")), "agent_revoked"),
        (lambda stage, _: cut(stage, Cut(user="tom")), "user_revoked"),
        (lambda stage, task: cut(stage, Cut(task=task)), "task_revoked"),
        (lambda stage, _: cut(stage, Cut(key="key-clerk")), "key_revoked"),
        (lambda stage, task: stage.live.dismiss(task), "task_unknown"),
        (lambda stage, _: stage.clock.advance(timedelta(hours=1)), "token_expired"),
    ],
    ids=["agent", "user", "task", "key", "closed", "expired"],
)
def test_nothing_is_handed_on_from_a_task_that_is_over(happens: Callable[[Stage, str], Any], code: str) -> None:
    stage = Stage()
    token = stage.exchange("clerk", stage.login(may_act={"clerk"})).json["access_token"]
    task = stage.minted[token].task.id
    happens(stage, task)
    assert refused(stage.exchange("mate", token)) == code
    [refusal] = stage.refusals()
    assert (refusal[0], refusal[2:]) == ("tom", (task, code))
    assert len(stage.minted) == 1


# --- an identity assertion -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.1", "R2.4")
def test_an_identity_assertion_for_this_agent_needs_no_other_consent() -> None:
    stage = Stage()
    answer = stage.assert_for("clerk", stage.asserted("corp:alice"), authorization_details=json.dumps(DETAILS))
    task = task_of(stage, answer)
    assert (task.user, task.agent) == ("corp:alice", "clerk")
    assert task.authority.operations == frozenset({"look"})
    assert answer.json.keys() == {"access_token", "token_type", "expires_in", "authorization_details"}


@pytest.mark.requirement("R2.6")
def test_an_identity_assertion_counts_once_for_its_client_and_for_here() -> None:
    stage = Stage()
    right = stage.asserted()
    for agent, assertion in (
        ("mate", right),
        ("clerk", stage.asserted(client="mate")),
        ("clerk", stage.asserted(audience=ENDPOINT)),
        ("clerk", stage.asserted(audience=MCP)),
        ("clerk", stage.login(may_act={"clerk"})),
        ("clerk", "canary"),
    ):
        answer = stage.assert_for(agent, assertion)
        assert refused(answer, "invalid_grant") == "assertion_invalid"
        assert "www-authenticate" not in answer.headers
    assert stage.assert_for("clerk", right).status == 200
    assert refused(stage.assert_for("clerk", right), "invalid_grant") == "assertion_invalid"
    assert len(stage.minted) == 1


def test_an_assertion_is_not_used_up_by_a_request_that_is_wrong_otherwise() -> None:
    stage = Stage()
    assertion = stage.asserted()
    assert stage.assert_for("clerk", assertion, authorization_details="canary").status == 400
    assert stage.assert_for("clerk", assertion, scope="x").status == 400
    assert stage.assert_for("clerk", assertion, (b"dpop", b"canary")).status == 400
    assert stage.assert_for("clerk", assertion, client_assertion="clerk").status == 401
    assert stage.assert_for("clerk", assertion).status == 200


def test_without_an_issuer_there_is_no_such_grant() -> None:
    stage = Stage(issuers=False)
    assert refused(stage.assert_for("clerk", stage.asserted()), "unsupported_grant_type") == "grant_type_unsupported"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"assertion": ...}, "grant_assertion_missing"),
        ({"actor_token": "clerk no 1", "actor_token_type": JWT}, "actor_token_unsupported"),
        ({"subject_token": "login 1"}, "token_type_unsupported"),
        ({"subject_token_type": ACCESS_TOKEN}, "token_type_unsupported"),
    ],
    ids=str,
)
def test_the_parts_of_an_exchange_have_no_place_beside_an_assertion(changes: dict[str, Any], code: str) -> None:
    stage = Stage()
    assert refused(stage.assert_for("clerk", stage.asserted(), **changes)) == code


# --- a delegation ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.5")
@pytest.mark.parametrize(
    ("details", "code"),
    [
        ({}, ""),
        ({"use_case": "serve"}, ""),
        ({"operations": ["look", "pay"]}, ""),
        ({"operations": ["look"]}, ""),
        ({"limits": {"calls": 9}}, ""),
        ({"expires_at": "2026-11-22T13:00:00Z"}, ""),
        ({"use_case": "other"}, "authorization_details_fixed"),
        ({"operations": ["pay"]}, "authorization_details_fixed"),
        ({"operations": []}, "authorization_details_fixed"),
        ({"locations": ["desk"]}, "authorization_details_fixed"),
        ({"limits": {"calls": 4}}, "authorization_details_fixed"),
        ({"expires_at": "2026-11-22T12:59:59Z"}, "authorization_details_fixed"),
    ],
    ids=str,
)
def test_an_open_task_is_not_narrowed_by_its_token_alone(details: dict[str, Any], code: str) -> None:
    stage = Stage()
    task = replace(desk_task(), authority=Authority(operations=frozenset({"look"}), calls_max=5))
    stage.live.admit(task)
    said = json.dumps([{"type": "agent_task", **details}])
    answer = stage.exchange("clerk", stage.delegation(task), kind=JWT, authorization_details=said)
    if code:
        assert refused(answer, "invalid_authorization_details") == code
    else:
        assert answer.json["authorization_details"] == [{**GRANTED[0], "operations": ["look"], "limits": {"calls": 5}}]


@pytest.mark.requirement("R2.11")
def test_a_delegation_is_of_no_use_to_a_key_that_was_revoked() -> None:
    stage = Stage()
    cut(stage, Cut(key="key-clerk"))
    assert refused(stage.exchange("clerk", stage.delegation(), kind=JWT)) == "key_revoked"
    assert stage.refusals() == [("tom", "clerk", "t_desk", "key_revoked")]


# --- what is none of these -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.3", "R2.6")
@pytest.mark.parametrize("kind", [JWT, ACCESS_TOKEN])
@pytest.mark.parametrize("token", ["a tool token", "canary", "clerk no 1"])
def test_a_token_that_is_nobodys_delegation_is_no_subject_token(token: str, kind: str) -> None:
    stage = Stage()
    assert refused(stage.exchange("clerk", token, kind=kind)) in ("subject_token_invalid", "token_invalid")
    assert [refusal[:3] for refusal in stage.refusals()] == [("", "clerk", "")]


def test_each_kind_of_subject_token_is_named_rightly() -> None:
    stage = Stage()
    login, delegation = stage.login(may_act={"clerk"}), stage.delegation()
    assert refused(stage.exchange("clerk", login, kind=JWT)) == "subject_token_invalid"
    assert refused(stage.exchange("clerk", delegation)) == "token_invalid"
    for kind in (..., "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:id-jag"):
        assert refused(stage.exchange("clerk", login, subject_token_type=kind)) == "token_type_unsupported"
    assert stage.exchange("clerk", login).status == 200
    assert stage.exchange("clerk", delegation, kind=JWT).status == 200


def test_a_grant_that_leads_to_no_task_is_refused() -> None:
    stage = Stage()
    for grant in ("client_credentials", "refresh_token", "password", EXCHANGE.upper(), f"{ASSERTION} "):
        answer = stage.exchange("clerk", stage.login(), grant_type=grant)
        assert refused(answer, "unsupported_grant_type") == "grant_type_unsupported"


# --- the actor token -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.4")
def test_an_actor_token_of_the_agent_itself_changes_nothing() -> None:
    stage = Stage()
    mine = stage.exchange("clerk", stage.delegation(), kind=JWT).json["access_token"]
    twice = stage.proof("clerk")
    for more in (
        {"actor_token": "clerk no 90", "actor_token_type": JWT},
        {"actor_token": mine, "actor_token_type": ACCESS_TOKEN},
        {**twice, "actor_token": twice["client_assertion"], "actor_token_type": JWT},
    ):
        answer = stage.exchange("clerk", stage.login(may_act={"clerk"}), **more)
        assert task_of(stage, answer).agent == "clerk"


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("mate no 91", JWT),
        ("canary", JWT),
        ("token 1", ACCESS_TOKEN),  # the mate's
        ("token 2", ACCESS_TOKEN),  # the clerk's own, of a task that is over
        ("canary", ACCESS_TOKEN),
        ("clerk no 92", JWT_BEARER),
        ("clerk no 93", ...),
        (..., JWT),
    ],
)
def test_an_actor_token_that_proves_anybody_else_is_refused(token: Any, kind: Any) -> None:
    stage = Stage()
    stage.exchange("mate", stage.login(may_act={"mate"}))
    ended = stage.exchange("clerk", stage.login(may_act={"clerk"}))
    stage.live.dismiss(task_of(stage, ended).id)
    login = stage.login(may_act={"clerk"})
    assert (
        refused(stage.exchange("clerk", login, actor_token=token, actor_token_type=kind)) == "actor_token_unsupported"
    )
    assert len(stage.minted) == 2
