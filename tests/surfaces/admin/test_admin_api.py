"""The admin API: every route asks who you are, on loopback too, and most ask for an operator."""

import json
import re
from typing import Any

import pytest
from tests.conftest import JSON, Answer, Gateway, Opened, bearer, tool_call

LOGIN = ("POST", "/development/token")  # the one route that nobody has logged in for
FOR_ANYBODY_KNOWN = {
    ("GET", "/v1/agents"),
    ("GET", "/v1/approvals"),
    ("GET", "/v1/whoami"),
    ("GET", "/openapi.json"),
}
FOR_WHO_MAY_DECIDE = {  # everybody is heard, and told of nothing that is not theirs
    ("GET", "/v1/approvals/x_1"): 404,
    ("POST", "/v1/approvals/x_1/approve"): 422,
    ("POST", "/v1/approvals/x_1/deny"): 422,
    ("POST", "/v1/approvals/x_1/edit"): 422,
}


def routes(gateway: Gateway) -> list[tuple[str, str]]:
    """Return every route that is served, as the running gateway describes them, and the description's own."""
    paths = gateway.ask("GET", "/openapi.json").json["paths"]
    found = [(method.upper(), re.sub(r"\{\w+\}", "x_1", path)) for path, by in paths.items() for method in by]
    assert LOGIN in found
    assert len(found) >= 6
    return [route for route in [*found, ("GET", "/openapi.json")] if route != LOGIN]


def ask(gateway: Gateway, route: tuple[str, str], *lines: tuple[str, str], body: bytes = b"{}") -> Answer:
    return gateway.raw(gateway.request(*route, body, [JSON, *lines], admin=True), admin=True)


def test_no_route_answers_without_a_login_for_it(desk: Gateway, opened: Opened) -> None:
    good = desk.log_in("ana", desk.admin)
    strangers = [
        ([], "token_missing"),
        ([bearer(good), bearer(good)], "token_missing"),
        ([("Authorization", f"Basic {good}")], "token_missing"),
        ([("Cookie", f"token={good}")], "token_missing"),
        ([bearer("canary")], "token_invalid"),
        ([bearer(f"{good}x")], "token_invalid"),
        ([bearer(opened.token)], "token_invalid"),
        ([bearer(desk.log_in("ana", desk.data))], "token_audience"),
        ([bearer(desk.log_in("tom", desk.data))], "token_audience"),
    ]
    for route in routes(desk):
        for lines, code in strangers:
            answer = ask(desk, route, *lines)
            assert (answer.status, answer.code) == (401, code), (route, answer)
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert answer.fix


def test_what_operators_do_is_refused_to_others(desk: Gateway) -> None:
    tom = bearer(desk.log_in("tom", desk.admin))
    for route in routes(desk):
        answer = ask(desk, route, tom)
        if route in FOR_ANYBODY_KNOWN:
            assert answer.status == 200, route
        elif route in FOR_WHO_MAY_DECIDE:
            assert answer.status == FOR_WHO_MAY_DECIDE[route], route
        else:
            assert (answer.status, answer.code) == (403, "role_missing"), route


def test_an_operator_is_let_through_everywhere(desk: Gateway) -> None:
    """The control: no route refuses Ana, so what is refused above is refused for the reason given."""
    ana = bearer(desk.log_in("ana", desk.admin))
    for route in routes(desk):
        assert ask(desk, route, ana).status in (200, 404, 422), route


def test_the_page_that_says_how_to_decide_needs_no_login(desk: Gateway) -> None:
    approval = f"a_{'0' * 24}"
    answer = desk.raw(desk.request("GET", f"/approvals/{approval}", b"", admin=True), admin=True)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert f"remit approvals show {approval}" in answer.body.decode()


def test_who_am_i_names_the_person_of_the_login(desk: Gateway) -> None:
    assert desk.ask("GET", "/v1/whoami", person="tom").json == {"person": "tom", "roles": ["user"]}
    assert desk.ask("GET", "/v1/whoami", person="ana").json == {"person": "ana", "roles": ["operator", "user"]}


