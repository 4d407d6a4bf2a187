"""A held call as a task of MCP's extension: whose it is, what a poll says, and that no client approves anything."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast

import pytest
from tests.conftest import META, Answer
from tests.surfaces.mcp.mcp_stub import DONE, WAITS, StubGateway, newer, old_call, older
from tests.surfaces.mcp.mcp_stub import ask as asked_of_stub
from tests.surfaces.mcp.mcp_stub import endpoint as stub_endpoint

from remit.core import Delegation, Reason, StoreUnavailableError, utc_text
from remit.identity import Authenticator, Person, Presented, TokenRefusedError
from remit.permissions import Approval, State
from remit.pipeline import Done, Refused, Sent, UpstreamFailure
from remit.records import Draft, Entry
from remit.surfaces._http import Bounds, Headers
from remit.surfaces.mcp import McpEndpoint
from remit.surfaces.mcp import _waiting as waiting
from remit.testing import POLICY, Desk, Hang, desk_delegation, desk_task

URL = "https://remit.example/approvals"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
TASKS: dict[str, Any] = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
SHOWS: dict[str, Any] = {**TASKS, "elicitation": {"url": {}}}
NAMED = {"tools/call": "name", "tasks/get": "taskId", "tasks/update": "taskId", "tasks/cancel": "taskId"}
OLGA = Person("olga", frozenset({"ops"}))
PAY: Mapping[str, Any] = {"name": "pay", "arguments": {"amount": 75}}
TOKENS = {
    "tom's": desk_delegation(),
    "another's": desk_delegation(user="una"),
    "another task's": desk_delegation("t_other"),
    "another agent's": replace(desk_delegation(), agent="refunds"),
}


class Tokens:
    """Knows a few tokens by name."""

    async def delegation(self, presented: Presented) -> Delegation:
        if presented.token not in TOKENS:
            raise TokenRefusedError("token_invalid", "not a token of ours", "open a task")
        return TOKENS[presented.token]


@dataclass
class Scene:
    """A desk behind its endpoint, and a client of it that may poll."""

    desk: Desk = field(default_factory=Desk)
    to: McpEndpoint = field(init=False)

    def __post_init__(self) -> None:
        tokens = cast("Authenticator", Tokens())
        self.to = McpEndpoint(
            self.desk.gateway, self.desk.live, tokens, Bounds(), "0.1.0", url="http://test/mcp", approvals_url=URL
        )

    async def send(  # noqa: PLR0913 - each is what one test says otherwise; all have a default
        self,
        method: str,
        params: Mapping[str, Any],
        *,
        token: str = "tom's",  # noqa: S107 - the name of a token of this test's
        capabilities: Mapping[str, Any] = SHOWS,
        named: str | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> Answer:
        said = {**META, CAPABILITIES: capabilities, **(meta or {})}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": said}}
        lines = [("MCP-Protocol-Version", "2026-07-28"), ("Mcp-Method", method), ("Authorization", f"Bearer {token}")]
        name = params.get(NAMED.get(method, "")) if named is None else named
        if isinstance(name, str) and name:
            lines.append(("Mcp-Name", name))
        return await self._exchange(json.dumps(message).encode(), lines)

    async def _exchange(self, body: bytes, lines: Sequence[tuple[str, str]]) -> Answer:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(event: Any) -> None:
            sent.append(event)

        raw = [(name.lower().encode(), value.encode()) for name, value in lines]
        await self.to.serve(
            "POST", Headers.of({"headers": [*raw, (b"content-type", b"application/json")]}), receive, send
        )
        start, *rest = sent
        told = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], told, b"".join(event["body"] for event in rest))

    async def held(self, *, capabilities: Mapping[str, Any] = SHOWS, meta: Mapping[str, Any] | None = None) -> str:
        """Make a call that is held; return its task's id."""
        said = (await self.send("tools/call", PAY, capabilities=capabilities, meta=meta)).json["result"]
        assert said["resultType"] == "task", said
        return str(said["taskId"])

    async def poll(self, id_: str, **options: Any) -> Any:
        """Ask for a task; return what it is, or the error."""
        said = (await self.send("tasks/get", {"taskId": id_}, **options)).json
        return said.get("result") or said["error"]

    def approval(self, id_: str) -> Approval:
        found = self.desk.live.approval(id_)
        assert found is not None
        return found

    async def approve(self, id_: str) -> None:
        found = self.approval(id_)
        answer = await self.desk.approvals.approve(OLGA, id_, found.digest, "")
        assert not isinstance(answer, Reason), answer

    async def deny(self, id_: str) -> None:
        answer = await self.desk.approvals.deny(OLGA, id_, "no")
        assert not isinstance(answer, Reason), answer

    @property
    def paid(self) -> int:
        return self.desk.upstream.effects["pay"]

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.desk.store.log]


