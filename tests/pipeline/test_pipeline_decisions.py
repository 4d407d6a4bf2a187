"""The decision point: nothing that is added to it widens it, and what is missing denies."""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import Allow, Decision, Deny, Hold, JsonObject, Reason, Requirement, ToolCall, Trace, strictest
from remit.pipeline import Facts, decide, facts_for
from remit.pipeline._digest import digest_of
from remit.testing import NOON, POLICY, desk_call, desk_delegation, desk_snapshot, desk_task

STRICTNESS = {Allow: 0, Hold: 1, Deny: 2}
NEED = Requirement("approval", ("ops",), 1, 60)
KINDS: list[Decision] = [Allow(), Hold(Reason("held", "held"), (NEED,)), Deny(Reason("denied", "denied"))]
MICROSECOND = timedelta(microseconds=1)
Combine = Callable[[Iterable[Decision]], Decision]


def facts(policy: str = POLICY, operation: str = "pay") -> Facts:
    return facts_for(desk_call(operation), desk_snapshot(policy), desk_task(), NOON, tenant="desk")


def asked(policy: str, operation: str, arguments: JsonObject) -> Decision:
    return decide(desk_call(operation, arguments), facts(policy, operation)).decision


# --- combining -------------------------------------------------------------------------------------------------------


def widenings(combine: Combine) -> list[tuple[Decision, ...]]:
    """Return every list of up to three decisions that one more decision, put anywhere, makes less strict."""
    return [
        (*seen[:at], more, *seen[at:])
        for length in (1, 2, 3)
        for seen in itertools.product(KINDS, repeat=length)
        for more in KINDS
        for at in range(length + 1)
        if STRICTNESS[type(combine((*seen[:at], more, *seen[at:])))] < STRICTNESS[type(combine(seen))]
    ]


@pytest.mark.requirement("R3.7", "R3.8")
def test_one_more_gate_never_widens() -> None:
    assert widenings(strictest) == []


@pytest.mark.parametrize(
    "wrong",
    [
        lambda decisions: list(decisions)[-1],
        lambda decisions: next(iter(decisions)),
        lambda decisions: min(decisions, key=lambda decision: STRICTNESS[type(decision)]),
    ],
    ids=["the last wins", "the first wins", "the mildest wins"],
)
def test_control_a_wrong_combination_is_seen_to_widen(wrong: Combine) -> None:
    assert widenings(wrong)


@pytest.mark.requirement("R3.8")
def test_silence_is_a_denial() -> None:
    assert isinstance(strictest([]), Deny)


@given(st.lists(st.integers(0, 5), max_size=6))
def test_a_hold_carries_every_requirement_at_once(quorums: list[int]) -> None:
    holds = [Hold(Reason(f"r{quorum}", ""), (replace(NEED, quorum=quorum),)) for quorum in quorums]
    match strictest([Allow(), *holds]):
        case Hold(reason, requirements):
            assert [need.quorum for need in requirements] == quorums
            assert reason == holds[0].reason
        case other:
            assert (other, quorums) == (Allow(), [])


# --- policies --------------------------------------------------------------------------------------------------------

CONDITIONS = [
    "",
    " when { context.arguments has note }",
    ' when { context.arguments has note && context.arguments.note like "a*" }',
    ' when { principal == User::"tom" }',
    " when { context.arguments has amount && context.arguments.amount < 10 }",
    " when { context.arguments has amount && context.arguments.amount + 9223372036854775807 > 0 }",  # errs from 1
]
ANNOTATIONS = ["", '@hold("approval") @approvers("finance") ']
calls = st.tuples(
    st.sampled_from(["look", "pay", "wipe", "spare", "unheard_of"]),
    st.fixed_dictionaries(
        {},
        optional={"amount": st.sampled_from([0, 9, 10, 49, 50, 100, 101]), "note": st.sampled_from(["a", "ab", "b"])},
    ),
)


@pytest.mark.requirement("R3.7", "R3.8")
@given(
    call=calls,
    annotation=st.sampled_from(ANNOTATIONS),
    scope=st.sampled_from(["action", 'action == Action::"pay"']),
    condition=st.sampled_from(CONDITIONS),
)
def test_one_more_forbid_or_hold_never_widens(
    call: tuple[str, JsonObject], annotation: str, scope: str, condition: str
) -> None:
    more = f'{POLICY}\n@id("more") {annotation}forbid (principal, {scope}, resource){condition};'
    assert STRICTNESS[type(asked(more, *call))] >= STRICTNESS[type(asked(POLICY, *call))]


def test_control_one_more_permit_is_seen_to_widen() -> None:
    more = f'{POLICY}\n@id("more") permit (principal, action == Action::"pay", resource);'
    assert isinstance(asked(POLICY, "pay", {"amount": 101}), Deny)
    assert not isinstance(asked(more, "pay", {"amount": 101}), Deny)