@pytest.mark.parametrize(
    "change",
    [
        {"secret": "canary"},
        {"secret": ""},
        {"secret": "\u00e9"},
        {"secret": "\ud800"},
        {"person": "nobody"},
        {"person": "Ana"},
        {"person": "ana\u0000"},
        {"person": ""},
        {"audience": "http://attacker.example"},
        {"audience": ""},
        {"audience": "MCP"},
    ],
    ids=str,
)
def test_a_login_that_is_wrong_anywhere_is_refused_in_the_same_words(desk: Gateway, change: dict[str, str]) -> None:
    right = {"person": "ana", "secret": desk.secret, "audience": desk.admin}
    if change.get("audience") == "MCP":
        change = {"audience": f"{desk.data}/mcp"}  # nobody logs in as an agent
    answer = ask(desk, LOGIN, body=json.dumps({**right, **change}).encode())
    assert (answer.status, answer.code, answer.json["title"]) == (401, "login_refused", "no such login"), answer
    assert ask(desk, LOGIN, body=json.dumps(right).encode()).status == 200


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 422, "request_invalid"),
        (b"canary", 422, "request_invalid"),
        (b"[]", 422, "request_invalid"),
        (b'{"person":"ana","secret":"canary"}', 422, "request_invalid"),
        (b'{"person":5,"secret":"canary","audience":"x"}', 422, "request_invalid"),
        (b'{"person":"ana","secret":"canary","audience":"x","extra":"canary"}', 422, "request_invalid"),
        (b'{"person":"ana","secret":["canary"],"audience":"x"}', 422, "request_invalid"),
        (b"[" * 50_000, 400, "request_invalid"),
        (b"\xff\xfe", 422, "request_invalid"),
        (b'"' + b"x" * (1 << 16) + b'"', 413, "body_too_large"),
    ],
    ids=range(10),
)
def test_a_login_in_another_form_is_refused_without_repeating_it(
    desk: Gateway, body: bytes, status: int, code: str
) -> None:
    answer = ask(desk, LOGIN, body=body)
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert "canary" not in answer.body.decode()
    assert answer.fix


def test_a_body_of_no_stated_length_is_not_read(desk: Gateway) -> None:
    head = f"POST /development/token HTTP/1.1\r\nHost: 127.0.0.1:{desk.admin_port}\r\n"
    answer = desk.raw(f"{head}Transfer-Encoding: chunked\r\n\r\n5\r\n".encode(), admin=True)
    assert (answer.status, answer.code) == (411, "length_required")


@pytest.mark.parametrize(
    ("line", "status", "code"),
    [
        ("Origin: http://attacker.example", 403, "origin_refused"),
        ("Origin: null", 403, "origin_refused"),
        ("Host: attacker.example", 421, "host_refused"),
    ],
)
def test_other_sites_are_turned_away_before_any_login_is_read(desk: Gateway, line: str, status: int, code: str) -> None:
    for method, path in [LOGIN, *routes(desk)]:
        host = "" if line.startswith("Host") else f"Host: 127.0.0.1:{desk.admin_port}\r\n"
        token = desk.log_in("ana", desk.admin)
        head = f"{method} {path} HTTP/1.1\r\n{host}{line}\r\nAuthorization: Bearer {token}\r\n\r\n"
        answer = desk.raw(head.encode(), admin=True)
        assert (answer.status, answer.code) == (status, code), (method, path)


def test_a_rebound_name_of_another_port_is_not_this_host(desk: Gateway) -> None:
    head = f"GET /v1/whoami HTTP/1.1\r\nHost: 127.0.0.1:{desk.data_port}\r\n\r\n"
    assert desk.raw(head.encode(), admin=True).code == "host_refused"


def test_paths_and_methods_that_are_not_served_say_so_in_the_same_form(desk: Gateway) -> None:
    cases: list[tuple[str, str, int, str]] = [
        ("GET", "/", 404, "path_unknown"),
        ("GET", "/docs", 404, "path_unknown"),
        ("GET", "/v1/tasks/../status", 404, "path_unknown"),
        ("POST", "/mcp", 404, "path_unknown"),
        ("DELETE", "/v1/status", 405, "method_not_allowed"),
        ("GET", "/v1/tasks/t_none/records", 404, "not_found"),
        ("GET", "/v1/tasks/%00/records", 404, "not_found"),
        ("GET", "/v1/tasks/' OR 1=1 --/records".replace(" ", "%20"), 404, "not_found"),
    ]
    for method, path, status, code in cases:
        answer = desk.ask(method, path)
        assert (answer.status, answer.code) == (status, code), (path, answer)
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_deployment_without_a_change_changes_nothing(desk: Gateway) -> None:
    before: dict[str, Any] = desk.ask("GET", "/v1/status").json
    deployed = desk.ask("POST", "/v1/releases").json
    assert deployed["bundle"] == deployed["before"] == before["bundle"]
    assert desk.ask("GET", "/v1/status").json["entries"] == before["entries"]


def test_a_task_told_and_replayed_comes_out_the_same(desk: Gateway, opened: Opened) -> None:
    for message in (
        tool_call(),
        tool_call("close_account", {"customer_id": "cus-001"}),
        tool_call(arguments={"order_id": "no"}),
    ):
        desk.call(opened.token, message)
    answer = desk.ask("GET", f"/v1/tasks/{opened.task}/records").json
    kinds = [json.loads(entry["leaf"])["kind"] for entry in answer["entries"]]
    assert kinds == ["task_opened", "intent", "outcome", "denied", "denied"]
    decided = [entry["index"] for entry, kind in zip(answer["entries"], kinds, strict=True) if kind in KINDS_DECIDED]
    assert answer["replayed"] == {str(index): "same" for index in decided}
    told = "\n".join(answer["told"])
    for said in ("tom", "refunds", "get_order", "-> allowed", "outside_use_case", "arguments_invalid", "-> DENIED"):
        assert said in told


KINDS_DECIDED = ("intent", "denied", "held")
