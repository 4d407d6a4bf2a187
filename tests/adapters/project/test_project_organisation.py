"""Counters, look-ups, directories, data classes and entitlements: what a sound project means, and one mistake each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from tests.adapters.project.sound_project import RULES, good, reviewed

from remit.adapters.project import check_project, compile_snapshot, signed_lists
from remit.catalogue import LookUp, Tier, sign_list
from remit.core import Problem, ProjectInvalidError, Window
from remit.permissions import NOBODY, DataClass, History, Kind

SHOP = "catalogue/shop.yaml"
HISTORY = "organisation/history.yaml"
PAYEES = "organisation/directories/payees.yaml"
STAFF = "organisation/directories/staff.yaml"
CLASSES = "organisation/classes.yaml"
ENTITLED = "organisation/entitlements.yaml"
USERS = "organisation/users.yaml"
SIGNED = "organisation/signatures/payees.directory.dsse.json"

WRITTEN = {
    SHOP: """\
tool: shop
url: https://shop.example.com/mcp
operations:
  get_sale:
    version: "1"
    title: Get a sale
    description: Return a sale.
    effect: read
    results: {"": system_of_record, /lines/*/note: untrusted}
    classes: {/customer/ssn: personal}
    input_schema:
      type: object
      additionalProperties: false
      required: [sale_id]
      properties:
        sale_id: {type: string}
        verbose: {type: boolean}
    output_schema:
      type: object
      properties:
        customer:
          type: object
          properties: {id: {type: string}, ssn: {type: string}, points: {type: [integer, "null"]}}
        paid: {type: number}
        open: {type: boolean}
        delivered_at: {type: string}
        extra: {type: object}
        lines:
          type: array
          items: {type: object, properties: {note: {type: string}, sku: {type: string}}}
  pay_back:
    version: "1"
    title: Pay back
    description: Pay a sale back.
    effect: irreversible
    tier: high
    content: [memo]
    links: [user, directory/staff]
    receivers: [to]
    sources: {to: [user, directory/payees]}
    facts:
      sale:
        read: get_sale
        with: {sale_id: /sale_id}
        max_age_s: 300
        values:
          customer: /customer/id
          points: /customer/points
          paid: /paid
          open: /open
          first: /lines/0/sku
          delivered_days_ago: {at: /delivered_at, as: days_since}
    before: {read: get_sale, with: {sale_id: /sale_id}}
    input_schema:
      type: object
      additionalProperties: false
      required: [sale_id, to, amount_minor, currency]
      properties:
        sale_id: {type: string}
        to: {type: string}
        amount_minor: {type: integer}
        currency: {enum: [EUR, USD]}
        weight: {type: number}
        memo: {type: string}
""",
    HISTORY: """\
history:
  paid_today: {of: [pay_back], sum: amount_minor, per: [user, arguments.currency], in: day}
  looked_up: {of: [get_sale], per: [task, arguments.sale_id], counts: answered}
  calls: {of: [get_sale, pay_back], per: [agent]}
""",
    PAYEES: """\
directory: payees
kind: values
entries:
  - GB33BUKB20201555555555
  - Müller & Söhne
""",
    STAFF: """\
directory: staff
kind: domains
entries: [example.com, xn--mller-kva.example]
""",
    CLASSES: """\
classes:
  personal: {receivers: [user, directory/staff, get_sale/customer/id], reviewers: [privacy]}
""",
    USERS: """\
attributes: {customer_id: text, limit: number}
""",
    ENTITLED: """\
groups:
  refunders:
    users: [ana, "corp:alice"]
    groups: [finance]
  finance:
    users: [fay]
    groups: [audit]
  audit: {users: [ben]}
users:
  ana: {attributes: {customer_id: c-1, limit: 100}}
""",
}

Change = Callable[[dict[str, bytes]], None]


@cache
def key() -> bytes:
    private = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)  # (sam's, of the sound project)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def written() -> dict[str, bytes]:
    return {**good(), **{path: text.encode() for path, text in WRITTEN.items()}}


def with_signatures(project: dict[str, bytes]) -> dict[str, bytes]:
    envelopes = {
        each.signature_file: sign_list(each.kind, each.name, each.body, None, key()) for each in signed_lists(project)
    }
    return {**project, **envelopes}


def edited(path: str, old: str, new: str) -> dict[str, bytes]:
    project = written()
    text = project[path].decode()
    assert old in text, "the mutation must apply"
    return {**project, path: text.replace(old, new, 1).encode()}


def problems(project: Mapping[str, bytes]) -> tuple[Problem, ...]:
    with pytest.raises(ProjectInvalidError) as invalid:
        check_project(project)
    return invalid.value.problems


def warnings(project: Mapping[str, bytes]) -> dict[str, Problem]:
    return {found.code: found for found in check_project(project).warnings}


# --- what a sound project means --------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.4")
def test_look_ups_are_part_of_the_controls() -> None:
    controls = compile_snapshot(written()).descriptors["pay_back"].controls
    sale = controls.facts["sale"]
    assert (sale.operation, sale.arguments, sale.max_age_s) == ("get_sale", {"sale_id": "/sale_id"}, 300)
    assert sale.values["delivered_days_ago"] == ("/delivered_at", "days_since")
    assert sale.values["customer"] == ("/customer/id", "value")
    assert controls.before == LookUp(operation="get_sale", arguments={"sale_id": "/sale_id"})
    assert (controls.tier, controls.stakes) == (Tier.HIGH, Tier.HIGH)


@pytest.mark.requirement("R3.9")
def test_a_flow_says_who_gets_to_know_and_where_links_may_come_from() -> None:
    flows = compile_snapshot(written()).flows
    paying, reading = flows["refunds", "pay_back"], flows["refunds", "get_sale"]
    assert (paying.links, paying.receivers, paying.carries_out) == (
        ("user", "directory/staff"),
        frozenset({"to"}),
        True,
    )
    assert (reading.classes, reading.carries_out) == ((("/customer/ssn", "personal"),), False)
    assert flows["refunds", "send_mail"].links == ("user",)


@pytest.mark.requirement("R3.4")
def test_an_operation_is_told_the_counters_that_concern_it() -> None:
    snapshot = compile_snapshot(written())
    told = {operation: {each.name for each in found} for operation, found in snapshot.histories.items()}
    assert told["pay_back"] == {"paid_today", "looked_up", "calls"}, "it has the sale_id that look-ups count by"
    assert told["get_sale"] == {"looked_up", "calls"}
    assert told["get_order"] == {"calls"}, "what counts by no argument is told to all"
    assert snapshot.histories["pay_back"][-1] == History(
        name="paid_today",
        of=frozenset({"pay_back"}),
        per=("user", "arguments.currency"),
        sum="amount_minor",
        window=Window.DAY,
    )


@pytest.mark.requirement("R3.2")
def test_policies_are_typed_by_tier_counters_facts_and_labels() -> None:
    shape = check_project(written()).shapes["pay_back"]
    assert (shape.effect, shape.tier) == ("irreversible", "high")
    assert shape.history == {"calls": "Long", "looked_up": "Long", "paid_today": "Long"}
    assert shape.history_optional == frozenset()
    assert shape.facts == {
        "sale": {
            "customer": "String",
            "points": "Long",
            "paid": "decimal",
            "open": "Bool",
            "first": "String",
            "delivered_days_ago": "Long",
        }
    }
    assert shape.labelled == ("amount_minor", "currency", "memo", "sale_id", "to", "weight")
    assert check_project(written()).shapes["get_sale"].labelled == ()


@pytest.mark.requirement("R3.4")
def test_a_sum_of_a_number_is_a_decimal_and_one_by_an_argument_that_may_lack_is_optional() -> None:
    project = edited(
        HISTORY, "sum: amount_minor, per: [user, arguments.currency]", "sum: weight, per: [arguments.memo]"
    )
    checked = check_project(project)
    shape = checked.shapes["pay_back"]
    assert (shape.history["paid_today"], shape.history_optional) == ("decimal", frozenset({"paid_today"}))
    found = [each for each in checked.warnings if each.code == "history_uncounted"]
    assert {each.line for each in found} == {2}
    assert {word for each in found for word in ("`memo`", "`weight`") if word in each.message} == {"`memo`", "`weight`"}


@pytest.mark.requirement("R3.2")
def test_policies_may_speak_of_counters_and_facts_and_misspelling_one_is_a_mistake() -> None:
    rule = 'permit(principal, action == Action::"pay_back", resource) when {{ context.history.{} <= 5000 }};\n'
    project = written()
    compile_snapshot({**project, RULES: project[RULES] + rule.format("paid_today").encode()})
    found = problems({**project, RULES: project[RULES] + rule.format("payed_today").encode()})
    assert [each.file for each in found] == [RULES]
    assert "payed_today" in found[0].message


@pytest.mark.requirement("R3.9")
def test_a_list_counts_once_it_is_signed() -> None:
    before, after = compile_snapshot(written()), compile_snapshot(with_signatures(written()))
    assert (before.directories["payees"].entries, before.entitlements) == ({}, NOBODY)
    assert "not signed" in before.directories["payees"].missing
    assert after.directories["payees"].kind is Kind.VALUES
    assert dict(after.directories["payees"].entries) == {"GB33BUKB20201555555555": None, "Müller & Söhne": None}
    assert after.directories["payees"].missing == ""
    assert after.directories["staff"].kind is Kind.DOMAINS


@pytest.mark.requirement("R3.9")
def test_a_list_that_was_changed_after_it_was_signed_counts_for_nothing_again() -> None:
    project = with_signatures(written())
    project[PAYEES] += b"  - GB00EVIL\n"
    found = compile_snapshot(project).directories["payees"]
    assert (found.entries, "changed after it was signed" in found.missing) == ({}, True)
    said = [each for each in check_project(project).warnings if each.code == "list_not_signed"]
    assert [each.file for each in said] == [PAYEES]
    assert "remit lists sign" in said[0].fix


def test_every_list_that_is_not_signed_is_warned_of() -> None:
    said = [each.file for each in check_project(written()).warnings if each.code == "list_not_signed"]
    assert said == [PAYEES, STAFF, ENTITLED]
    assert "list_not_signed" not in warnings(with_signatures(written()))


@pytest.mark.requirement("R3.2")
def test_members_of_a_group_are_in_every_group_above_it() -> None:
    found = compile_snapshot(with_signatures(written())).entitlements
    assert found.groups == {
        "ana": {"refunders"},
        "corp:alice": {"refunders"},
        "fay": {"finance", "refunders"},
        "ben": {"audit", "finance", "refunders"},
    }
    assert found.attributes == {"ana": (("customer_id", "c-1"), ("limit", 100))}


def test_data_classes_say_who_may_know() -> None:
    personal = compile_snapshot(written()).classes["personal"]
    receivers = ("user", "directory/staff", "get_sale/customer/id")
    assert personal == DataClass(name="personal", receivers=receivers, reviewers=("privacy",))


def test_a_sum_in_mixed_currencies_is_warned_of() -> None:
    assert "history_mixed_currency" not in warnings(written())
    project = edited(HISTORY, "[user, arguments.currency]", "[user]")
    assert warnings(project)["history_mixed_currency"].line == 2
    one = project[SHOP].replace(b"{enum: [EUR, USD]}", b"{enum: [EUR]}")
    assert "history_mixed_currency" not in warnings({**project, SHOP: one})


def test_organisation_policies_may_name_every_agents_use_case_and_an_agents_own_only_its() -> None:
    agent = written()["agents/refunds/agent.yaml"].replace(b"agent: refunds", b"agent: other", 1)
    agent = agent.replace(b"  answer:", b"  chat:")
    rule = b'@id("one") forbid(principal, action, resource) when { context.task.use_case == "chat" };\n'
    two = {**written(), "agents/other/agent.yaml": agent}
    compile_snapshot({**two, "organisation/policies/one.cedar": rule})
    compile_snapshot({**two, "agents/other/policies/one.cedar": rule})
    found = problems({**two, "agents/refunds/policies/one.cedar": rule})
    assert "chat" in found[0].message


# --- one mistake at a time -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    code: str
    file: str
    line: int
    old: str
    new: str
    says: str = ""


VALUES = WRITTEN[SHOP][WRITTEN[SHOP].index("        values:") : WRITTEN[SHOP].index("    before:")]
NESTED = "    facts: {other: {read: get_order, with: {order_id: /sale_id}, values: {a: /a}}}\n"
FACT = "        read: get_sale\n        with: {sale_id: /sale_id}"

WRONG = {
    "a tier that is none": Wrong("value_invalid", SHOP, 36, "tier: high", "tier: hihg", "critical"),
    "a link from nowhere": Wrong("source_unknown", SHOP, 38, "links: [user, ", "links: [usr, ", "usr"),
    "links without content": Wrong("links_unused", SHOP, 37, "    content: [memo]\n", ""),
    "a directory that is none": Wrong("directory_unknown", SHOP, 40, "directory/payees", "directory/payes", "`payees`"),
    "no receiver": Wrong("receiver_unknown", SHOP, 39, "receivers: [to]", "receivers: [too]", "`to`"),
    "a data class that is none": Wrong("class_unknown", SHOP, 10, "ssn: personal", "ssn: persnal", "`personal`"),
    "a data class of no field": Wrong("class_unknown_field", SHOP, 10, "/customer/ssn: p", "/customer/sns: p", "`ssn`"),
    "an operation called directory": Wrong("operation_reserved", SHOP, 4, "get_sale:\n", "directory:\n"),
    "a look-up of nothing": Wrong(
        "look_up_unknown_operation", SHOP, 43, FACT, FACT.replace("get_sale", "get_sal"), "`get_sale`"
    ),
    "a look-up that writes": Wrong("look_up_not_a_read", SHOP, 43, FACT, FACT.replace("get_sale", "refund_order")),
    "a look-up that carries data out": Wrong(
        "look_up_not_a_read", SHOP, 44, "effect: read\n", "effect: read\n    carries_data_out: true\n"
    ),
    "a look-up of another argument": Wrong(
        "look_up_unknown_argument", SHOP, 44, FACT, FACT.replace("sale_id:", "sales_id:"), "`sale_id`"
    ),
    "a look-up by another argument": Wrong(
        "look_up_unknown_pointer", SHOP, 44, FACT, FACT.replace("/sale_id", "/sales_id"), "`sale_id`"
    ),
    "a look-up by all arguments": Wrong("look_up_unknown_pointer", SHOP, 44, FACT, FACT.replace("/sale_id", '""')),
    "a look-up without its key": Wrong(
        "look_up_argument_missing", SHOP, 44, FACT, FACT.replace("sale_id: /sale_id", "verbose: /sale_id"), "`sale_id`"
    ),
    "a look-up of a look-up": Wrong(
        "look_up_nested", SHOP, 44, "    effect: read\n", f"    effect: read\n{NESTED}", "`get_sale` has facts"
    ),
    "a fact that is not there": Wrong(
        "fact_unknown_value", SHOP, 47, "customer: /customer/id", "customer: /customer/di", "in its output_schema"
    ),
    "a fact beyond a closed field": Wrong("fact_unknown_value", SHOP, 49, "paid: /paid", "paid: /paid/x"),
    "a fact that is a list": Wrong("fact_untyped", SHOP, 51, "first: /lines/0/sku", "first: /lines"),
    "a fact that is an object": Wrong("fact_untyped", SHOP, 51, "first: /lines/0/sku", "first: /extra"),
    "days since a number": Wrong("fact_untyped", SHOP, 52, "/delivered_at, as", "/paid, as", "no date"),
    "a fact that a stranger wrote": Wrong("fact_untrusted", SHOP, 51, "/lines/0/sku", "/lines/0/note", "`get_sale`"),
    "a fact without values": Wrong("value_invalid", SHOP, 46, VALUES, "        values: {}\n"),
    "a fact without a read": Wrong("key_missing", SHOP, 42, "        read: get_sale\n", "", "`read`"),
    "a counter of nothing": Wrong(
        "history_unknown_operation", HISTORY, 2, "[pay_back], sum", "[pay_bak], sum", "`pay_back`"
    ),
    "a sum of text": Wrong("history_sum_invalid", HISTORY, 2, "sum: amount_minor", "sum: to", "no number"),
    "a sum of no argument": Wrong(
        "history_sum_invalid", HISTORY, 2, "sum: amount_minor", "sum: amount", "`amount_minor`"
    ),
    "a counter by no argument": Wrong(
        "history_per_unknown", HISTORY, 2, "arguments.currency", "arguments.curency", "`currency`"
    ),
    "a counter by nobody": Wrong("history_per_unknown", HISTORY, 3, "per: [task", "per: [taks", "`task`"),
    "a counter in a week": Wrong("value_invalid", HISTORY, 2, "in: day", "in: week"),
    "a counter by nothing": Wrong("value_invalid", HISTORY, 4, "per: [agent]", "per: []"),
    "a counter of what is not": Wrong("value_invalid", HISTORY, 3, "counts: answered", "counts: denied"),
    "a counter with another key": Wrong("key_unknown", HISTORY, 2, "in: day", "inn: day", "`in`"),
    "a directory under another name": Wrong(
        "directory_file_mismatch", PAYEES, 1, "directory: payees", "directory: payes"
    ),
    "a directory of another kind": Wrong("value_invalid", PAYEES, 2, "kind: values", "kind: addresses"),
    "an entry twice": Wrong("entry_duplicate", PAYEES, 5, "Müller & Söhne", "GB33BUKB20201555555555", "line 4"),
    "an entry that is a number": Wrong(
        "value_invalid", PAYEES, 4, "GB33BUKB20201555555555", "20201555555555", "quotes"
    ),
    "an entry with a zero-width space": Wrong("text_unsafe", PAYEES, 4, "GB33BUKB", "GB33\u200bBUKB", "U+200B"),
    "an entry with blanks": Wrong("entry_invalid", PAYEES, 5, "Müller & Söhne", '" Müller"'),
    "no entries": Wrong("directory_empty", STAFF, 3, "[example.com, xn--mller-kva.example]", "[]"),
    "a wildcard": Wrong("entry_invalid", STAFF, 3, "[example.com", '["*.example.com"', "wildcard"),
    "a domain in capitals": Wrong("entry_invalid", STAFF, 3, "[example.com", "[Example.com"),
    "a domain that looks like another": Wrong("entry_invalid", STAFF, 3, "[example.com", "[ex\u0430mple.com"),
    "a top-level domain": Wrong("entry_invalid", STAFF, 3, "[example.com", "[com"),
    "an IP address": Wrong("entry_invalid", STAFF, 3, "[example.com", "[192.0.2.1"),
    "a mail address": Wrong("entry_invalid", STAFF, 3, "[example.com", '["ana@example.com"'),
    "a receiver from nowhere": Wrong("source_unknown", CLASSES, 2, "receivers: [user", "receivers: [usr"),
    "a receiver of no directory": Wrong(
        "directory_unknown", CLASSES, 2, "directory/staff", "directory/staf", "`staff`"
    ),
    "a class that the requester reviews": Wrong("role_reserved", CLASSES, 2, "[privacy]", "[requester]"),
    "a class without reviewers": Wrong("key_missing", CLASSES, 2, ", reviewers: [privacy]", ""),
    "a group that is none": Wrong("group_unknown", ENTITLED, 4, "groups: [finance]", "groups: [finanec]", "`finance`"),
    "a user twice": Wrong("entry_duplicate", ENTITLED, 3, '[ana, "corp:alice"]', "[ana, ana]", "`ana`"),
    "groups in a circle": Wrong(
        "groups_cycle", ENTITLED, 4, "audit: {users: [ben]}", "audit: {groups: [refunders]}", "`refunders` < "
    ),
    "a group in itself": Wrong(
        "groups_cycle", ENTITLED, 8, "audit: {users: [ben]}", "audit: {groups: [audit]}", "`audit` < `audit`"
    ),
    "an attribute of no user": Wrong(
        "attribute_undeclared", ENTITLED, 10, "customer_id: c-1", "customerid: c-1", "`customer_id`"
    ),
    "an attribute of another kind": Wrong("attribute_kind", ENTITLED, 10, "limit: 100", "limit: yes"),
    "an attribute that is the groups": Wrong("attribute_reserved", USERS, 1, "limit: number", "groups: text"),
    "an attribute that is the id": Wrong("attribute_reserved", USERS, 1, "limit: number", "id: text", "`id`"),
}


@pytest.mark.requirement("R3.8")
@pytest.mark.parametrize("name", WRONG)
def test_each_mistake_is_found_where_it_is_with_a_way_to_mend_it(name: str) -> None:
    wrong = WRONG[name]
    found = [each for each in problems(edited(wrong.file, wrong.old, wrong.new)) if each.code == wrong.code]
    assert found, problems(edited(wrong.file, wrong.old, wrong.new))
    assert (found[0].file, found[0].line) == (wrong.file, wrong.line)
    assert wrong.says in found[0].message
    assert found[0].fix


def test_the_project_of_these_tests_has_no_mistake() -> None:
    check_project(written())  # the control of every mistake above


def test_a_directory_may_not_be_called_as_the_entitlements() -> None:
    body = written()[PAYEES].replace(b"directory: payees", b"directory: entitlements")
    project = {**written(), "organisation/directories/entitlements.yaml": body}
    assert [each.code for each in problems(project)] == ["directory_reserved"]


def test_signatures_on_no_list_are_a_mistake() -> None:
    project = with_signatures(written())
    project["organisation/signatures/payes.directory.dsse.json"] = project[SIGNED]
    assert [each.code for each in problems(project)] == ["signature_unknown_list"]


def test_a_file_of_signatures_that_is_none_is_a_mistake() -> None:
    found = problems({**written(), SIGNED: b"{}"})
    assert [(each.code, each.file) for each in found] == [("signatures_invalid", SIGNED)]


def test_groups_nested_too_deep_are_refused_however_many_there_are() -> None:
    lines = "".join(f"  g{n}: {{groups: [g{n + 1}]}}\n" for n in range(900))
    project = {**written(), ENTITLED: f"groups:\n{lines}  g900: {{users: [ana]}}\n".encode()}
    assert [each.code for each in problems(project)] == ["groups_too_deep"]


def test_a_long_circle_of_groups_is_named_shortly() -> None:
    lines = "".join(f"  g{n}: {{groups: [g{(n + 1) % 900}]}}\n" for n in range(900))
    found = problems({**written(), ENTITLED: f"groups:\n{lines}".encode()})
    assert [each.code for each in found] == ["groups_cycle"]
    assert len(found[0].message) < 200


def test_a_user_in_too_many_groups_is_refused() -> None:
    lines = "".join(f"  g{n}: {{users: [ana]}}\n" for n in range(201))
    project = {**written(), ENTITLED: f"groups:\n{lines}".encode()}
    assert [each.code for each in problems(project)] == ["groups_too_many"]


def test_a_directory_has_an_end() -> None:
    lines = "".join(f"  - a{n}\n" for n in range(50_001))
    project = {**written(), PAYEES: f"directory: payees\nkind: values\nentries:\n{lines}".encode()}
    assert "value_invalid" in [each.code for each in problems(project)]


def test_files_that_say_nothing_of_all_this_compile_as_before() -> None:
    snapshot = compile_snapshot(good())
    assert (snapshot.directories, snapshot.classes, snapshot.entitlements) == ({}, {}, NOBODY)
    assert set(snapshot.histories.values()) == {()}
    assert set(reviewed()) <= set(good())
