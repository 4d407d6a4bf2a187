"""A sound project, and one mistake in it at a time: each is found, at its line, with a way to mend it."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.project.sound_project import (
    AGENT,
    GOOD,
    LOCK,
    MAIL,
    ORDERS,
    RULES,
    SERVED,
    SHARED,
    SIGNED,
    TRUST,
    good,
)

from remit.adapters.project import check_project, compile_snapshot
from remit.core import Problem, ProjectInvalidError

Change = Callable[[dict[str, bytes]], None]


def edit(path: str, old: str, new: str) -> Change:
    def change(project: dict[str, bytes]) -> None:
        text = project[path].decode()
        assert text.count(old) >= 1, "the mutation must apply"
        project[path] = text.replace(old, new, 1).encode()

    return change


def put(path: str, body: bytes) -> Change:
    def change(project: dict[str, bytes]) -> None:
        project[path] = body

    return change


def drop(path: str) -> Change:
    def change(project: dict[str, bytes]) -> None:
        del project[path]

    return change


def copy(path: str, to: str, *edits: tuple[str, str]) -> Change:
    def change(project: dict[str, bytes]) -> None:
        text = project[path].decode()
        for old, new in edits:
            text = text.replace(old, new, 1)
        project[to] = text.encode()

    return change


def both(first: Change, second: Change) -> Change:
    def change(project: dict[str, bytes]) -> None:
        first(project)
        second(project)

    return change


def control(path: str, line: str, after: str = "effect: ") -> Change:
    """Add `line` to the first operation of `path` whose effect is `after`, below its effect."""

    def change(project: dict[str, bytes]) -> None:
        head, mark, rest = project[path].decode().partition(f"    {after}")
        value, end, tail = rest.partition("\n")
        assert end
        project[path] = f"{head}{mark}{value}\n    {line}\n{tail}".encode()

    return change


def endpoint(line: str, *, keep: bool = False) -> Change:
    """Put `line` in place of the mail server's url, or below it."""
    url = "url: http://127.0.0.1:9000/mcp\n"
    return edit(MAIL, url, f"{url if keep else ''}{line}\n")


def end(path: str, text: str) -> Change:
    def change(project: dict[str, bytes]) -> None:
        project[path] += f"{text}\n".encode()

    return change


@dataclass(frozen=True)
class Broken:
    code: str
    file: str
    line: int
    change: Change
    says: str = ""


OTHER = "catalogue/other.yaml"
EFFECT = "effect: irreversible"

