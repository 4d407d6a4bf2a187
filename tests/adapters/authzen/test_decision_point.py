"""The organisation's own decision point over real HTTP: only a plain yes in time is one."""

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.adapters.authzen.decision_server import DecisionServer, decision_server

from remit.adapters.authzen import ANSWER_BYTES_MAX, DecisionPoint
from remit.adapters.http1 import Pool
from remit.core import RemitError
from remit.permissions import Opinion
from remit.testing import Desk, desk_call, desk_delegation, desk_task

AMPLE_MS = 30_000  # where the answer comes, however busy the machine


@pytest.fixture
def server() -> Iterator[DecisionServer]:
    with decision_server() as one:
        yield one


def asked(url: str, timeout_ms: int = AMPLE_MS, times: int = 1) -> Opinion:
    """Ask about a payment of tom's, who is of the group staff; return the last opinion."""

    async def ask() -> Opinion:
        desk, pool = Desk(), Pool()
        task = replace(desk_task(), groups=("staff",), attributes=(("department", "desk"),))
        desk.live.admit(task, b"{}")
        call = desk_call("pay", {"amount": 7}, delegation=replace(desk_delegation(), chain=("planner",)))
        point = DecisionPoint(url, pool, timeout_ms=timeout_ms)
        try:
            for _ in range(times - 1):
                await point.opinion(call, desk.live.gather(call))
            return await point.opinion(call, desk.live.gather(call))
        finally:
            await pool.close()

    return asyncio.run(ask())


def test_a_yes_permits_and_the_question_says_who_what_and_through_whom(server: DecisionServer) -> None:
    assert asked(server.url) == Opinion(permits=True)
    assert server.paths == ["/access/v1/evaluation"]
    assert server.lines[0]["content-type"] == "application/json"
    assert server.lines[0]["x-request-id"] == "c_1"
    assert "authorization" not in server.lines[0]
    assert server.asked == [
        {
            "subject": {
                "type": "user",
                "id": "tom",
                "properties": {"groups": ["staff"], "attributes": {"department": "desk"}},
            },
            "action": {"name": "pay"},
            "resource": {"type": "tool", "id": "desk"},
            "context": {
                "agent": "clerk",
                "task": "t_desk",
                "use_case": "serve",
                "arguments": {"amount": 7},
                "chain": ["planner"],
            },
        }
    ]


def test_it_may_answer_below_a_path_of_its_own_and_is_asked_again_and_again(server: DecisionServer) -> None:
    assert asked(f"{server.url}/tenant/", times=3).permits
    assert server.paths == ["/tenant/access/v1/evaluation"] * 3


def test_the_whole_endpoint_may_be_written_down_and_a_404_names_what_was_asked(server: DecisionServer) -> None:
    whole = f"{server.url}/tenant/access/v1/evaluation"
    assert asked(whole).permits
    assert asked(f"{whole}/").permits
    assert server.paths == ["/tenant/access/v1/evaluation"] * 2
    server.status = 404
    assert asked(f"{server.url}/tenant").failed == f"http 404 at {whole}"


def test_a_no_is_told_with_its_reason_in_one_short_line(server: DecisionServer) -> None:
    server.says({"decision": False, "context": {"reason": "not on\nSundays\x1b" + "x" * 500}})
    opinion = asked(server.url)
    assert (opinion.permits, opinion.failed) == (False, "")
    assert opinion.why.startswith("not on Sundays x")
    assert opinion.why.isprintable()
    assert len(opinion.why) <= 200
    contexts: list[Any] = [{}, {"reason": 7}, [], "no"]
    for context in contexts:
        server.says({"decision": False, "context": context})
        assert asked(server.url) == Opinion(permits=False)


@pytest.mark.parametrize(
    ("said", "failed"),
    [
        (b'{"decision": "true"}', "neither yes nor no"),
        (b'{"decision": 1}', "neither yes nor no"),
        (b'{"decision": null}', "neither yes nor no"),
        (b"{}", "neither yes nor no"),
        (b"true", "neither yes nor no"),
        (b'[{"decision": true}]', "neither yes nor no"),
        (b'{"evaluations": [{"decision": true}]}', "neither yes nor no"),
        (b'{"decision": false, "decision": true}', "duplicate_key"),
        (b'{"decision": true', "json_invalid"),
        (b"\xff", "encoding_invalid"),
        (b"", "json_invalid"),
        (b'{"decision": true, "context": {"obligations": [{"id": "log"}]}}', "obligations"),
    ],
)
def test_whatever_is_not_a_plain_yes_denies(server: DecisionServer, said: bytes, failed: str) -> None:
    server.body = said
    opinion = asked(server.url)
    assert not opinion.permits
    assert failed in opinion.failed


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 308, 400, 401, 403, 404, 429, 500, 503])
def test_any_other_status_denies_and_no_redirect_is_followed(server: DecisionServer, status: int) -> None:
    server.status = status
    opinion = asked(server.url)
    assert not opinion.permits
    assert opinion.failed
    assert server.paths == ["/access/v1/evaluation"]


def test_another_kind_of_answer_denies(server: DecisionServer) -> None:
    server.kind = "text/html"
    assert asked(server.url).failed == "an answer that is not JSON"
    server.kind = "application/json; charset=utf-8"
    assert asked(server.url).permits


def test_a_slow_answer_denies(server: DecisionServer) -> None:
    server.go_on.clear()
    opinion = asked(server.url, timeout_ms=50)
    assert not opinion.permits
    assert "time" in opinion.failed


def test_an_answer_cut_off_denies(server: DecisionServer) -> None:
    server.length = len(server.body) + 10
    opinion = asked(server.url)
    assert not opinion.permits
    assert opinion.failed


def test_a_huge_answer_denies(server: DecisionServer) -> None:
    server.says({"decision": True, "context": {"padding": "x" * ANSWER_BYTES_MAX}})
    assert not asked(server.url).permits
    server.says({"decision": True, "context": {"padding": "x" * 1_000}})
    assert asked(server.url).permits


def test_nobody_there_denies() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, and never listening
        opinion = asked(f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert not opinion.permits
    assert "no connection" in opinion.failed


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://pdp.example.org", "address_insecure"),
        ("http://127.0.0.1.example.org", "address_insecure"),
        ("http://10.0.0.1", "address_insecure"),
        ("https://user:pw@pdp.example.org", "url_invalid"),
        ("https://pdp.example.org/x?tenant=1", "url_invalid"),
        ("https://pdp.example.org/#x", "url_invalid"),
        ("ftp://pdp.example.org", "url_invalid"),
    ],
)
def test_an_address_where_anyone_could_answer_is_refused(url: str, code: str) -> None:
    with pytest.raises(RemitError) as refused:
        DecisionPoint(url, Pool(), timeout_ms=300)
    assert refused.value.code == code


@pytest.mark.parametrize("url", ["https://pdp.example.org", "http://localhost:9", "http://[::1]:9", "http://127.0.0.2"])
def test_https_and_this_machine_are_taken(url: str) -> None:
    found: Any = DecisionPoint(url, Pool(), timeout_ms=300)
    assert found is not None
