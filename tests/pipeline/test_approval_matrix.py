"""Approvals as others ask for them (envoyproxy/ai-gateway#2073): four cases, over MCP and the admin API.

An approval is bound to caller, server, tool, arguments, policy version and expiry; whatever a client sends along, the
gateway's own record alone lets a call through.
"""

import json
from datetime import timedelta
from typing import Any

import pytest
from tests.pipeline.pipeline_stage import LiftsAnything, with_file
from tests.surfaces.admin.admin_stage import Stage
from tests.surfaces.mcp.mcp_stub import URL, Lines, ask, newer, older

from remit.core import Delegation, JsonObject
from remit.identity import Person, Presented, UserToken
from remit.pipeline import RELEASE
from remit.surfaces._http import Bounds
from remit.surfaces.mcp import McpEndpoint
from remit.testing import NOON, POLICY, Desk, desk_delegation, desk_snapshot, desk_task

pytestmark = pytest.mark.requirement("R3.5", "R7.4")

CAPABILITIES: JsonObject = {"io.modelcontextprotocol/clientCapabilities": {"elicitation": {"form": {}, "url": {}}}}
META: JsonObject = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    **CAPABILITIES,
}
PAY: JsonObject = {"amount": 75}
STRICTER = POLICY.replace("amount >= 50", "amount >= 49")
LONG = NOON + timedelta(days=9)


class Bearer:
    """Takes every token for that of the desk's task, with `said` in place of what it says."""

    def __init__(self) -> None:
        self.said = desk_delegation(expires_at=LONG)

    async def delegation(self, presented: Presented) -> Delegation:
        del presented
        return self.said

    async def user(self, presented: Presented, audience: str) -> UserToken:
        raise NotImplementedError(presented, audience)

    async def person(self, token: str, audience: str) -> Person:
        raise NotImplementedError(token, audience)


class Surfaces:
    """The desk with both doors: MCP for the agent, the admin API for people."""

    def __init__(self, *, new: bool, **options: Any) -> None:
        self.desk = Desk(**options)
        self.desk.live.dismiss("t_desk")
        self.desk.live.admit(desk_task(expires_at=LONG), b'{"input":null}')
        self.people, self.bearer, self.new = Stage(self.desk), Bearer(), new
        self.mcp = McpEndpoint(
            self.desk.gateway, self.desk.live, self.bearer, Bounds(), "0.1.0", url="http://test/mcp", approvals_url=URL
        )

    def call(self, arguments: JsonObject, name: str = "pay", reference: str = "") -> Any:
        """Make a call; `reference`: as a retry that names an approval, and says that the user accepted."""
        params: dict[str, Any] = {"name": name, "arguments": arguments}
        if self.new:
            params["_meta"] = META
            if reference:
                params |= {"requestState": reference, "inputResponses": {reference: {"action": "accept"}}}
        elif reference:
            params["_meta"] = {"remit/approval": reference}
        lines: Lines = newer(name=name) if self.new else older()
        answer = ask(self.mcp, {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}, lines)
        assert answer.status == 200, answer
        return answer.json["result"]

    def held(self, arguments: JsonObject) -> str:
        result = self.call(arguments)
        assert result["_meta"]["remit/held"] is True, result
        return str(result["_meta"]["remit/approval"])

    def approve(self, approval: str, person: str = "oli") -> Any:
        digest = self.people.shown(approval)["digest"]
        return self.people.ask("POST", f"/v1/approvals/{approval}/approve", person, {"digest": digest})

    def approved(self, arguments: JsonObject) -> str:
        approval = self.held(arguments)
        assert self.approve(approval).status_code == 200
        return approval

    @property
    def forwarded(self) -> list[Any]:
        return [json.loads(each.body) for each in self.desk.upstream.received]

    def deploy(self, policy: str = POLICY, path: str = "", old: str = "", new: str = "") -> None:
        snapshot = with_file(path, lambda text: text.replace(old, new)) if path else desk_snapshot(policy)
        self.desk.store.versions[RELEASE] = 1
        self.desk.live.swap(snapshot, 1)


@pytest.fixture(params=[True, False], ids=["2026-07-28", "2025-11-25"])
def surfaces(request: pytest.FixtureRequest) -> Surfaces:
    return Surfaces(new=request.param)