BROKEN = {
    # R1.1: no charter without owner, process and purpose
    "no owner": Broken("charter_incomplete", AGENT, 2, edit(AGENT, "owner: ana\n", ""), "owner"),
    "no process": Broken("charter_incomplete", AGENT, 2, edit(AGENT, "process: returns\n", ""), "process"),
    "no purpose": Broken("charter_incomplete", AGENT, 2, edit(AGENT, "purpose: pay customers back\n", ""), "purpose"),
    "blank owner": Broken("charter_incomplete", AGENT, 3, edit(AGENT, "owner: ana", 'owner: "  "'), "owner"),
    "empty owner": Broken("charter_incomplete", AGENT, 3, edit(AGENT, "owner: ana", "owner:"), "owner"),
    "empty purpose": Broken("charter_incomplete", AGENT, 5, edit(AGENT, "pay customers back", '""'), "purpose"),
    "policies without a charter": Broken("charter_missing", AGENT, 0, drop(AGENT)),
    # R1.2: closed lists of operations that exist
    "no use case": Broken(
        "use_case_missing", AGENT, 6, put(AGENT, GOOD[AGENT].split("  refund:")[0].encode() + b"  {}\n"), "use case"
    ),
    "use cases left out": Broken(
        "use_case_missing", AGENT, 2, put(AGENT, GOOD[AGENT].split("use_cases:")[0].encode()), "use case"
    ),
    "use case without operations": Broken(
        "value_invalid", AGENT, 14, edit(AGENT, "[get_order, send_mail]", "[]"), "at least 1"
    ),
    "use case lists an operation the catalogue lacks": Broken(
        "operation_unknown", AGENT, 11, edit(AGENT, "- refund_order", "- refund_ordr"), "did you mean `refund_order`?"
    ),
    "misspelt key": Broken(
        "key_unknown", AGENT, 9, edit(AGENT, "    operations:", "    opertions:"), "did you mean `operations`?"
    ),
    "misspelt key at the top": Broken("key_unknown", AGENT, 3, edit(AGENT, "owner:", "ownr:"), "did you mean `owner`?"),
    "folder and agent differ": Broken(
        "agent_folder_mismatch", AGENT, 2, edit(AGENT, "agent: refunds", "agent: refund")
    ),
    "agent is not a name": Broken(
        "name_invalid", AGENT, 2, edit(AGENT, "agent: refunds", "agent: Refunds"), "`Refunds`"
    ),
    "use case is not a name": Broken("name_invalid", AGENT, 7, edit(AGENT, "  refund:", "  Re fund:"), "`Re fund`"),
    "agent twice": Broken(
        "agent_duplicate", AGENT, 2, copy(AGENT, "agents/other/agent.yaml"), "agents/other/agent.yaml:2"
    ),
    "not a mapping": Broken("value_invalid", AGENT, 1, put(AGENT, b"- agent"), "expected keys"),
    "empty charter": Broken("value_invalid", AGENT, 1, put(AGENT, b""), "nothing"),
    # R4.1, R4.3: the catalogue
    "operation twice over files": Broken(
        "operation_duplicate",
        OTHER,
        4,
        copy(MAIL, OTHER, ("tool: mail", "tool: other"), ("send_mail:", "get_order:")),
        f"{ORDERS}:5",
    ),
    "tool twice": Broken("tool_duplicate", OTHER, 1, copy(MAIL, OTHER, ("send_mail:", "post:")), f"{MAIL}:1"),
    "operation without effect": Broken("key_missing", MAIL, 4, edit(MAIL, "    effect: irreversible\n", ""), "effect"),
    "effect not reviewed": Broken(
        "effect_unreviewed", MAIL, 8, edit(MAIL, "irreversible", "unreviewed"), "not reviewed"
    ),
    "operation is not a name": Broken("name_invalid", MAIL, 4, edit(MAIL, "send_mail:", "SendMail:"), "`SendMail`"),
    "tool is not a name": Broken("name_invalid", MAIL, 1, edit(MAIL, "tool: mail", "tool: ma/il")),
    "version is a number": Broken("value_invalid", MAIL, 5, edit(MAIL, '"1"', "1.0"), "text in quotes"),
    "no operations": Broken(
        "value_invalid", MAIL, 3, put(MAIL, b"tool: mail\nurl: https://m.example/\noperations: {}\n")
    ),
    "timeout beyond the bound": Broken(
        "value_invalid", ORDERS, 3, edit(ORDERS, "timeout_s: 5", "timeout_s: 301"), "300"
    ),
    "timeout in words": Broken("value_invalid", ORDERS, 3, edit(ORDERS, "timeout_s: 5", "timeout_s: 5s"), "a number"),
    "http beyond loopback": Broken("tool_url_insecure", ORDERS, 2, edit(ORDERS, "https:", "http:"), "http"),
    "http to a look-alike of loopback": Broken(
        "tool_url_insecure", MAIL, 2, edit(MAIL, "127.0.0.1:9000", "127.0.0.1.example.com")
    ),
    "user in the address": Broken("tool_url_credentials", ORDERS, 2, edit(ORDERS, "//orders", "//ana:x@orders")),
    "key in the address": Broken(
        "tool_url_credentials", ORDERS, 2, edit(ORDERS, "/mcp", "/mcp?api_key=abc"), "`api_key`"
    ),
    "address without host": Broken("tool_url_invalid", ORDERS, 2, edit(ORDERS, "//orders.example.com", "")),
    "address of another scheme": Broken("tool_url_invalid", ORDERS, 2, edit(ORDERS, "https:", "ftp:")),
    "text that turns around": Broken(
        "text_unsafe", MAIL, 7, edit(MAIL, "Send a mail to", "Send\u202e a mail to"), "U+202E"
    ),
    "text with nothing to see": Broken(
        "text_unsafe", MAIL, 13, edit(MAIL, "{type: string}", '{type: string, description: "a\\u200bb"}'), "U+200B"
    ),
    "title too long": Broken("text_too_long", MAIL, 6, edit(MAIL, "Send a mail", "x" * 121), "121"),
    "description too long": Broken("text_too_long", MAIL, 7, edit(MAIL, "Send a mail to", "x" * 8_001)),
    "open schema": Broken("schema_open", MAIL, 9, edit(MAIL, "      additionalProperties: false\n", "")),
    "open schema by a capital letter": Broken(
        "schema_open", MAIL, 9, edit(MAIL, "Properties: false", "Properties: False")
    ),
    "schema of no object": Broken("schema_not_object", MAIL, 9, edit(MAIL, "type: object", "type: array")),
    "schema that leads out": Broken(
        "schema_remote", MAIL, 13, edit(MAIL, "{type: string}", '{$ref: "https://x.example/s.json"}')
    ),
    "schema of another dialect": Broken(
        "schema_dialect",
        MAIL,
        10,
        edit(
            MAIL, "      type: object", '      $schema: "http://json-schema.org/draft-07/schema#"\n      type: object'
        ),
    ),
    "pattern with look-around": Broken("schema_pattern", ORDERS, 15, edit(ORDERS, "^[A-Z0-9]+$", "(?=x)y")),
    "pattern with a back-reference": Broken("schema_pattern", ORDERS, 15, edit(ORDERS, "^[A-Z0-9]+$", "(a)\\\\1")),
    "format that nobody checks": Broken(
        "schema_format", MAIL, 13, edit(MAIL, "{type: string}", "{type: string, format: colour}"), "colour"
    ),
    "schema that is none": Broken("schema_invalid", MAIL, 13, edit(MAIL, "{type: string}", "{type: text}")),
    "result schema that is none": Broken(
        "schema_not_object", ORDERS, 29, edit(ORDERS, "output_schema: {type: object}", "output_schema: {type: array}")
    ),
    # R3.9, R7.4: controls
    "confirm of no argument": Broken("confirm_invalid", MAIL, 9, control(MAIL, "confirm: txt"), "did you mean `text`?"),
    "confirm of an optional argument": Broken(
        "confirm_invalid", MAIL, 9, control(MAIL, "confirm: text"), "no required argument"
    ),
    "confirm of a number": Broken(
        "confirm_invalid",
        ORDERS,
        22,
        both(control(ORDERS, "confirm: amount_minor", "effect: write"), edit(ORDERS, "effect: write", EFFECT)),
        "not of type string",
    ),
    "confirm of what nobody confirms": Broken(
        "confirm_invalid", ORDERS, 10, control(ORDERS, "confirm: order_id"), "nobody would ever be asked"
    ),
    "content of no argument": Broken(
        "content_unknown", MAIL, 9, control(MAIL, "content: [txt]"), "did you mean `text`?"
    ),
    "sources of no argument": Broken("source_unknown", MAIL, 9, control(MAIL, "sources: {txt: [user]}"), "`text`"),
    "source of no operation": Broken(
        "source_unknown", MAIL, 9, control(MAIL, "sources: {text: [user, get_ordr/id]}"), "did you mean `get_order`?"
    ),
    "source of no pointer": Broken(
        "source_unknown", MAIL, 9, control(MAIL, "sources: {text: [get_order/a~b]}"), "JSON pointer"
    ),
    "sources of content": Broken(
        "source_unused", MAIL, 10, control(MAIL, "content: [text]\n    sources: {text: [user]}"), "anywhere"
    ),
    "sources of none": Broken("value_invalid", MAIL, 9, control(MAIL, "sources: {text: []}"), "at least 1"),
    "label of another kind": Broken("label_unknown", MAIL, 9, control(MAIL, "results: trusted"), "system_of_record"),
    "label of a field of another kind": Broken(
        "label_unknown", MAIL, 9, control(MAIL, "results: {/a: user}"), "system_of_record"
    ),
    "label of no pointer": Broken(
        "value_invalid", MAIL, 9, control(MAIL, "results: {a: untrusted}"), "text that matches"
    ),
    "labels without any": Broken("value_invalid", MAIL, 9, control(MAIL, "results: {}"), "at least 1"),
    "controls misspelt": Broken("key_unknown", MAIL, 9, control(MAIL, "contents: [text]"), "did you mean `content`?"),
    # the tool's place
    "neither url nor command": Broken(
        "tool_endpoint_unclear", MAIL, 1, edit(MAIL, "url: http://127.0.0.1:9000/mcp\n", ""), "neither"
    ),
    "both url and command": Broken("tool_endpoint_unclear", MAIL, 3, endpoint("command: [mail]", keep=True), "both"),
    "artefacts of a url": Broken(
        "artefacts_unused", MAIL, 3, endpoint(f"artefacts: {{mail.py: 'sha256:{'0' * 64}'}}", keep=True), "compared"
    ),
    "artefact without a digest": Broken(
        "value_invalid", MAIL, 3, endpoint("command: [mail]\nartefacts: {mail.py: latest}"), "sha256"
    ),
    "command of nothing": Broken("value_invalid", MAIL, 2, endpoint("command: []"), "at least 1"),
    "command with an empty argument": Broken(
        "tool_command_invalid", MAIL, 2, endpoint('command: [mail, ""]'), "empty argument"
    ),
    "command with a key": Broken(
        "tool_command_credentials", MAIL, 2, endpoint("command: [mail, --api-key, x]"), "credential"
    ),
    "author is not a name": Broken("name_invalid", MAIL, 3, endpoint("author: Ana B", keep=True), "`Ana B`"),
    # R6.4: limits, and who reviews
    "limits without any": Broken("value_invalid", AGENT, 15, end(AGENT, "limits: {}"), "at least 1"),
    "limit of another effect": Broken(
        "value_invalid", AGENT, 15, end(AGENT, "limits: {a: {of: [delete], per: user, max: 1}}"), "irreversible"
    ),
    "limit of no effect": Broken(
        "value_invalid", AGENT, 15, end(AGENT, "limits: {a: {of: [], per: user, max: 1}}"), "at least 1"
    ),
    "limit per another thing": Broken(
        "value_invalid", AGENT, 15, end(AGENT, "limits: {a: {per: team, max: 1}}"), "agent"
    ),
    "limit in another time": Broken(
        "value_invalid", AGENT, 15, end(AGENT, "limits: {a: {per: user, in: week, max: 1}}"), "day"
    ),
    "limit without a number": Broken("key_missing", AGENT, 15, end(AGENT, "limits: {a: {per: user}}"), "max"),
    "limit below nothing": Broken(
        "value_invalid", AGENT, 15, end(AGENT, "limits: {a: {per: user, max: -1}}"), "at least 0"
    ),
    "limit misspelt": Broken(
        "key_unknown", AGENT, 15, end(AGENT, "limits: {a: {per: user, inn: day, max: 1}}"), "did you mean `in`?"
    ),
    "no reviewers": Broken("value_invalid", AGENT, 15, end(AGENT, "reviewers: []"), "at least 1"),
    "the requester as reviewer": Broken(
        "role_reserved", AGENT, 15, end(AGENT, "reviewers: [finance, requester]"), "reserved"
    ),
    # R4.2, R4.5, R4.6: what reviews and deployments leave
    "manifest of an unknown operation": Broken(
        "manifest_unknown_operation", LOCK, 2, edit(LOCK, "get_order", "get_ordr"), "did you mean `get_order`?"
    ),
    "manifest without a digest": Broken("value_invalid", LOCK, 2, edit(LOCK, "sha256:", "md5:"), "sha256"),
    "manifest without a version": Broken("key_missing", LOCK, 2, edit(LOCK, 'version: "1", ', ""), "version"),
    "manifest of a list": Broken("value_invalid", LOCK, 1, put(LOCK, b"- get_order\n"), "a list of 1"),
    "manifest of two lines for one": Broken("duplicate_key", LOCK, 3, edit(LOCK, "refund_order", "get_order")),
    "manifest without a charter": Broken(
        "charter_missing", "agents/other/agent.yaml", 0, copy(LOCK, "agents/other/tools.lock"), "a manifest"
    ),
    "definitions of an unknown tool": Broken(
        "served_unknown_tool", "catalogue/served/order.json", 0, copy(SERVED, "catalogue/served/order.json"), "`orders`"
    ),
    "definitions that are none": Broken("served_invalid", SERVED, 0, put(SERVED, b'{"get_order": []}'), "definition"),
    "definitions twice": Broken("served_invalid", SERVED, 0, put(SERVED, b'{"a": {}, "a": {}}'), "twice"),
    "definitions of a list": Broken("served_invalid", SERVED, 0, put(SERVED, b"[]"), "one object"),
    "signatures of an unknown operation": Broken(
        "signature_unknown_operation",
        "catalogue/signatures/get_ordr.dsse.json",
        0,
        copy(SIGNED, "catalogue/signatures/get_ordr.dsse.json"),
        "did you mean `get_order`?",
    ),
    "signatures that are no JSON": Broken("signatures_invalid", SIGNED, 0, put(SIGNED, b"signed, sam")),
    "signatures that are no envelopes": Broken("signatures_invalid", SIGNED, 0, put(SIGNED, b'{"interface": {}}')),
    "trust root that is none": Broken("trust_invalid", TRUST, 0, put(TRUST, b'{"version": 1}')),
    # YAML on which readers could disagree
    "key twice": Broken("duplicate_key", AGENT, 4, edit(AGENT, "process:", "owner: tom\nprocess:"), "`owner`"),
    "anchor": Broken("yaml_unsupported", AGENT, 3, edit(AGENT, "owner: ana", "owner: &a ana"), "&a"),
    "alias": Broken("yaml_unsupported", AGENT, 3, edit(AGENT, "owner: ana", "owner: *a"), "*a"),
    "merge key": Broken("yaml_unsupported", AGENT, 3, edit(AGENT, "owner: ana", "<<: {owner: ana}"), "<<"),
    "tag": Broken("yaml_unsupported", AGENT, 3, edit(AGENT, "owner: ana", "owner: !!python/name:os.system ana")),
    "two documents": Broken("yaml_unsupported", AGENT, 15, put(AGENT, GOOD[AGENT].encode() + b"---\na: 1\n")),
    "directive": Broken("yaml_unsupported", AGENT, 1, put(AGENT, b"%YAML 1.1\n---\n" + GOOD[AGENT].encode())),
    "key that is a number": Broken("key_not_text", AGENT, 7, edit(AGENT, "  refund:", "  7:"), "`7`"),
    "key that is a list": Broken("key_not_text", AGENT, 7, edit(AGENT, "  refund:", "  [a]:")),
    "number beyond doubt": Broken(
        "number_invalid", ORDERS, 3, edit(ORDERS, "timeout_s: 5", "timeout_s: 9007199254740993")
    ),
    "too deep": Broken("too_deep", AGENT, 3, edit(AGENT, "owner: ana", "owner: " + "[" * 40 + "]" * 40)),
    "too long": Broken("file_too_large", AGENT, 0, put(AGENT, b"#" * (1 << 20) + b"\n")),
    "bad indentation": Broken("yaml_invalid", AGENT, 4, edit(AGENT, "process:", "   process:")),
    "not UTF-8": Broken("encoding_invalid", AGENT, 2, put(AGENT, b"# x\nowner: \xff\n")),
    "half a character": Broken("encoding_invalid", AGENT, 3, edit(AGENT, "owner: ana", 'owner: "\\ud800"')),
    "control character": Broken("yaml_invalid", AGENT, 3, edit(AGENT, "owner: ana", "owner: a\x00na")),
    # policies
    "policy that does not parse": Broken("policy_syntax", RULES, 3, edit(RULES, "refund_order", 'refund_order""'), ""),
    "policy of an unknown operation": Broken("policy_unknown_action", RULES, 1, edit(RULES, "send_mail", "send_male")),
    "shared policy of an unknown argument": Broken(
        "policy_unknown_attribute", SHARED, 3, edit(SHARED, "amount_minor", "amount")
    ),
    "policy that is not UTF-8": Broken("encoding_invalid", RULES, 1, put(RULES, b"// \xff\n")),
    "policy where none is read": Broken("file_misplaced", "policies/x.cedar", 0, put("policies/x.cedar", b"")),
}


