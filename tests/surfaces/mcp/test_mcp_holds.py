"""Holds, waits and repeats on the wire, the agent's word for why, and a retry that approves nothing."""

import asyncio
from typing import Any

import pytest
from mcp import Client
from mcp.client._input_required import InputRequiredRoundsExceededError
from mcp_types import ElicitRequestURLParams, ElicitResult, InputRequiredResult, TextContent
from tests.surfaces.mcp.mcp_stub import (
    DONE,
    URL,
    WAITS,
    StubGateway,
    ask,
    endpoint,
    new_call,
    newer,
    official,
    old_call,
    older,
)

from remit.core import Reason
from remit.pipeline import Done, Failed, Refused

CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
RATIONALE = "remit/rationale"
PARAMS = -32602
HELD = Refused("c_2", WAITS, held=True, approval="a_9")
LATER = Reason("rate_reached", "5 of 5 writes are used today", "wait", retry_after_s=30)


def with_url() -> dict[str, Any]:
    return {CAPABILITIES: {"elicitation": {"form": {}, "url": {}}}}


def asked(answer: Done | Refused | Failed, message: Any, lines: Any) -> Any:
    return ask(endpoint(StubGateway(answer)), message, lines)


# --- holds ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R7.4", "R7.5")
def test_a_client_that_shows_addresses_is_asked_to_open_the_approval() -> None:
    answer = asked(HELD, new_call(with_url()), newer())
    assert answer.status == 200
    assert answer.json["result"] == {
        "resultType": "input_required",
        "inputRequests": {
            "a_9": {
                "method": "elicitation/create",
                "params": {"mode": "url", "message": WAITS.message, "url": f"{URL}/a_9"},
            }
        },
        "requestState": "a_9",
        "_meta": {"remit/call": "c_2", "remit/code": "approval_needed", "remit/held": True, "remit/approval": "a_9"},
    }


@pytest.mark.parametrize(
    "capabilities",
    [{}, {"elicitation": {}}, {"elicitation": {"form": {}}}, {"elicitation": {"url": True}}, {"elicitation": None},
     {"elicitation": {"url": None}}, {"elicitation": [{"url": {}}]}, {"url": {}}],
)  # fmt: skip
def test_every_other_client_is_told_in_a_result_where_people_see_the_hold(capabilities: Any) -> None:
    result = asked(HELD, new_call({CAPABILITIES: capabilities}), newer()).json["result"]
    assert (result["resultType"], result["isError"]) == ("complete", True)
    assert result["content"][0]["text"] == (
        "approval_needed: refunds from 100.00 EUR wait for finance; it waits as a_9, which people see with "
        "`remit approvals show a_9`; to mend it: ask finance"
    )
    assert result["_meta"] == {
        "remit/call": "c_2",
        "remit/code": "approval_needed",
        "remit/held": True,
        "remit/approval": "a_9",
    }


@pytest.mark.parametrize("answer", [Refused("c_2", WAITS, held=False), Refused("c_2", WAITS, held=True)])
def test_a_refusal_that_nobody_can_approve_asks_nobody(answer: Refused) -> None:
    result = asked(answer, new_call(with_url()), newer()).json["result"]
    assert result["isError"] is True
    assert "remit/approval" not in result["_meta"]
    assert "approvals show" not in result["content"][0]["text"]


def test_a_denied_approval_is_named_and_nobody_is_asked_again() -> None:
    denied = Refused("c_2", Reason("approval_denied", "ana said no", "do something else"), held=False, approval="a_9")
    result = asked(denied, new_call(with_url()), newer()).json["result"]
    assert (result["isError"], result["_meta"]["remit/approval"], result["_meta"]["remit/held"]) == (True, "a_9", False)
    assert "approvals show" not in result["content"][0]["text"]


