"""An existing MCP client's configuration, turned into a project that can be checked and reviewed.

Rules:
1. Credentials and environments are never copied, only named in the notes, and a command that holds a credential leaves
   its server out.
2. What a server says of itself is proposed and never trusted: each effect is marked as not reviewed. It is kept exactly
   as it was listed, so that a later change of it is seen.
3. Two upstream tools never become one operation; what has no safe name is left out, with a note.
4. What is written passes `check_project`; what could not is left out, with a note.

    imported = from_mcp_json(text, {"orders": tools}, name="desk", owner="ana")
    imported.files["catalogue/orders.yaml"], imported.notes
"""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from remit.adapters.project._base import (
    COMMAND_CHARS_MAX,
    COMMAND_MAX,
    DESCRIPTION_CHARS_MAX,
    OPERATIONS_MAX,
    TITLE_CHARS_MAX,
    URL_CHARS_MAX,
)
from remit.adapters.project._commands import command_wrong
from remit.adapters.project._emit import block, scalar
from remit.adapters.project._review import read_served, served_text
from remit.adapters.project._scaffold import AGENT, SCHEMA_LINE, common_files, identity_lines
from remit.adapters.project._urls import url_wrong
from remit.adapters.project._yaml import FILE_BYTES_MAX
from remit.catalogue import closed_inside, format_is_known, schema_problems, unsafe_text, without_unknown_keywords
from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, is_name, parse_strict

_OTHER = re.compile(r"[^a-z0-9_.-]+", re.ASCII)
_UPSTREAM_NAME = re.compile(r"[!-~]{1,128}", re.ASCII)
_HTTP_KINDS = frozenset({"http", "streamable-http", "streamablehttp", "streamable_http"})
_OLD_DIALECTS = re.compile(r"https?://json-schema\.org/draft-0[67]/schema#?")
# Keywords that older dialects read and 2020-12 does not: a schema with one would check less than its author meant.
_OLD_KEYWORDS = frozenset({"additionalItems", "dependencies"})
_DATA = frozenset({"const", "default", "enum", "examples"})
_SERVER_CHARS_MAX = FILE_BYTES_MAX // 4 - 1_024  # of one catalogue file, whatever its characters take in UTF-8


@dataclass(frozen=True, slots=True)
class Imported:
    """`files` to write, relative path -> text; `notes` say what a person has to know or do, one line each."""

    files: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientServer:
    """A server of a client's configuration: reached at `url`, or started as `command` and spoken to over stdio."""

    url: str = ""
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Server:
    key: str  # as the client's configuration has it
    tool: str  # its name in the catalogue
    endpoint: ClientServer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    tool: str
    upstream_name: str
    is_read: bool
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    definition: JsonObject  # as the server listed it


def from_mcp_json(
    text: str, listings: Mapping[str, Sequence[Mapping[str, object]]], *, name: str, owner: str
) -> Imported:
    """Turn a client's configuration (`mcpServers` or `servers`) into the files of a project called `name`.

    `listings` has, for each server of the configuration, the tools that the live server listed. Without a single tool
    there is nothing to write.

    Raises:
        InputRefusedError: `mcp_config_invalid`, `name_invalid`, `owner_invalid` or `nothing_imported`.
    """
    notes: list[str] = []
    servers = list(_servers(_configured(text), notes))
    candidates = [found for server in servers for found in _candidates(server, listings.get(server.key), notes)]
    operations = _named(candidates, notes)
    files = common_files(name, owner)
    for server in servers:
        mine = {key: found for key, found in operations.items() if found.tool == server.tool}
        if mine:
            files[f"catalogue/{server.tool}.yaml"] = _catalogue_file(server, mine)
            files |= _served_file(server, mine, notes)
    if operations:
        files[f"agents/{AGENT}/agent.yaml"] = _agent_file(owner, operations)
        files[f"agents/{AGENT}/policies/first.cedar"] = _policy_file(operations)
        notes += _review_notes(operations)
    else:
        fix = "start the servers, or describe a tool in catalogue/<tool>.yaml of a project made by `remit init`"
        raise InputRefusedError("nothing_imported", "; ".join(notes) or "the configuration names no server", fix)
    return Imported(files, tuple(notes))