@pytest.mark.requirement("R3.7")
@given(calls)
def test_the_same_call_on_the_same_facts_has_the_same_ruling(call: tuple[str, JsonObject]) -> None:
    one, same = (decide(desk_call(*call), facts(POLICY, call[0])) for _ in range(2))
    assert one == same


# --- what is missing -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.8", "R4.1")
@pytest.mark.parametrize(
    ("missing", "code"),
    [
        ("task", "task_unknown"),
        ("charter", "no_charter"),
        ("descriptor", "operation_not_listed"),
        ("review", "descriptor_unsigned"),
        ("pin", "manifest_missing"),
        ("check", "arguments_invalid"),
        ("flow", "provenance_unknown"),
        ("shard", "policy_missing"),
        ("caps", "limits_missing"),
    ],
)
def test_without_any_one_fact_the_call_is_denied(missing: str, code: str) -> None:
    call = desk_call("pay", {"amount": 1})
    assert isinstance(decide(call, facts()).decision, Allow), "the control: with all of them it is allowed"
    absent: dict[str, Any] = {missing: None}
    match decide(call, replace(facts(), **absent)).decision:
        case Deny(reason):
            assert reason.code == code
        case other:
            raise AssertionError(other)


@pytest.mark.requirement("R4.1", "R4.4")
@pytest.mark.parametrize(
    ("operation", "code", "last_gate"),
    [
        ("unheard_of", "outside_use_case", "charter.within_use_case"),
        ("spare", "outside_use_case", "charter.within_use_case"),
        ("wipe", "policy_forbids", "permissions.policy_permits"),
    ],
)
def test_what_is_not_granted_is_denied_and_the_trail_ends_there(operation: str, code: str, last_gate: str) -> None:
    ruling = decide(desk_call(operation), facts(POLICY, operation))
    assert isinstance(ruling.decision, Deny)
    assert ruling.decision.reason.code == code
    assert ruling.trail[-1].gate == last_gate
    assert all(isinstance(answer.decision, Allow) for answer in ruling.trail[:-1])


@pytest.mark.requirement("R2.9")
def test_a_token_and_a_task_end_to_the_microsecond() -> None:
    end = NOON + timedelta(minutes=1)
    token_ends = desk_call("look", delegation=desk_delegation(expires_at=end))
    for moment, code in ((end - MICROSECOND, ""), (end, "token_expired"), (end + MICROSECOND, "token_expired")):
        assert _code(decide(token_ends, replace(facts(operation="look"), now=moment)).decision) == code
    task = desk_task(expires_at=end)
    for moment, code in ((end - MICROSECOND, ""), (end, "task_expired"), (end + MICROSECOND, "task_expired")):
        assert (
            _code(decide(desk_call("look"), replace(facts(operation="look"), now=moment, task=task)).decision) == code
        )


@pytest.mark.requirement("R2.9")
def test_a_token_that_names_other_parties_than_its_task_is_denied() -> None:
    stranger = desk_call("look", delegation=desk_delegation(user="eve"))
    assert _code(decide(stranger, facts(operation="look")).decision) == "delegation_mismatch"


# --- what an approval is bound to ------------------------------------------------------------------------------------


PARTIES = ("user", "agent", "task", "use_case")
BOUND = (*PARTIES, "operation", "arguments", "descriptor", "endpoint", "bundle", "tenant")


def changed(what: str) -> tuple[ToolCall, Facts]:
    """Return a call and its facts with one thing changed; with nothing, the ones that the others are compared to."""
    call, found = desk_call("pay", {"amount": 1}), facts()
    other: dict[str, Any] = {what: "another"}
    pay = found.descriptor
    assert pay is not None
    if what in PARTIES:
        call = replace(call, delegation=replace(call.delegation, **other))
    elif what == "operation":
        call = replace(call, operation="wipe")
    elif what == "arguments":
        call = desk_call("pay", {"amount": 1, "note": ""})
    elif what == "descriptor":
        found = replace(found, descriptor=replace(pay, digest="sha256:0"))
    elif what == "endpoint":
        found = replace(found, descriptor=replace(pay, endpoint={"url": "http://127.0.0.1:10/mcp"}))
    elif what:
        found = replace(found, **other)
    return call, found


@pytest.mark.requirement("R3.5", "R3.6")
def test_whatever_changes_in_a_call_or_under_it_an_approval_is_for_another_one() -> None:
    digests = [digest_of(*changed(what)) for what in ("", *BOUND)]
    assert len(set(digests)) == len(BOUND) + 1
    again = replace(desk_call("pay", {"amount": 1}), id="c_2", rationale="because", trace=Trace("c" * 32, "d" * 16))
    assert digest_of(again, facts()) == digests[0], "but the same call presented again is the same call"


def _code(decision: Decision) -> str:
    match decision:
        case Allow():
            return ""
        case Hold(reason) | Deny(reason):
            return reason.code
