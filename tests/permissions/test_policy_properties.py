"""Over random policies and questions: sharding changes nothing, and a further forbid or hold never widens."""

import cedarpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import Allow, Decision, Deny, Hold, JsonObject
from remit.permissions import OperationShape, Question, UserShape, compile_policies

NUMBER: JsonObject = {"type": "integer"}
PROPERTIES: dict[str, JsonObject] = {
    "look": {"number": NUMBER},
    "pay": {"number": NUMBER, "amount": NUMBER},
    "note": {"number": NUMBER, "text": {"type": "string"}},
}
SHAPES = [
    OperationShape(
        operation=name,
        tool="desk",
        input_schema={"type": "object", "properties": properties, "required": ["number"]},
        history={"seen": "Long", "spent": "decimal"},
        facts={"order": {"days": "Long", "open": "Bool"}},
        labelled=("number",),
    )
    for name, properties in PROPERTIES.items()
]
USER = UserShape({"department": "text", "clearance": "number", "contractor": "yes_no"})
STRICTNESS = {Allow: 0, Hold: 1, Deny: 2}

scopes = st.sampled_from(
    ["action", *(f'action == Action::"{name}"' for name in PROPERTIES), 'action in [Action::"look", Action::"pay"]']
)
conditions = st.sampled_from(
    [
        "context.arguments.number > 1",
        "context.arguments.number + 9223372036854775807 > 0",  # overflows, and so errs, from 1
        "context.arguments has amount && context.arguments.amount > 2",
        'context.arguments has text && context.arguments.text like "a*"',
        'context.task.use_case == "refund"',
        'context.user.groups.contains("clerks")',
        'context.user has department && context.user.department == "returns"',
        "context.user has clearance && context.user.clearance * 9223372036854775807 > 0",  # overflows from 2
        "context.user has contractor && context.user.contractor",
        'context.user.id == "ana"',
        'context.agent.level == "A"',
        "context.agent has confidence && context.agent.confidence > 50",
        "context.task.untrusted && !context.task.granted",
        'context.operation.effect == "read" || context.operation.tier == "critical"',
        'context.labels has number && context.labels.number == "untrusted"',
        "context.history.seen > 2",
        "context.history.seen + 9223372036854775806 > 0",  # overflows from 2
        'context.history.spent.greaterThan(decimal("0.0002"))',
        "context.facts.order.open && context.facts.order.days < 30",
        'context.operation == {effect: "read", tier: "low"}',  # keeps a shard nested
    ]
)
principals = st.sampled_from(["principal", 'principal == User::"ana"'])
HOLD = '@hold("approval") @approvers("ops") forbid'
Parts = tuple[str, str, str, str]


def speaks_of_what_exists(parts: Parts) -> bool:
    """A `has` must be true somewhere in scope; anything else is refused at load."""
    _, _, scope, condition = parts
    if "has amount" in condition:
        return scope not in {'action == Action::"look"', 'action == Action::"note"'}
    return "has text" not in condition or scope in {"action", 'action == Action::"note"'}


policies = st.tuples(st.sampled_from(["permit", "permit", "forbid", HOLD]), principals, scopes, conditions).filter(
    speaks_of_what_exists
)
further = st.tuples(st.sampled_from(["forbid", HOLD]), principals, scopes, conditions).filter(speaks_of_what_exists)
questions = st.builds(
    lambda operation, user, number, amount, text, groups, attributes, more: Question(
        user=user,
        agent="refunds",
        use_case="refund",
        operation=operation,
        tool="desk",
        arguments={"number": number, "amount": amount, "text": text},
        groups=(*sorted(groups),),
        attributes=(*sorted(attributes.items()),),
        **more,
    ),
    st.sampled_from(sorted(PROPERTIES)),
    st.sampled_from(["ana", "bob"]),
    st.integers(-1, 3),
    st.none() | st.integers(0, 4),
    st.none() | st.sampled_from(["ab", "b"]),
    st.sets(st.sampled_from(["clerks", "leads"])),
    st.fixed_dictionaries(
        {},
        optional={
            "department": st.sampled_from(["returns", "sales"]),
            "clearance": st.integers(0, 3),
            "contractor": st.booleans(),
            "undeclared": st.just("x"),
        },
    ),
    st.fixed_dictionaries(
        {
            "level": st.sampled_from(["A", "B", "C"]),
            "confidence": st.none() | st.sampled_from([50, 51]),
            "strangers": st.booleans(),
            "granted": st.booleans(),
            "effect": st.sampled_from(["read", "write"]),
            "tier": st.sampled_from(["low", "critical"]),
            "labels": st.sampled_from([(), (("number", "user"),), (("number", "untrusted"),)]),
            "history": st.tuples(
                st.tuples(st.just("seen"), st.integers(0, 3)), st.tuples(st.just("spent"), st.integers(0, 3))
            ),
            "facts": st.fixed_dictionaries(
                {"order": st.fixed_dictionaries({"days": st.integers(28, 31), "open": st.booleans()})}
            ),
        }
    ),
)


