"""What a bundle says of reviews, values and limits: compiled from its files, with a warning of what would be denied."""

import pytest
from tests.adapters.project.sound_project import AGENT, LOCK, MAIL, ORDERS, good

from remit.adapters.project import check_project, compile_snapshot, lock_text, served_text
from remit.adapters.project._commands import command_wrong
from remit.adapters.project._review import read_served
from remit.adapters.project._yaml import read_yaml
from remit.catalogue import Descriptor, Effect, Pin, served_digest
from remit.core import Allow, Window
from remit.limits import DEFAULT_CAPS, Cap, Per
from remit.permissions import Label
from remit.pipeline.decide import decide
from remit.testing import Desk, desk_call, desk_sources

MAIL_URL = b"url: http://127.0.0.1:9000/mcp\n"


def changed(path: str, old: bytes, new: bytes) -> dict[str, bytes]:
    project = good()
    assert old in project[path], "the mutation must apply"
    project[path] = project[path].replace(old, new, 1)
    return project


def warned(project: dict[str, bytes]) -> list[tuple[str, str, int]]:
    """Return each warning's code, operation and line."""
    warnings = check_project(project).warnings
    return [(warning.code, warning.message.split("`")[1], warning.line) for warning in warnings]


@pytest.mark.requirement("R4.2", "R4.6")
def test_the_sound_project_is_reviewed_and_pinned_and_nothing_is_warned_of() -> None:
    checked = check_project(good())
    snapshot = checked.snapshot
    assert checked.warnings == ()
    assert {review.missing for review in snapshot.reviews.values()} == {""}
    assert snapshot.reviews["get_order"].signers == (("sam", "security"),)
    assert snapshot.manifests["refunds"] == {
        name: Pin(descriptor.version, descriptor.digest) for name, descriptor in snapshot.descriptors.items()
    }
    assert snapshot.descriptors["refund_order"].served == served_digest({"name": "refundOrder"})


@pytest.mark.requirement("R4.2")
@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        (ORDERS, b"Return an order.", b"Return every order."),
        (ORDERS, b"effect: read", b"effect: execute"),
        (ORDERS, b"/mcp", b"/mcp2"),
        (ORDERS, b"effect: read", b"effect: read\n    results: system_of_record"),
        (ORDERS, b"effect: read", b"effect: read\n    carries_data_out: true"),
        (ORDERS, b"tool: orders", b"tool: orders\nauthor: ana"),
    ],
)
def test_whatever_is_changed_in_a_descriptor_is_unsigned_and_no_longer_what_is_pinned(
    path: str, old: bytes, new: bytes
) -> None:
    found = [(code, operation) for code, operation, _ in warned(changed(path, old, new)) if operation == "get_order"]
    assert found == [("manifest_stale", "get_order"), ("descriptor_unsigned", "get_order")]


@pytest.mark.requirement("R4.6")
def test_what_is_not_in_the_manifest_or_there_as_another_version_is_warned_of_where_it_is_listed() -> None:
    project = good()
    lines = project[LOCK].splitlines(keepends=True)
    project[LOCK] = b"".join(line for line in lines if b"get_order" not in line)
    assert warned(project) == [("manifest_missing", "get_order", 10)]  # once, though two use cases list it
    assert warned(changed(LOCK, b'"1"', b'"2"'))[0][0] == "manifest_stale"
    del project[LOCK]
    assert [code for code, _, _ in warned(project)] == ["manifest_missing"] * 3
    project[LOCK] = b"# nothing is deployed\n"
    assert [code for code, _, _ in warned(project)] == ["manifest_missing"] * 3


@pytest.mark.requirement("R4.5")
def test_what_a_server_showed_is_kept_or_warned_of() -> None:
    project = good()
    project["catalogue/served/orders.json"] = b"{}"
    codes = {(code, operation) for code, operation, _ in warned(project)}
    assert {("served_unpinned", "get_order"), ("served_unpinned", "refund_order")} <= codes
    assert ("served_unpinned", "send_mail") not in codes


