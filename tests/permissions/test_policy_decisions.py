"""Rules, holds and errors: what a shard answers."""

import cedarpy
import pytest

from remit.core import Allow, Decision, Deny, Hold, Json, Requirement
from remit.permissions import OperationShape, Question, Shard, compile_policies

REFUND = OperationShape(
    operation="refund_order",
    tool="orders",
    input_schema={
        "type": "object",
        "properties": {"order_id": {"type": "string"}, "amount_minor": {"type": "integer"}},
        "required": ["order_id", "amount_minor"],
    },
)
GET = OperationShape(
    operation="get_order",
    tool="orders",
    input_schema={"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
)

LIMIT = """
@id("small-refunds")
permit(principal, action == Action::"refund_order", resource)
when { context.arguments.amount_minor > 0 && context.arguments.amount_minor <= 10000 };
"""
HOLD = """
permit(principal, action == Action::"refund_order", resource) when { context.arguments.amount_minor > 0 };
@id("never") @description("never above 1000.00")
forbid(principal, action == Action::"refund_order", resource) when { context.arguments.amount_minor > 100000 };
@id("large") @hold("approval") @approvers("finance") @within("4h")
forbid(principal, action == Action::"refund_order", resource) when { context.arguments.amount_minor > 10000 };
@id("huge") @hold("approval") @approvers("finance,operations") @quorum("2")
forbid(principal, action == Action::"refund_order", resource) when { context.arguments.amount_minor > 50000 };
"""


def shard(text: str, operation: str = "refund_order") -> Shard:
    shards, problems = compile_policies("refunds", {"p.cedar": text}, [REFUND, GET])
    assert problems == ()
    return shards[operation]


def question(
    operation: str = "refund_order", user: str = "ana", agent: str = "refunds", tool: str = "orders", **arguments: Json
) -> Question:
    return Question(
        user=user,
        agent=agent,
        use_case="refund",
        operation=operation,
        tool=tool,
        arguments={"order_id": "o1", **arguments},
    )


def code(decision: Decision) -> str:
    return "allow" if isinstance(decision, Allow) else decision.reason.code


@pytest.mark.requirement("R3.2", "R3.7")
@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (1, "allow"),
        (9_999, "allow"),
        (10_000, "allow"),
        (10_001, "policy_no_permit"),
        (0, "policy_no_permit"),
        (-1, "policy_no_permit"),
        (-10_000, "policy_no_permit"),
        ((1 << 53) - 1, "policy_no_permit"),
        ((1 << 63) - 1, "policy_no_permit"),
        (1 << 63, "argument_type"),
        (100.0, "argument_type"),
        ("50", "argument_type"),
        (None, "policy_error"),
    ],
)
def test_the_limit_of_100_holds_at_its_boundary(amount: Json, expected: str) -> None:
    assert code(shard(LIMIT).decide(question(amount_minor=amount))) == expected


@pytest.mark.requirement("R3.1")
def test_a_permit_for_one_operation_is_none_for_another_of_the_same_tool() -> None:
    text = 'permit(principal, action == Action::"get_order", resource);'
    assert shard(text, "get_order").decide(question("get_order")) == Allow()
    refused = shard(text, "refund_order").decide(question(amount_minor=1))
    assert isinstance(refused, Deny)
    assert refused.reason.code == "policy_no_permit"
    assert "`refund_order`" in refused.reason.message


@pytest.mark.requirement("R3.2")
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ('principal == User::"ana"', "allow"),
        ('principal == User::"bob"', "policy_no_permit"),
        ('context.agent.name == "refunds"', "allow"),
        ('context.agent.name == "other"', "policy_no_permit"),
        ('context.task.use_case == "refund"', "allow"),
        ('context.task.use_case == "other"', "policy_no_permit"),
        ('resource == Tool::"orders"', "allow"),
        ('context.arguments.order_id == "o1"', "allow"),
        ('context.arguments.order_id == "o2"', "policy_no_permit"),
    ],
)
def test_rules_see_user_agent_use_case_tool_and_arguments(condition: str, expected: str) -> None:
    text = f'permit(principal, action == Action::"get_order", resource) when {{ {condition} }};'
    assert code(shard(text, "get_order").decide(question("get_order"))) == expected


