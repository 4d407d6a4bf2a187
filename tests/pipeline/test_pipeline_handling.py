"""The enforcement point: nothing leaves without an allow and a durable intent, and every way out leaves its record."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.catalogue import Descriptor, Tool
from remit.core import Add, Allow, Decision, Delegation, JsonObject, Obligation, Revocation, Ruling, ToolCall
from remit.permissions import Approval, Question
from remit.pipeline import (
    DECISIONS_MAX,
    NOTHING,
    RELEASE,
    Answer,
    Committed,
    Conflict,
    Credential,
    Deployed,
    Done,
    Facts,
    Failed,
    Full,
    Gateway,
    Live,
    Refused,
    Sent,
    UpstreamAnswer,
    UpstreamFailure,
    Versions,
    agent_control,
)
from remit.records import Draft, Entry, event
from remit.testing import (
    DONE,
    NOON,
    POLICY,
    Desk,
    FailingStore,
    Hang,
    MemoryStore,
    desk_call,
    desk_delegation,
    desk_snapshot,
    desk_sources,
)

TOOL_ERROR = UpstreamAnswer(result=b'{"content":[],"isError":true}', is_error=True)
NOT_SENT = UpstreamFailure(code="upstream_unreachable", sent=Sent.NOT_SENT, detail="refused")
UNKNOWN = UpstreamFailure(code="upstream_timeout", sent=Sent.UNKNOWN, detail="10 s")
MALFORMED = UpstreamFailure(code="upstream_malformed", sent=Sent.ANSWERED, detail="not JSON")
FORBID = POLICY + '@id("stop") forbid (principal, action, resource);'
DECIDED = ("intent", "denied", "held")
ALLOWED = ("look", "pay")


def leaf(entry: Entry) -> Any:
    return json.loads(entry.leaf)


def kinds(desk: Desk) -> list[str]:
    return [entry.kind for entry in desk.store.log if entry.call]


def handle(desk: Desk, operation: str, arguments: JsonObject | None = None) -> Answer:
    return asyncio.run(desk.gateway.handle(desk_call(operation, arguments)))


# --- endings ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R5.1", "R7.6")
@pytest.mark.parametrize(
    ("line", "status", "code", "effect_possible"),
    [
        (DONE, "done", None, None),
        (TOOL_ERROR, "tool_error", None, None),
        (NOT_SENT, "failed", "upstream_unreachable", False),
        (UNKNOWN, "unknown", "upstream_timeout", True),
        (MALFORMED, "unknown", "upstream_malformed", True),
    ],
    ids=["done", "tool error", "not sent", "unknown", "answered, malformed"],
)
def test_every_ending_leaves_one_intent_and_one_outcome(
    line: UpstreamAnswer | UpstreamFailure, status: str, code: str | None, *, effect_possible: bool | None
) -> None:
    desk = Desk()
    desk.upstream.script("look", line)
    match handle(desk, "look"):
        case Done(call, result):
            assert isinstance(line, UpstreamAnswer)
            assert (call, result) == ("c_1", line.result)
        case Failed(reason=reason, effect_possible=possible):
            assert (reason.code, possible) == (code, effect_possible)
        case Refused() as refused:
            raise AssertionError(refused)
    assert kinds(desk) == ["intent", "outcome"]
    said = leaf(desk.store.log[1])
    assert (said["status"], said.get("code")) == (status, code)
    assert desk.store.open_calls == {}
    assert len(desk.upstream.received) == (0 if line is NOT_SENT else 1)


@pytest.mark.requirement("R5.1", "R7.6")
@pytest.mark.parametrize("cancellations", [1, 2])
def test_a_call_cut_off_while_the_tool_works_is_recorded_as_unknown(cancellations: int) -> None:
    async def scenario() -> Desk:
        desk, hang = Desk(), Hang()
        desk.upstream.script("look", hang)
        call = asyncio.ensure_future(desk.gateway.handle(desk_call("look")))
        await hang.arrived.wait()
        assert (kinds(desk), list(desk.store.open_calls)) == (["intent"], ["c_1"])
        for _ in range(cancellations):
            call.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await call
        return desk

    desk = asyncio.run(scenario())
    assert kinds(desk) == ["intent", "outcome"]
    assert (leaf(desk.store.log[1])["status"], leaf(desk.store.log[1])["code"]) == ("unknown", "cut_off")
    assert desk.store.open_calls == {}


def test_a_hanging_tool_that_is_released_is_done() -> None:
    async def scenario() -> None:
        desk, hang = Desk(), Hang(then=TOOL_ERROR)
        desk.upstream.script("look", hang)
        call = asyncio.ensure_future(desk.gateway.handle(desk_call("look")))
        await hang.arrived.wait()
        desk.clock.advance(timedelta(seconds=2))
        hang.release.set()
        assert await call == Done("c_1", TOOL_ERROR.result)
        assert leaf(desk.store.log[1])["elapsed_us"] == 2_000_000

    asyncio.run(scenario())


@pytest.mark.requirement("R5.1", "R7.6")
def test_an_upstream_that_raises_leaves_an_unknown_and_the_fault_is_not_hidden() -> None:
    desk = Desk()
    desk.upstream.script("look", RuntimeError("a fault of the adapter's"))
    with pytest.raises(RuntimeError, match="of the adapter's"):
        handle(desk, "look")
    assert kinds(desk) == ["intent", "outcome"]
    assert leaf(desk.store.log[1])["status"] == "unknown"


class BeginsWithoutCare(Gateway):
    """The control: a gateway that forgets an intent when it is cut off while waiting for it."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        del call, ruling
        return await self.ledger.begin(intent, facts.versions)


