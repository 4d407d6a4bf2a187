"""What the project's files say of identity: how agents prove themselves, what users are, what tools know us by."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.adapters.project.sound_project import AGENT, GOOD, ORDERS, RULES, good

from remit.adapters.project import Checked, bundles_missing, check_project, read_settings, unmatched
from remit.catalogue import Exchanged, Minted, Secret, ToolCredential
from remit.core import Allow, Problem, ProjectInvalidError
from remit.identity import RegisteredClient, Registration
from remit.permissions import Question

USERS = "organisation/users.yaml"
OTHER = "agents/tracker/agent.yaml"
URL = "url: https://orders.example.com/mcp\n"
TRACKER = GOOD[AGENT].replace("agent: refunds", "agent: tracker")


def checked(changes: Mapping[str, str]) -> Checked:
    return check_project({**good(), **{path: text.encode() for path, text in changes.items()}})


def problems(changes: Mapping[str, str]) -> tuple[Problem, ...]:
    with pytest.raises(ProjectInvalidError) as caught:
        checked(changes)
    return caught.value.problems


def line_of(text: str, words: str) -> int:
    return next(number for number, line in enumerate(text.split("\n"), start=1) if words in line)


# --- agents -----------------------------------------------------------------------------------------------------------


def test_an_agent_that_says_nothing_of_identity_is_registered_with_everything_off() -> None:
    found = checked({})
    assert found.snapshot.registrations == {"refunds": Registration()}
    assert "bearer_allowed" not in {warning.code for warning in found.warnings}


IDENTITY = """\
identity:
  bearer: true
  delegates_to: [tracker]
  spiffe: ["spiffe://example.org/ns/shop/refunds", "spiffe://example.org/refunds"]
  clients:
    - {issuer: corp, client_id: desk-app, use_case: answer}
    - {issuer: corp, client_id: "https://desk.example.org/client.json", use_case: refund}