def servers_of(text: str) -> Mapping[str, ClientServer]:
    """Return the servers that `from_mcp_json` would import from, by their names: what the caller has to list.

    A `command` is what the configuration says, for the caller to start or not; its environment is never part of it.

    Raises:
        InputRefusedError: `mcp_config_invalid`.
    """
    return {server.key: server.endpoint for server in _servers(_configured(text), [])}


def _configured(text: str) -> JsonObject:
    fix = "give a client's configuration: JSON without comments, with `mcpServers` or `servers`"
    try:
        value = parse_strict(text.encode("utf-8", "strict"))
    except (InputRefusedError, UnicodeEncodeError) as error:
        said = error.message if isinstance(error, InputRefusedError) else "text that is not UTF-8"
        raise InputRefusedError("mcp_config_invalid", f"the client's configuration is {said}", fix) from error
    for key in ("mcpServers", "servers"):
        found = value.get(key) if isinstance(value, dict) else None
        if isinstance(found, dict):
            return found
    raise InputRefusedError("mcp_config_invalid", "the client's configuration names no servers", fix)


def _servers(configured: JsonObject, notes: list[str]) -> Iterator[_Server]:
    names = Counter(_tool_name(key) for key in configured)
    for key, entry in configured.items():
        shown = _shown(key)
        tool = _tool_name(key)
        if not is_name(tool) or names[tool] > 1:
            notes.append(f"server {shown}: not imported: its name has no unique form of a-z, 0-9, `_`, `.`, `-`")
            continue
        endpoint = _endpoint(entry)
        if isinstance(endpoint, str):
            notes.append(f"server {shown}: not imported: {endpoint}")
            continue
        yield _Server(key=key, tool=tool, endpoint=endpoint)
        notes += _not_copied(shown, entry)


def _tool_name(key: str) -> str:
    return _OTHER.sub("-", key.lower()).strip("-._")


def _endpoint(entry: Json) -> ClientServer | str:
    """Return where the server is, or why it cannot be imported."""
    if not isinstance(entry, dict):
        return "its entry is not an object"
    url = entry.get("url", entry.get("serverUrl"))
    if isinstance(url, str):
        return _at_url(url, str(entry.get("type", "http")).lower())
    return _as_command(entry) if "command" in entry else "it has no `url` and no `command`"


def _at_url(url: str, kind: str) -> ClientServer | str:
    if kind not in _HTTP_KINDS:
        return f"transport {_shown(kind)} is not supported by this version; streamable HTTP is"
    if "${" in url:
        return "its `url` has a placeholder that only the client fills in"
    wrong = url_wrong(url) if len(url) <= URL_CHARS_MAX else ("", "its `url` is too long", "")
    return wrong[1] if wrong else ClientServer(url=url)


def _as_command(entry: JsonObject) -> ClientServer | str:
    arguments = entry.get("args", [])
    elements = [entry["command"], *arguments] if isinstance(arguments, list) else [None]
    command = tuple(element for element in elements if isinstance(element, str))
    if len(command) != len(elements) or len(command) > COMMAND_MAX:
        return f"its `command` and `args` are not at most {COMMAND_MAX} texts"
    if any("${" in element for element in command):
        return "its command has a placeholder that only the client fills in"
    if any(len(element) > COMMAND_CHARS_MAX or unsafe_text(element) for element in command):
        return f"an argument of its command is over {COMMAND_CHARS_MAX} characters or holds what nobody can see"
    wrong = command_wrong(command)
    return wrong[1][1] if wrong else ClientServer(command=command)


def _not_copied(shown: str, entry: Json) -> Iterator[str]:
    if not isinstance(entry, dict):
        return
    for key, noun in (("headers", "header"), ("env", "environment variable")):
        named = entry.get(key)
        for name in named if isinstance(named, dict) else ():
            yield f"server {shown}: {noun} {_shown(name)} was not copied: credentials never go into project files"
    known = {"url", "serverUrl", "type", "headers", "env"}
    if not isinstance(entry.get("url", entry.get("serverUrl")), str):
        known |= {"command", "args"}
        yield f"server {shown}: is started in the project's folder; list the files it is made of under `artefacts:`"
    for key in sorted(set(entry) - known):
        yield f"server {shown}: {_shown(key)} was not copied"


