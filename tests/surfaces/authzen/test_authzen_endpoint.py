"""AuthZEN 1.0 in front of a whole desk: a task's holder is told what would be decided, and nothing is done."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.adapters.oauth.test_dpop_proofs import ED25519, digest, signed

from remit.adapters.oauth import DevelopmentIssuer, DpopProofs, TaskTokens, Tokens
from remit.core import ToolCall
from remit.identity import Person
from remit.permissions import Opinion
from remit.pipeline import Done, Facts
from remit.surfaces._http import Bounds, Door
from remit.surfaces.authzen import EVALUATION_PATH, EVALUATIONS_MAX, EVALUATIONS_PATH, METADATA_PATH, AuthzenEndpoint
from remit.surfaces.data import DataPlane
from remit.testing import NOON, Desk, FailingStore, MemoryStore, desk_call, desk_task, seeded

HOST = "127.0.0.1:8700"
URL = f"http://{HOST}"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
USER = {"type": "user", "id": "tom"}
TOOL = {"type": "tool", "id": "desk"}
LOOK: dict[str, Any] = {"subject": USER, "action": {"name": "look"}, "resource": TOOL}


def pay(amount: Any) -> dict[str, Any]:
    return {**LOOK, "action": {"name": "pay"}, "context": {"arguments": {"amount": amount}}}


@dataclass
class Told:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: Any


class Says:
    """A decision point outside that always says the same."""

    def __init__(self, opinion: Opinion) -> None:
        self._opinion = opinion

    async def opinion(self, call: ToolCall, facts: Facts) -> Opinion:
        del call, facts
        return self._opinion


@dataclass
class Asking:
    """Whoever holds the token of tom's task with the clerk, and what they ask. The store fails the writes `failing`."""

    desk: Desk = field(default_factory=Desk)
    outside: Says | None = None
    failing: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        clock = self.desk.clock
        tokens = TaskTokens(KEY, URL, f"{URL}/mcp", clock, proofs=DpopProofs(clock, random=seeded(6)))
        self.token = tokens.mint(desk_task())
        self.bound = tokens.mint(desk_task(), bound=ED25519.thumbprint())
        store = self.desk.store
        self.endpoint = AuthzenEndpoint(
            facts=self.desk.live,
            ledger=FailingStore(store, at=self.failing, kept=False) if self.failing else store,
            authenticator=Tokens(tokens, DevelopmentIssuer(KEY, f"{URL}/development", clock), {}),
            clock=clock,
            random=seeded(5),
            url=URL,
            metadata_url=f"{URL}/.well-known/oauth-protected-resource/mcp",
            outside=self.outside,
            bounds=Bounds(body_bytes_max=64 << 10),
        )
        self.plane = DataPlane(Door([HOST]), {**self.endpoint.routes()}, dict)

    def send(
        self, path: str, body: bytes = b"", *lines: tuple[str, str], method: str = "POST", token: str | None = None
    ) -> Told:
        given = {"host": HOST, "content-type": "application/json", "authorization": f"Bearer {token or self.token}"}
        raw = [(name.encode(), value.encode()) for name, value in [*{**given, **dict(lines)}.items()] if value]
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body}

        async def send(event: Any) -> None:
            sent.append(event)

        asyncio.run(self.plane({"type": "http", "method": method, "path": path, "headers": raw}, receive, send))
        start, *rest = sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return Told(start["status"], headers, json.loads(b"".join(event["body"] for event in rest)))

    def ask(self, said: Any, *lines: tuple[str, str], path: str = EVALUATION_PATH) -> Told:
        return self.send(path, json.dumps(said).encode(), *lines)

    def asked(self, said: Any) -> Any:
        told = self.ask(said)
        assert told.status == 200, told
        return told.body

    def several(self, said: Any) -> Any:
        told = self.ask(said, path=EVALUATIONS_PATH)
        assert told.status == 200, told
        return told.body["evaluations"]

    def leaves(self) -> list[Any]:
        return [json.loads(entry.leaf) for entry in self.desk.store.log]


def code(answer: Any) -> str:
    assert answer["decision"] is False
    return str(answer["context"]["code"])


# --- one question ----------------------------------------------------------------------------------------------------


def test_a_permitted_call_is_a_yes_and_nothing_is_sent_or_counted() -> None:
    asking = Asking()
    assert asking.asked(LOOK) == {"decision": True}
    assert asking.asked({**LOOK, "resource": {"type": "operation", "id": "look"}}) == {"decision": True}
    assert asking.desk.upstream.received == []
    assert asking.desk.store.counters == {}
    assert asking.desk.store.open_calls == {}


