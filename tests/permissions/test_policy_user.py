"""What policies see of the user for whom an agent acts: groups, always, and the attributes that are declared."""

from collections.abc import Mapping

import pytest

from remit.core import Allow, Attribute, Decision, Json
from remit.permissions import OperationShape, Question, UserShape, compile_policies, describe

REFUND = OperationShape(
    operation="refund_order",
    tool="orders",
    input_schema={
        "type": "object",
        "properties": {"order_id": {"type": "string"}},
        "required": ["order_id"],
    },
)
USER = UserShape({"department": "text", "clearance": "number", "contractor": "yes_no"})
HEAD = 'permit(principal, action == Action::"refund_order", resource)'
ORDER: Mapping[str, Json] = {"order_id": "o1"}
Attributes = tuple[tuple[str, Attribute], ...]


def code(decision: Decision) -> str:
    return "allow" if isinstance(decision, Allow) else decision.reason.code


def decided(
    text: str,
    groups: tuple[str, ...] = (),
    attributes: Attributes = (),
    *,
    user: str = "ana",
    arguments: Mapping[str, Json] = ORDER,
) -> str:
    shards, problems = compile_policies("refunds", {"p.cedar": text}, [REFUND], USER)
    assert problems == ()
    asked = Question(
        user=user,
        agent="refunds",
        use_case="refund",
        operation="refund_order",
        tool="orders",
        arguments=arguments,
        groups=groups,
        attributes=attributes,
    )
    return code(shards["refund_order"].decide(asked))


CLERKS = f'{HEAD} when {{ context.user.groups.contains("refund-clerks") }};'


@pytest.mark.requirement("R2.5", "R2.6", "R3.2")
def test_a_user_without_the_group_gets_nothing_through_an_agent_that_serves_both() -> None:
    assert decided(CLERKS, ("refund-clerks", "staff"), user="corp:fay") == "allow"
    assert decided(CLERKS, ("staff",), user="corp:tom") == "policy_no_permit"
    assert decided(CLERKS, (), user="corp:tom") == "policy_no_permit"


@pytest.mark.requirement("R2.5", "R3.2")
@pytest.mark.parametrize(
    ("groups", "attributes"),
    [
        (("Refund-Clerks",), ()),
        (("refund-clerks ",), ()),
        (("refund-clerks,staff",), ()),
        (('["refund-clerks"]',), ()),
        ((), (("groups", "refund-clerks"),)),
        ((), (("department", "refund-clerks"),)),
        ((), (("user.groups", "refund-clerks"),)),
    ],
)
def test_nothing_that_only_looks_like_the_group_is_the_group(groups: tuple[str, ...], attributes: Attributes) -> None:
    assert decided(CLERKS, groups, attributes) == "policy_no_permit"
    assert decided(CLERKS, (*groups, "refund-clerks"), attributes) == "allow"


def test_no_argument_can_say_that_the_user_is_in_a_group() -> None:
    said: Mapping[str, Json] = {**ORDER, "user": {"groups": ["refund-clerks"]}, "user.groups": ["refund-clerks"]}
    assert decided(CLERKS, arguments=said) == "policy_no_permit"


@pytest.mark.parametrize(
    ("condition", "attributes", "expected"),
    [
        ('context.user has department && context.user.department == "returns"', (("department", "returns"),), "allow"),
        ('context.user has department && context.user.department == "returns"', (), "policy_no_permit"),
        ("context.user has clearance && context.user.clearance >= 2", (("clearance", 2),), "allow"),
        ("context.user has clearance && context.user.clearance >= 2", (("clearance", 1),), "policy_no_permit"),
        ("context.user has contractor && !context.user.contractor", (("contractor", False),), "allow"),
        ("context.user has contractor && !context.user.contractor", (("contractor", True),), "policy_no_permit"),
        ("!(context.user has contractor)", (("undeclared", True),), "allow"),
    ],
)
def test_a_declared_attribute_is_there_when_the_issuer_said_it(
    condition: str, attributes: Attributes, expected: str
) -> None:
    assert decided(f"{HEAD} when {{ {condition} }};", (), attributes) == expected