def _candidates(
    server: _Server, listing: Sequence[Mapping[str, object]] | None, notes: list[str]
) -> Iterator[_Candidate]:
    if listing is None:  # the caller could not ask it, and has said so
        return
    if not listing:
        notes.append(f"server {_shown(server.key)}: not imported: it listed no tools")
        return
    if len(listing) > OPERATIONS_MAX:
        notes.append(f"server {_shown(server.key)}: only the first {OPERATIONS_MAX} of its tools were read")
    size = 0
    for index, listed in enumerate(listing[:OPERATIONS_MAX]):
        where = f"server {_shown(server.key)}, tool {_shown(listed.get('name', index))}"
        try:
            # (Not the canonical form: the order in which its author wrote the schema reads better.)
            tool = parse_strict(json.dumps(dict(listed), ensure_ascii=False, allow_nan=False).encode("utf-8"))
        except (InputRefusedError, TypeError, ValueError, RecursionError):
            notes.append(f"{where}: not imported: it is not plain JSON, or nests too deep")
            continue
        found = _candidate(server.tool, tool if isinstance(tool, dict) else {}, where, notes)
        if not isinstance(found, str):
            size += len(_operation_text("x" * 64, found))
            found = found if size <= _SERVER_CHARS_MAX else "the server's tools together are too long for one file"
        if isinstance(found, str):
            notes.append(f"{where}: not imported: {found}")
        else:
            yield found


def _candidate(tool: str, listed: JsonObject, where: str, notes: list[str]) -> _Candidate | str:
    """Return what `listed` becomes, or why it is left out."""
    name = listed.get("name")
    if not isinstance(name, str) or not _UPSTREAM_NAME.fullmatch(name):
        return "its name is not 1 to 128 printable ASCII characters"
    input_schema = listed.get("inputSchema")
    if not isinstance(input_schema, dict):
        return "it has no input schema"
    output_schema = listed.get("outputSchema")
    output = output_schema if isinstance(output_schema, dict) else None
    texts = _all_texts([listed.get(key) for key in _READ])
    unsafe = next((wrong for text in texts if (wrong := unsafe_text(text.replace("\r\n", "\n")))), None)
    if unsafe:
        return f"its text holds what a reviewer cannot see: {unsafe}"
    closed = _closed(_known(_modern(input_schema, where, notes), where, notes), where, notes)
    reason = _refused(closed, closed_root=True)
    if reason:
        return reason
    if output is not None:
        output = _modern(output, where, notes)
        reason = _refused(output, closed_root=False)
        if reason:
            notes.append(f"{where}: its output schema was not copied: {reason}")
            output = None
    annotations = listed.get("annotations")
    hints = annotations if isinstance(annotations, dict) else {}
    return _Candidate(
        tool=tool,
        upstream_name=name,
        is_read=hints.get("readOnlyHint") is True,
        title=_cut(listed.get("title") or hints.get("title"), TITLE_CHARS_MAX, name, f"{where}: its title", notes),
        description=_cut(listed.get("description"), DESCRIPTION_CHARS_MAX, name, f"{where}: its description", notes),
        input_schema=closed,
        output_schema=output,
        definition=listed,
    )


_READ = ("name", "title", "description", "inputSchema", "outputSchema", "annotations")


def _refused(schema: JsonObject, *, closed_root: bool) -> str:
    try:
        # (In its file the schema stands three levels deep.)
        parse_strict(canonical_bytes({"operations": {"name": {"schema": schema}}}))
    except InputRefusedError as error:
        return f"its schema is refused: {error.message}"
    problems = schema_problems(schema, closed=closed_root)
    return f"its schema is refused: {problems[0].message}" if problems else ""