def test_no_policies_at_all_deny_everything() -> None:
    assert code(shard("").decide(question(amount_minor=1))) == "policy_no_permit"


def test_a_forbid_beats_a_permit_and_is_named_by_its_id() -> None:
    decision = shard(HOLD).decide(question(amount_minor=100_001))
    assert isinstance(decision, Deny)
    assert decision.reason.code == "policy_forbids"
    assert decision.reason.message == "`refund_order` is forbidden by `never` (never above 1000.00)"
    assert "p.cedar" not in decision.reason.fix, "the agent hears this: it is no guide to our files"


def test_a_policy_without_id_is_named_by_file_and_line() -> None:
    text = LIMIT + 'forbid(principal == User::"ana", action, resource);'
    decision = shard(text).decide(question(amount_minor=1))
    assert isinstance(decision, Deny)
    assert "`p.cedar:5`" in decision.reason.message


def test_a_hold_carries_every_requirement_that_applies() -> None:
    finance = Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=14_400)
    both = Requirement(kind="approval", approvers=("finance", "operations"), quorum=2, within_s=86_400)
    assert shard(HOLD).decide(question(amount_minor=10_000)) == Allow()
    one = shard(HOLD).decide(question(amount_minor=10_001))
    assert isinstance(one, Hold)
    assert one.reason.code == "approval_required"
    assert one.requirements == (finance,)
    two = shard(HOLD).decide(question(amount_minor=50_001))
    assert isinstance(two, Hold)
    assert two.requirements == (both, finance)


def test_a_hold_never_hides_a_missing_permit() -> None:
    text = '@hold("approval") @approvers("finance") forbid(principal, action, resource);'
    assert code(shard(text).decide(question(amount_minor=1))) == "policy_no_permit"


SKIPPED = """
permit(principal, action == Action::"refund_order", resource);
@id("cap") forbid(principal, action == Action::"refund_order", resource)
when { context.arguments.amount_minor > 10000 };
"""


@pytest.mark.requirement("R3.8")
def test_a_policy_that_errs_denies() -> None:
    decision = shard(SKIPPED).decide(question())
    assert isinstance(decision, Deny)
    assert decision.reason.code == "policy_error"
    assert "`cap`" in decision.reason.message


def test_control_the_same_policies_permit_when_nothing_errs_and_cedar_alone_skips_the_erring_forbid() -> None:
    assert shard(SKIPPED).decide(question(amount_minor=1)) == Allow()
    alone = cedarpy.is_authorized(
        {
            "principal": 'User::"ana"',
            "action": 'Action::"refund_order"',
            "resource": 'Tool::"orders"',
            "context": {"arguments": {"order_id": "o1"}},
        },
        SKIPPED,
        "[]",
    )
    assert alone.allowed
    assert alone.diagnostics.errors


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize("amount", [(1 << 63) - 1, -1])
def test_an_overflow_in_a_rule_or_a_hold_denies(amount: int) -> None:
    condition = (
        "context.arguments.amount_minor * 2 < 0"
        if amount > 0
        else "context.arguments.amount_minor - 9223372036854775807 - 1 > 0"
    )
    permit = 'permit(principal, action == Action::"refund_order", resource);'
    rule = f'forbid(principal, action == Action::"refund_order", resource) when {{ {condition} }};'
    assert code(shard(f"{permit}\n{rule}").decide(question(amount_minor=amount))) == "policy_error"
    hold = f'@hold("approval") @approvers("ops") {rule}'
    assert code(shard(f"{permit}\n{hold}").decide(question(amount_minor=amount))) == "policy_error"
    assert code(shard(f"{permit}\n{hold}").decide(question(amount_minor=1))) == "allow"


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    "asked",
    [question("get_order"), question(agent="other", amount_minor=1), question(tool="mail", amount_minor=1)],
)
def test_a_shard_asked_for_another_agent_operation_or_tool_denies(asked: Question) -> None:
    assert code(shard(LIMIT).decide(asked)) == "policy_wrong_shard"
    assert code(shard(LIMIT).decide(question(amount_minor=1))) == "allow"


def test_names_are_data_and_never_policy_text() -> None:
    text = 'permit(principal == User::"ana", action == Action::"get_order", resource);'
    odd = question("get_order", user='ana" || true || "\n')
    assert code(shard(text, "get_order").decide(odd)) == "policy_no_permit"