def play(scene: Callable[[Scene], Awaitable[None]], desk: Desk | None = None) -> Scene:
    async def played() -> Scene:
        made = Scene(desk or Desk())
        await scene(made)
        return made

    return asyncio.run(played())


# --- what a client is given -------------------------------------------------------------------------------------------


@pytest.mark.requirement("R7.4", "R7.5")
def test_a_client_that_polls_gets_a_task_for_a_held_call_and_is_asked_to_open_the_approval() -> None:
    async def scene(it: Scene) -> None:
        created = (await it.send("tools/call", PAY)).json["result"]
        approval = it.approval(created["taskId"])
        assert created["resultType"] == "task"
        assert (created["status"], created["pollIntervalMs"]) == ("input_required", 5_000)
        assert created["statusMessage"] == f"approval_required: it waits for people, who see it at {URL}/{approval.id}"
        assert created["createdAt"] == created["lastUpdatedAt"] == utc_text(approval.opened_at)
        assert created["ttlMs"] == (approval.expires_at - approval.opened_at) // timedelta(milliseconds=1)
        assert (created["_meta"]["remit/held"], created["_meta"]["remit/approval"]) == (True, approval.id)
        said = await it.poll(approval.id)
        assert (said["resultType"], said["status"], said["taskId"]) == ("complete", "input_required", approval.id)
        assert said["inputRequests"] == {
            approval.id: {
                "method": "elicitation/create",
                "params": {"mode": "url", "message": approval.message, "url": f"{URL}/{approval.id}"},
            }
        }

    it = play(scene)
    assert it.paid == 0
    assert it.kinds() == ["held"], "a poll of a call that waits decides nothing and leaves no record"


def test_a_client_that_shows_no_addresses_is_sent_none_to_show() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held(capabilities=TASKS)
        said = await it.poll(id_, capabilities=TASKS)
        assert said["status"] == "working"
        assert "inputRequests" not in said
        assert f"{URL}/{id_}" in said["statusMessage"]

    play(scene)


@pytest.mark.parametrize(
    "extensions",
    [None, {}, [], {"io.modelcontextprotocol/tasks": None}, {"io.modelcontextprotocol/tasks": True},
     {"io.modelcontextprotocol/ui": {}}, {"tasks": {}}],
)  # fmt: skip
def test_a_client_that_does_not_declare_the_extension_gets_no_task_and_may_not_ask_for_one(extensions: Any) -> None:
    async def scene(it: Scene) -> None:
        capabilities = {"elicitation": {"url": {}}, "extensions": extensions}
        held = (await it.send("tools/call", PAY, capabilities=capabilities)).json["result"]
        assert held["resultType"] == "input_required"
        for method in ("tasks/get", "tasks/cancel", "tasks/update"):
            params = {"taskId": held["requestState"], "inputResponses": {}}
            refused = await it.send(method, params, capabilities=capabilities)
            assert (refused.status, refused.rpc, refused.code) == (400, -32021, "capability_missing")
            assert refused.json["error"]["data"]["requiredCapabilities"] == TASKS

    play(scene)


def test_the_discovery_names_the_extension() -> None:
    said = asked_of_stub(stub_endpoint(StubGateway()), _discover(), newer("server/discover")).json["result"]
    assert said["capabilities"] == {"tools": {}, **TASKS}