def texts(parts: list[Parts]) -> list[str]:
    return [
        f'@id("p{number}") {effect}({principal}, {scope}, resource) when {{ {condition} }};'
        for number, (effect, principal, scope, condition) in enumerate(parts)
    ]


def sharded(parts: list[Parts], question: Question) -> Decision:
    shards, problems = compile_policies("refunds", {"p.cedar": "\n".join(texts(parts))}, SHAPES, USER)
    assert problems == ()
    return shards[question.operation].decide(question)


def ask(policies: list[str], question: Question) -> tuple[bool, bool, list[str]]:
    """Ask Cedar with the whole text: allowed, erred, and the `@id` of each policy that decided."""
    declared, counts = PROPERTIES[question.operation], dict(question.history)
    request = {
        "principal": {"type": "User", "id": question.user},
        "action": {"type": "Action", "id": question.operation},
        "resource": {"type": "Tool", "id": question.tool},
        "context": {
            "agent": {
                "name": question.agent,
                "level": question.level,
                **({} if question.confidence is None else {"confidence": question.confidence}),
            },
            "task": {
                "use_case": question.use_case,
                "untrusted": question.strangers,
                "granted": question.granted,
            },
            "operation": {"effect": question.effect, "tier": question.tier},
            "labels": dict(question.labels),
            "history": {
                "seen": counts["seen"],
                "spent": {"__extn": {"fn": "decimal", "arg": f"0.000{counts['spent']}"}},
            },
            "facts": question.facts,
            "arguments": {
                name: value for name, value in question.arguments.items() if name in declared and value is not None
            },
            "user": {
                "id": question.user,
                "groups": list(question.groups),
                **{name: value for name, value in question.attributes if name in USER.attributes},
            },
        },
    }
    result = cedarpy.is_authorized(request, "\n".join(policies), "[]")
    ids = [result.diagnostics.id_annotations_by_reason[reason] for reason in result.diagnostics.reasons]
    return result.allowed, bool(result.diagnostics.errors), sorted(ids)


def unsharded(parts: list[Parts], question: Question) -> tuple[type[Decision], str, list[str]]:
    """One evaluator over every policy at once: kind of decision, code, deciding ids."""
    whole = texts(parts)
    allowed, erred, ids = ask([text for text in whole if "@hold" not in text], question)
    if erred:
        return Deny, "policy_error", []
    if not allowed:
        return Deny, "policy_forbids" if ids else "policy_no_permit", ids
    base = '@id("base") permit(principal, action, resource);'
    allowed, erred, ids = ask([base, *(text for text in whole if "@hold" in text)], question)
    if erred:
        return Deny, "policy_error", []
    return (Allow, "", []) if allowed else (Hold, "approval_required", ids)


@pytest.mark.requirement("R3.1", "R3.7")
@settings(max_examples=150, deadline=None)
@given(st.lists(policies, max_size=8), questions)
def test_sharded_equals_unsharded(parts: list[Parts], question: Question) -> None:
    decision = sharded(parts, question)
    kind, code, ids = unsharded(parts, question)
    assert type(decision) is kind
    if not isinstance(decision, Allow):
        assert decision.reason.code == code
        assert [f"p{number}" for number in range(len(parts)) if f"`p{number}`" in decision.reason.message] == ids or (
            code == "policy_error"
        )


@pytest.mark.requirement("R3.8")
@settings(max_examples=100, deadline=None)
@given(st.lists(policies, max_size=6), further, questions)
def test_a_further_forbid_or_hold_never_widens(parts: list[Parts], added: Parts, question: Question) -> None:
    before = sharded(parts, question)
    after = sharded([*parts, added], question)
    assert STRICTNESS[type(after)] >= STRICTNESS[type(before)]


@pytest.mark.requirement("R3.7")
@settings(max_examples=60, deadline=None)
@given(st.lists(policies, max_size=6), questions)
def test_the_same_question_always_gets_the_same_answer(parts: list[Parts], question: Question) -> None:
    assert sharded(parts, question) == sharded(parts, question)