@pytest.mark.requirement("R7.4")
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
def test_what_the_user_clicks_in_a_client_decides_nothing(action: str) -> None:
    stub = StubGateway(HELD)
    message = new_call(with_url(), inputResponses={"a_9": {"action": action}}, requestState="a_9")
    answer = ask(endpoint(stub), message, newer())
    assert answer.json["result"]["resultType"] == "input_required"
    plain = new_call(with_url())
    ask(endpoint(stub), plain, newer())
    first, second = stub.calls
    assert (first.operation, first.canonical, first.rationale) == (second.operation, second.canonical, second.rationale)


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"requestState": 1}, "request_state_invalid"),
        ({"requestState": None}, "request_state_invalid"),
        ({"requestState": "s" * 257}, "request_state_invalid"),
        ({"inputResponses": None}, "input_responses_invalid"),
        ({"inputResponses": []}, "input_responses_invalid"),
        ({"inputResponses": {"a_9": "accept"}}, "input_responses_invalid"),
        ({"inputResponses": {"a_9": {"action": "approve"}}}, "input_responses_invalid"),
        ({"inputResponses": {"a_9": {"action": ["accept"]}}}, "input_responses_invalid"),
        ({"inputResponses": {"a_9": {"action": "accept", "content": 1}}}, "input_responses_invalid"),
        ({"inputResponses": {"k" * 257: {"action": "accept"}}}, "input_responses_invalid"),
        ({"inputResponses": {f"a_{n}": {"action": "accept"} for n in range(17)}}, "input_responses_invalid"),
    ],
)
def test_a_retry_that_has_not_the_protocols_form_is_refused(params: dict[str, Any], code: str) -> None:
    stub = StubGateway()
    answer = ask(endpoint(stub), new_call(**params), newer())
    assert (answer.status, answer.rpc, answer.code) == (400, PARAMS, code)
    assert (stub.calls, stub.ledger.codes) == ([], [code])


@pytest.mark.parametrize(
    "params",
    [
        {"requestState": ""},
        {"requestState": "another's"},
        {"inputResponses": {}},
        {"inputResponses": {"a_8": {"action": "accept", "content": {}}}},
        {"inputResponses": {"roots": {"roots": []}, "a": {"role": "assistant", "content": [], "model": "m"}}},
    ],
)
def test_a_retry_in_the_protocols_form_is_one_more_call(params: dict[str, Any]) -> None:
    """The control of the table above; what was never asked for is passed over."""
    stub = StubGateway()
    assert ask(endpoint(stub), new_call(**params), newer()).code == ""
    assert len(stub.calls) == 1


# --- the official client, unchanged -----------------------------------------------------------------------------------


@pytest.mark.requirement("R7.4")
def test_the_official_client_shows_the_address_and_its_users_yes_changes_nothing() -> None:
    stub = StubGateway(HELD)
    opened: list[Any] = []

    async def elicit(_context: Any, params: Any) -> ElicitResult:
        opened.append(params)
        return ElicitResult(action="accept")

    async def go() -> None:
        async with official(endpoint(stub), elicitation_callback=elicit, input_required_max_rounds=3) as client:
            with pytest.raises(InputRequiredRoundsExceededError):
                await client.call_tool("get_order", {"id": "ord-1001"})

    asyncio.run(go())
    assert len(stub.calls) == 4  # the call and three retries, each decided by itself
    assert all(isinstance(params, ElicitRequestURLParams) for params in opened)
    assert {(params.url, params.message) for params in opened} == {(f"{URL}/a_9", WAITS.message)}


def test_the_official_client_goes_on_once_the_gateway_itself_allows_the_call() -> None:
    stub = StubGateway(HELD)

    async def elicit(_context: Any, _params: Any) -> ElicitResult:
        stub.answer = Done("c_4", DONE)  # what approvers do elsewhere, meanwhile
        return ElicitResult(action="decline")

    async def go() -> Any:
        async with official(endpoint(stub), elicitation_callback=elicit) as client:
            return await client.call_tool("get_order", {"id": "ord-1001"})

    result = asyncio.run(go())
    assert (result.is_error, result.meta) == (False, {"remit/call": "c_4"})
    assert len(stub.calls) == 2