def test_a_denied_call_is_a_no_with_the_code_and_the_fix_of_the_call_itself() -> None:
    asking = Asking()
    answer: Any = asyncio.run(asking.desk.gateway.handle(desk_call("pay", {"amount": 101})))
    told = asking.asked(pay(101))["context"]
    assert (told["code"], told["reason"], told["fix"]) == (
        answer.reason.code,
        answer.reason.message,
        answer.reason.fix,
    )
    assert (told["held"], told["requirements"]) == (False, [])


def test_a_held_call_is_a_no_that_says_what_it_waits_for_and_asks_nobody() -> None:
    asking = Asking()
    told = asking.asked(pay(60))
    assert told["decision"] is False
    assert told["context"]["held"] is True
    (need,) = told["context"]["requirements"]
    assert (need["kind"], need["approvers"], need["quorum"]) == ("approval", ["ops"], 1)
    assert asking.desk.live.approvals() == ()


def test_an_approval_lifts_the_answer_and_is_not_used_up() -> None:
    asking = Asking()
    held: Any = asyncio.run(asking.desk.gateway.handle(desk_call("pay", {"amount": 60})))
    waiting = asking.desk.live.approval(held.approval)
    assert waiting is not None
    assert code(asking.asked(pay(60))) == "approval_required"
    olga = Person("olga", frozenset({"ops"}))
    approved = asyncio.run(asking.desk.approvals.approve(olga, waiting.id, waiting.digest, ""))
    for _ in range(2):
        assert asking.asked(pay(60)) == {"decision": True}
    assert asking.desk.live.approvals() == (approved,)
    assert code(asking.asked(pay(61))) == "approval_required"


def test_a_yes_is_what_the_call_then_gets() -> None:
    asking = Asking()
    for amount in (1, 49, 50, 100, 101, -1, "many"):
        said = asking.asked(pay(amount))["decision"]
        answer = asyncio.run(asking.desk.gateway.handle(desk_call("pay", {"amount": amount}, call=f"c_{amount}")))
        assert said is isinstance(answer, Done), amount


@pytest.mark.parametrize(
    "subject",
    [
        {"type": "user", "id": "eve"},
        {"type": "agent", "id": "tom"},
        {"type": "user", "id": "Tom"},
        {"type": "user", "id": ""},
        {"type": "agent", "id": "clerk"},
    ],
)
def test_nobody_learns_what_somebody_else_may_do(subject: Any) -> None:
    asking = Asking()
    answers = [asking.asked({**one, "subject": subject}) for one in (LOOK, pay(101), pay(60))]
    assert {code(answer) for answer in answers} == {"subject_mismatch"}
    assert len({json.dumps(answer) for answer in answers}) == 1
    assert asking.leaves()[0]["asked_of"] == f"{subject['type']}:{subject['id']}"
    assert asking.leaves()[0]["user"] == "tom"


def test_another_resource_than_the_operations_own_is_a_no_and_tells_nothing_of_what_is_not_permitted() -> None:
    asking = Asking()
    for resource in (
        {"type": "tool", "id": "bank"},
        {"type": "operation", "id": "pay"},
        {"type": "desk", "id": "look"},
    ):
        assert code(asking.asked({**LOOK, "resource": resource})) == "resource_mismatch"
    listed = {**LOOK, "action": {"name": "spare"}}
    assert asking.asked(listed) == asking.asked({**listed, "resource": {"type": "tool", "id": "bank"}})


@pytest.mark.parametrize("name", ["no-such", "Can Read", "look\n", "", "x" * 5_000])
def test_an_action_that_is_no_operation_of_the_agents_is_a_no(name: str) -> None:
    asking = Asking()
    assert asking.asked({**LOOK, "action": {"name": name}})["decision"] is False
    assert len(asking.leaves()[0]["operation"]) <= 64


@pytest.mark.requirement("R2.11")
def test_a_task_that_is_over_or_cut_off_gets_no_yes() -> None:
    asking = Asking()
    asking.desk.live.set_control("agent/clerk", 1, "stolen")
    assert code(asking.asked(LOOK)) == "agent_revoked"
    other = Asking()
    other.desk.live.dismiss("t_desk")
    assert other.asked(LOOK)["decision"] is False


def test_what_the_decision_point_outside_says_is_part_of_the_answer() -> None:
    assert Asking(outside=Says(Opinion(permits=True))).asked(LOOK)["decision"] is True
    assert code(Asking(outside=Says(Opinion(permits=False))).asked(LOOK)) == "outside_denies"
    assert code(Asking(outside=Says(Opinion(permits=False, failed="late"))).asked(LOOK)) == "outside_unavailable"