@pytest.mark.requirement("R1.1", "R1.2", "R4.1", "R4.3")
@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN.keys())
def test_one_mistake_is_found_at_its_line_with_a_fix(broken: Broken) -> None:
    project = good()
    broken.change(project)
    with pytest.raises(ProjectInvalidError) as caught:
        check_project(project)
    problems = caught.value.problems
    found = [problem for problem in problems if (problem.code, problem.file) == (broken.code, broken.file)]
    assert found, f"{broken.code} not among {[str(problem) for problem in problems]}"
    assert found[0].line == broken.line, [str(problem) for problem in problems]
    assert broken.says in found[0].message
    for problem in problems:
        assert problem.message
        assert problem.fix
        assert "\n" not in problem.message
        assert not problem.message.endswith(".")


def test_the_sound_project_has_no_problem_and_no_warning() -> None:
    checked = check_project(good())
    assert checked.warnings == ()
    snapshot = checked.snapshot
    assert set(snapshot.descriptors) == {"get_order", "refund_order", "send_mail"} == set(snapshot.checks)
    assert snapshot.descriptors["refund_order"].upstream_name == "refundOrder"
    assert snapshot.descriptors["get_order"].upstream_name == "get_order"
    assert snapshot.tools["orders"].timeout_s == 5
    assert snapshot.tools["mail"].response_bytes_max == 1 << 20
    assert set(snapshot.shards) == {("refunds", name) for name in snapshot.descriptors}
    assert snapshot.charters["refunds"].use_cases["answer"].operations == {"get_order", "send_mail"}


