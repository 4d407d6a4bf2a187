"""Bad input: amounts that are none, policies too many, too deep or not text: refused with a code, or bounded."""

import pytest

from remit.core import Allow, Hold, Json, Requirement
from remit.permissions import OperationShape, Question, compile_policies

SHAPE = OperationShape(
    operation="pay",
    tool="bank",
    input_schema={
        "type": "object",
        "properties": {"amount_minor": {"type": "integer"}, "rate": {"type": "number"}},
        "required": ["amount_minor", "rate"],
    },
)
ANY = 'action == Action::"pay"'
LIMITS = f"""
permit(principal, {ANY}, resource)
when {{ context.arguments.amount_minor <= 10000 && context.arguments.amount_minor > 0 }};
@id("rate") forbid(principal, {ANY}, resource) when {{ context.arguments.rate.greaterThan(decimal("1.5")) }};
"""


def asked(amount: Json, rate: Json = 1) -> str:
    shards, problems = compile_policies("a", {"p.cedar": LIMITS}, [SHAPE])
    assert problems == ()
    arguments = {"amount_minor": amount, "rate": rate}
    decision = shards["pay"].decide(
        Question(user="ana", agent="a", use_case="u", operation="pay", tool="bank", arguments=arguments)
    )
    return "allow" if isinstance(decision, Allow) else decision.reason.code


HUGE = float("1e400")


@pytest.mark.requirement("R3.4", "R3.8")
@pytest.mark.parametrize(
    ("amount", "expected"),
    [
        (10_000, "allow"),
        ("10000", "argument_type"),
        ("1e3", "argument_type"),
        (100.0, "argument_type"),
        (99.99, "argument_type"),
        (float("nan"), "argument_type"),
        (HUGE, "argument_type"),
        (-HUGE, "argument_type"),
        (True, "argument_type"),
        ([100], "argument_type"),
        ({"__extn": {"fn": "decimal", "arg": "1.0"}}, "argument_type"),
        (-1, "policy_no_permit"),
        (-(1 << 63), "policy_no_permit"),
        (-(1 << 63) - 1, "argument_type"),
        ((1 << 63) - 1, "policy_no_permit"),
        (1 << 63, "argument_type"),
        (10**400, "argument_type"),
        (None, "policy_error"),
    ],
)
def test_an_amount_that_is_no_whole_number_in_bounds_is_refused(amount: Json, expected: str) -> None:
    assert asked(amount) == expected


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        (1.5, "allow"),
        (1.5001, "policy_forbids"),
        (-1.5, "allow"),
        ("1.5", "argument_type"),
        (1.50001, "argument_not_decimal"),
        (float("nan"), "argument_not_decimal"),
        (HUGE, "argument_not_decimal"),
        (10**400, "argument_not_decimal"),
        (1e-400, "allow"),  # read as 0.0, as every reader of JSON does
        (None, "policy_error"),
    ],
)
def test_a_rate_is_an_exact_decimal_or_the_call_is_denied(rate: Json, expected: str) -> None:
    assert asked(1, rate) == expected


def first(text: str) -> tuple[str, int, str]:
    shards, problems = compile_policies("a", {"p.cedar": text}, [SHAPE])
    assert not shards
    return problems[0].code, problems[0].line, problems[0].fix


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("forbid(principal,action,resource);\n" * 7_000, "policy_too_large", 1_001),
        ("forbid(principal,action,resource);\n" * 10_000, "policy_too_large", 1),  # by the file's size
        ("(" * 200_000, "policy_too_large", 1),
        ("!" * 200_000, "policy_too_large", 1),
        ("[" * 60_000 + "]" * 60_000, "policy_too_large", 1),
        ('"' * 100_001, "policy_syntax", 1),
        ("\x00", "policy_syntax", 1),
        ("permit(principal, action, resource) when { 9223372036854775808 > 0 };", "policy_syntax", 1),
        ('permit(principal, action, resource) when { context.arguments.rate == decimal("1e400") };', "policy_type", 1),
    ],
)
def test_a_policy_file_out_of_bounds_is_refused(text: str, code: str, line: int) -> None:
    said = first(text)
    assert said[:2] == (code, line)
    assert said[2]


def test_10_000_policies_in_many_files_are_refused() -> None:
    files = {f"p{n}.cedar": "forbid(principal, action, resource);\n" * 100 for n in range(100)}
    shards, problems = compile_policies("a", files, [SHAPE])
    assert not shards
    assert [problem.code for problem in problems] == ["policy_too_large"]
    assert "10000 policies" in problems[0].message


# -- roles joined by `and`

HOLD = (
    f'permit(principal, {ANY}, resource);\n@id("large") @hold("approval") @approvers("%s") @quorum("2") @within("4h")'
)


def held(approvers: str) -> tuple[Requirement, ...]:
    text = f"{HOLD % approvers} forbid(principal, {ANY}, resource);"
    shards, problems = compile_policies("a", {"p.cedar": text}, [SHAPE])
    assert problems == ()
    decision = shards["pay"].decide(
        Question(
            user="ana",
            agent="a",
            use_case="u",
            operation="pay",
            tool="bank",
            arguments={"amount_minor": 1, "rate": 1},
        )
    )
    assert isinstance(decision, Hold)
    return decision.requirements


def need(*approvers: str, apart: str = "") -> Requirement:
    return Requirement(kind="approval", approvers=approvers, quorum=2, within_s=14_400, apart=apart)


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("written", "needs"),
    [
        ("finance", (need("finance"),)),
        ("finance, security", (need("finance", "security"),)),
        ("finance and security", (need("finance", apart="large"), need("security", apart="large"))),
        (
            "finance  and security and legal",
            (need("finance", apart="large"), need("security", apart="large"), need("legal", apart="large")),
        ),
        ("brand-and-design", (need("brand-and-design"),)),
        ("and", (need("and"),)),
    ],
)
def test_roles_joined_by_and_are_a_requirement_each_by_persons_of_their_own(
    written: str, needs: tuple[Requirement, ...]
) -> None:
    assert held(written) == needs


@pytest.mark.requirement("R3.5", "R3.8")
@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("finance and security, legal", "a hold of its own"),
        ("finance, legal and security", "a hold of its own"),
        ("finance and finance", "distinct"),
        ("finance and", "distinct"),
        ("and security", "distinct"),
        ("finance AND security", "distinct"),
        ("finance and Security", "distinct"),
        ("finance & security", "distinct"),
        (" ", "@approvers"),
    ],
)
def test_approvers_that_could_be_read_two_ways_are_refused(written: str, says: str) -> None:
    text = f"{HOLD % written} forbid(principal, {ANY}, resource);"
    shards, problems = compile_policies("a", {"p.cedar": text}, [SHAPE])
    assert not shards
    assert [(problem.code, problem.line) for problem in problems] == [("policy_hold_invalid", 2)]
    assert says in problems[0].fix
