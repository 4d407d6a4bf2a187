"""New projects and imported ones: they pass our own check, and nothing is taken over that must not be."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.adapters.project import (
    Checked,
    ClientServer,
    Imported,
    Kind,
    check_project,
    from_mcp_json,
    new_project,
    read_settings,
    read_sources,
    schema_for,
    servers_of,
    write_project,
)
from remit.adapters.project._yaml import read_yaml
from remit.catalogue import served_digest
from remit.core import InputRefusedError, ProjectInvalidError, is_name

CLOSED = {"type": "object", "additionalProperties": False}
DRAFT_07 = "http://json-schema.org/draft-07/schema#"
SOURCES = ("agents/", "catalogue/", "organisation/")


# What only people can do.
UNREVIEWED = {"descriptor_unsigned", "manifest_missing", "served_unpinned", "bearer_allowed"}


def codes(checked: Checked) -> set[str]:
    return {warning.code for warning in checked.warnings}


def check(files: Mapping[str, str]) -> Checked:
    return check_project({path: text.encode() for path, text in files.items() if path.startswith(SOURCES)})


def bring(listings: Mapping[str, list[dict[str, Any]]], config: object = None) -> Imported:
    servers = config or {"mcpServers": {key: {"url": f"https://{key}.example/mcp"} for key in listings}}
    return from_mcp_json(json.dumps(servers), listings, name="desk", owner="ana")


def test_a_new_project_passes_its_own_check(tmp_path: Path) -> None:
    root = tmp_path / "desk"
    write_project(root, new_project("desk", "ana"))
    assert read_settings(root).name == "desk"
    checked = check_project(read_sources(root))
    assert codes(checked) == UNREVIEWED
    assert set(checked.snapshot.charters) == {"assistant"}


def test_the_commented_examples_of_a_new_project_work_when_uncommented() -> None:
    files = dict(new_project("desk", "ana"))
    catalogue = files["catalogue/orders.yaml"]
    head, example = catalogue.split("  # refund_order:")
    files["catalogue/orders.yaml"] = head + "  refund_order:" + example.replace("\n  # ", "\n  ")
    agent = files["agents/assistant/agent.yaml"]
    files["agents/assistant/agent.yaml"] = agent + "      - refund_order\n"
    policy = files["agents/assistant/policies/first.cedar"]
    rules, example = policy.split('// @id("refunds")')
    files["agents/assistant/policies/first.cedar"] = (
        rules + '@id("refunds")' + example.replace("\n// ", "\n").replace("\n//", "\n")
    )
    checked = check(files)
    assert set(checked.snapshot.descriptors) == {"get_order", "refund_order"}
    assert codes(checked) == UNREVIEWED
    flow = checked.snapshot.flows["assistant", "refund_order"]
    assert flow.content == {"reason"}
    assert flow.sources == {"order_id": ("user", "get_order/order_id")}


@pytest.mark.parametrize("name", ["1e3", "null", "0", "a.b"])
def test_a_name_that_looks_like_a_number_stays_a_name(tmp_path: Path, name: str) -> None:
    write_project(tmp_path, new_project(name, "ana"))
    assert read_settings(tmp_path).name == name


def test_a_project_without_a_proper_name_is_not_written() -> None:
    with pytest.raises(InputRefusedError) as caught:
        new_project("Desk 1", "ana")
    assert caught.value.code == "name_invalid"


@pytest.mark.parametrize(
    ("kind", "path"),
    [("agent", "agents/assistant/agent.yaml"), ("catalogue", "catalogue/orders.yaml"), ("settings", "remit.yaml")],
)
def test_the_editors_schema_takes_what_we_take_and_its_line_leads_to_it(kind: Kind, path: str) -> None:
    files = new_project("desk", "ana")
    schema = schema_for(kind)
    assert json.loads(files[f".remit/schemas/{kind}.json"]) == schema
    text = files[path]
    mark = text.splitlines()[0].partition("$schema=")[2]
    assert str((Path("/p") / path).parent.joinpath(mark).resolve()) == f"/p/.remit/schemas/{kind}.json"
    value = read_yaml(path, text.encode()).value
    validator = jsonschema_rs.validator_for(schema)
    assert validator.is_valid(value)
    assert isinstance(value, dict)
    assert not validator.is_valid({**value, "unknown": 1})


def test_an_imported_server_becomes_a_project_that_passes_the_check() -> None:
    listing: list[dict[str, Any]] = [
        {
            "name": "get_order",
            "title": "Get",
            "description": "Get an\norder.",
            "inputSchema": CLOSED,
            "annotations": {"readOnlyHint": True},
        },
        {"name": "refund", "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    ]
    found = bring({"orders": listing})
    checked = check(found.files)
    descriptors = checked.snapshot.descriptors
    assert {name: str(descriptor.effect) for name, descriptor in descriptors.items()} == {
        "get_order": "read",
        "refund": "write",
    }
    assert descriptors["get_order"].description == "Get an\norder."
    assert descriptors["refund"].input_schema["additionalProperties"] is False
    assert found.files["catalogue/orders.yaml"].count("# proposed, not reviewed") == 2
    assert checked.snapshot.charters["assistant"].owner == "ana"
    denied = [warning.message.split("`")[1] for warning in checked.warnings if warning.code == "never_permitted"]
    assert denied == ["refund"]  # only reads are permitted
    assert codes(checked) == {"never_permitted", "descriptor_unsigned", "manifest_missing", "bearer_allowed"}
    assert json.loads(found.files["catalogue/served/orders.json"]) == {tool["name"]: tool for tool in listing}
    assert descriptors["refund"].served == served_digest(listing[1])
    assert checked.snapshot.flows["assistant", "get_order"].labels == ()  # nothing of it is trusted unread
    assert any("`refund`" in note and "additionalProperties" in note for note in found.notes)
    assert all(any(f"operation `{name}`" in note and "review" in note for note in found.notes) for name in descriptors)


def test_an_effect_set_back_to_unreviewed_does_not_pass() -> None:
    files = dict(bring({"orders": [{"name": "refund", "inputSchema": CLOSED}]}).files)
    files["catalogue/orders.yaml"] = files["catalogue/orders.yaml"].replace("effect: write", "effect: unreviewed")
    with pytest.raises(ProjectInvalidError) as caught:
        check(files)
    (problem,) = caught.value.problems
    assert problem.code == "effect_unreviewed"
    assert problem.fix == "set effect: read|write|execute|irreversible after reading what it does"


def test_credentials_and_commands_are_named_and_never_copied() -> None:
    config = {
        "mcpServers": {
            "orders": {
                "type": "http",
                "url": "https://o.example/mcp",
                "headers": {"Authorization": "Bearer s3cr3t"},
                "env": {"K": "s3cr3t"},
            },
            "files": {"command": "npx", "args": ["--token", "s3cr3t"], "env": {"TOKEN": "s3cr3t"}},
            "local": {"command": "desk", "args": ["--port", "1"], "env": {"TOKEN": "s3cr3t"}, "cwd": "s3cr3t"},
            "filled": {"command": "desk", "args": ["${input:s3cr3t}"]},
            "worded": {"command": "desk", "args": "s3cr3t"},
            "headed": {"command": "npx", "args": ["mcp-remote", "--header", "Authorization: Bearer s3cr3t"]},
            "linked": {"command": "desk", "args": ["--database=postgres://ana:s3cr3t@db.example/x"]},
            "keyed": {"serverUrl": "https://k.example/mcp?api_key=s3cr3t"},
            "named": {"url": "https://ana:s3cr3t@n.example/mcp"},
            "plain": {"url": "http://p.example/mcp"},
            "asked": {"url": "https://a.example/${input:s3cr3t}"},
            "old": {"type": "sse", "url": "https://s.example/sse"},
        }
    }  # fmt: skip
    listing = [{"name": "get", "inputSchema": CLOSED}]
    found = bring(dict.fromkeys(config["mcpServers"], listing), config)
    everything = "\n".join([*found.files.values(), *found.notes])
    assert "s3cr3t" not in everything
    tools = check(found.files).snapshot.tools
    assert set(tools) == {"orders", "local"}
    assert tools["local"].command == ("desk", "--port", "1")
    assert tools["local"].url == ""
    assert "server `local`: `cwd` was not copied" in found.notes
    assert any(note.startswith("server `local`: environment variable `TOKEN` was not copied") for note in found.notes)
    assert (
        "server `orders`: header `Authorization` was not copied: credentials never go into project files" in found.notes
    )
    for name in ("files", "filled", "worded", "headed", "linked", "keyed", "named", "plain", "asked", "old"):
        assert any(note.startswith(f"server `{name}`: not imported: ") for note in found.notes)
    assert servers_of(json.dumps(config)) == {
        "orders": ClientServer(url="https://o.example/mcp"),
        "local": ClientServer(command=("desk", "--port", "1")),
    }


_ELEMENTS = st.lists(
    st.text(max_size=12) | st.sampled_from(["-x", "1e3", "a: b", "#", "[", "{a}", ",", "*"]), max_size=4
)


@given(command=st.text(min_size=1, max_size=12), arguments=_ELEMENTS)
def test_whatever_a_command_is_it_is_read_back_as_it_was_or_left_out(command: str, arguments: list[str]) -> None:
    config = {"mcpServers": {"local": {"command": command, "args": arguments}}}
    known = servers_of(json.dumps(config))
    if not known:
        return
    found = bring({"local": [{"name": "get", "inputSchema": CLOSED}]}, config)
    assert check(found.files).snapshot.tools["local"].command == (command, *arguments) == known["local"].command


def test_what_a_server_showed_is_left_out_where_it_could_not_be_read_back() -> None:
    deep = json.loads("[" * 31 + "]" * 31)  # as deep as a listing may be, and one too deep for the file that keeps it
    found = bring({"orders": [{"name": "get", "inputSchema": CLOSED, "_meta": deep}]})
    assert "catalogue/served/orders.json" not in found.files
    assert any("was not kept" in note and "deeper" in note for note in found.notes)
    assert "served_unpinned" in codes(check(found.files))


def test_the_other_common_form_of_configuration_is_read() -> None:
    config = {"servers": {"orders": {"type": "streamable-http", "url": "http://127.0.0.1:9000/mcp"}}, "inputs": []}
    found = bring({"orders": [{"name": "get", "inputSchema": CLOSED}]}, config)
    assert check(found.files).snapshot.tools["orders"].url == "http://127.0.0.1:9000/mcp"


@pytest.mark.requirement("R4.1")
def test_two_upstream_tools_never_become_one_operation() -> None:
    def tool(name: str) -> dict[str, Any]:
        return {"name": name, "inputSchema": CLOSED}

    listings = {
        "a": [tool("search"), tool("getOrder"), tool("GetOrder"), tool("listAll"), tool("b.search")],
        "b": [tool("search"), tool("x/y"), tool("twice"), tool("twice")],
    }
    found = bring(listings)
    operations = check(found.files).snapshot.descriptors
    pairs = {name: (descriptor.tool, descriptor.upstream_name) for name, descriptor in operations.items()}
    assert pairs == {"a.search": ("a", "search"), "a.listall": ("a", "listAll"), "b.search": ("a", "b.search")}
    for left_out in ("getOrder", "GetOrder", "x/y", "twice"):
        assert any(f"`{left_out}`" in note and "not imported" in note for note in found.notes)
    backwards = bring({key: list(reversed(listing)) for key, listing in reversed(listings.items())})
    assert set(check(backwards.files).snapshot.descriptors) == set(operations)


def test_servers_whose_names_fall_together_are_both_left_out() -> None:
    listing = [{"name": "get", "inputSchema": CLOSED}]
    found = bring({"My Tools": listing, "my-tools": listing, "GitHub": listing})
    assert set(check(found.files).snapshot.tools) == {"github"}


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ({"description": "see\u200bnothing"}, "U+200B"),
        ({"inputSchema": {**CLOSED, "properties": {"a": {"pattern": "(?=x)"}}}}, "linear-time"),
        ({"inputSchema": {**CLOSED, "properties": {"a": {"$ref": "https://x.example/"}}}}, "$ref"),
        ({"inputSchema": {**CLOSED, "$schema": DRAFT_07, "dependencies": {}}}, "2020-12"),
        ({"inputSchema": None}, "no input schema"),
        ({"name": "two words"}, "printable ASCII"),
        ({"title": float("nan")}, "not plain JSON"),
        ({"inputSchema": {**CLOSED, "default": json.loads("[" * 30 + "]" * 30)}}, "deeper than"),
    ],
)  # fmt: skip
def test_what_could_not_pass_the_check_is_left_out_with_the_reason(tool: dict[str, Any], says: str) -> None:
    good = {"name": "good", "inputSchema": CLOSED}
    found = bring({"orders": [good, {"name": "bad", "inputSchema": CLOSED, **tool}]})
    assert set(check(found.files).snapshot.descriptors) == {"good"}
    assert any("not imported" in note and says in note for note in found.notes), found.notes


def test_what_servers_commonly_send_is_mended_and_said() -> None:
    schema = {
        "$schema": DRAFT_07,
        "type": "object",
        "properties": {"n": {"type": "integer", "format": "int64"}, "format": {"type": "string"}},
    }
    found = bring({"orders": [{"name": "get", "description": "a\r\nb", "inputSchema": schema}]})
    kept = check(found.files).snapshot.descriptors["get"]
    assert kept.input_schema["properties"] == {"n": {"type": "integer"}, "format": {"type": "string"}}
    assert kept.description == "a\nb"
    assert any("`int64`" in note for note in found.notes)
    assert any("older dialect" in note for note in found.notes)


def test_a_server_that_listed_nothing_makes_no_project() -> None:
    with pytest.raises(InputRefusedError, match="listed no tools") as caught:
        bring({"orders": []})
    assert caught.value.code == "nothing_imported"


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"mcpServers": []}', '{"servers": {}, "servers": {}}', "// c\n{}", "\ud800"]
)
def test_a_file_that_is_no_client_configuration_is_refused(text: str) -> None:
    with pytest.raises(InputRefusedError) as caught:
        from_mcp_json(text, {}, name="desk", owner="ana")
    assert caught.value.code == "mcp_config_invalid"


@pytest.mark.parametrize("owner", ["", " ", "a\nb", "a\u202eb", "x" * 501])
def test_an_import_needs_an_owner(owner: str) -> None:
    with pytest.raises(InputRefusedError) as caught:
        from_mcp_json('{"servers": {}}', {}, name="desk", owner=owner)
    assert caught.value.code == "owner_invalid"


_TEXT = st.text(max_size=15) | st.sampled_from(
    ["1e3", "on", "- x", "a: b # c", "x\n\ny\n", '"', "'", "\t", "a\u2028b", "%", "@"]
)
_PROPERTY = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["string", "number", "x"]),
        "description": _TEXT,
        "enum": st.lists(_TEXT, max_size=2),
        "format": _TEXT,
    },
)
_SCHEMA = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={"properties": st.dictionaries(_TEXT, _PROPERTY, max_size=3), "description": _TEXT},
)
_TOOL = st.fixed_dictionaries(
    {"name": _TEXT | st.sampled_from(["get", "null", "1e3", "Get"]), "inputSchema": _SCHEMA},
    optional={
        "title": _TEXT,
        "description": _TEXT,
        "outputSchema": _SCHEMA,
        "annotations": st.fixed_dictionaries({"readOnlyHint": st.booleans() | _TEXT}),
    },
)


@settings(max_examples=100, deadline=None)
@given(key=_TEXT.filter(bool), listing=st.lists(_TOOL, min_size=1, max_size=4), owner=st.just("ana") | _TEXT)
def test_whatever_a_server_lists_the_import_passes_the_check(
    key: str, listing: list[dict[str, Any]], owner: str
) -> None:
    config = json.dumps({"mcpServers": {key: {"url": "https://t.example/mcp"}}})
    found: Imported | None = None
    code = ""
    try:
        found = from_mcp_json(config, {key: listing}, name="desk", owner=owner)
    except InputRefusedError as refused:
        code = refused.code
    if found is None:
        assert code == ("nothing_imported" if is_name(owner) else "owner_invalid")
        return
    for descriptor in check(found.files).snapshot.descriptors.values():
        assert descriptor.upstream_name in {tool["name"] for tool in listing}