def _closed(schema: JsonObject, where: str, notes: list[str]) -> JsonObject:
    opened: list[str] = []
    inside = closed_inside(schema, opened)
    notes += [f"{where}: `additionalProperties: false` was added inside {_shown(name)}" for name in opened]
    schema = inside if isinstance(inside, dict) else schema
    if schema.get("additionalProperties") is False:
        return schema
    notes.append(f"{where}: `additionalProperties: false` was added: what is not declared is refused")
    return {**schema, "additionalProperties": False}


def _known(schema: JsonObject, where: str, notes: list[str]) -> JsonObject:
    lost: set[str] = set()
    kept = without_unknown_keywords(schema, lost)
    notes += [f"{where}: {_shown(name)} was taken out: JSON Schema has no such keyword" for name in sorted(lost)]
    return kept if isinstance(kept, dict) else schema


def _modern(schema: JsonObject, where: str, notes: list[str]) -> JsonObject:
    """Take away an older dialect's mark where nothing depends on it, and formats that would not be checked."""
    dialect = schema.get("$schema")
    old = isinstance(dialect, str) and _OLD_DIALECTS.fullmatch(dialect) is not None
    if old and not _keys(schema) & _OLD_KEYWORDS:
        notes.append(f"{where}: `$schema` of an older dialect was taken out: it is read as 2020-12")
        schema = {key: value for key, value in schema.items() if key != "$schema"}
    unknown: set[str] = set()
    cleaned = _without_unknown_formats(schema, unknown)
    notes += [f"{where}: format {_shown(name)} was taken out: it would not be checked" for name in sorted(unknown)]
    return cleaned if isinstance(cleaned, dict) else schema


def _without_unknown_formats(value: Json, unknown: set[str]) -> Json:
    if isinstance(value, list):
        return [_without_unknown_formats(item, unknown) for item in value]
    if not isinstance(value, dict):
        return value
    name = value.get("format")
    # (A property may be called `format`; then its value is a schema and no text.)
    if isinstance(name, str) and not format_is_known(name):
        unknown.add(name)
        value = {key: item for key, item in value.items() if key != "format"}
    return {key: item if key in _DATA else _without_unknown_formats(item, unknown) for key, item in value.items()}


def _keys(value: Json) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(_keys(item) for item in value.values()))
    return set().union(*(_keys(item) for item in value)) if isinstance(value, list) else set()


def _all_texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _all_texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _all_texts(item)


def _cut(text: Json, chars_max: int, default: str, where: str, notes: list[str]) -> str:
    if not isinstance(text, str) or not text.strip():
        return default
    text = text.replace("\r\n", "\n")
    if len(text) <= chars_max:
        return text
    notes.append(f"{where} was cut to {chars_max} characters")
    return text[:chars_max]


def _named(candidates: list[_Candidate], notes: list[str]) -> dict[str, _Candidate]:
    """Give each candidate a name of its own: the upstream's where it is a name and unique, else one with the tool's.

    A name that two could claim is given to neither, so the result does not depend on the order of the servers.
    """
    upstream = Counter(found.upstream_name for found in candidates)
    plain = {found.upstream_name: found for found in candidates if _keeps_name(found, upstream)}
    rest = [found for found in candidates if not _keeps_name(found, upstream)]
    derived = Counter(_derived(found) for found in rest)
    named = dict(plain)
    for found in rest:
        name = _derived(found)
        where = f"server `{found.tool}`, tool {_shown(found.upstream_name)}"
        if not is_name(name) or derived[name] > 1 or name in plain:
            notes.append(f"{where}: not imported: no unique name of a-z, 0-9, `_`, `.`, `-` for it")
            continue
        named[name] = found
        notes.append(f"{where}: is called `{name}` here")
    return named


def _keeps_name(found: _Candidate, upstream: Counter[str]) -> bool:
    return is_name(found.upstream_name) and upstream[found.upstream_name] == 1


def _derived(found: _Candidate) -> str:
    return f"{found.tool}.{found.upstream_name.lower()}"


def _catalogue_file(server: _Server, operations: Mapping[str, _Candidate]) -> str:
    head = (
        f"{SCHEMA_LINE}../.remit/schemas/catalogue.json\n"
        "# Imported from a running server. Everything here is the server's own word: read each operation,\n"
        "# then set its effect and take the comment away. Results are untrusted until `results:` says otherwise.\n"
        f"tool: {scalar(server.tool)}\n"
        f"{_endpoint_line(server.endpoint)}\n"
        "\n"
        "operations:\n"
    )
    return head + "\n".join(_operation_text(name, found) for name, found in operations.items())


