"""Approvals: one call, once, in time, by persons who may; and everything that is nearly that, refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import (
    REQUESTER,
    Allow,
    Consume,
    Decision,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    Reason,
    Requirement,
    canonical_bytes,
    read_canonical,
    utc_text,
)
from remit.permissions import (
    Approval,
    Directory,
    Flow,
    Grant,
    Kind,
    State,
    approval_json,
    approval_of_json,
    binding_of,
    call_digest,
    expires_at,
    is_about,
    is_about_link,
    is_entry,
    joined,
    lifted,
    may_deny,
    may_edit,
    may_extend,
    may_grant,
    missing,
    still_needed,
    was_shown,
)

OPENED = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
TICK = timedelta(microseconds=1)
NOW = OPENED + timedelta(minutes=10)
FINANCE = Requirement(kind="approval", approvers=("finance",), quorum=1, within_s=3_600)
PAIR = Requirement(kind="approval", approvers=("finance", "operations"), quorum=2, within_s=3_600)
CONFIRM = Requirement(kind="confirmation", approvers=(REQUESTER,), quorum=1, within_s=900, typed="ord_1042")
REVIEW = Requirement(kind="provenance", approvers=("operator",), quorum=1, within_s=86_400)

CALL: Mapping[str, Any] = {
    "tenant": "acme",
    "user": "ana",
    "agent": "refunds",
    "release": "sha256:r1",
    "use_case": "refund",
    "task": "t_1",
    "operation": "refund_order",
    "descriptor": "sha256:d1",
    "endpoint": {"url": "https://orders.example/mcp"},
    "arguments": b'{"amount_minor":4200,"order_id":"ord_1042","reason":"broken"}',
}
DIGEST = call_digest(**CALL)
CONTROL: dict[str, Json] = {"amount_minor": 4200, "order_id": "ord_1042"}
BINDING = binding_of("t_1", "refund_order", CONTROL)
YES = (Grant(person="ben", role="finance", kind="approval", at=NOW),)


def approval(*needs: Requirement, **changed: Any) -> Approval:
    needs = needs or (FINANCE,)
    base = Approval(
        id="apr_1",
        digest=DIGEST,
        binding=BINDING,
        task="t_1",
        user="ana",
        agent="refunds",
        owner="olga",
        use_case="refund",
        operation="refund_order",
        requirements=needs,
        code="approval_required",
        message="above 100.00",
        rationale="the parcel came broken",
        entry=7,
        opened_at=OPENED,
        expires_at=expires_at(needs, OPENED),
    )
    return replace(base, **changed)


def hold(*needs: Requirement) -> Hold:
    return Hold(Reason("approval_required", "`refund_order` needs approval", "wait"), needs or (FINANCE,))


def code(answer: Decision | tuple[Grant, ...]) -> str:
    match answer:
        case Allow():
            return "allow"
        case Hold() | Deny():
            return answer.reason.code
        case _:
            return "granted"


def grants(answer: tuple[Grant, ...] | Deny) -> tuple[Grant, ...]:
    assert not isinstance(answer, Deny), answer
    return answer


def asks(
    waiting: Approval,
    person: str,
    *roles: str,
    seen: str = DIGEST,
    typed: str = "",
    now: datetime = NOW,
) -> tuple[Grant, ...] | Deny:
    return may_grant(waiting, person, frozenset(roles), seen, typed, now)


# -- who may say yes


@pytest.mark.requirement("R3.5")
def test_a_person_in_the_role_grants_in_that_role() -> None:
    assert asks(approval(), "ben", "sales", "finance") == (
        Grant(person="ben", role="finance", kind="approval", at=NOW),
    )


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("changed", "person", "roles", "expected"),
    [
        ({"state": State.DENIED}, "ben", ["finance"], "approval_closed"),
        ({"state": State.USED}, "ben", ["finance"], "approval_closed"),
        ({"state": State.VOID}, "ben", ["finance"], "approval_closed"),
        ({"expires_at": NOW}, "ben", ["finance"], "approval_expired"),
        ({"expires_at": NOW + TICK}, "ben", ["finance"], "granted"),
        ({"digest": DIGEST[:-1]}, "ben", ["finance"], "approval_digest_mismatch"),
        ({}, "ana", ["finance"], "approver_is_requester"),
        ({}, "ANA", ["finance"], "approver_is_requester"),
        ({}, "olga", ["finance"], "approver_is_owner"),
        ({}, "Olga", ["finance"], "approver_is_owner"),
        ({}, "refunds", ["finance"], "approver_is_agent"),
        ({"grants": YES}, "ben", ["finance"], "approver_twice"),
        ({"grants": YES}, "Ben", ["finance"], "approver_twice"),
        ({"grants": YES}, "eva", ["finance"], "approver_not_needed"),
        ({"grants": YES, "requirements": (replace(FINANCE, quorum=2),)}, "eva", ["finance"], "granted"),
        ({}, "ben", ["operator"], "approver_role_missing"),
        ({}, "ben", [], "approver_role_missing"),
        ({}, "", ["finance"], "approver_role_missing"),
        ({"requirements": ()}, "ben", ["finance"], "approver_role_missing"),
    ],
)
def test_a_yes_counts_only_from_who_may_give_it(
    changed: dict[str, Any], person: str, roles: list[str], expected: str
) -> None:
    assert code(asks(approval(**changed), person, *roles)) == expected


@pytest.mark.requirement("R3.5")
def test_a_refusal_says_the_state_and_which_roles_are_asked() -> None:
    closed = asks(approval(state=State.USED), "ben", "finance")
    assert isinstance(closed, Deny)
    assert "is used" in closed.reason.message
    unfit = asks(approval(PAIR), "ben", "sales")
    assert isinstance(unfit, Deny)
    assert "`finance`, `operations`" in unfit.reason.message
    assert unfit.reason.fix


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("person", "roles", "typed", "expected"),
    [
        ("ana", [], "ord_1042", "granted"),
        ("ana", [], "ord_1042 ", "confirmation_mismatch"),
        ("ana", [], "ORD_1042", "confirmation_mismatch"),
        ("ana", [], "", "confirmation_mismatch"),
        ("ANA", [], "ord_1042", "approver_is_requester"),
        ("ben", [REQUESTER], "ord_1042", "approver_role_missing"),  # no role of that name makes a requester
    ],
)
def test_only_the_requester_confirms_and_only_with_the_exact_words(
    person: str, roles: list[str], typed: str, expected: str
) -> None:
    assert code(asks(approval(CONFIRM), person, *roles, typed=typed)) == expected


@pytest.mark.requirement("R3.5")
def test_an_owner_who_is_the_requester_confirms_what_is_done_in_their_name_and_approves_nothing() -> None:
    assert code(asks(approval(CONFIRM, owner="ana"), "ana", typed="ord_1042")) == "granted"
    assert code(asks(approval(owner="ana"), "ana", "finance")) == "approver_is_owner"


@pytest.mark.requirement("R3.5")
def test_one_act_grants_everything_a_person_qualifies_for_and_nothing_else() -> None:
    waiting = approval(FINANCE, REVIEW, CONFIRM)
    given = grants(asks(waiting, "ben", "finance", "operator"))
    assert [(grant.kind, grant.role) for grant in given] == [("approval", "finance"), ("provenance", "operator")]
    only = grants(asks(waiting, "ben", "finance"))
    assert [grant.kind for grant in only] == ["approval"]


@pytest.mark.requirement("R3.5")
def test_a_wrong_confirmation_grants_nothing_at_all() -> None:
    typed = replace(CONFIRM, approvers=("finance",))
    assert code(asks(approval(FINANCE, typed), "ben", "finance", typed="ord_1043")) == "confirmation_mismatch"
    assert len(grants(asks(approval(FINANCE, typed), "ben", "finance", typed="ord_1042"))) == 2


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("changed", "person", "roles", "expected"),
    [
        ({}, "ben", ["finance"], "allow"),
        ({}, "ana", [], "allow"),
        ({"owner": "ana"}, "ana", [], "allow"),
        ({"grants": YES}, "ben", ["finance"], "allow"),
        ({}, "ben", ["sales"], "approver_role_missing"),
        ({}, "olga", ["finance"], "approver_is_owner"),
        ({}, "refunds", ["finance"], "approver_is_agent"),
        ({"user": ""}, "", [], "approver_is_requester"),
        ({"state": State.USED}, "ben", ["finance"], "approval_closed"),
        ({"expires_at": NOW}, "ana", [], "approval_expired"),
    ],
)
def test_who_might_grant_may_deny_and_so_may_the_requester(
    changed: dict[str, Any], person: str, roles: list[str], expected: str
) -> None:
    assert code(may_deny(approval(**changed), person, frozenset(roles), NOW)) == expected


@pytest.mark.requirement("R3.5")
def test_a_quorum_counts_persons_and_not_grants() -> None:
    waiting = approval(PAIR, grants=YES)
    assert missing(waiting) == (PAIR,)
    assert missing(replace(waiting, grants=(*YES, replace(YES[0], role="operations")))) == (PAIR,)
    assert missing(replace(waiting, grants=(*YES, replace(YES[0], person="Ben")))) == (PAIR,)
    assert missing(replace(waiting, grants=(*YES, replace(YES[0], person="eva", role="operations")))) == ()


# -- apart: distinct persons across requirements

SECURITY = Requirement(kind="approval", approvers=("security",), quorum=1, within_s=3_600, apart="pay.big")
MONEY = replace(FINANCE, apart="pay.big")
BOTH = (MONEY, SECURITY)


def yeses(**roles: str) -> tuple[Grant, ...]:
    """Return a yes of each person, in each of their roles: `yeses(ben="finance security")`."""
    return tuple(
        Grant(person=person, role=role, kind="approval", at=NOW)
        for person, said in roles.items()
        for role in said.split()
    )


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("roles", "waits"),
    [
        ({}, ["1 of finance (approval)", "1 of security (approval)"]),
        ({"ben": "finance"}, ["1 of security (approval)"]),
        ({"ben": "security"}, ["1 of finance (approval)"]),
        ({"ben": "finance security"}, ["1 of finance (approval) or security (approval)"]),
        ({"ben": "finance", "eva": "finance"}, ["1 of security (approval)"]),
        ({"ben": "finance", "eva": "security"}, []),
        ({"ben": "finance security", "eva": "finance"}, []),
        ({"ben": "finance security", "eva": "security"}, []),
        ({"ben": "finance security", "eva": "finance security"}, []),
        ({"ben": "finance", "Ben": "security"}, ["1 of finance (approval) or security (approval)"]),
    ],
)
def test_requirements_that_are_met_apart_are_met_by_distinct_persons(roles: dict[str, str], waits: list[str]) -> None:
    waiting = approval(*BOTH, grants=yeses(**roles))
    assert list(still_needed(waiting)) == waits
    assert (missing(waiting) == ()) == (not waits)
    assert (code(lifted(hold(*BOTH), DIGEST, BINDING, (waiting,), NOW)) == "allow") == (not waits)


def test_control_requirements_that_need_not_be_apart_are_met_by_one_person_with_both_roles() -> None:
    needs = (FINANCE, replace(SECURITY, apart=""))
    waiting = approval(*needs, grants=yeses(ben="finance security"))
    assert missing(waiting) == ()
    assert code(lifted(hold(*needs), DIGEST, BINDING, (waiting,), NOW)) == "allow"


@pytest.mark.requirement("R3.5")
def test_a_person_may_serve_requirements_of_different_aparts() -> None:
    needs = (MONEY, SECURITY, replace(FINANCE, apart="pay.abroad"), replace(SECURITY, apart="pay.abroad"))
    waiting = approval(*needs, grants=yeses(ben="finance", eva="security"))
    assert still_needed(waiting) == ()
    assert code(lifted(hold(*needs), DIGEST, BINDING, (waiting,), NOW)) == "allow"


@pytest.mark.requirement("R3.5")
def test_whoever_came_first_makes_room_for_whoever_can_do_less() -> None:
    """A greedy choice would seat ben and eva where only gus and ida could sit."""
    board = replace(SECURITY, approvers=("board",), quorum=2)
    waiting = approval(MONEY, SECURITY, board, grants=yeses(ben="finance security board", eva="security board"))
    assert still_needed(waiting) == ("2 of finance (approval) or security (approval) or board (approval)",)
    waiting = replace(waiting, grants=waiting.grants + yeses(gus="finance", ida="board"))
    assert still_needed(waiting) == ()


@pytest.mark.requirement("R3.5")
def test_a_quorum_of_each_role_is_asked_for_apart() -> None:
    needs = (replace(MONEY, quorum=2), SECURITY)
    waiting = approval(*needs, grants=yeses(ben="finance security", eva="finance security"))
    assert still_needed(waiting) == ("1 of finance (approval) or security (approval)",)
    assert missing(waiting) == needs
    answer = lifted(hold(*needs), DIGEST, BINDING, (waiting,), NOW)
    assert isinstance(answer, Hold)
    assert answer.reason.message.endswith("still waits for 1 of finance (approval) or security (approval)")


@pytest.mark.requirement("R3.5")
def test_who_has_said_yes_already_is_told_who_is_still_needed() -> None:
    answer = asks(approval(*BOTH, grants=yeses(ben="finance")), "ben", "finance", "security")
    assert isinstance(answer, Deny)
    assert (answer.reason.code, answer.reason.fix) == ("approver_twice", "ask others: 1 of security (approval)")


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("given", "roles", "expected"),
    [
        ("finance", ["security"], "granted"),
        ("finance", ["finance", "security"], "granted"),
        ("finance", ["finance"], "approver_not_needed"),
        ("finance security", ["finance"], "granted"),  # who was there first moves along to the other
        ("finance security", ["security"], "granted"),
    ],
)
def test_a_yes_that_would_change_nothing_is_refused_and_one_that_makes_room_is_not(
    given: str, roles: list[str], expected: str
) -> None:
    assert code(asks(approval(*BOTH, grants=yeses(ben=given)), "eva", *roles)) == expected


@pytest.mark.requirement("R3.5")
def test_whose_yes_is_not_needed_is_told_whose_is() -> None:
    answer = asks(approval(*BOTH, grants=yeses(ben="finance")), "eva", "finance")
    assert isinstance(answer, Deny)
    assert answer.reason.message == "a yes of `eva` would change nothing: still needed is 1 of security (approval)"
    assert answer.reason.fix == "ask others: 1 of security (approval)"
    answer = asks(approval(*BOTH, grants=yeses(ben="finance", ida="security")), "eva", "finance", typed="wrong")
    assert isinstance(answer, Deny)
    assert (answer.reason.code, answer.reason.fix) == ("approver_not_needed", "let the agent make the call")


@pytest.mark.requirement("R3.5")
def test_a_yes_that_one_of_two_requirements_needs_is_taken_for_both() -> None:
    confirmed = replace(FINANCE, kind="provenance", quorum=2)
    waiting = approval(
        FINANCE, confirmed, grants=tuple(replace(YES[0], kind=kind) for kind in ("approval", "provenance"))
    )
    assert {grant.kind for grant in grants(asks(waiting, "eva", "finance"))} == {"approval", "provenance"}


persons_any = st.dictionaries(
    st.sampled_from(["ben", "eva", "gus", "ida", "kim"]),
    st.sets(st.sampled_from(["finance", "security", "board"]), min_size=1),
)
apart_any = st.lists(
    st.builds(
        Requirement,
        kind=st.just("approval"),
        approvers=st.lists(st.sampled_from(["finance", "security", "board"]), min_size=1, max_size=2).map(tuple),
        quorum=st.integers(0, 2),
        within_s=st.just(3_600),
        apart=st.just("p"),
    ),
    min_size=1,
    max_size=3,
)


def seatable(places: list[Requirement], roles: Mapping[str, set[str]]) -> bool:
    """Say by trying everything whether each place can have a person of its own."""
    if not places:
        return True
    return any(
        set(places[0].approvers) & mine
        and seatable(places[1:], {name: r for name, r in roles.items() if name != person})
        for person, mine in roles.items()
    )


@pytest.mark.requirement("R3.5")
@settings(max_examples=200, deadline=None)
@given(apart_any, persons_any)
def test_what_is_met_apart_is_what_trying_everything_finds(
    needs: list[Requirement], roles: dict[str, set[str]]
) -> None:
    waiting = approval(*needs, grants=yeses(**{person: " ".join(sorted(said)) for person, said in roles.items()}))
    places = [need for need in needs for _ in range(max(1, need.quorum))]
    assert (missing(waiting) == ()) == seatable(places, roles)
    for need in missing(waiting):  # what is said to be missing would help
        more = replace(waiting, grants=waiting.grants + yeses(zoe=need.approvers[0]))
        assert len(still_needed(more)) < len(still_needed(waiting)) or still_needed(more) != still_needed(waiting)


# -- edits


EDITED = {"edited": '{"amount_minor":4000}', "instead_of": "sha256:aa", "editors": ("eva",)}


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize(
    ("changed", "person", "roles", "expected"),
    [
        ({}, "ben", ["finance"], "allow"),
        ({"grants": YES}, "ben", ["finance"], "allow"),  # the yes was to what it was before
        (EDITED, "eva", ["finance"], "allow"),  # once more
        ({}, "ben", ["sales"], "approver_role_missing"),
        ({}, "ben", [], "approver_role_missing"),
        ({}, "", ["finance"], "approver_role_missing"),
        ({}, "refunds", ["finance"], "approver_is_agent"),
        ({}, "olga", ["finance"], "approver_is_owner"),
        ({}, "ana", ["finance"], "approver_is_requester"),
        ({"requirements": (CONFIRM,)}, "ana", [], "approver_is_requester"),
        ({"state": State.USED}, "ben", ["finance"], "approval_closed"),
        ({"state": State.VOID}, "ben", ["finance"], "approval_closed"),
        ({"state": State.DENIED}, "ben", ["finance"], "approval_closed"),
        ({"expires_at": NOW}, "ben", ["finance"], "approval_expired"),
        ({"expires_at": NOW + TICK}, "ben", ["finance"], "allow"),
    ],
)
def test_who_might_approve_in_a_role_may_edit(
    changed: dict[str, Any], person: str, roles: list[str], expected: str
) -> None:
    assert code(may_edit(approval(**changed), person, frozenset(roles), NOW)) == expected


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize("person", ["eva", "Eva", "\uff45va"])
def test_who_edited_a_call_counts_for_nothing_in_it_and_may_still_deny_it(person: str) -> None:
    waiting = approval(**EDITED)
    assert code(asks(waiting, person, "finance")) == "approver_is_editor"
    assert code(may_deny(waiting, person, frozenset({"finance"}), NOW)) == "allow"
    smuggled = replace(waiting, grants=(replace(YES[0], person=person),))
    assert missing(smuggled) == (FINANCE,)
    assert code(lifted(hold(), DIGEST, BINDING, (smuggled,), NOW)) == "approval_required"
    control = replace(smuggled, editors=("gus",))
    assert code(lifted(hold(), DIGEST, BINDING, (control,), NOW)) == "allow"
    assert code(asks(waiting, "ben", "finance")) == "granted"


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize("person", ["eva", "Eva", "gus", "hal"])
def test_nobody_in_a_chain_of_edits_counts_for_what_it_became(person: str) -> None:
    waiting = approval(**{**EDITED, "editors": ("eva", "gus", "hal")})
    assert waiting.editor == "hal"
    assert code(asks(waiting, person, "finance")) == "approver_is_editor"
    smuggled = replace(waiting, grants=(replace(YES[0], person=person),))
    assert missing(smuggled) == (FINANCE,)
    assert code(lifted(hold(), DIGEST, BINDING, (smuggled,), NOW)) == "approval_required"
    others = tuple(name for name in waiting.editors if name != person.lower())
    control = replace(smuggled, editors=others)
    assert code(lifted(hold(), DIGEST, BINDING, (control,), NOW)) == "allow"


def test_only_the_call_that_was_shown_is_the_one_that_waits() -> None:
    assert code(was_shown(approval(), DIGEST)) == "allow"
    assert code(was_shown(approval(), DIGEST[:-1])) == "approval_digest_mismatch"


def test_only_a_yes_to_where_a_value_came_from_may_trust_it() -> None:
    flow = Flow(consequential=True, content=frozenset(), sources={}, labels=(), reviewers=("operator",))
    privacy = replace(REVIEW, approvers=("privacy",))
    waiting = approval(FINANCE, REVIEW, privacy)
    assert code(may_extend(grants(asks(waiting, "ben", "finance", "operator")), flow)) == "allow"
    for role in ("finance", "privacy"):
        assert code(may_extend(grants(asks(waiting, "ben", role)), flow)) == "trust_role_missing"
    assert code(may_extend(grants(asks(waiting, "ben", "operator")), None)) == "trust_role_missing"


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("kind", "value", "text", "expected"),
    [
        (Kind.VALUES, "eve@corp.example", "eve@corp.example", True),
        (Kind.VALUES, "corp.example", "eve@corp.example", False),
        (Kind.VALUES, "EVE@corp.example", "eve@corp.example", False),
        (Kind.VALUES, "", "", False),
        (Kind.DOMAINS, "corp.example", "eve@corp.example", True),
        (Kind.DOMAINS, "CORP.example", "eve@corp.example", True),
        (Kind.DOMAINS, "corp.example", "https://corp.example/a", True),
        (Kind.DOMAINS, "example", "eve@corp.example", False),
        (Kind.DOMAINS, "corp.example", "eve@mail.corp.example", False),
        (Kind.DOMAINS, "orp.example", "eve@corp.example", False),
        (Kind.DOMAINS, "eve@corp.example", "eve@corp.example", False),
        (Kind.DOMAINS, "", "eve@corp.example", False),
        (Kind.DOMAINS, "c\u043erp.example", "eve@corp.example", False),
    ],
)
def test_what_may_be_trusted_is_the_value_itself_or_its_whole_host(
    kind: Kind, value: str, text: str, expected: bool
) -> None:
    assert is_about(kind, value, text) is expected
    if value and text:
        assert is_about_link(kind, value, f"see {text}, thanks") is expected


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("kind", "entry", "expected"),
    [
        (Kind.VALUES, "eve@corp.example", True),
        (Kind.VALUES, "com", True),
        (Kind.VALUES, "", False),
        (Kind.VALUES, " x", False),
        (Kind.VALUES, "x\u00a0", False),
        (Kind.DOMAINS, "corp.example", True),
        (Kind.DOMAINS, "xn--bcher-kva.example", True),
        (Kind.DOMAINS, "a." * 126 + "b", True),
        (Kind.DOMAINS, "a." * 127 + "b", False),
        (Kind.DOMAINS, "co.uk", True),  # (which domains belong to one owner is not known)
        (Kind.DOMAINS, "com", False),
        (Kind.DOMAINS, "", False),
        (Kind.DOMAINS, ".com", False),
        (Kind.DOMAINS, "corp.example.", False),
        (Kind.DOMAINS, "*.corp.example", False),
        (Kind.DOMAINS, "Corp.example", False),
        (Kind.DOMAINS, "b\u00fccher.example", False),
        (Kind.DOMAINS, "192.0.2.1", False),
        (Kind.DOMAINS, "eve@corp.example", False),
        (Kind.DOMAINS, "corp.example\n", False),
    ],
)
def test_what_may_stand_in_a_directory(kind: Kind, entry: str, expected: bool) -> None:
    assert is_entry(kind, entry) is expected


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("value", "listed", "added"),
    [
        ("eve@corp.example", True, True),
        ("https://corp.example/a", True, True),
        ("eve@CORP.example", True, True),
        ("eve@mail.corp.example", True, False),
        ("https://a.b.corp.example/a", True, False),
        ("eve@example", False, False),
        ("eve@xcorp.example", False, False),
    ],
)
def test_a_domain_that_an_approver_added_vouches_for_that_very_host_alone(
    value: str, listed: bool, added: bool
) -> None:
    says = json.dumps([["corp.example", utc_text(NOW + TICK), "sue"]])
    extended = joined(Directory("hosts", Kind.DOMAINS, {"other.example": None}), says)
    assert extended.has(value, NOW) is added
    assert not extended.has(value, NOW + TICK), "its time is over"
    assert extended.has("eve@mail.other.example", NOW), "the signed list vouches for what is below, as before"
    assert Directory("hosts", Kind.DOMAINS, {"corp.example": None}).has(value, NOW) is listed, "the control"


@pytest.mark.requirement("R3.9")
def test_adding_what_the_list_has_takes_nothing_from_it_and_nothing_is_added_to_what_nobody_signed() -> None:
    says = json.dumps([["corp.example", utc_text(NOW), "sue"]])
    signed = Directory("hosts", Kind.DOMAINS, {"corp.example": None})
    assert joined(signed, says).has("eve@mail.corp.example", NOW)
    unsigned = Directory("hosts", Kind.DOMAINS, {}, missing="nobody signed it")
    later = json.dumps([["corp.example", utc_text(NOW + TICK), "sue"]])
    assert not joined(unsigned, later).has("eve@corp.example", NOW)
    assert not Directory("d", Kind.VALUES, {}, "no", {"x": NOW + TICK}).has("x", NOW)
    assert Directory("d", Kind.VALUES, {}, "", {"x": NOW + TICK}).has("x", NOW), "the control"


# -- what a yes lets through


@pytest.mark.requirement("R3.5")
def test_a_granted_approval_lifts_the_hold_of_its_own_call() -> None:
    given = grants(asks(approval(), "ben", "finance"))
    assert lifted(hold(), DIGEST, BINDING, (approval(grants=given),), NOW) == Allow((Consume("apr_1"),))


@pytest.mark.requirement("R3.5")
def test_all_requirements_met_by_several_persons_lift_the_hold() -> None:
    needs = (PAIR, CONFIRM, REVIEW)
    waiting = approval(*needs)
    for person, roles, typed in [("ben", ["finance"], ""), ("ana", [], "ord_1042"), ("eva", ["operations"], "")]:
        waiting = replace(waiting, grants=waiting.grants + grants(asks(waiting, person, *roles, typed=typed)))
        assert code(lifted(hold(*needs), DIGEST, BINDING, (waiting,), NOW)) == "approval_required"
    waiting = replace(waiting, grants=waiting.grants + grants(asks(waiting, "gus", "operator")))
    assert lifted(hold(*needs), DIGEST, BINDING, (waiting,), NOW) == Allow((Consume("apr_1"),))


@pytest.mark.requirement("R3.5")
def test_a_hold_that_stays_names_the_approval_and_whom_it_waits_for() -> None:
    answer = lifted(hold(PAIR, REVIEW), DIGEST, BINDING, (approval(PAIR, REVIEW, grants=YES),), NOW)
    assert isinstance(answer, Hold)
    assert answer.reason.message.endswith(
        "approval `apr_1` still waits for 1 of finance, operations (approval); 1 of operator (provenance)"
    )
    assert answer.requirements == (PAIR, REVIEW)


@pytest.mark.requirement("R3.5")
def test_a_call_that_was_made_is_answered_by_its_recorded_outcome() -> None:
    used = approval(grants=YES, state=State.USED, call="c_9")
    again = approval(id="apr_2", grants=YES)
    answer = lifted(hold(), DIGEST, BINDING, (again, used), NOW)
    assert isinstance(answer, Deny)
    assert (answer.reason.code, answer.instead) == ("already_executed", "c_9")


@pytest.mark.requirement("R3.5")
def test_a_denial_is_not_reopened_by_another_wording() -> None:
    denied = approval(state=State.DENIED, by="ben", expires_at=OPENED)
    reworded = call_digest(**{**CALL, "arguments": b'{"amount_minor":4200,"order_id":"ord_1042","reason":"please"}'})
    fresh = approval(id="apr_2", digest=reworded, grants=YES)
    answer = lifted(hold(), reworded, BINDING, (fresh, denied), NOW)
    assert isinstance(answer, Deny)
    assert answer.reason.code == "approval_denied"
    assert "`ben`" in answer.reason.message
    other = binding_of("t_1", "refund_order", {**CONTROL, "amount_minor": 10})
    assert code(lifted(hold(), reworded, other, (fresh, denied), NOW)) == "allow"  # control: another call is another


@dataclass(frozen=True)
class Mutant:
    """One thing changed from a call that goes through. `lag_us` moves the time."""

    call: Mapping[str, Any] = field(default_factory=dict)
    changed: Mapping[str, Any] = field(default_factory=dict)
    grant: Mapping[str, Any] = field(default_factory=dict)
    needs: tuple[Requirement, ...] = (FINANCE,)
    now: datetime = NOW


def argued(**changed: Json) -> dict[str, bytes]:
    said: dict[str, Json] = {"amount_minor": 4200, "order_id": "ord_1042", "reason": "broken", **changed}
    return {"arguments": canonical_bytes({key: value for key, value in said.items() if value is not None})}


MUTANTS: dict[str, Mutant] = {
    # every field of the digest
    "tenant": Mutant(call={"tenant": "acme2"}),
    "no-tenant": Mutant(call={"tenant": ""}),
    "user": Mutant(call={"user": "bob"}),
    "user-case": Mutant(call={"user": "Ana"}),
    "agent": Mutant(call={"agent": "refunds2"}),
    "user-and-agent-swapped": Mutant(call={"user": "refunds", "agent": "ana"}),
    "release": Mutant(call={"release": "sha256:r2"}),
    "use-case": Mutant(call={"use_case": "complaint"}),
    "task": Mutant(call={"task": "t_2"}),
    "task-and-use-case-swapped": Mutant(call={"task": "refund", "use_case": "t_1"}),
    "operation": Mutant(call={"operation": "refund_all"}),
    "descriptor": Mutant(call={"descriptor": "sha256:d2"}),
    "release-and-descriptor-swapped": Mutant(call={"release": "sha256:d1", "descriptor": "sha256:r1"}),
    "endpoint-host": Mutant(call={"endpoint": {"url": "https://orders.evil.example/mcp"}}),
    "endpoint-port": Mutant(call={"endpoint": {"url": "https://orders.example:444/mcp"}}),
    "endpoint-command": Mutant(call={"endpoint": {"command": ["orders"], "artefacts": []}}),
    "endpoint-more": Mutant(call={"endpoint": {"url": "https://orders.example/mcp", "via": "proxy"}}),
    "endpoint-none": Mutant(call={"endpoint": {}}),
    # edits of the arguments
    "amount-more": Mutant(call=argued(amount_minor=4201)),
    "amount-less": Mutant(call=argued(amount_minor=4199)),
    "amount-negative": Mutant(call=argued(amount_minor=-4200)),
    "amount-as-text": Mutant(call=argued(amount_minor="4200")),
    "amount-fraction": Mutant(call=argued(amount_minor=4200.5)),
    "order": Mutant(call=argued(order_id="ord_1043")),
    "order-case": Mutant(call=argued(order_id="ORD_1042")),
    "order-space": Mutant(call=argued(order_id="ord_1042 ")),
    "order-zero-width": Mutant(call=argued(order_id="ord_\u200b1042")),
    "order-full-width": Mutant(call=argued(order_id="ord_\uff11\uff10\uff14\uff12")),
    "order-in-a-list": Mutant(call=argued(order_id=["ord_1042"])),
    "reason": Mutant(call=argued(reason="broken!")),
    "reason-gone": Mutant(call=argued(reason=None)),
    "an-argument-more": Mutant(call=argued(to="eva@example.org")),
    "an-empty-argument-more": Mutant(call=argued(to="")),
    "no-arguments": Mutant(call={"arguments": b"{}"}),
    "arguments-not-canonical": Mutant(call={"arguments": CALL["arguments"].replace(b",", b", ")}),
    # who said yes
    "by-the-requester": Mutant(grant={"person": "ana"}),
    "by-the-requester-in-capitals": Mutant(grant={"person": "ANA"}),
    "by-the-requester-as-requester": Mutant(grant={"person": "ana", "role": REQUESTER}),
    "by-the-owner": Mutant(grant={"person": "olga"}),
    "by-the-agent": Mutant(grant={"person": "refunds"}),
    "by-nobody": Mutant(grant={"person": ""}),
    "in-another-role": Mutant(grant={"role": "sales"}),
    "in-a-role-in-capitals": Mutant(grant={"role": "Finance"}),
    "in-no-role": Mutant(grant={"role": ""}),
    "as-requester": Mutant(grant={"role": REQUESTER}),
    "for-another-kind": Mutant(grant={"kind": "confirmation"}),
    "by-who-became-owner": Mutant(changed={"owner": "ben"}),
    "by-who-became-requester": Mutant(changed={"user": "ben"}),
    "by-who-became-the-agent": Mutant(changed={"agent": "ben"}),
    "by-the-editor": Mutant(changed={"editors": ("ben",)}),
    "by-the-editor-in-capitals": Mutant(changed={"editors": ("BEN",)}),
    "by-an-editor-before-the-last": Mutant(changed={"editors": ("ben", "gus")}),
    "by-an-editor-long-before-the-last": Mutant(changed={"editors": ("ben", "gus", "eva")}),
    "by-nobody-at-all": Mutant(changed={"grants": ()}),
    # time
    "at-expiry": Mutant(now=OPENED + timedelta(hours=1)),
    "after-expiry": Mutant(now=OPENED + timedelta(hours=1) + TICK),
    "a-year-later": Mutant(now=OPENED + timedelta(days=365)),
    "expires-now": Mutant(changed={"expires_at": NOW}),
    "expired-a-tick-ago": Mutant(changed={"expires_at": NOW - TICK}),
    "before-it-was-opened": Mutant(now=OPENED - TICK),
    "granted-in-the-future": Mutant(grant={"at": NOW + TICK}),
    "granted-before-it-was-opened": Mutant(grant={"at": OPENED - TICK}),
    "opened-in-the-future": Mutant(changed={"opened_at": NOW + TICK}),
    "asked-for-sooner-now": Mutant(needs=(replace(FINANCE, within_s=600),)),
    "no-time-at-all": Mutant(needs=(replace(FINANCE, within_s=0),)),
    # replay and state
    "used": Mutant(changed={"state": State.USED, "call": "c_9"}),
    "denied": Mutant(changed={"state": State.DENIED, "by": "ben"}),
    "void": Mutant(changed={"state": State.VOID, "by": "edited"}),
    "digest-cut": Mutant(changed={"digest": DIGEST[:-1]}),
    "digest-capitals": Mutant(changed={"digest": DIGEST.upper()}),
    "digest-empty": Mutant(changed={"digest": ""}),
    "digest-is-the-binding": Mutant(changed={"digest": BINDING}),
    # what is asked now
    "more-persons-now": Mutant(needs=(replace(FINANCE, quorum=2),)),
    "another-role-now": Mutant(needs=(replace(FINANCE, approvers=("board",)),)),
    "a-further-role-now": Mutant(needs=(replace(FINANCE, approvers=("finance", "board")),)),
    "another-kind-now": Mutant(needs=(replace(FINANCE, kind="provenance"),)),
    "typed-now": Mutant(needs=(replace(FINANCE, typed="ord_1042"),)),
    "apart-now": Mutant(needs=(replace(FINANCE, apart="pay.big"),)),
    "a-second-role-now": Mutant(needs=(FINANCE, SECURITY)),
    "a-review-too": Mutant(needs=(FINANCE, REVIEW)),
    "a-confirmation-too": Mutant(needs=(FINANCE, CONFIRM)),
    "only-a-review": Mutant(needs=(REVIEW,)),
    "nobody-named": Mutant(needs=(replace(FINANCE, approvers=()),)),
    "nothing-asked": Mutant(needs=()),
    # what was asked then
    "asked-for-less-then": Mutant(changed={"requirements": (replace(FINANCE, approvers=("finance", "sales")),)}),
    "asked-for-nothing-then": Mutant(changed={"requirements": ()}),
}


def played(mutant: Mutant) -> Decision:
    grant = replace(YES[0], **mutant.grant)
    given = replace(approval(grants=(grant,)), **mutant.changed)
    call = {**CALL, **mutant.call}
    held = Hold(Reason("approval_required", "held", "wait"), mutant.needs)
    binding = binding_of(call["task"], call["operation"], {"arguments": call["arguments"].decode()})
    return lifted(held, call_digest(**call), binding, (given,), mutant.now)


def test_the_call_that_the_mutants_are_made_from_goes_through() -> None:
    assert played(Mutant()) == Allow((Consume("apr_1"),))
    assert played(Mutant(now=OPENED + timedelta(hours=1) - TICK)) == Allow((Consume("apr_1"),))
    assert played(Mutant(grant={"at": OPENED}, now=OPENED)) == Allow((Consume("apr_1"),))
    assert len(MUTANTS) >= 60


@pytest.mark.requirement("R3.5")
@pytest.mark.parametrize("name", MUTANTS)
def test_no_mutant_is_lifted(name: str) -> None:
    assert not isinstance(played(MUTANTS[name]), Allow)


@pytest.mark.requirement("R3.5")
def test_a_quorum_of_nobody_is_no_quorum() -> None:
    nobody = replace(FINANCE, quorum=0)
    assert missing(approval(nobody)) == (nobody,)
    assert code(lifted(hold(nobody), DIGEST, BINDING, (approval(nobody),), NOW)) == "approval_required"
    assert code(lifted(hold(nobody), DIGEST, BINDING, (approval(nobody, grants=YES),), NOW)) == "allow"  # control


def test_the_grant_of_a_confirmation_does_not_serve_another_word() -> None:
    given = Grant(person="ana", role=REQUESTER, kind="confirmation", at=NOW)
    asked_now = replace(CONFIRM, typed="ord_1043")
    waiting = approval(CONFIRM, grants=(given,))
    assert code(lifted(hold(asked_now), DIGEST, BINDING, (waiting,), NOW)) == "approval_required"
    assert code(lifted(hold(CONFIRM), DIGEST, BINDING, (waiting,), NOW)) == "allow"


# -- digests, times, JSON


def test_the_digest_is_the_same_for_the_same_call_and_another_for_every_part() -> None:
    assert call_digest(**CALL) == DIGEST
    assert DIGEST.startswith("sha256:")
    assert len(DIGEST) == 71
    parts = [call_digest(**{**CALL, name: {} if name == "endpoint" else type(CALL[name])()}) for name in CALL]
    assert len({DIGEST, *parts}) == len(CALL) + 1


def test_parts_cannot_flow_into_each_other() -> None:
    left = call_digest(**{**CALL, "tenant": 'a","user":"b', "user": ""})
    assert left != call_digest(**{**CALL, "tenant": "a", "user": "b"})
    assert binding_of("t", "op", {"x": 1}) == binding_of("t", "op", {"x": 1})
    assert binding_of("t", "op", {"x": 1}) != binding_of("t", "op", {"x": "1"})


def test_the_shortest_time_counts_and_nothing_asked_is_no_time() -> None:
    assert expires_at((FINANCE, CONFIRM), OPENED) == OPENED + timedelta(minutes=15)
    assert expires_at((), OPENED) == OPENED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda _: None,
        lambda value: [value],
        lambda value: {**value, "digest": 5},
        lambda value: {**value, "entry": True},
        lambda value: {**value, "state": "approved"},
        lambda value: {**value, "opened_at": "yesterday"},
        lambda value: {**value, "grants": {}},
        lambda value: {**value, "grants": ["ben"]},
        lambda value: {**value, "editors": "ben"},
        lambda value: {**value, "editors": ["ben", 5]},
        lambda value: {**value, "requirements": [{"kind": "approval", "approvers": [5]}]},
        lambda value: {key: item for key, item in value.items() if key != "binding"},
    ],
)
def test_what_is_not_an_approval_is_not_read_as_one(spoil: Callable[[Any], Any]) -> None:
    with pytest.raises(InputRefusedError, match="approval_invalid"):
        approval_of_json(spoil(approval_json(approval(PAIR, grants=YES))))


def test_an_approval_that_nobody_edited_says_nothing_of_edits() -> None:
    written = approval_json(approval(grants=YES))
    assert not {"edited", "instead_of", "editors"} & written.keys()
    assert approval_of_json(written) == approval(grants=YES)


names = st.text(max_size=12)
times = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone
needs_any = st.builds(
    Requirement,
    kind=st.sampled_from(["approval", "provenance", "confirmation"]),
    approvers=st.lists(st.sampled_from(["finance", "operator", REQUESTER]), max_size=3).map(tuple),
    quorum=st.integers(0, 3),
    within_s=st.integers(0, 90_000),
    typed=names,
    apart=names,
)
grants_any = st.builds(
    Grant,
    person=st.sampled_from(["ben", "eva", "ana", "olga", "refunds", "gus"]),
    role=st.sampled_from(["finance", "operator", "sales", REQUESTER]),
    kind=st.sampled_from(["approval", "provenance", "confirmation"]),
    at=times,
)


@settings(max_examples=80, deadline=None)
@given(
    st.builds(
        approval,
        requirements=st.lists(needs_any, max_size=3).map(tuple),
        grants=st.lists(grants_any, max_size=4).map(tuple),
        state=st.sampled_from(State),
        opened_at=times,
        expires_at=times,
        rationale=names,
        by=names,
        edited=names,
        instead_of=names,
        editors=st.lists(names, max_size=3).map(tuple),
        entry=st.integers(0, 10**12),
        version=st.integers(1, 99),
    )
)
def test_an_approval_comes_back_from_json_as_it_was(written: Approval) -> None:
    assert approval_of_json(read_canonical(canonical_bytes(approval_json(written)))) == written


@pytest.mark.requirement("R3.5")
@settings(max_examples=150, deadline=None)
@given(st.lists(grants_any.map(lambda grant: replace(grant, at=NOW)), max_size=8), needs_any)
def test_no_grants_lift_a_hold_that_asks_for_something_else(given_: list[Grant], other: Requirement) -> None:
    waiting = approval(FINANCE, PAIR, grants=tuple(given_))
    asked = replace(other, approvers=(*other.approvers, "board"))
    for needs in ((asked,), (FINANCE, asked), (PAIR, asked)):
        assert not isinstance(lifted(hold(*needs), DIGEST, BINDING, (waiting,), NOW), Allow)


@pytest.mark.requirement("R3.5")
@settings(max_examples=150, deadline=None)
@given(st.lists(grants_any.map(lambda grant: replace(grant, at=NOW)), max_size=8))
def test_what_is_lifted_has_a_quorum_of_persons_who_count(given_: list[Grant]) -> None:
    waiting = approval(PAIR, grants=tuple(given_))
    persons = {
        grant.person
        for grant in given_
        if grant.kind == "approval" and grant.role == "finance" and grant.person in {"ben", "eva", "gus"}
    }
    opened = isinstance(lifted(hold(PAIR), DIGEST, BINDING, (waiting,), NOW), Allow)
    assert opened == (len(persons) >= 2)
    assert opened == (missing(waiting) == ())
