"""`POST /v1/tasks`: only a person's own login opens a task, for that person, within a use case that exists."""

import json
from contextlib import closing
from http.client import HTTPConnection
from typing import Any

import pytest
from tests.conftest import ANSWER_S, JSON, Gateway, Opened, bearer, tool_call

GOOD = {"agent": "refunds", "use_case": "refund_request", "input": {"ticket": "the lamp came broken"}}
OPEN_MAX = 1_000  # tasks of one user with one agent at once

BODIES: list[tuple[str, bytes, int, str]] = [
    ("nothing", b"", 400, "json_invalid"),
    ("not JSON", b"canary", 400, "json_invalid"),
    ("a list", b"[]", 400, "task_request_invalid"),
    ("null", b"null", 400, "task_request_invalid"),
    ("an empty object", b"{}", 400, "task_request_invalid"),
    ("no agent", b'{"use_case":"refund_request"}', 400, "task_request_invalid"),
    ("no use case", b'{"agent":"refunds"}', 400, "task_request_invalid"),
    ("an agent that is a list", b'{"agent":["refunds"],"use_case":"refund_request"}', 400, "task_request_invalid"),
    ("an agent that is no name", b'{"agent":"Refunds","use_case":"refund_request"}', 400, "task_request_invalid"),
    ("a use case of 100,000 letters", json.dumps({**GOOD, "use_case": "x" * 100_000}).encode(), 400,
     "task_request_invalid"),
    ("a member more", json.dumps({**GOOD, "user": "ana"}).encode(), 400, "task_request_invalid"),
    ("a life of its own", json.dumps({**GOOD, "expires_at": "2999"}).encode(), 400, "task_request_invalid"),
    ("the agent twice", b'{"agent":"refunds","agent":"x","use_case":"refund_request"}', 400, "duplicate_key"),
    ("a byte-order mark", b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), 400, "encoding_invalid"),
    ("a number that is none", b'{"agent":"refunds","use_case":"refund_request","input":NaN}', 400, "number_invalid"),
    ("too deep an input", json.dumps(GOOD).replace('{"ticket"', "[" * 40 + '{"ticket"').encode(), 400, "too_deep"),
    ("an unknown agent", json.dumps({**GOOD, "agent": "billing"}).encode(), 403, "no_charter"),
    ("an unknown use case", json.dumps({**GOOD, "use_case": "canary"}).encode(), 403, "use_case_unknown"),
    ("a use case of another agent", json.dumps({**GOOD, "use_case": "close_account"}).encode(), 403,
     "use_case_unknown"),
    ("over 1 MiB", json.dumps({**GOOD, "input": "x" * (1 << 20)}).encode(), 413, "body_too_large"),
]  # fmt: skip


@pytest.mark.requirement("R1.2")
@pytest.mark.parametrize("case", BODIES, ids=[case[0] for case in BODIES])
def test_a_request_that_is_none_opens_no_task(desk: Gateway, case: tuple[str, bytes, int, str]) -> None:
    _, body, status, code = case
    before = desk.ask("GET", "/v1/status").json["open_tasks"]
    answer = desk.post("/v1/tasks", body, [JSON, bearer(desk.log_in("tom", desk.data))])
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.fix
    assert len(answer.body) < 1_000
    assert desk.ask("GET", "/v1/status").json["open_tasks"] == before


@pytest.mark.requirement("R2.6")
def test_only_a_login_for_this_door_opens_tasks(desk: Gateway, opened: Opened) -> None:
    body = json.dumps(GOOD).encode()
    right = desk.log_in("tom", desk.data)
    refused = [
        ([], "token_missing"),
        ([bearer(right), bearer(right)], "token_missing"),
        ([("Authorization", f"Basic {right}")], "token_missing"),
        ([bearer("canary")], "token_invalid"),
        ([bearer(right[:-4])], "token_invalid"),
        ([bearer(opened.token)], "token_invalid"),  # an agent cannot open the task it would like to act in
        ([bearer(desk.log_in("tom", desk.admin))], "token_audience"),
        ([bearer(desk.log_in("ana", desk.admin))], "token_audience"),
    ]
    for lines, code in refused:
        answer = desk.post("/v1/tasks", body, [JSON, *lines])
        assert (answer.status, answer.code) == (401, code), answer
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert desk.post("/v1/tasks", body, [JSON, bearer(right)]).status == 201


def test_other_methods_and_media_types_are_refused(desk: Gateway) -> None:
    lines = [JSON, bearer(desk.log_in("tom", desk.data))]
    for method in ("GET", "PUT", "DELETE"):
        answer = desk.raw(desk.request(method, "/v1/tasks", b"", lines))
        assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert desk.post("/v1/tasks", json.dumps(GOOD).encode(), lines[1:]).status == 415


@pytest.mark.requirement("R2.9")
def test_a_task_is_opened_for_the_person_who_asked_and_in_the_log_before_its_token_is_out(desk: Gateway) -> None:
    answer = desk.try_open(GOOD, "tom")
    assert answer.status == 201
    assert answer.json.keys() == {"task", "token", "expires_at"}
    [leaf] = desk.records(answer.json["task"])
    assert leaf["kind"] == "task_opened"
    assert [leaf[key] for key in ("user", "agent", "use_case", "by")] == ["tom", "refunds", "refund_request", "tom"]
    assert leaf["expires"] == answer.json["expires_at"]
    assert "lamp" not in json.dumps(leaf)  # the leaf holds a commitment, never the input
    assert desk.call(answer.json["token"], tool_call()).code == ""


def test_a_persons_login_is_no_token_for_tools(desk: Gateway) -> None:
    for audience in (desk.data, desk.admin):
        answer = desk.call(desk.log_in("tom", audience), tool_call())
        assert (answer.status, answer.code) == (401, "token_invalid")


@pytest.mark.requirement("R3.6")
def test_tasks_of_one_user_with_one_agent_are_capped(desk: Gateway) -> None:
    """Eve opens as many as she may; one more is refused, and Tom's are not touched by it."""
    lines = {"Content-Type": "application/json", "Authorization": f"Bearer {desk.log_in('eve', desk.data)}"}

    def try_open(channel: HTTPConnection) -> tuple[int, Any]:
        channel.request("POST", "/v1/tasks", json.dumps(GOOD), lines)
        answer = channel.getresponse()
        return answer.status, json.loads(answer.read())

    with closing(HTTPConnection("127.0.0.1", desk.data_port, ANSWER_S)) as channel:
        opened = 0
        while (answer := try_open(channel))[0] == 201:
            opened += 1
            assert opened <= OPEN_MAX
        assert opened == OPEN_MAX
        assert (answer[0], answer[1]["code"]) == (403, "tasks_too_many")
    assert desk.open("tom").task