async def cut_off_at_begin(kind: type[Gateway], *, conflict: bool = False) -> Desk:
    desk = Desk(kind=kind)
    if conflict:
        desk.store.versions[RELEASE] = 7
    call = asyncio.ensure_future(desk.gateway.handle(desk_call("look")))
    await asyncio.sleep(0)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert desk.upstream.received == []
    return desk


@pytest.mark.requirement("R5.1")
def test_a_call_cut_off_while_its_intent_is_written_leaves_no_open_intent() -> None:
    desk = asyncio.run(cut_off_at_begin(Gateway))
    assert kinds(desk) == ["intent", "outcome"]
    assert (leaf(desk.store.log[1])["status"], leaf(desk.store.log[1])["code"]) == ("failed", "not_forwarded")
    assert desk.store.open_calls == {}
    assert asyncio.run(cut_off_at_begin(Gateway, conflict=True)).store.log == [], "no intent stood: no outcome either"


def test_control_a_careless_gateway_is_seen_to_leave_one() -> None:
    assert list(asyncio.run(cut_off_at_begin(BeginsWithoutCare)).store.open_calls) == ["c_1"]


# --- nothing leaves early --------------------------------------------------------------------------------------------


class ForwardsFirst(Gateway):
    """A control: acts, then asks."""

    async def handle(self, call: ToolCall) -> Answer:
        facts = self.facts.gather(call)
        if facts.tool is not None and facts.descriptor is not None:
            await self.upstream.invoke(facts.tool, facts.descriptor, call, Credential("authorization", ""))
        return await super().handle(call)


class ForwardsAnything(Gateway):
    """A control: asks, and does not listen."""

    def _way_out(self, facts: Facts | None, ruling: Ruling) -> tuple[Tool, Descriptor] | None:
        return super()._way_out(facts, replace(ruling, decision=Allow()))


