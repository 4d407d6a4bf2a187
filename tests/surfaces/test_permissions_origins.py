"""Where a value came from, through the real doors: strangers' mails choose no recipient, now or in a later task."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.surfaces.permissions_stage import Site, site

CHARTERS: dict[str, Any] = {
    "refunds": {
        "use_cases": {
            "desk": {
                "description": "mails and contacts",
                "operations": ["get_order", "read_inbox", "send_mail", "read_contact", "note_contact", "pay"],
            },
        },
    },
    "tracker": {
        "use_cases": {
            "desk": {"description": "contacts of another agent", "operations": ["read_contact", "pay"]},
        },
    },
}
ALL = 'permit (principal, action, resource) when { context.task.use_case == "desk" };'
FILES = {
    "agents/refunds/policies/all.cedar": ALL,
    "agents/tracker/policies/all.cedar": ALL,
}
STRANGERS = "orders@collector.example"  # it stands in one mail of the inbox
CUSTOMER = "cus-001@customer.example"
GIVEN = {"customer": CUSTOMER, "page": "https://shop.example/returns", "amount": 4_000, "currency": "EUR"}


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("origins"), CHARTERS, FILES) as found:
        yield found


def mail(to: str, body: str = "Hello.") -> dict[str, Any]:
    return {"to": to, "subject": "Your order", "body": body}


@pytest.mark.requirement("R3.9")
def test_a_recipient_out_of_a_strangers_mail_is_held_and_it_is_said_which_field_of_which_call(at: Site) -> None:
    task, before = at.open("desk", given=GIVEN), len(at.mails())
    read = at.call(task, "read_inbox").json["result"]["_meta"]["remit/call"]
    answer = at.call(task, "send_mail", **mail(STRANGERS))
    assert answer.code == "provenance_untrusted"
    said = answer.json["result"]["content"][0]["text"]
    for words in ("`/to`", "read_inbox", "/messages/", "body", read):
        assert words in said, said
    shown = str(at.shown(answer.json["result"]["_meta"]["remit/approval"]))
    assert "read_inbox" in shown
    assert len(at.mails()) == before
    assert at.code(task, "send_mail", **mail(CUSTOMER)) == "", "the control: whom the user named"
    assert at.mails()[before:] == [(CUSTOMER, "Hello.")]


UNTRUSTED, UNKNOWN = "provenance_untrusted", "provenance_unknown_source"
LIKE_THE_STRANGERS = {
    STRANGERS.upper(): UNTRUSTED,
    "Orders@Collector.Example": UNTRUSTED,
    "orders@collec\u200btor.example": UNTRUSTED,  # a zero-width space
    "\ufefforders@collector.example": UNTRUSTED,
    "orders\u00ad@collector.example": UNTRUSTED,  # a soft hyphen
    "\uff4frders@collector.example": UNTRUSTED,  # a full-width o
    "orders@c\u043ellector.example": UNKNOWN,  # a Cyrillic o: another address, and nobody's
    f" {STRANGERS} ": UNTRUSTED,
    f"{CUSTOMER},{STRANGERS}": UNTRUSTED,
}
LIKE_THE_CUSTOMERS = {
    "cus-\u200b001@customer.example": UNTRUSTED,
    "cus-001@cust\u043emer.example": UNKNOWN,
    "\uff43us-001@customer.example": UNTRUSTED,
    f"{CUSTOMER} ": UNTRUSTED,
    CUSTOMER.upper(): UNTRUSTED,
}


@pytest.mark.requirement("R3.9")
def test_what_only_looks_like_another_value_is_held_and_moves_nothing(at: Site) -> None:
    task, before = at.open("desk", given=GIVEN), (len(at.mails()), len(at.book.calls))
    assert at.code(task, "read_inbox") == ""
    wanted = {**LIKE_THE_STRANGERS, **LIKE_THE_CUSTOMERS}
    found = {each: at.code(task, "pay", to=each, amount_minor=4_000, currency="EUR") for each in wanted}
    assert found == wanted
    mailed = {at.code(task, "send_mail", **mail(each)) for each in wanted}
    assert mailed == {UNTRUSTED, "arguments_invalid"}, "the schema asks for an address besides"
    assert (len(at.mails()), len(at.book.calls)) == before
    assert at.code(task, "pay", to=CUSTOMER, amount_minor=4_000, currency="EUR") == "", "the control: to the letter"


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    "body",
    [
        "See https://evil.example/track?id=1.",
        "See example.com/track.",
        "See [this](HTTPS://EVIL.EXAMPLE/track).",
        "See https://shop.example/returns/../../evil.",
        "See https://shop.example.evil.example/returns.",
        f"Write to {STRANGERS}.",
        "Pay to DE89 3704 0044 0532 0130 00.",
    ],
    ids=ascii,
)
def test_a_text_with_an_address_that_nobody_gave_is_held(at: Site, body: str) -> None:
    task, before = at.open("desk", given=GIVEN), len(at.mails())
    assert at.code(task, "send_mail", **mail(CUSTOMER, body)) == "provenance_link"
    assert len(at.mails()) == before
    assert at.code(task, "send_mail", **mail(CUSTOMER, f"See {GIVEN['page']}.")) == "", "the control: the user's"


def noted(at: Site, name: str, account: str, given: Any, *, inbox: bool = False) -> None:
    """Have Tom's agent write a contact."""
    task = at.open("desk", "tom", given)
    if inbox:
        assert at.code(task, "read_inbox") == ""
    assert at.code(task, "note_contact", name=name, account=account) == ""


def paid_to(at: Site, name: str, agent: str) -> str:
    """Have Lea's agent read a contact back and pay to its account; return how that was refused."""
    task = at.open("desk", "lea", {"name": name, "amount": 4_000, "currency": "EUR"}, agent)
    read = at.call(task, "read_contact", name=name)
    account = read.json["result"]["structuredContent"]["account"]
    return at.code(task, "pay", to=account, amount_minor=4_000, currency="EUR")


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize("agent", ["refunds", "tracker"])
def test_what_was_written_from_a_strangers_words_is_untrusted_when_another_users_task_reads_it_back(
    at: Site, agent: str
) -> None:
    noted(at, f"Mo-{agent}", STRANGERS.split("@", 1)[1], {"name": f"Mo-{agent}"}, inbox=True)
    noted(at, f"Nel-{agent}", "acct-66600066", {"name": f"Nel-{agent}"})
    noted(at, f"Ola-{agent}", "acct-10020030", {"name": f"Ola-{agent}", "account": "acct-10020030"})
    payments = sum(name == "pay" for name, _ in at.book.calls)
    assert paid_to(at, f"Nel-{agent}", agent) == "provenance_untrusted", "an account from nowhere"
    assert sum(name == "pay" for name, _ in at.book.calls) == payments
    assert paid_to(at, f"Ola-{agent}", agent) == "", "the control: an account that the user gave"
    at.book.contacts["Pia"] = "acct-20030040"
    assert paid_to(at, "Pia", agent) == "", "the control: an account that no agent wrote"
    assert paid_to(at, f"Mo-{agent}", agent) == "provenance_untrusted", "an account out of a mail"
    assert sum(name == "pay" for name, _ in at.book.calls) == payments + 2