def _discover() -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": "server/discover", "params": {"_meta": META}}


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel", "tasks/result", "tasks/list"])
def test_older_revisions_know_no_such_methods_and_are_told_of_a_hold_as_before(method: str) -> None:
    stub = StubGateway(Refused("c_2", WAITS, held=True, approval="a_9"))
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"taskId": "a_9"}}
    answer = asked_of_stub(stub_endpoint(stub), message, older())
    assert (answer.rpc, answer.code) == (-32601, "method_unknown")
    told = asked_of_stub(stub_endpoint(stub), old_call(), older()).json["result"]
    assert (told["isError"], told["_meta"]["remit/approval"]) == (True, "a_9")


def test_a_hold_whose_approval_is_gone_already_is_no_task() -> None:
    stub = StubGateway(Refused("c_2", WAITS, held=True, approval="a_9"))
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    params = {"name": "get_order", "arguments": {}, "_meta": {**META, CAPABILITIES: TASKS}}
    said = asked_of_stub(stub_endpoint(stub), {**message, "params": params}, newer()).json["result"]
    assert (said["resultType"], said["isError"]) == ("complete", True)


# --- what becomes of it -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5", "R7.5")
def test_an_approved_call_is_made_by_the_poll_once_and_every_later_poll_tells_its_outcome() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held(meta={"remit/rationale": "twice charged", "remit/confidence": 80})
        await it.approve(id_)
        first = await it.poll(id_)
        again = await it.poll(id_)
        assert first["status"] == again["status"] == "completed"
        assert first["result"]["content"] == again["result"]["content"] == [{"text": "done", "type": "text"}]
        assert first["result"]["resultType"] == "complete"
        assert again["result"]["_meta"]["remit/repeated"] is True

    it = play(scene)
    assert it.paid == 1
    [received] = it.desk.upstream.received
    assert received.body == b'{"amount":75}'
    [held, intent] = [json.loads(entry.leaf) for entry in it.desk.store.log if entry.kind in ("held", "intent")]
    assert (held["rationale"], held["confidence"]) == (intent["rationale"], intent["confidence"])


@pytest.mark.requirement("R3.5")
def test_polls_at_once_make_an_approved_call_once_and_those_meanwhile_are_told_that_it_works() -> None:
    async def scene(it: Scene) -> None:
        hang = Hang()
        it.desk.upstream.script("pay", hang)
        id_ = await it.held()
        await it.approve(id_)
        polls = [asyncio.create_task(it.poll(id_)) for _ in range(20)]
        await hang.arrived.wait()
        meanwhile = await it.poll(id_)
        assert (meanwhile["status"], meanwhile["pollIntervalMs"]) == ("working", 1_000)
        hang.release.set()
        told = [said["status"] for said in await asyncio.gather(*polls)]
        assert told.count("completed") >= 1
        assert set(told) <= {"completed", "working"}

    assert play(scene).paid == 1


def test_a_denied_call_ends_with_the_result_that_the_call_itself_would_get() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        await it.deny(id_)
        said = await it.poll(id_)
        assert (said["status"], said["result"]["isError"]) == ("completed", True)
        assert said["result"]["_meta"]["remit/code"] == "approval_denied"
        assert (await it.poll(id_))["status"] == "completed"

    assert play(scene).paid == 0


def test_a_call_that_nobody_decided_in_time_fails_and_opens_no_other_approval() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        it.desk.clock.advance(it.approval(id_).expires_at - it.approval(id_).opened_at)
        said = await it.poll(id_)
        assert (said["status"], said["error"]["code"]) == ("failed", -32000)
        assert said["error"]["data"]["code"] == "approval_expired"
        assert said["statusMessage"].startswith("approval_expired: ")

    it = play(scene)
    assert (it.paid, len(it.desk.store.approvals)) == (0, 1)