def test_1_the_same_call_resumes_and_is_carried_out(surfaces: Surfaces) -> None:
    approval = surfaces.approved(PAY)
    assert surfaces.forwarded == []
    result = surfaces.call(PAY, reference=approval)
    assert not result.get("isError")
    assert surfaces.forwarded == [PAY]
    assert surfaces.people.shown(approval)["state"] == "used"
    intent = surfaces.people.said("intent")
    assert [each["id"] for each in intent["approvals"]] == [approval], "the record names what let it through"


def test_1_control_without_a_yes_it_is_not_whatever_the_client_says(surfaces: Surfaces) -> None:
    approval = surfaces.held(PAY)
    assert surfaces.call(PAY, reference=approval)["_meta"]["remit/approval"] == approval
    assert surfaces.forwarded == []


@pytest.mark.parametrize("arguments", [{"amount": 76}, {"amount": 75, "note": "x"}, {"amount": 99}], ids=str)
def test_2_other_arguments_under_the_same_reference_are_not_forwarded(
    surfaces: Surfaces, arguments: JsonObject
) -> None:
    approval = surfaces.approved(PAY)
    result = surfaces.call(arguments, reference=approval)
    assert result["_meta"]["remit/held"] is True
    assert result["_meta"]["remit/approval"] != approval, "it waits for a yes of its own"
    assert surfaces.forwarded == []
    surfaces.call(PAY, reference=approval)
    assert surfaces.forwarded == [PAY], "the control: the call that was approved still goes"


@pytest.mark.parametrize(
    "changed",
    [
        {"policy": STRICTER},
        {"path": "catalogue/desk.yaml", "old": "title: Pay", "new": "title: Pay more"},
        {"path": "catalogue/desk.yaml", "old": "127.0.0.1:9/mcp", "new": "127.0.0.1:9/mcp2"},
    ],
    ids=["policy", "tool", "server"],
)
def test_3_another_policy_tool_or_server_under_the_same_reference_is_not_called(
    surfaces: Surfaces, changed: dict[str, str]
) -> None:
    approval = surfaces.approved(PAY)
    surfaces.deploy(**changed)
    result = surfaces.call(PAY, reference=approval)
    assert result["_meta"].get("remit/approval") != approval, "it is refused, or waits for a yes of its own"
    assert surfaces.forwarded == []


def test_3_another_caller_under_the_same_reference_is_refused(surfaces: Surfaces) -> None:
    approval = surfaces.approved(PAY)
    said = surfaces.bearer.said
    surfaces.bearer.said = desk_delegation(user="eve", expires_at=LONG)
    assert surfaces.call(PAY, reference=approval)["isError"] is True
    assert surfaces.forwarded == []
    surfaces.bearer.said = said
    surfaces.call(PAY, reference=approval)
    assert surfaces.forwarded == [PAY], "the control"


def test_3_a_yes_that_has_expired_lets_nothing_through(surfaces: Surfaces) -> None:
    approval = surfaces.approved(PAY)
    surfaces.desk.clock.advance(timedelta(hours=24))
    result = surfaces.call(PAY, reference=approval)
    assert result["_meta"]["remit/held"] is True
    assert result["_meta"]["remit/approval"] != approval
    assert surfaces.people.shown(approval)["state"] == "expired"
    assert surfaces.forwarded == []


def test_4_where_nobody_answers_in_time_the_refusal_names_what_it_waited_for() -> None:
    for new in (True, False):
        surfaces = Surfaces(new=new, hold_wait_s=0.05)
        approval = surfaces.held(PAY)
        assert surfaces.forwarded == []
        held = surfaces.people.said("held")
        assert (held["approval"], held["decision"][:2]) == (approval, ["hold", "approval_required"])
        surfaces.desk.clock.advance(timedelta(hours=24))
        late = surfaces.approve(approval)
        assert (late.status_code, late.json()["code"]) == (409, "approval_expired")
        again = surfaces.held(PAY)
        assert again != approval
        assert surfaces.forwarded == []


def test_control_a_gateway_whose_yes_is_for_any_call_fails_the_second_case() -> None:
    surfaces = Surfaces(new=True, kind=LiftsAnything)
    approval = surfaces.approved(PAY)
    surfaces.call({"amount": 76}, reference=approval)
    assert surfaces.forwarded == [{"amount": 76}]