NEVER = 'context.arguments.order_id == "never"'
WRONG: list[tuple[str, Attribute]] = [
    ("department", 7),
    ("department", True),
    ("clearance", "9"),
    ("clearance", True),
    ("clearance", 1 << 63),
    ("contractor", 1),
    ("contractor", "false"),
]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(("name", "value"), WRONG)
@pytest.mark.parametrize("form", ["flat", "nested"])
def test_an_attribute_of_another_type_denies_where_a_policy_reads_it(name: str, value: Attribute, form: str) -> None:
    """Else a `forbid` on equality would not apply."""
    whole = 'forbid(principal, action, resource) when { context.operation == {effect: "read", tier: "low"} };'
    reading = f"{HEAD};\nforbid(principal, action, resource) when {{ context.user has {name} && {NEVER} }};"
    text = reading if form == "flat" else f"{reading}\n{whole}"
    assert decided(text, (), ((name, value),)) == "user_attribute_type"
    assert decided(text, ()) == "allow"
    assert decided(f"{HEAD};", (), ((name, value),)) == "allow", "nobody reads it"


def test_text_that_json_cannot_carry_is_denied() -> None:
    assert decided(CLERKS, ("\ud800", "refund-clerks")) == "json_unwritable"


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("condition", "says", "fix"),
    [
        (
            'context.user.team == "a"',
            ["`context.user.team`", "`groups: Set<String>`", "`department?: String`", "`clearance?: Long`"],
            "organisation/users.yaml",
        ),
        ('context.user has team && context.user.team == "a"', ["`context.user.team`"], "organisation/users.yaml"),
        ('context.user.departmnt == "a"', ["`context.user.departmnt`"], "did you mean `department`?"),
        ("context.user has clerance", ["`context.user.clerance`"], "did you mean `clearance`?"),
        ('context.user.department == "a"', ["is optional"], "context.user has department && ..."),
        ("context.user.groups == 1", ["Set<String>"], ""),
        ('context.user.groups.contains("a") && context.user.clearance like "x"', ["Long"], ""),
        ('principal.groups.contains("a")', ["`User` has no attribute `groups`"], "context.user"),
        ("principal has groups", ["users and tools have no attributes"], "context.user has"),
        ('principal in Group::"a"', ["`Group`"], "context.user.groups.contains("),
        ('context.usr.groups.contains("a")', ["`context.usr`"], "did you mean `user`?"),
    ],
)
def test_a_mistake_about_the_user_is_found_on_load(condition: str, says: list[str], fix: str) -> None:
    text = f"{HEAD}\nwhen {{ {condition} }};"
    shards, problems = compile_policies("refunds", {"p.cedar": text}, [REFUND], USER)
    assert not shards
    assert any(all(word in found.message for word in says) and fix in found.fix for found in problems), problems
    assert {found.line for found in problems} <= {1, 2}


def test_without_a_declaration_only_the_groups_are_known() -> None:
    text = f'{HEAD} when {{ context.user has department && context.user.department == "returns" }};'
    assert compile_policies("refunds", {"p.cedar": text}, [REFUND], USER)[1] == ()
    (problem, *_) = compile_policies("refunds", {"p.cedar": text}, [REFUND])[1]
    assert (problem.code, "organisation/users.yaml" in problem.fix) == ("policy_unknown_attribute", True)
    assert compile_policies("refunds", {"p.cedar": CLERKS}, [REFUND])[1] == ()


def test_what_policies_may_name_of_a_user_is_described() -> None:
    lines = describe(REFUND, USER).splitlines()
    assert "context.user.groups: Set<String>" in lines
    assert "context.user.clearance: Long, optional: `context.user has clearance && ...`" in lines
    assert "context.user.groups: Set<String>" in describe(REFUND).splitlines()
    assert "clearance" not in describe(REFUND)


@pytest.mark.parametrize("attributes", [{"groups": "text"}, {"id": "text"}, {"age": "integer"}])
def test_a_shape_of_users_that_no_policy_could_be_typed_by_is_refused(attributes: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="groups"):
        UserShape(attributes)