@pytest.mark.requirement("R4.2")
def test_without_a_trust_root_every_review_says_so_and_the_digest_is_another() -> None:
    project = good()
    with_trust = compile_snapshot(project)
    del project["trust.json"]
    without = check_project(project)
    assert without.snapshot.digest != with_trust.digest
    assert all("no trust root" in review.missing for review in without.snapshot.reviews.values())
    assert {warning.code for warning in without.warnings} == {"descriptor_unsigned"}
    assert len(without.warnings) == 3


def test_an_operation_that_no_agent_lists_is_not_warned_of() -> None:
    project = changed(AGENT, b"[get_order, send_mail]", b"[get_order]")
    del project["catalogue/signatures/send_mail.dsse.json"]
    del project["catalogue/served/mail.json"]
    assert warned(project) == []


@pytest.mark.requirement("R3.9", "R4.8")
def test_controls_become_flows_for_each_agent() -> None:
    project = changed(
        MAIL,
        b"effect: irreversible\n",
        b"effect: read\n    content: [text]\n    carries_data_out: true\n"
        b'    results: {/messages/*/body: untrusted, "": system_of_record, /a~1b/~0: untrusted}\n',
    )
    project[AGENT] += b"reviewers: [finance, security]\n"
    project[ORDERS] = project[ORDERS].replace(
        b"effect: write\n", b"effect: write\n    sources: {order_id: [user, records, get_order, get_order/id/0]}\n"
    )
    snapshot = compile_snapshot(project)
    mail, refund, look = (snapshot.flows["refunds", name] for name in ("send_mail", "refund_order", "get_order"))
    assert mail.consequential
    assert mail.content == {"text"}
    assert set(mail.labels) == {
        ("", Label.RECORD),
        ("/messages/*/body", Label.UNTRUSTED),
        ("/a~1b/~0", Label.UNTRUSTED),
    }
    assert refund.consequential
    assert refund.sources == {"order_id": ("user", "records", "get_order", "get_order/id/0")}
    assert not look.consequential
    assert (look.content, look.sources, look.labels) == (frozenset(), {}, ())
    assert {flow.reviewers for flow in snapshot.flows.values()} == {("finance", "security")}
    assert compile_snapshot(good()).flows["refunds", "get_order"].reviewers == ("operator",)


@pytest.mark.requirement("R7.4")
def test_an_irreversible_operation_may_name_what_is_typed_to_confirm_it() -> None:
    project = changed(MAIL, b"irreversible\n", b"irreversible\n    confirm: text\n")
    project[MAIL] = project[MAIL].replace(b"      properties:", b"      required: [text]\n      properties:")
    assert compile_snapshot(project).descriptors["send_mail"].controls.confirm == "text"
    assert compile_snapshot(good()).descriptors["send_mail"].controls.confirm == ""


@pytest.mark.requirement("R6.1", "R6.4")
def test_limits_become_caps_and_without_any_the_default_ones_hold() -> None:
    project = good()
    assert compile_snapshot(project).caps["refunds"] == DEFAULT_CAPS
    project[AGENT] += (
        b"limits:\n  writes: {of: [write, execute, irreversible], per: user, in: day, max: 5}\n"
        b"  at_once: {per: agent, max: 4}\n"
    )
    writes = frozenset({"write", "execute", "irreversible"})
    assert compile_snapshot(project).caps["refunds"] == (
        Cap(name="writes", effects=writes, per=Per.USER, window=Window.DAY, max=5),
        Cap(name="at_once", effects=frozenset(Effect), per=Per.AGENT, window=None, max=4),
    )