"""


def test_what_an_agent_says_of_its_identity_is_its_registration() -> None:
    found = checked({AGENT: GOOD[AGENT] + IDENTITY, OTHER: TRACKER})
    assert found.snapshot.registrations["refunds"] == Registration(
        bearer=True,
        delegates_to=frozenset({"tracker"}),
        spiffe=frozenset({"spiffe://example.org/ns/shop/refunds", "spiffe://example.org/refunds"}),
        clients=(
            RegisteredClient(issuer="corp", client_id="desk-app", use_case="answer"),
            RegisteredClient(issuer="corp", client_id="https://desk.example.org/client.json", use_case="refund"),
        ),
    )
    assert found.snapshot.registrations["tracker"] == Registration()


@pytest.mark.requirement("R2.6")
def test_an_agent_whose_tokens_anyone_may_bear_is_a_warning_at_its_line() -> None:
    found = checked({AGENT: GOOD[AGENT] + IDENTITY, OTHER: TRACKER})
    (warning,) = (each for each in found.warnings if each.code == "bearer_allowed")
    assert (warning.file, warning.line) == (AGENT, line_of(GOOD[AGENT] + IDENTITY, "bearer: true"))
    assert "remit agents register refunds" in warning.fix


def identity(part: str) -> dict[str, str]:
    return {AGENT: f"{GOOD[AGENT]}identity:\n  {part}\n", OTHER: TRACKER}


@pytest.mark.parametrize(
    ("part", "code", "says"),
    [
        ("delegates_to: [refunds]", "delegate_itself", "`refunds`"),
        ("delegates_to: [trackr]", "delegate_unknown", "did you mean `tracker`?"),
        ("delegates_to: [Tracker]", "name_invalid", "`Tracker`"),
        ("bearer: yes", "value_invalid", "identity.bearer"),
        ("barer: true", "key_unknown", "did you mean `bearer`?"),
        ("clients: [{issuer: corp, client_id: x, use_case: answr}]", "client_use_case_unknown", "`answer`?"),
        ("clients: [{issuer: corp, client_id: x}]", "key_missing", "`use_case`"),
        ("clients: [{issuer: corp, client: x, use_case: answer}]", "key_unknown", "did you mean `client_id`?"),
        ("clients: [{issuer: corp, client_id: 'a b', use_case: answer}]", "value_invalid", "client_id"),
        ("clients: [{issuer: Corp, client_id: x, use_case: answer}]", "name_invalid", "`Corp`"),
        ("spiffe: ['https://example.org/refunds']", "spiffe_id_invalid", "spiffe://"),
        ("spiffe: ['spiffe://example.org']", "spiffe_id_invalid", "no workload"),
        ("spiffe: ['spiffe://example.org/']", "spiffe_id_invalid", "empty"),
        ("spiffe: ['spiffe://example.org/a/']", "spiffe_id_invalid", "empty"),
        ("spiffe: ['spiffe://example.org//a']", "spiffe_id_invalid", "empty"),
        ("spiffe: ['spiffe://example.org/a/../b']", "spiffe_id_invalid", "`..`"),
        ("spiffe: ['spiffe://example.org/./b']", "spiffe_id_invalid", "`.`"),
        ("spiffe: ['spiffe://Example.org/a']", "spiffe_id_invalid", "trust domain"),
        ("spiffe: ['spiffe://example.org:443/a']", "spiffe_id_invalid", "port"),
        ("spiffe: ['spiffe://ana@example.org/a']", "spiffe_id_invalid", "trust domain"),
        ("spiffe: ['spiffe:///a']", "spiffe_id_invalid", "trust domain"),
        ("spiffe: ['spiffe://example.org/a?b']", "spiffe_id_invalid", "letters"),
        ("spiffe: ['spiffe://example.org/a#b']", "spiffe_id_invalid", "letters"),
        ("spiffe: ['spiffe://example.org/a%20b']", "spiffe_id_invalid", "letters"),
        ("spiffe: ['SPIFFE://example.org/a']", "spiffe_id_invalid", "spiffe://"),
        ("spiffe: ['spiffe://example.org/a', 'spiffe://example.org/a']", "spiffe_duplicate", f"{AGENT}:16"),
    ],
)
def test_a_mistake_about_an_agents_identity_is_said_at_its_line(part: str, code: str, says: str) -> None:
    changes = identity(part)
    found = [problem for problem in problems(changes) if problem.code == code]
    assert found, problems(changes)
    assert (found[0].file, found[0].line) == (AGENT, line_of(changes[AGENT], part))
    assert says in found[0].message
    assert found[0].fix


@pytest.mark.parametrize(
    ("part", "code"),
    [
        ("spiffe: ['spiffe://example.org/a']", "spiffe_duplicate"),
        ("clients: [{issuer: corp, client_id: x, use_case: answer}]", "client_duplicate"),
    ],
)
def test_two_agents_never_prove_themselves_by_the_same_thing(part: str, code: str) -> None:
    mine, its = identity(part)[AGENT], f"{TRACKER}identity:\n  {part}\n"
    (problem,) = problems({AGENT: mine, OTHER: its})
    assert (problem.code, problem.file, f"{AGENT}:16" in problem.message) == (code, OTHER, True)
    other = its.replace("example.org", "example.com").replace("issuer: corp", "issuer: partner")
    assert set(checked({AGENT: mine, OTHER: other}).snapshot.registrations) == {"refunds", "tracker"}


_PIECES = st.sampled_from(
    [b"a: ", b"\n", b"  ", b"- ", b"{", b"}", b"[", b"]", b"'", b"|", b"#", b"\xff", b"\x00", b"null", b"true", b"1.5",
     b"identity:", b"clients:", b"spiffe://", b"secret:", b"minted", b"attributes:", b"groups", b"text", b": "]
)  # fmt: skip
_NOISE = st.one_of(st.binary(max_size=40), st.lists(_PIECES, max_size=15).map(b"".join))


@settings(max_examples=80, deadline=None)
@given(path=st.sampled_from([AGENT, USERS, ORDERS]), noise=_NOISE, at=st.floats(0, 1), cut=st.integers(0, 12))
def test_any_bytes_compile_or_are_a_problem_with_a_fix(path: str, noise: bytes, at: float, cut: int) -> None:
    project = {**good(), AGENT: (GOOD[AGENT] + IDENTITY).encode(), OTHER: TRACKER.encode(), USERS: DECLARED.encode()}
    project[ORDERS] = credential("{secret: env:ORDERS_KEY, header: x-api-key}")[ORDERS].encode()
    body = project[path]
    start = int(at * len(body))
    project[path] = body[:start] + noise + body[start + cut :]
    try:
        check_project(project)
    except ProjectInvalidError as error:
        found = error.problems
    else:
        return
    assert found
    assert all(problem.fix and problem.message and problem.file for problem in found)


# --- users ------------------------------------------------------------------------------------------------------------

CLERKS = """\
permit(principal, action == Action::"refund_order", resource)
when { context.user.groups.contains("refund-clerks") };
permit(principal, action == Action::"get_order", resource)
when { context.user has department && context.user.department == "returns" };
permit(principal, action == Action::"send_mail", resource);
"""
DECLARED = "attributes: {department: text, clearance: number, contractor: yes_no}\n"


def allowed(found: Checked, operation: str, groups: tuple[str, ...], department: str) -> bool:
    asked = Question(
        user="corp:tom",
        agent="refunds",
        use_case="refund",
        operation=operation,
        tool="orders",
        arguments={"order_id": "A1"} | ({"amount_minor": 1} if operation == "refund_order" else {}),
        groups=groups,
        attributes=(("department", department),),
    )
    return isinstance(found.snapshot.shards["refunds", operation].decide(asked), Allow)


@pytest.mark.requirement("R2.5", "R3.2")
def test_policies_see_what_is_declared_of_users() -> None:
    found = checked({RULES: CLERKS, USERS: DECLARED})
    assert allowed(found, "refund_order", ("refund-clerks",), "sales")
    assert not allowed(found, "refund_order", ("staff",), "returns")
    assert allowed(found, "get_order", (), "returns")
    assert not allowed(found, "get_order", (), "sales")


def test_an_attribute_that_is_not_declared_is_a_problem_of_the_policy_that_names_where_to_declare_it() -> None:
    (problem, *_) = problems({RULES: CLERKS})
    assert (problem.file, problem.line, problem.code) == (RULES, 4, "policy_unknown_attribute")
    assert USERS in problem.fix


def test_the_declaration_is_part_of_the_bundle() -> None:
    assert checked({USERS: DECLARED}).snapshot.digest != checked({}).snapshot.digest


@pytest.mark.parametrize("text", ["attributes: {}\n", "{}\n"])
def test_a_declaration_of_nothing_is_none(text: str) -> None:
    assert checked({USERS: text}).snapshot.shards.keys() == checked({}).snapshot.shards.keys()


@pytest.mark.parametrize(
    ("text", "code", "line", "says"),
    [
        ("attributes:\n  department: string\n", "value_invalid", 2, "'text', 'number' or 'yes_no'"),
        ("attributes:\n  groups: text\n", "attribute_reserved", 2, "`groups`"),
        ("attributes:\n  Dept: text\n", "name_invalid", 2, "`Dept`"),
        ("attribute:\n  dept: text\n", "key_unknown", 1, "did you mean `attributes`?"),
        ("attributes:\n  - dept\n", "value_invalid", 1, "`key: value` lines"),
        ("- dept\n", "value_invalid", 1, "`attributes:`"),
        ("attributes: [\n", "yaml_invalid", 2, ""),
    ],
)
def test_a_mistake_about_users_is_said_at_its_line_and_not_echoed_by_policies(
    text: str, code: str, line: int, says: str
) -> None:
    found = problems({RULES: CLERKS, USERS: text})
    assert [(problem.code, problem.file, problem.line) for problem in found] == [(code, USERS, line)]
    assert says in found[0].message


@pytest.mark.parametrize("path", ["organisation/users.yml", "organisation/people.yaml", "organisation/more/users.yaml"])
def test_a_declaration_where_it_would_not_be_read_is_refused(path: str) -> None:
    assert {problem.code for problem in problems({path: DECLARED})} == {"file_misplaced"}


# --- remit.yaml beside it ---------------------------------------------------------------------------------------------

SETTINGS = """\
issuers:
  corp: {issuer: "https://id.example.org", claims: {attributes: {department: dept}, roles: {user: [staff]}}}