class WritesAfterwards(Gateway):
    """A control: records its intent once the tool has answered."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        del call, facts, ruling, intent
        return Committed(0)

    async def _settle(  # noqa: PLR0913, PLR0917 - as the gateway's own
        self,
        call: ToolCall,
        facts: Facts,
        ruling: Ruling,
        answer: UpstreamAnswer | UpstreamFailure,
        elapsed_us: int,
        shown: Credential | None = None,
    ) -> None:
        facts, ruling = self._known(call)
        await super()._begin(call, facts, ruling, self._entry("intent", call, facts, ruling))
        await super()._settle(call, facts, ruling, answer, elapsed_us, shown)

    def _known(self, call: ToolCall) -> tuple[Facts, Ruling]:
        facts, ruling = self._rule(call)
        assert facts is not None
        return facts, ruling


def early_departures(kind: type[Gateway]) -> list[str]:
    """Return each call that arrived at the tool before an intent that says `allow` was durable and open."""
    early: list[str] = []
    for operation in ("look", "pay", "wipe", "spare", "unheard_of"):
        desk = Desk(kind=kind)

        def arrives(call: ToolCall, desk: Desk = desk) -> None:
            intents = [leaf(entry) for entry in desk.store.log if (entry.kind, entry.call) == ("intent", call.id)]
            if [intent["decision"] for intent in intents] != [["allow"]] or call.id not in desk.store.open_calls:
                early.append(call.operation)

        desk.upstream._on_arrival = arrives
        handle(desk, operation, {"amount": 75} if operation == "pay" else {})
    return early


@pytest.mark.requirement("R5.1", "R3.8", "R4.1")
def test_nothing_arrives_before_a_durable_intent_that_says_allow() -> None:
    assert early_departures(Gateway) == []


@pytest.mark.parametrize(
    ("kind", "early"),
    [
        (ForwardsFirst, ["look", "pay", "wipe", "spare"]),
        (ForwardsAnything, ["pay", "wipe", "spare"]),
        (WritesAfterwards, ["look"]),
    ],
)
def test_control_gateways_that_act_too_early_are_seen(kind: type[Gateway], early: list[str]) -> None:
    assert early_departures(kind) == early


@pytest.mark.requirement("R5.1")
def test_exactly_the_canonical_bytes_that_were_decided_on_are_forwarded_and_recorded() -> None:
    desk = Desk()
    call = desk_call("pay", {"note": "ü", "amount": 3})
    asyncio.run(desk.gateway.handle(call))
    [received] = desk.upstream.received
    assert received.body == call.canonical == '{"amount":3,"note":"ü"}'.encode()
    assert (received.tool, received.upstream_name) == ("http://127.0.0.1:9/mcp", "pay")
    assert [payload.body for payload in desk.store.log[0].payloads] == [call.canonical]


@pytest.mark.requirement("R2.9")
@pytest.mark.parametrize(("operation", "tool"), [("look", "desk"), ("wipe", "desk"), ("unheard_of", "")])
def test_every_decision_record_names_user_agent_task_tool_and_trace(operation: str, tool: str) -> None:
    desk = Desk()
    handle(desk, operation)
    said = leaf(desk.store.log[0])
    names = ("user", "agent", "task", "use_case", "operation", "tool", "trace", "bundle")
    assert [said[name] for name in names] == [
        *("tom", "clerk", "t_desk", "serve", operation, tool, "a" * 32, desk.live.snapshot.digest)
    ]


# --- cut off between the intent and the dispatch ---------------------------------------------------------------------


class HearsAtOnce(MemoryStore):
    """A store during whose commit of an intent somebody cuts the agent off, and everybody hears of it."""

    live: Live

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        begun = await super().begin(intent, read, obligations)
        self.live.set_control(agent_control("clerk"), 1, "it misbehaves")
        return begun


class LooksNoMore(Gateway):
    """A control: once the intent stands, it sends."""

    async def _forward(
        self, call: ToolCall, tool: Tool, descriptor: Descriptor, shown: Credential
    ) -> UpstreamAnswer | UpstreamFailure:
        return await self.upstream.invoke(tool, descriptor, call, shown)


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(("kind", "sent"), [(Gateway, 0), (LooksNoMore, 1)], ids=["gateway", "control"])
def test_what_was_cut_off_while_its_intent_was_written_is_not_sent(kind: type[Gateway], sent: int) -> None:
    store = HearsAtOnce()
    desk = Desk(store=store, kind=kind)
    store.live = desk.live
    asyncio.run(desk.gateway.handle(desk_call("look")))
    assert len(desk.upstream.received) == sent
    said = leaf(desk.store.log[1])
    assert (said["status"], said.get("code")) == (("done", None) if sent else ("failed", "revoked"))


# --- a fault while deciding ------------------------------------------------------------------------------------------


class BrokenFacts:
    async def recall(self, call: ToolCall) -> None:
        """Nothing was lost."""

    def edit_of(self, call: ToolCall) -> Approval | None:
        """Nobody edited it."""

    def count(self, adds: Sequence[Add], sign: int = 1) -> None:
        """Nothing is counted."""

    def uncertain(self, keys: Iterable[str]) -> None:
        """Nothing is counted."""

    def mark(self, hashes: Sequence[bytes]) -> None:
        """Nothing is marked."""

    def changed(self) -> None:
        """Nothing was looked up."""

    def revocation(self, delegation: Delegation) -> Revocation | None:
        """Nobody was cut off."""

    def put(self, approval: Approval) -> None:
        """Nothing is kept."""

    def drop(self, approval: str) -> None:
        """Nothing is kept."""

    def remember(self, call: ToolCall, facts: Facts, result: bytes) -> None:
        """Nothing is kept."""

    def gather(self, call: ToolCall, looked: Mapping[str, bytes | str] = NOTHING) -> Facts:
        del looked
        raise LookupError(call.id)


class BrokenShard:
    def decide(self, question: Question) -> Decision:
        raise ZeroDivisionError(question.operation)


def with_broken_gate(*, observe: bool = False) -> Desk:
    desk = Desk(observe=observe)
    snapshot = desk.live.snapshot
    desk.live.swap(replace(snapshot, shards={("clerk", "look"): BrokenShard()}), 0)
    return desk


@pytest.mark.requirement("R3.8", "R7.6")
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (lambda: Desk(facts=BrokenFacts()), LookupError),
        (lambda: Desk(facts=BrokenFacts(), observe=True), LookupError),
        (with_broken_gate, ZeroDivisionError),
        (lambda: with_broken_gate(observe=True), ZeroDivisionError),
    ],
    ids=["fact source", "fact source, observing", "gate", "gate, observing"],
)
def test_a_fault_while_deciding_is_a_recorded_denial_and_the_operator_hears_of_it(
    make: Callable[[], Desk], fault: type[Exception]
) -> None:
    desk = make()
    answer = handle(desk, "look")
    assert isinstance(answer, Refused)
    assert (answer.reason.code, answer.held) == ("cannot_decide", False)
    assert [type(error) for error in desk.faults] == [fault]
    assert kinds(desk) == ["denied"]
    assert leaf(desk.store.log[0])["decision"][:2] == ["deny", "cannot_decide"]
    assert desk.upstream.received == []


# --- a dead store ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R5.1", "R7.6")
@pytest.mark.parametrize("kept", [False, True], ids=["not persisted", "persisted but reported failed"])
@pytest.mark.parametrize("at", [range(1, 2), range(1, 99), range(2, 3), range(2, 99)], ids=str)
def test_a_write_that_is_not_confirmed_stops_the_call(at: range, *, kept: bool) -> None:
    store = MemoryStore()
    desk = Desk(store=store, ledger=FailingStore(store, at=at, kept=kept))
    answer = handle(desk, "look")
    intent_failed = at.start == 1
    assert isinstance(answer, Failed)
    assert (answer.reason.code, answer.effect_possible) == ("store_unavailable", not intent_failed)
    assert len(desk.upstream.received) == (0 if intent_failed else 1), "nothing leaves without a confirmed intent"
    if not intent_failed:
        assert kinds(desk) == (["intent", "outcome"] if kept else ["intent"])
        assert list(store.open_calls) == ([] if kept else ["c_1"])
    else:
        assert kinds(desk) == (["intent", "outcome"] if kept else [])
        assert not store.open_calls, "an intent that stands unconfirmed gets its outcome: nothing was sent"
        assert [leaf(entry)["status"] for entry in store.log if entry.kind == "outcome"] == ["failed"] * kept


@pytest.mark.requirement("R5.1", "R7.6")
@pytest.mark.parametrize("operation", ["wipe", "unheard_of"])
@pytest.mark.parametrize("kept", [False, True])
def test_a_denial_that_cannot_be_recorded_is_still_no_call(operation: str, *, kept: bool) -> None:
    store = MemoryStore()
    desk = Desk(store=store, ledger=FailingStore(store, at=range(1, 99), kept=kept))
    answer = handle(desk, operation)
    assert isinstance(answer, Failed)
    assert not answer.effect_possible
    assert kinds(desk) == ["denied"] * kept
    assert desk.upstream.received == []


# --- what changes under a call ---------------------------------------------------------------------------------------


class Restless(MemoryStore):
    """A store in which somebody deploys just before each of the first `deployments` intents is written."""

    def __init__(self, deployments: int, policy: str) -> None:
        super().__init__()
        self.deployments = deployments
        self.policy = policy
        self.desk: Desk | None = None
        self.begun = 0

    async def begin(
        self, intent: Draft, read: Versions, obligations: Sequence[Obligation] = ()
    ) -> Committed | Conflict | Full:
        self.begun += 1
        if self.begun <= self.deployments and self.desk is not None:
            snapshot = desk_snapshot(self.policy)
            said = event(RELEASE, at=NOON, by="ana", said={})
            release = Deployed(number=0, bundle=snapshot.digest, at=NOON, by="ana", how="deploy")
            version = await self.deploy(release, desk_sources(self.policy), said)
            self.desk.live.swap(snapshot, version)
        return await super().begin(intent, read, obligations)


def restless(deployments: int, policy: str, kind: type[Gateway] = Gateway) -> tuple[Desk, Restless]:
    store = Restless(deployments, policy)
    store.desk = Desk(store=store, kind=kind)
    return store.desk, store


@pytest.mark.requirement("R3.7")
@pytest.mark.parametrize("deployments", range(DECISIONS_MAX + 2))
def test_a_change_under_a_call_decides_it_again_and_at_most_so_often(deployments: int) -> None:
    desk, store = restless(deployments, POLICY)
    answer = handle(desk, "look")
    assert store.begun == min(deployments + 1, DECISIONS_MAX)
    if deployments < DECISIONS_MAX:
        assert isinstance(answer, Done)
        assert kinds(desk) == ["intent", "outcome"]
    else:
        assert isinstance(answer, Refused)
        assert answer.reason.code == "conflict"
        assert kinds(desk) == ["denied"]
        assert desk.upstream.received == []


class ReadsNothing(Gateway):
    """The control: a gateway that does not have what it read compared."""

    async def _begin(self, call: ToolCall, facts: Facts, ruling: Ruling, intent: Draft) -> Committed | Conflict | Full:
        return await super()._begin(call, replace(facts, versions=()), ruling, intent)


@pytest.mark.requirement("R3.8")
def test_a_policy_that_forbids_in_the_last_moment_still_forbids() -> None:
    desk, _ = restless(1, FORBID)
    answer = handle(desk, "look")
    assert isinstance(answer, Refused)
    assert answer.reason.code == "policy_forbids"
    assert desk.upstream.received == []
    [denied] = [leaf(entry) for entry in desk.store.log if entry.kind == "denied"]
    assert denied["bundle"] == desk_snapshot(FORBID).digest, "recorded under what it was decided on"


def test_control_without_the_comparison_the_old_policy_would_be_obeyed() -> None:
    desk, _ = restless(1, FORBID, ReadsNothing)
    assert isinstance(handle(desk, "look"), Done)
    assert len(desk.upstream.received) == 1


# --- time, and observing ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.9")
@pytest.mark.parametrize(("left", "sent"), [(1, 1), (0, 0), (-1, 0)])
def test_a_call_at_the_end_of_its_token_is_made_or_denied_to_the_microsecond(left: int, sent: int) -> None:
    desk = Desk()
    delegation = desk_delegation(expires_at=NOON + timedelta(seconds=5, microseconds=left))
    desk.clock.advance(timedelta(seconds=5))
    answer = asyncio.run(desk.gateway.handle(desk_call("look", delegation=delegation)))
    assert len(desk.upstream.received) == sent
    assert isinstance(answer, Done if sent else Refused)


OBSERVED: list[tuple[str, JsonObject, str]] = [
    ("look", {}, "allow"),
    ("pay", {"amount": 75}, "hold"),
    ("pay", {"amount": 101}, "deny"),
    ("pay", {}, "deny"),
    ("wipe", {}, "deny"),
    ("spare", {}, "deny"),
]


@pytest.mark.requirement("R5.1", "R4.1")
@pytest.mark.parametrize(("operation", "arguments", "truly"), OBSERVED)
def test_observing_forwards_what_can_be_forwarded_and_records_what_it_would_have_decided(
    operation: str, arguments: JsonObject, truly: str
) -> None:
    desk, enforcing = Desk(observe=True), Desk()
    assert isinstance(handle(desk, operation, arguments), Done)
    assert [received.upstream_name for received in desk.upstream.received] == [operation]
    assert kinds(desk) == ["intent", "outcome"]
    handle(enforcing, operation, arguments)
    observed, enforced = leaf(desk.store.log[0]), leaf(enforcing.store.log[0])
    assert (observed["mode"], enforced["mode"]) == ("observe", "enforce")
    assert observed["decision"][0] == truly
    assert [observed[name] for name in ("decision", "trail")] == [enforced[name] for name in ("decision", "trail")]
    assert len(enforcing.upstream.received) == (truly == "allow")


@pytest.mark.requirement("R4.1")
def test_observing_refuses_what_is_in_no_catalogue_and_what_cannot_be_recorded() -> None:
    desk = Desk(observe=True)
    assert isinstance(handle(desk, "unheard_of"), Refused)
    assert (kinds(desk), leaf(desk.store.log[0])["mode"]) == (["denied"], "observe")
    store = MemoryStore()
    dead = Desk(store=store, ledger=FailingStore(store, at=range(1, 9), kept=False), observe=True)
    assert isinstance(handle(dead, "look"), Failed)
    assert desk.upstream.received == dead.upstream.received == []


# --- whatever happens ------------------------------------------------------------------------------------------------

lines = st.sampled_from([DONE, TOOL_ERROR, NOT_SENT, UNKNOWN, MALFORMED, ValueError("a fault of the adapter's")])
steps = st.lists(
    st.tuples(
        st.sampled_from(["look", "pay", "wipe", "spare", "unheard_of"]),
        st.sampled_from([None, 1, 75, 101]),
        lines,
        st.sampled_from([None, 0, 1, 2, 3]),  # loop steps after which the caller hangs up
    ),
    min_size=1,
    max_size=8,
)


@pytest.mark.requirement("R5.1", "R3.8")
@given(steps=steps, fails=st.sets(st.integers(1, 12), max_size=4), kept=st.booleans(), policies=st.booleans())
def test_whatever_happens_every_call_has_one_record_and_every_intent_one_outcome(
    steps: list[tuple[str, int | None, UpstreamAnswer | UpstreamFailure | Exception, int | None]],
    fails: set[int],
    *,
    kept: bool,
    policies: bool,
) -> None:
    async def scenario() -> None:
        store = Restless(4 if policies else 0, FORBID)
        ledger = FailingStore(store, at=fails, kept=kept)
        desk = store.desk = Desk(store=store, ledger=ledger)
        answers: dict[str, Answer | BaseException] = {}

        async def one(number: int) -> None:
            operation, amount, line, hangs_up = steps[number]
            desk.upstream.script(operation, line)
            arguments: JsonObject = {} if amount is None else {"amount": amount}
            call = asyncio.ensure_future(desk.gateway.handle(desk_call(operation, arguments, call=f"c_{number}")))
            for _ in range(hangs_up or 0):
                await asyncio.sleep(0)
            if hangs_up is not None:
                call.cancel()
            [answers[f"c_{number}"]] = await asyncio.gather(call, return_exceptions=True)

        await asyncio.gather(*(one(number) for number in range(len(steps))))
        _check(desk, answers, confirmed=not fails)

    asyncio.run(scenario())


def _check(desk: Desk, answers: dict[str, Answer | BaseException], *, confirmed: bool) -> None:
    decided = Counter(entry.call for entry in desk.store.log if entry.kind in DECIDED)
    intents = {entry.call: leaf(entry) for entry in desk.store.log if entry.kind == "intent"}
    outcomes = {entry.call: leaf(entry) for entry in desk.store.log if entry.kind == "outcome"}
    assert max(decided.values(), default=0) <= 1
    assert sum(entry.kind == "outcome" for entry in desk.store.log) == len(outcomes)
    assert outcomes.keys() | desk.store.open_calls.keys() == intents.keys(), "each has its outcome or is known open"
    assert not outcomes.keys() & desk.store.open_calls.keys()
    if confirmed:
        assert not desk.store.open_calls
    assert all(intent["decision"] == ["allow"] and intent["operation"] in ALLOWED for intent in intents.values())
    arrived = [received.call for received in desk.upstream.received]
    assert len(arrived) == len(set(arrived)), "at most once"
    assert set(arrived) <= intents.keys()
    for call, answer in answers.items():
        match answer:
            case Done():
                assert outcomes[call]["status"] in ("done", "tool_error")
            case Refused():
                assert decided[call] == 1
                assert call not in arrived
            case Failed(effect_possible=False):
                assert call not in arrived
            case Failed(reason=reason):
                assert call in arrived or reason.code == "store_unavailable", "without a record one says the worse"
            case _:
                assert isinstance(answer, asyncio.CancelledError | ValueError), answer