def test_a_call_whose_approval_was_voided_fails_and_opens_no_other_approval() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        it.desk.live.put(replace(it.approval(id_), state=State.VOID, by="another release runs since"))
        said = await it.poll(id_)
        assert (said["status"], said["error"]["data"]["code"]) == ("failed", "approval_void")

    it = play(scene)
    assert (it.paid, len(it.desk.store.approvals)) == (0, 1)


def test_a_changed_call_is_waited_for_in_place_of_the_agents_own() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        own = replace(it.approval(id_), instead_of="sha256:own")
        it.desk.live.put(replace(own, state=State.VOID, by="changed"))
        it.desk.live.put(replace(own, id="a_edit", edited='{"amount":60}', editors=("olga",), digest="sha256:edit"))
        it.desk.live.put(replace(own, id="a_other", edited='{"amount":1}', instead_of="sha256:other"))
        said = await it.poll(id_)
        assert (said["status"], said["taskId"], said["_meta"]["remit/approval"]) == ("input_required", id_, "a_edit")
        assert list(said["inputRequests"]) == ["a_edit"]

    assert play(scene).paid == 0


@pytest.mark.requirement("R3.5")
def test_a_call_that_a_person_changed_is_made_as_they_changed_it_once_and_the_agent_is_told() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        otto = Person("otto", frozenset({"ops"}))
        edit = await it.desk.approvals.edit(otto, id_, it.approval(id_).digest, {"amount": 60}, "less")
        assert not isinstance(edit, Reason), edit
        assert list((await it.poll(id_))["inputRequests"]) == [edit.id]
        await it.approve(edit.id)
        for _ in range(2):
            said = await it.poll(id_)
            assert (said["status"], said["taskId"]) == ("completed", id_)
            assert said["result"]["_meta"]["remit/edited"] == {"amount": 60}

    assert [received.body for received in play(scene).desk.upstream.received] == [b'{"amount":60}']


def test_what_an_approved_call_may_not_do_meanwhile_it_does_not_do_and_the_task_says_why() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        await it.approve(id_)
        it.desk.live.set_control("stop", 1, "an incident")
        said = await it.poll(id_)
        assert (said["status"], said["result"]["isError"]) == ("completed", True)
        assert said["result"]["_meta"]["remit/code"] == "stopped"

    assert play(scene).paid == 0


def test_an_approved_call_that_could_not_be_sent_is_told_as_the_call_itself_would_be() -> None:
    async def scene(it: Scene) -> None:
        it.desk.upstream.script("pay", UpstreamFailure(code="upstream_unreachable", sent=Sent.NOT_SENT, detail="x"))
        id_ = await it.held()
        await it.approve(id_)
        said = await it.poll(id_)
        assert (said["status"], said["result"]["isError"]) == ("completed", True)
        assert said["result"]["_meta"]["remit/code"] == "upstream_unreachable"

    play(scene)