@pytest.mark.requirement("R2.8")
def test_every_question_leaves_a_record_without_arguments() -> None:
    asking = Asking()
    asking.ask(pay(7), ("traceparent", f"00-{'c' * 32}-{'d' * 16}-01"))
    asking.ask(pay(101))
    yes, no = asking.leaves()
    assert (yes["kind"], yes["operation"], yes["tool"], yes["decision"]) == ("evaluated", "pay", "desk", ["allow"])
    assert (yes["user"], yes["agent"], yes["task"], yes["level"]) == ("tom", "clerk", "t_desk", "A")
    assert yes["trace"] == "c" * 32
    assert yes["bundle"] == asking.desk.live.snapshot.digest
    assert "amount" not in json.dumps(yes)
    assert yes["arguments"]["commitment"].startswith("sha256:")
    assert no["decision"][0] == "deny"
    (payload,) = asking.desk.store.log[0].payloads
    assert payload.body == b'{"amount":7}'


def test_what_could_not_be_recorded_is_not_answered() -> None:
    told = Asking(failing=frozenset({1})).ask(LOOK)
    assert told.status == 503
    assert told.body["code"] == "store_unavailable"
    assert "decision" not in told.body


# --- several ---------------------------------------------------------------------------------------------------------


def test_defaults_are_replaced_as_a_whole_and_answers_keep_their_order() -> None:
    asking = Asking()
    answers = asking.several(
        {
            "subject": USER,
            "resource": TOOL,
            "action": {"name": "pay"},
            "context": {"arguments": {"amount": 101}},
            "evaluations": [
                {"action": {"name": "look"}, "context": {}},
                {},
                {"context": {"arguments": {"amount": 5}}},
                {"context": {"arguments": {}}},
                {"subject": {"type": "user", "id": "eve"}},
            ],
        }
    )
    assert [each["decision"] for each in answers] == [True, False, True, False, False]
    assert code(answers[4]) == "subject_mismatch"
    assert len(asking.leaves()) == 5


@pytest.mark.parametrize(
    ("semantic", "decisions"),
    [
        (None, [True, False, True]),
        ("execute_all", [True, False, True]),
        ("deny_on_first_deny", [True, False]),
        ("permit_on_first_permit", [True]),
    ],
)
def test_each_semantic_ends_where_it_must(semantic: str | None, decisions: list[bool]) -> None:
    asking = Asking()
    options = {} if semantic is None else {"options": {"evaluations_semantic": semantic, "another_option": 1}}
    items = [{"context": {"arguments": {"amount": amount}}} for amount in (1, 101, 2)]
    answers = asking.several({**LOOK, "action": {"name": "pay"}, "evaluations": items, **options})
    assert [each["decision"] for each in answers] == decisions
    assert len(asking.leaves()) == len(decisions)


def test_one_that_cannot_be_read_is_a_no_of_its_own() -> None:
    said = {"subject": USER, "action": {"name": "look"}, "evaluations": [{"resource": TOOL}, {}, 7, {"resource": "x"}]}
    answers = Asking().several(said)
    assert [each["decision"] for each in answers] == [True, False, False, False]
    assert {code(each) for each in answers[1:]} == {"evaluation_invalid"}
    assert {each["context"]["error"]["status"] for each in answers[1:]} == {400}
    ended = Asking().several({**said, "options": {"evaluations_semantic": "deny_on_first_deny"}})
    assert [each["decision"] for each in ended] == [True, False]


def test_none_or_an_empty_list_is_one_question() -> None:
    asking = Asking()
    for said in (LOOK, {**LOOK, "evaluations": []}):
        told = asking.ask(said, path=EVALUATIONS_PATH)
        assert (told.status, told.body) == (200, {"decision": True})


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"evaluations": [{}] * (EVALUATIONS_MAX + 1)}, "evaluations_too_many"),
        ({"evaluations": {}}, "evaluation_invalid"),
        ({"evaluations": [{}], "options": []}, "evaluation_invalid"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": "permit_all"}}, "evaluation_invalid"),
        ({"evaluations": [{}], "options": {"evaluations_semantic": ["execute_all"]}}, "evaluation_invalid"),
        ({"evaluations": [{}], "subject": "tom"}, "evaluation_invalid"),
    ],
)
def test_what_concerns_all_of_them_is_a_bad_request(more: Any, expected: str) -> None:
    asking = Asking()
    told = asking.ask({**LOOK, **more}, path=EVALUATIONS_PATH)
    assert (told.status, told.body["code"]) == (400, expected)
    assert [leaf["kind"] for leaf in asking.leaves()] == ["refused"]