def test_the_official_client_without_a_way_to_show_addresses_reads_the_hold() -> None:
    async def act(client: Client) -> Any:
        return await client.session.call_tool("get_order", {"id": "x"}, allow_input_required=True)

    async def go(**options: Any) -> Any:
        async with official(endpoint(StubGateway(HELD)), **options) as client:
            return await act(client)

    async def elicit(_context: Any, _params: Any) -> ElicitResult:
        return ElicitResult(action="cancel")

    told = asyncio.run(go())
    assert told.is_error is True
    assert isinstance(told.content[0], TextContent)
    required = asyncio.run(go(elicitation_callback=elicit))
    assert isinstance(required, InputRequiredResult)
    assert (required.request_state, (required.meta or {})["remit/held"]) == ("a_9", True)


# --- waits and repeats ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R7.5")
@pytest.mark.parametrize(("message", "lines"), [(new_call(), newer()), (old_call(), older())], ids=["new", "older"])
@pytest.mark.parametrize(
    "answer",
    [Refused("c_5", LATER, held=False), Failed("c_5", LATER, effect_possible=True)],
    ids=["refused", "failed"],
)
def test_a_refusal_that_time_mends_says_when_to_come_back(answer: Refused | Failed, message: Any, lines: Any) -> None:
    said = asked(answer, message, lines)
    result = said.json["result"]
    assert (said.status, said.headers["retry-after"]) == (200, "30")
    assert result["_meta"]["remit/retry_after_s"] == 30
    assert "; it may succeed in 30 s; to mend it: wait" in result["content"][0]["text"]


@pytest.mark.parametrize("answer", [HELD, Done("c_1", DONE), Failed("c_1", WAITS, effect_possible=False)])
def test_an_answer_that_time_does_not_mend_names_no_time(answer: Done | Refused | Failed) -> None:
    said = asked(answer, new_call(), newer())
    assert "retry-after" not in said.headers
    assert "remit/retry_after_s" not in said.json["result"]["_meta"]


@pytest.mark.parametrize(("message", "lines"), [(new_call(), newer()), (old_call(), older())], ids=["new", "older"])
def test_a_repeated_answer_names_the_call_that_was_carried_out(message: Any, lines: Any) -> None:
    again = asked(Done("c_first", DONE, repeated=True), message, lines).json["result"]
    once = asked(Done("c_first", DONE), message, lines).json["result"]
    assert again["_meta"] == {"remit/call": "c_first", "remit/repeated": True}
    assert once["_meta"] == {"remit/call": "c_first"}
    assert again["content"] == once["content"]


# --- the agent's word for why -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("message", "lines"), [(new_call, newer()), (old_call, older())], ids=["new", "older"])
@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("the customer was charged twice", "the customer was charged twice"),
        ("", ""),
        ("caf\u00e9 \u20ac", "caf\u00e9 \u20ac"),
        ("x" * 500, "x" * 500),
        ("a\nb\u001b[2J\u202e\u200b", "a<U+000A>b<U+001B>[2J<U+202E><U+200B>"),
    ],
)
def test_the_rationale_goes_with_the_call_and_nothing_in_it_hides(
    message: Any, lines: Any, given: str, shown: str
) -> None:
    stub = StubGateway()
    ask(endpoint(stub), message({RATIONALE: given}), lines)
    ask(endpoint(stub), message(), lines)
    assert [call.rationale for call in stub.calls] == [shown, ""]


@pytest.mark.parametrize("given", [None, 1, True, ["why"], {"why": 1}, "x" * 501])
def test_a_rationale_that_is_no_short_text_is_refused(given: Any) -> None:
    stub = StubGateway()
    answer = ask(endpoint(stub), new_call({RATIONALE: given}), newer())
    assert (answer.status, answer.rpc, answer.code) == (400, PARAMS, "rationale_invalid")
    assert (stub.calls, stub.ledger.codes) == ([], ["rationale_invalid"])