def _endpoint_line(endpoint: ClientServer) -> str:
    if not endpoint.command:
        return f"url: {scalar(endpoint.url)}"
    return f"command: [{', '.join(scalar(element) for element in endpoint.command)}]"


def _served_file(server: _Server, operations: Mapping[str, _Candidate], notes: list[str]) -> Mapping[str, str]:
    """Return the file that keeps what the server showed, or none where it could not be read back."""
    text = served_text({found.upstream_name: found.definition for found in operations.values()})
    try:
        read_served(text.encode("ascii"))
        said = f"more than {FILE_BYTES_MAX} bytes" if len(text) > FILE_BYTES_MAX else ""
    except InputRefusedError as refused:
        said = refused.message
    if said:
        notes.append(f"server {_shown(server.key)}: what it showed was not kept, and a change will not be seen: {said}")
        return {}
    return {f"catalogue/served/{server.tool}.json": text}


def _operation_text(name: str, found: _Candidate) -> str:
    before: JsonObject = {
        "upstream_name": found.upstream_name,
        "version": "1",
        "title": found.title,
        "description": found.description,
    }
    after: JsonObject = {"input_schema": found.input_schema}
    if found.output_schema is not None:
        after["output_schema"] = found.output_schema
    effect = f"    effect: {_effect(found)}  # proposed, not reviewed\n"
    return f"  {scalar(name)}:\n{block(before, 4)}{effect}{block(after, 4)}"


def _effect(found: _Candidate) -> str:
    return "read" if found.is_read else "write"


def _agent_file(owner: str, operations: Mapping[str, _Candidate]) -> str:
    listed = "".join(f"      - {scalar(name)}\n" for name in sorted(operations)[:OPERATIONS_MAX])
    return (
        f"{SCHEMA_LINE}../../.remit/schemas/agent.json\n"
        "# The charter: say what this agent is for, and split its work into uses that list only what each needs.\n"
        f"agent: {AGENT}\n"
        f"owner: {scalar(owner)}\n"
        "process: not described yet\n"
        "purpose: not described yet\n"
        "\n"
        f"{identity_lines()}"
        "\n"
        "use_cases:\n"
        "  general:\n"
        "    description: everything that was imported\n"
        f"    operations:\n{listed}"
    )


def _policy_file(operations: Mapping[str, _Candidate]) -> str:
    head = (
        "// What this agent may do, in Cedar. No permit, no call.\n"
        "// The operations below say of themselves that they only read. Nobody has reviewed that yet.\n"
    )
    reads = [name for name, found in sorted(operations.items()) if found.is_read]
    if not reads:
        return head + "// There are none: permit operations one by one, after reading what they do.\n"
    actions = ",\n".join(f'    Action::"{name}"' for name in reads)
    return (
        f'{head}\n@id("reads")\n@description("operations that say they only read")\n'
        f"permit (\n  principal,\n  action in [\n{actions}\n  ],\n  resource\n);\n"
    )


def _review_notes(operations: Mapping[str, _Candidate]) -> Iterator[str]:
    yield f"agents/{AGENT}/agent.yaml: describe the agent's process and purpose; {AGENT} is only a first name for it"
    if len(operations) > OPERATIONS_MAX:
        yield f"agents/{AGENT}/agent.yaml: lists only the first {OPERATIONS_MAX} operations: split them into use cases"
    for name, found in sorted(operations.items()):
        source = "the server says that it only reads" if found.is_read else "the server does not say that it only reads"
        permitted = "permitted" if found.is_read else "not permitted"
        yield f"operation `{name}`: effect `{_effect(found)}` is proposed ({source}), and {permitted}; review it"


def _shown(value: object) -> str:
    text = "".join(c if c.isprintable() and c != "`" else "\ufffd" for c in str(value))
    return f"`{text if len(text) <= 60 else text[:59] + '…'}`"