@pytest.mark.requirement("R4.5")
def test_a_command_and_its_artefacts_are_part_of_what_is_signed() -> None:
    digest = "sha256:" + "0" * 64
    command = f"command: [python3, tools/mail.py, --limit, '5']\nartefacts: {{tools/mail.py: '{digest}'}}\n".encode()
    first = compile_snapshot(changed(MAIL, MAIL_URL, command))
    assert first.tools["mail"].command == ("python3", "tools/mail.py", "--limit", "5")
    assert first.tools["mail"].artefacts == (("tools/mail.py", digest),)
    assert first.tools["mail"].url == ""
    other = compile_snapshot(changed(MAIL, MAIL_URL, command.replace(b"0000", b"0001", 1)))
    assert other.descriptors["send_mail"].digest != first.descriptors["send_mail"].digest


@pytest.mark.parametrize(("operation", "arguments"), [("look", {}), ("pay", {"amount": 1}), ("pay", {"amount": 7})])
def test_the_stand_in_desk_is_reviewed_and_lets_what_it_permits_through(
    operation: str, arguments: dict[str, int]
) -> None:
    found = check_project(desk_sources())
    assert {review.missing for review in found.snapshot.reviews.values()} == {""}
    assert {warning.code for warning in found.warnings} == {
        "bearer_allowed",
        "never_permitted",
    }  # of `wipe`, on purpose
    facts = Desk().live.gather(desk_call(operation, {**arguments}))
    ruling = decide(desk_call(operation, {**arguments}), facts)
    assert isinstance(ruling.decision, Allow), ruling.decision


def test_a_manifest_is_read_back_as_it_was_written_whatever_the_versions_are() -> None:
    descriptors = dict(compile_snapshot(good()).descriptors)
    text = lock_text(descriptors, ["send_mail", "get_order", "unheard_of", "get_order"])
    assert text.startswith("# ")
    value = read_yaml(LOCK, text.encode()).value
    assert isinstance(value, dict)
    assert list(value) == ["get_order", "send_mail"]
    for version in ("1.0", "1e3", "true", '"', "}", "#1", "'"):
        project = good()
        quoted = "'" + version.replace("'", "''") + "'"
        project[MAIL] = project[MAIL].replace(b'version: "1"', f"version: {quoted}".encode())
        found = compile_snapshot(project).descriptors
        project[LOCK] = lock_text(found, found).encode()
        assert compile_snapshot(project).manifests["refunds"]["send_mail"] == pin(found["send_mail"])
        assert found["send_mail"].version == version


def pin(descriptor: Descriptor) -> Pin:
    return Pin(descriptor.version, descriptor.digest)


def test_definitions_are_read_back_as_they_were_listed() -> None:
    text = served_text({"b": {"name": "b", "description": "ü\u202e\n"}, "a": {"x": [1, None, {"y": 0.5}]}})
    assert text.isascii()
    assert text.index('"a"') < text.index('"b"')
    assert read_served(text.encode()) == {
        "a": {"x": [1, None, {"y": 0.5}]},
        "b": {"name": "b", "description": "ü\u202e\n"},
    }


@pytest.mark.parametrize(
    "element",
    ["--token=x", "--api-key", "-password", "API_KEY=x", "--authToken", "Authorization: Bearer x", "X-Api-Key: x",
     "ghp_0123456789abcdef", "https://ana:x@h.example/", "https://h.example/?token=x", "--url=https://h.example/?key=x",
     "postgres://ana:x@h.example/db", "http://[x/"],
)  # fmt: skip
def test_a_command_with_a_credential_is_refused(element: str) -> None:
    wrong = command_wrong(["python3", element])
    assert wrong is not None
    assert (wrong[0], wrong[1][0]) == (1, "tool_command_credentials")


@pytest.mark.parametrize(
    "element",
    ["--key-file", "keys/token.py", "--port=1", "tokenizer", "-m", "https://h.example/mcp", "--monkey=1", "@scope/pkg",
     "--author=ana", "a=b", "--path=/srv/x", "~/x", "..", "--database", "ü"],
)  # fmt: skip
def test_a_command_without_one_is_taken(element: str) -> None:
    assert command_wrong(["python3", element]) is None