development:
  people:
    tom: {roles: [user], attributes: {clearance: 2, contractor: false}}
"""


def beside(tmp_path: Path, text: str, users: str = DECLARED) -> list[tuple[str, str, int]]:
    (tmp_path / "remit.yaml").write_text(text, encoding="utf-8")
    found = checked({AGENT: GOOD[AGENT] + IDENTITY, OTHER: TRACKER, USERS: users})
    warnings = unmatched(found.snapshot, read_settings(tmp_path))
    assert all(warning.message and warning.fix for warning in warnings)
    return [(warning.code, warning.file, warning.line) for warning in warnings]


def test_settings_that_fit_the_bundle_are_no_warning(tmp_path: Path) -> None:
    assert beside(tmp_path, SETTINGS) == []


def test_an_issuer_that_gives_nobody_a_role_is_a_warning(tmp_path: Path) -> None:
    roleless = SETTINGS.replace(", roles: {user: [staff]}", "")
    assert beside(tmp_path, roleless) == [("issuer_without_roles", "remit.yaml", 0)]


def test_a_trust_bundle_that_is_not_there_is_a_warning_at_its_line(tmp_path: Path) -> None:
    (tmp_path / "remit.yaml").write_text("spiffe:\n  example.org: bundle.json\n", "utf-8")
    [missing] = bundles_missing(tmp_path, read_settings(tmp_path))
    assert (missing.code, missing.line, "`bundle.json`" in missing.message) == ("spiffe_bundle_missing", 2, True)
    (tmp_path / "bundle.json").write_text("{}", "utf-8")
    assert list(bundles_missing(tmp_path, read_settings(tmp_path))) == []


def test_a_client_at_an_issuer_that_nobody_described_is_a_warning_at_its_line(tmp_path: Path) -> None:
    line = line_of(GOOD[AGENT] + IDENTITY, "client_id: desk-app")
    assert beside(tmp_path, SETTINGS.replace("corp:", "corps:")) == [
        ("client_issuer_unknown", AGENT, line),
        ("client_issuer_unknown", AGENT, line + 1),
    ]


@pytest.mark.parametrize(
    ("users", "codes"),
    [
        (DECLARED.replace("department: text, ", ""), ["attribute_undeclared"]),
        (DECLARED.replace(", contractor: yes_no", ""), ["attribute_undeclared"]),
        (DECLARED.replace("clearance: number", "clearance: text"), ["attribute_kind"]),
        (DECLARED.replace("yes_no", "number"), ["attribute_kind"]),
        ("attributes: {}\n", ["attribute_undeclared"] * 3),
    ],
)
def test_an_attribute_that_policies_cannot_read_is_a_warning(tmp_path: Path, users: str, codes: list[str]) -> None:
    assert beside(tmp_path, SETTINGS, users) == [(code, "remit.yaml", 0) for code in codes]


# --- credentials of tools ---------------------------------------------------------------------------------------------


def credential(text: str) -> dict[str, str]:
    return {ORDERS: GOOD[ORDERS].replace(URL, f"{URL}credential: {text}\n")}


EXCHANGED = "{token_endpoint: https://id.example.org/token, client_id: remit, audience: orders-api, scopes: [read]}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("minted", Minted()),
        ("{minted: {}}", Minted()),
        ("{minted: {sequence: true}}", Minted(sequence=True)),
        (
            f"{{exchanged: {EXCHANGED}}}",
            Exchanged(
                token_endpoint="https://id.example.org/token",
                client_id="remit",
                audience="orders-api",
                scopes=("read",),
            ),
        ),
        ("{secret: env:ORDERS_KEY}", Secret(source="env", name="ORDERS_KEY")),
        ("{secret: 'file:var/secrets/orders key'}", Secret(source="file", name="var/secrets/orders key")),
        (
            "{secret: file:/run/secrets/9f86d081884c7d659a2f}",
            Secret(source="file", name="/run/secrets/9f86d081884c7d659a2f"),
        ),
        ("{secret: keyring:remit/orders}", Secret(source="keyring", name="remit/orders")),
        (
            "{secret: env:K, header: X-Api-Key}",
            Secret(source="env", name="K", header="x-api-key", scheme=""),
        ),
        ("{secret: env:K, scheme: Basic}", Secret(source="env", name="K", scheme="Basic")),
        ("{secret: env:K, scheme: ''}", Secret(source="env", name="K", scheme="")),
    ],
)
def test_a_tools_credential_is_read(text: str, expected: ToolCredential) -> None:
    assert checked(credential(text)).snapshot.tools["orders"].credential == expected


def test_without_a_word_a_tool_gets_a_token_of_ours() -> None:
    assert checked({}).snapshot.tools["orders"].credential == Minted()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("{}", "credential_unclear"),
        ("{minted: {}, secret: env:K}", "credential_unclear"),
        ("{minted: {sequnce: true}}", "key_unknown"),
        ("{secrt: env:K}", "key_unknown"),
        ("{exchanged: {client_id: remit, audience: x}}", "key_missing"),
        (f"{{exchanged: {EXCHANGED.replace('https', 'http')}}}", "address_insecure"),
        (f"{{exchanged: {EXCHANGED.replace('id.', 'me:pw@id.')}}}", "address_credentials"),
        ("{secret: vault:kv/orders}", "credential_source_unknown"),
        ("{secret: 'env:ORDERS KEY'}", "credential_name_invalid"),
        ("{secret: 'env:9KEY'}", "credential_name_invalid"),
        ("{secret: 'env:'}", "credential_name_invalid"),
        ("{secret: 'file:'}", "credential_name_invalid"),
        ("{secret: keyring:orders}", "credential_name_invalid"),
        ("{secret: keyring:orders/}", "credential_name_invalid"),
        ("{secret: file:catalogue/orders.key}", "secret_in_bundle"),
        ("{secret: file:var/../agents/orders.key}", "secret_in_bundle"),
        ("{secret: env:K, header: content-length}", "credential_header_invalid"),
        ("{secret: env:K, header: 'x key'}", "credential_header_invalid"),
        ("{secret: env:K, header: mcp-session-id}", "credential_header_invalid"),
        ("{secret: env:K, scheme: 'Bearer x'}", "credential_scheme_invalid"),
        ("{minted: {}, header: x-api-key}", "credential_header_unused"),
        ("[minted]", "value_invalid"),
        ("mintd", "value_invalid"),
    ],
)
def test_a_mistake_about_a_credential_is_said_at_its_line(text: str, code: str) -> None:
    changes = credential(text)
    (problem,) = problems(changes)
    assert (problem.code, problem.file, problem.line) == (code, ORDERS, line_of(changes[ORDERS], "credential:"))
    assert problem.fix


def test_a_program_is_sent_no_header() -> None:
    text = GOOD[ORDERS].replace(URL, "command: [orders-server]\ncredential: {secret: env:K, header: x-api-key}\n")
    (problem,) = problems({ORDERS: text})
    assert problem.code == "credential_header_unused"
    found = checked({ORDERS: text.replace(", header: x-api-key", "")})
    assert found.snapshot.tools["orders"].credential == Secret(source="env", name="K")


def test_what_a_tool_knows_us_by_is_part_of_what_is_reviewed() -> None:
    """Else nobody would sign where a secret is sent."""
    said = {
        text: {warning.code for warning in checked(credential(text)).warnings}
        for text in ("minted", "{secret: env:K}", "{secret: env:L}", "{minted: {sequence: true}}")
    }
    assert said.pop("minted") == set()
    assert all(found == {"descriptor_unsigned", "manifest_stale"} for found in said.values()), said


KEY = "tok_3f9aC71b22e04d5580Zq"


@pytest.mark.parametrize(
    "text",
    [
        KEY,
        f"{{secret: {KEY}}}",
        f"{{secret: env:{KEY}}}",
        f"{{secret: Bearer {KEY}}}",
        f"{{secret: '{KEY}:x'}}",
        f"{{secret: key:{KEY}}}",
        f"{{secret: {{value: {KEY}}}}}",
        f"{{secret: [{KEY}]}}",
        "{secret: hunter2}",
        "{secret: 12345678}",
        "{secret: env:sk-hunter2}",
        f"{{secret: env:K, header: {KEY}}}",
        f"{{secret: env:K, scheme: {KEY}}}",
        f"{{secret: env:K, header: 'x-key: {KEY}'}}",
        f"{{secret: env:K, scheme: 'Bearer {KEY}'}}",
        f"{{secret: env:K, scheme: 'Bearer {KEY}{KEY}{KEY}{KEY}'}}",
        f"{{secret: env:K, {KEY}: x}}",
        f"{{{KEY}: x}}",
        f"{{token: {KEY}}}",
        f"{{minted: {KEY}}}",
        f"{{minted: {{sequence: {KEY}}}}}",
        f"{{exchanged: {{token_endpoint: 'https://id.example.org/?key={KEY}', client_id: a, audience: b}}}}",
        f"{{exchanged: {{token_endpoint: 'https://a:{KEY}@id.example.org', client_id: a, audience: b}}}}",
        f"{{exchanged: {{token_endpoint: 'https://id.example.org', client_id: a, audience: b, secret: {KEY}}}}}",
    ],
)
def test_a_secret_in_a_project_file_is_refused_and_never_repeated(text: str) -> None:
    found = problems(credential(text))
    said = " ".join(str(each) for each in found)
    assert not [secret for secret in (KEY, "hunter2", "12345678") if secret in said]
    assert {problem.file for problem in found} == {ORDERS}


@pytest.mark.parametrize("text", [KEY, f"{{secret: {KEY}}}", "{secret: hunter2}", "{secret: env:ghp_hunter2}"])
def test_a_secret_in_place_of_a_reference_has_a_code_of_its_own(text: str) -> None:
    (problem,) = problems(credential(text))
    assert problem.code == "secret_in_config"
    assert "env:NAME" in problem.message