@pytest.mark.requirement("R1.2")
def test_every_mistake_is_said_at_once_in_the_order_of_files_and_lines() -> None:
    project = good()
    for name in ("no owner", "misspelt key", "http beyond loopback", "open schema"):
        BROKEN[name].change(project)
    with pytest.raises(ProjectInvalidError) as caught:
        check_project(project)
    found = [(problem.file, problem.line) for problem in caught.value.problems]
    assert found == sorted(found)
    codes = {problem.code for problem in caught.value.problems}
    assert {"charter_incomplete", "key_unknown", "tool_url_insecure", "schema_open"} <= codes


def test_the_same_files_give_the_same_digest_and_any_change_another() -> None:
    first = compile_snapshot(good()).digest
    assert first == compile_snapshot(dict(reversed(good().items()))).digest
    assert first.startswith("sha256:")
    others = set()
    for path in GOOD:
        changed = good()
        changed[path] += b"\n"
        others.add(compile_snapshot(changed).digest)
    moved = good()
    moved["agents/refunds/policies/moved.cedar"] = moved.pop(RULES)
    others.add(compile_snapshot(moved).digest)
    assert len(others) == len(GOOD) + 1
    assert first not in others


def test_an_operation_that_no_policy_can_permit_is_a_warning() -> None:
    project = good()
    edit(RULES, ', Action::"send_mail"', "")(project)
    (warning,) = check_project(project).warnings
    assert (warning.code, warning.file, warning.line) == ("never_permitted", AGENT, 14)
    assert "send_mail" in warning.message