# --- bytes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        *({key: value for key, value in LOOK.items() if key != gone} for gone in LOOK),
        {**LOOK, "subject": "tom"},
        {**LOOK, "subject": {"type": "user"}},
        {**LOOK, "subject": {"id": "tom"}},
        {**LOOK, "subject": {**USER, "properties": "x"}},
        {**LOOK, "action": {}},
        {**LOOK, "action": {"name": 7}},
        {**LOOK, "resource": {"type": "tool"}},
        {**LOOK, "resource": [TOOL]},
        {**LOOK, "context": "now"},
        {**LOOK, "context": None},
        {**LOOK, "context": {"arguments": [1]}},
        [LOOK],
        "look",
    ],
)
def test_what_is_missing_or_of_another_type_is_a_bad_request(said: Any) -> None:
    asking = Asking()
    told = asking.ask(said)
    assert (told.status, told.body["code"]) == (400, "evaluation_invalid")
    assert told.body["fix"]
    assert [leaf["surface"] for leaf in asking.leaves()] == ["authzen"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"subject":1,"subject":2}', b"\xff", b"[" * 100])
def test_what_is_no_strict_json_is_a_bad_request(body: bytes) -> None:
    assert Asking().send(EVALUATION_PATH, body).status == 400


def test_what_is_not_known_is_passed_over() -> None:
    more = {"later": 1, "subject": {**USER, "properties": {"x": None}, "y": 1}, "context": {"time": "now"}}
    assert Asking().asked({**LOOK, **more})["decision"] is True


def test_another_content_type_is_a_bad_request_and_a_large_body_is_not_read() -> None:
    asking = Asking()
    assert asking.ask(LOOK, ("content-type", "text/plain")).status == 400
    assert asking.ask({**LOOK, "context": {"x": "x" * (64 << 10)}}).status == 413
    assert asking.send(EVALUATION_PATH, method="GET").status == 405


def test_the_request_id_comes_back_with_every_answer() -> None:
    asking = Asking()
    for said in (LOOK, pay(101), {}, "x"):
        assert asking.ask(said, ("x-request-id", "bfe9 eb29~")).headers["x-request-id"] == "bfe9 eb29~"
    assert asking.send(EVALUATION_PATH, b"{}", ("x-request-id", "r1"), token="x").headers["x-request-id"] == "r1"
    assert "x-request-id" not in asking.ask(LOOK).headers
    for bad in ("x" * 257, "ä", "\x1b"):
        told = asking.ask(LOOK, ("x-request-id", bad))
        assert (told.status, told.body["code"]) == (400, "request_id_invalid")


def test_without_a_token_that_counts_there_is_no_answer_and_a_way_to_one() -> None:
    asking = Asking()
    for token, expected in (("", "token_missing"), ("nonsense", "token_invalid")):
        lines = [("authorization", f"Bearer {token}" if token else "")]
        told = asking.send(EVALUATION_PATH, json.dumps(LOOK).encode(), *lines)
        assert (told.status, told.body["code"]) == (401, expected)
        assert "resource_metadata=" in told.headers["www-authenticate"]
    assert asking.leaves() == []
    asking.desk.clock.advance(timedelta(hours=2))
    for _ in range(3):
        told = asking.ask(LOOK)
        assert (told.status, told.body["code"]) == (401, "token_expired")
    assert [leaf["code"] for leaf in asking.leaves()] == ["token_expired"]


def test_a_bound_token_counts_with_a_proof_for_this_very_address() -> None:
    asking = Asking()
    told = asking.send(EVALUATION_PATH, json.dumps(LOOK).encode(), token=asking.bound)
    assert (told.status, told.body["code"]) == (401, "dpop_required")
    for path, expected in ((EVALUATION_PATH, 200), ("/mcp", 401), (EVALUATIONS_PATH, 401)):
        claims = {
            "jti": path,
            "htm": "POST",
            "htu": f"{URL}{path}",
            "iat": int(NOON.timestamp()),
            "ath": digest(asking.bound),
        }
        lines = [("authorization", f"DPoP {asking.bound}"), ("dpop", signed(ED25519, "Ed25519", claims))]
        assert asking.ask(LOOK, *lines).status == expected, path
    assert [leaf["level"] for leaf in asking.leaves() if leaf["kind"] == "evaluated"] == ["B"]


def test_the_metadata_says_where_to_ask() -> None:
    told = Asking().send(METADATA_PATH, method="GET")
    assert told.status == 200
    assert told.headers["content-type"] == "application/json"
    assert told.body == {
        "policy_decision_point": URL,
        "access_evaluation_endpoint": f"{URL}/access/v1/evaluation",
        "access_evaluations_endpoint": f"{URL}/access/v1/evaluations",
    }


def test_a_question_does_not_reach_what_the_store_keeps_for_calls() -> None:
    asking = Asking(Desk(store=MemoryStore()))
    for _ in range(5):
        asking.asked(LOOK)
    assert {entry.kind for entry in asking.desk.store.log} == {"evaluated"}
    assert asking.desk.store.versions == {}