class Unread:
    """A ledger that cannot be read."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.unread = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def entries_of(self, task: str) -> tuple[Entry, ...]:
        if self.unread:
            raise StoreUnavailableError("store_unavailable", "the store is gone", "wait")
        entries: tuple[Entry, ...] = await self._inner.entries_of(task)
        return entries

    async def begin(self, intent: Draft, read: Any, obligations: Any = ()) -> Any:
        if self.unread:
            raise StoreUnavailableError("store_unavailable", "the store is gone", "wait")
        return await self._inner.begin(intent, read, obligations)


def test_what_may_still_be_done_is_not_told_as_an_end() -> None:
    async def scene(it: Scene) -> None:
        ledger = Unread(it.desk.store)
        made = Scene(it.desk)
        made.to = McpEndpoint(
            replace(it.desk.gateway, ledger=cast("Any", ledger)),
            it.desk.live,
            cast("Authenticator", Tokens()),
            Bounds(),
            "0.1.0",
            url="http://test/mcp",
            approvals_url=URL,
        )
        id_ = await made.held()
        await made.approve(id_)
        ledger.unread = True
        said = await made.poll(id_)
        assert (said["status"], said["statusMessage"]) == ("working", "store_unavailable: the store is gone")
        ledger.unread = False
        assert (await made.poll(id_))["status"] == "completed"

    assert play(scene).paid == 1


def test_a_call_whose_arguments_were_erased_fails() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        await it.approve(id_)
        it.desk.store.log[0] = replace(it.desk.store.log[0], payloads=())
        said = await it.poll(id_)
        assert (said["status"], said["error"]["data"]["code"]) == ("failed", "arguments_erased")

    assert play(scene).paid == 0


# --- whose it is ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
@pytest.mark.parametrize("token", ["another's", "another task's", "another agent's"])
def test_whoever_else_asks_is_told_what_is_told_of_an_unknown_id(method: str, token: str) -> None:
    async def scene(it: Scene) -> None:
        it.desk.live.admit(desk_task("t_other"))
        id_ = await it.held()
        await it.approve(id_)
        foreign = await it.send(method, {"taskId": id_, "inputResponses": {}}, token=token)
        unknown = await it.send(method, {"taskId": "a_" + "0" * 32, "inputResponses": {}}, token=token)
        assert (foreign.status, foreign.rpc, foreign.code) == (400, -32602, "task_unknown")
        assert foreign.body == unknown.body
        assert foreign.headers == unknown.headers

    assert play(scene).paid == 0


class Anybodys(waiting.WaitingCalls):
    """A control: whoever knows the id is answered."""

    def _mine(self, id_: str, _request: Any, _delegation: Delegation) -> Approval:
        found = self._live.approval(id_)
        assert found is not None
        return found


def test_without_the_comparison_another_user_would_see_the_task() -> None:
    async def scene(it: Scene) -> None:
        it.to._waiting = Anybodys(it.desk.gateway, it.desk.live, URL, {})
        id_ = await it.held()
        assert (await it.poll(id_, token="another's"))["status"] == "input_required"

    play(scene)


@pytest.mark.parametrize(
    ("params", "named", "code"),
    [
        ({}, "", "task_id_invalid"),
        ({"taskId": None}, "", "task_id_invalid"),
        ({"taskId": 1}, "1", "header_mismatch"),
        ({"taskId": ""}, "", "header_mismatch"),
        ({"taskId": "a" * 129}, None, "task_id_invalid"),
        ({"taskId": "a_1"}, "", "header_mismatch"),
        ({"taskId": "a_1"}, "a_2", "header_mismatch"),
        ({"taskId": "a_1"}, None, "task_unknown"),
    ],
)
def test_an_id_that_is_none_or_not_in_the_header_is_refused(params: Any, named: str | None, code: str) -> None:
    async def scene(it: Scene) -> None:
        answer = await it.send("tasks/get", params, named=named)
        assert (answer.status, answer.code) == (400, code)
        assert it.kinds() == ["refused"]

    play(scene)


# --- nothing a client says decides ------------------------------------------------------------------------------------


@pytest.mark.requirement("R7.4")
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
def test_what_a_client_answers_to_the_request_decides_nothing(action: str) -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        before = it.approval(id_)
        answers = {id_: {"action": action, "content": {"approved": True}}, "a_unknown": {"action": "accept"}}
        said = await it.send("tasks/update", {"taskId": id_, "inputResponses": answers})
        assert (said.status, said.json["result"]) == (200, {"resultType": "complete"})
        assert it.approval(id_) == before
        assert (await it.poll(id_))["status"] == "input_required"

    it = play(scene)
    assert (it.paid, it.kinds()) == (0, ["held"])


@pytest.mark.parametrize(
    "responses", [None, [], {"a": 1}, {"a": {"action": "approve"}}, {str(n): {} for n in range(17)}]
)
def test_answers_that_have_not_the_protocols_form_are_refused(responses: Any) -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        said = await it.send("tasks/update", {"taskId": id_, "inputResponses": responses})
        assert (said.rpc, said.code) == (-32602, "input_responses_invalid")

    play(scene)


@pytest.mark.requirement("R7.5")
def test_a_cancelled_wait_makes_no_call_and_decides_nothing_and_the_agent_may_ask_again() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        said = await it.send("tasks/cancel", {"taskId": id_})
        assert said.json["result"] == {"resultType": "complete"}
        assert it.approval(id_).state is State.WAITING
        await it.approve(id_)
        assert (await it.poll(id_))["status"] == "cancelled"
        assert it.paid == 0
        again = (await it.send("tools/call", PAY)).json["result"]
        assert again["resultType"] == "complete"
        assert it.paid == 1

    play(scene)


def test_a_call_that_is_asked_for_again_is_waited_for_again() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        await it.send("tasks/cancel", {"taskId": id_})
        assert await it.held() == id_
        assert (await it.poll(id_))["status"] == "input_required"

    play(scene)


def test_what_is_done_already_is_not_cancelled() -> None:
    async def scene(it: Scene) -> None:
        id_ = await it.held()
        await it.approve(id_)
        assert (await it.poll(id_))["status"] == "completed"
        await it.send("tasks/cancel", {"taskId": id_})
        assert (await it.poll(id_))["status"] == "completed"

    play(scene)


def test_only_so_many_cancelled_waits_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene(it: Scene) -> None:
        monkeypatch.setattr(waiting, "CANCELLED_MAX", 1)
        first = await it.held()
        second = str((await it.send("tools/call", {**PAY, "arguments": {"amount": 76}})).json["result"]["taskId"])
        for id_ in (first, second):
            await it.send("tasks/cancel", {"taskId": id_})
        assert (await it.poll(first))["status"] == "input_required"
        assert (await it.poll(second))["status"] == "cancelled"

    play(scene)


# --- the agent's word for how sure it is, and what a person changed ---------------------------------------------------


@pytest.mark.parametrize("given", [0, 100, 55])
def test_the_confidence_goes_with_the_call(given: int) -> None:
    for message, lines in (
        (_call({"remit/confidence": given}), newer()),
        (old_call({"remit/confidence": given}), older()),
    ):
        stub = StubGateway()
        asked_of_stub(stub_endpoint(stub), message, lines)
        assert [call.confidence for call in stub.calls] == [given]


def test_a_call_that_says_nothing_of_it_has_no_confidence() -> None:
    stub = StubGateway()
    asked_of_stub(stub_endpoint(stub), _call({}), newer())
    assert [call.confidence for call in stub.calls] == [None]


@pytest.mark.parametrize("given", [None, True, False, -1, 101, 0.5, "90", [90], {"percent": 90}])
def test_a_confidence_that_is_no_percentage_is_refused(given: Any) -> None:
    stub = StubGateway()
    answer = asked_of_stub(stub_endpoint(stub), _call({"remit/confidence": given}), newer())
    assert (answer.status, answer.rpc, answer.code) == (400, -32602, "confidence_invalid")
    assert (stub.calls, stub.ledger.codes) == ([], ["confidence_invalid"])


@pytest.mark.requirement("R3.5")
def test_the_agent_is_told_what_was_done_in_place_of_its_call() -> None:
    for message, lines in ((_call({}), newer()), (old_call(), older())):
        stub = StubGateway(Done("c_1", DONE, edited='{"amount":60}'))
        said = asked_of_stub(stub_endpoint(stub), message, lines).json["result"]
        assert said["_meta"]["remit/edited"] == {"amount": 60}
    plain = asked_of_stub(stub_endpoint(StubGateway(Done("c_1", DONE))), _call({}), newer()).json["result"]
    assert "remit/edited" not in plain["_meta"]


def _call(meta: Mapping[str, Any]) -> dict[str, Any]:
    params = {"name": "get_order", "arguments": {}, "_meta": {**META, **meta}}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}


def test_a_call_that_nothing_holds_is_answered_at_once_and_is_no_task() -> None:
    """The control of this module: without the policy's hold there is no task."""

    async def scene(it: Scene) -> None:
        said = (await it.send("tools/call", PAY)).json["result"]
        assert said["resultType"] == "complete"

    unheld = POLICY.replace("context.arguments.amount >= 50", "context.arguments.amount >= 500")
    assert play(scene, Desk(policy=unheld)).paid == 1