def test_a_broken_catalogue_is_not_echoed_as_broken_policies() -> None:
    project = good()
    edit(ORDERS, "amount_minor: {type: integer, minimum: 1}", "amount_minor: {type: text}")(project)
    with pytest.raises(ProjectInvalidError) as caught:
        check_project(project)
    assert {problem.file for problem in caught.value.problems} == {ORDERS}


def test_a_mistake_in_a_shared_policy_is_said_once() -> None:
    project = good()
    copy(AGENT, "agents/other/agent.yaml", ("agent: refunds", "agent: other"))(project)
    edit(SHARED, "amount_minor", "amount")(project)
    with pytest.raises(ProjectInvalidError) as caught:
        check_project(project)
    assert [problem.file for problem in caught.value.problems] == [SHARED]


def test_shared_policies_bind_every_agent() -> None:
    project = good()
    project[RULES] = b""
    project[SHARED] += b'permit(principal, action == Action::"get_order", resource);'
    warnings = check_project(project).warnings
    assert {warning.code for warning in warnings} == {"never_permitted"}
    listed = {warning.message.split("`")[1] for warning in warnings}
    assert listed == {"refund_order", "send_mail"}


_PIECES = st.sampled_from(
    [b"a: ", b"\n", b"  ", b"- ", b"{", b"}", b"[", b"]", b'"', b"'", b"|", b">", b"#", b"&x ", b"*x", b"!!str ", b"%",
     b"---", b"\\U00110000", b"\\ud800", b"\xff", b"\x00", b"1e999", b"null", b"operations:", b"type: object",
     b"$ref: '#'", b"pattern: '('", b"\t", b"? ", b": ", b"<<: ", "\u202e".encode(), b"permit(", b");", b'@id("a")']
)  # fmt: skip
_NOISE = st.one_of(st.binary(max_size=60), st.lists(_PIECES, max_size=25).map(b"".join))


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(sorted(GOOD)), noise=_NOISE, at=st.floats(0, 1), replace=st.booleans())
def test_any_bytes_in_a_file_compile_or_are_a_problem_and_nothing_else(
    path: str, noise: bytes, at: float, *, replace: bool
) -> None:
    project = good()
    body = project[path]
    cut = int(at * len(body))
    project[path] = noise if replace else body[:cut] + noise + body[cut:]
    problems: tuple[Problem, ...] = ()
    try:
        snapshot = compile_snapshot(project)
    except ProjectInvalidError as error:
        problems = error.problems
    else:
        assert snapshot.sources[path] == project[path]
        return
    assert problems
    assert all(problem.fix and problem.message and problem.file for problem in problems)
