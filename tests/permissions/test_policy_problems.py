"""Each thing that can be wrong in a policy file is found at load, at its line, with what exists instead."""

import pytest

from remit.core import Problem
from remit.permissions import OperationShape, compile_policies

REFUND = OperationShape(
    operation="refund_order",
    tool="orders",
    input_schema={
        "type": "object",
        "properties": {
            "order_id": {"type": "string"},
            "amount_minor": {"type": "integer"},
            "rate": {"type": "number"},
            "reason": {"type": "string"},
            "extra": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        },
        "required": ["order_id", "amount_minor", "rate"],
    },
)
GET = OperationShape(
    operation="get_order",
    tool="orders",
    input_schema={"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
)
SEND = OperationShape(operation="send_mail", tool="mail", input_schema={"type": "object"})
SHAPES = [REFUND, GET, SEND]

FILE = "policies/refunds.cedar"
ARGUMENTS = "`amount_minor: Long`, `order_id: String`, `rate: decimal`, `reason?: String`"


def refund(condition: str) -> str:
    return f'permit(principal, action == Action::"refund_order", resource)\nwhen {{\n  {condition}\n}};'


def forbid(annotations: str) -> str:
    return f'{annotations}\nforbid(principal, action == Action::"refund_order", resource);'


def problems(text: str) -> tuple[Problem, ...]:
    shards, found = compile_policies("refunds", {FILE: text}, SHAPES)
    assert not (found and shards), "with a problem there are no shards"
    return found


# code, line, text, parts of the message and fix
TABLE = [
    ("policy_syntax", 1, 'permit(principal, action == Action::"get_order" resource);', ["unexpected token `resource`"]),
    ("policy_syntax", 3, refund("context.arguments.amount_minor <= 1.5"), ["unexpected token `5`"]),
    ("policy_syntax", 4, refund("1 +"), ["unexpected token `}`"]),
    ("policy_syntax", 2, "// a comment\npermt(principal, action, resource);", ["invalid policy effect: permt"]),
    ("policy_syntax", 1, "forbid(principal, action, resource)", ["end of input", "end the policy with `;`"]),
    ("policy_syntax", 1, ";", ["unexpected token `;`"]),
    (
        "policy_unknown_attribute",
        3,
        refund("context.arguments.amout_minor <= 10000"),
        ["`context.arguments.amout_minor` in `refund_order`", ARGUMENTS, "did you mean `amount_minor`?"],
    ),
    (
        "policy_unknown_attribute",
        3,
        refund('context.arguments has resaon && context.arguments.resaon == "x"'),
        ["`context.arguments.resaon`", ARGUMENTS, "did you mean `reason`?"],
    ),
    (
        "policy_unknown_attribute",
        3,
        refund("context.argments.x == 1"),
        ["`task: {granted: Bool, untrusted: Bool, use_case: String}`", "`arguments`?"],
    ),
    ("policy_unknown_attribute", 3, refund('principal.groups.contains("a")'), ["`User` has no attribute `groups`"]),
    ("policy_unknown_attribute", 3, refund("principal has groups"), ["users and tools have no attributes"]),
    ("policy_unknown_attribute", 3, refund('principal.hasTag("x")'), ["tags"]),
    (
        "policy_unknown_attribute",
        3,
        refund("context.arguments.extra == 1"),
        ["no Cedar attribute", "`anyOf`", "cannot see"],
    ),
    (
        "policy_unknown_attribute",
        2,
        "forbid(principal, action, resource)\nwhen { context.arguments.amount_minor > 1 };",
        ["`get_order` (nor in `send_mail`)", "`context.arguments has amount_minor && ...`"],
    ),
    (
        "policy_unknown_action",
        2,
        'permit(principal,\n  action == Action::"refnd_order", resource);',
        ["`refnd_order`", "`get_order`, `refund_order`, `send_mail`", "did you mean `refund_order`?"],
    ),
    (
        "policy_unknown_tool",
        1,
        'forbid(principal, action == Action::"send_mail", resource == Tool::"mial");',
        ["`mial`", "their tools are `mail`", "did you mean `mail`?"],
    ),
    (
        "policy_optional_attribute",
        3,
        refund('context.arguments.reason == "x"'),
        ["`context.arguments.reason` is optional in `refund_order`", "`context.arguments has reason && ...`"],
    ),
    ("policy_type", 1, refund('context.arguments.amount_minor <= "3"'), ["expected Long but saw String"]),
    ("policy_type", 1, refund("context.arguments.rate < 3"), ["saw decimal", ".lessThanOrEqual(decimal("]),
    ("policy_type", 3, refund('principal in Group::"a"'), ["`Group`", "`Action`, `Tool` and `User`"]),
    ("policy_type", 3, refund('context.arguments.rate == decimal("1.00001")'), ["1.00001", "at most 4 places"]),
    ("policy_unknown_annotation", 1, forbid('@hodl("approval")'), ["`@hodl`", "`@hold`", "did you mean `@hold`?"]),
    ("policy_id_invalid", 1, forbid('@id("a b")'), ["'a b'"]),
    ("policy_id_invalid", 1, forbid('@id("")'), ["''"]),
    ("policy_duplicate_id", 3, forbid('@id("a")') + "\n" + forbid('@id("a")'), ["`a`", f"`{FILE}:1`"]),
    ("policy_template", 1, "forbid(principal == ?principal, action, resource);", ["template"]),
    ("policy_too_large", 1, refund("(" * 4000 + "true" + ")" * 4000), ["4001 brackets deep", "32"]),
    ("policy_too_large", 1, refund(" && ".join(["true"] * 4000)), ["3999 operators", "250"]),
    ("policy_too_large", 1, refund(" && ".join(["true"] * 200)), ["about 60", "`when` clauses"]),
    ("policy_too_large", 1, "// " + "x" * (256 * 1024), ["bytes", "262144"]),
    ("policy_too_large", 1001, "forbid(principal, action, resource);\n" * 1001, ["1001 policies", "1000"]),
    ("policy_unscoped_permit", 1, "permit(principal, action, resource);", ["permits everything"]),
    ("policy_unscoped_permit", 1, 'permit(principal == User::"ana", action, resource);', ["permits everything"]),
    ("policy_unscoped_permit", 1, "permit(principal, action, resource) when { true };", ["permits everything"]),
    ("policy_hold_invalid", 1, forbid('@hold("approval")'), ["without approvers", '@approvers("finance")']),
    ("policy_hold_invalid", 1, forbid('@hold("approval") @approvers("")'), ["without approvers"]),
    ("policy_hold_invalid", 2, forbid('@hold("approval")\n@approvers("Finance")'), ["'Finance'"]),
    ("policy_hold_invalid", 1, forbid('@hold("approval") @approvers("ops,ops")'), ["distinct"]),
    ("policy_hold_invalid", 1, forbid('@hold("aproval") @approvers("ops")'), ["'aproval'", '@hold("approval")']),
    ("policy_hold_invalid", 1, forbid('@approvers("ops")'), ["`@approvers` without `@hold`"]),
    ("policy_hold_invalid", 1, forbid('@hold("approval") @approvers("ops") @quorum("0")'), ["`@quorum` is '0'"]),
    ("policy_hold_invalid", 1, forbid('@hold("approval") @approvers("ops") @quorum("1.5")'), ["'1.5'"]),
    ("policy_hold_invalid", 1, forbid('@hold("approval") @approvers("ops") @within("4")'), ["`@within` is '4'"]),
    ("policy_hold_invalid", 1, forbid('@hold("approval") @approvers("ops") @within("31d")'), ["30d"]),
    ("policy_hold_invalid", 1, '@hold("approval")\n' + refund("context.arguments.amount_minor <= 3"), ["on a permit"]),
]


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(("code", "line", "text", "parts"), TABLE)
def test_problem_names_its_line_and_what_exists(code: str, line: int, text: str, parts: list[str]) -> None:
    found = problems(text)
    assert (code, FILE, line) in {(problem.code, problem.file, problem.line) for problem in found}
    said = next(str(problem) for problem in found if (problem.code, problem.line) == (code, line))
    assert said.startswith(f"{FILE}:{line}: {code}: ")
    assert [part for part in parts if part not in said] == []


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "// nothing but a comment; with a semicolon",
        refund("context.arguments.amount_minor <= 10000"),
        refund('context.arguments has reason && context.arguments.reason == "a; b // c } \\" d"'),
        refund('context.arguments.rate.lessThanOrEqual(decimal("100.00"))'),
        "forbid(principal, action, resource) when { context.arguments has reason };",
        forbid('@id("large") @hold("approval") @approvers("finance, operations") @quorum("2") @within("4h")'),
        refund(" && ".join(["true"] * 50)),
        "forbid(principal, action, resource);\n" * 1000,
    ],
)
def test_sound_policies_compile(text: str) -> None:
    shards, found = compile_policies("refunds", {FILE: text}, SHAPES)
    assert found == ()
    assert sorted(shards) == ["get_order", "refund_order", "send_mail"]


def test_every_problem_of_every_file_is_reported_in_order() -> None:
    files = {
        "b.cedar": "permit(principal, action, resource);",
        "a.cedar": "forbid(;\n\n" + refund("context.arguments.x == 1"),
    }
    _, found = compile_policies("refunds", files, SHAPES)
    assert [(problem.file, problem.line, problem.code) for problem in found] == [
        ("a.cedar", 1, "policy_syntax"),
        ("a.cedar", 5, "policy_unknown_attribute"),
        ("b.cedar", 1, "policy_unscoped_permit"),
    ]


def test_two_policies_without_id_need_a_line_each() -> None:
    one = "forbid(principal, action, resource);"
    assert [problem.code for problem in problems(one + one)] == ["policy_duplicate_id"]
    assert problems(one + "\n" + one) == ()


def test_a_carriage_return_ends_a_comment_as_it_does_for_cedar() -> None:
    assert [problem.code for problem in problems("// note\rpermit(principal, action, resource);")] == [
        "policy_unscoped_permit"
    ]


def test_two_shapes_of_one_operation_are_a_fault() -> None:
    with pytest.raises(ValueError, match="two shapes"):
        compile_policies("refunds", {}, [GET, GET])
