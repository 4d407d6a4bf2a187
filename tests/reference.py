"""The reference pages, written from the code: `python -m tests.reference` writes them, a test compares them.

docs/reference/cli.md from the commands, settings.md from the models of the project's files, codes.md from the source.

    pages()["docs/reference/cli.md"]      # the page as it must be
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from remit.adapters.project._models import Kind, schema_for
from remit.app import LocalWorkshop
from remit.surfaces.cli import command_line

ROOT = Path(__file__).parents[1]
WRITTEN = "<!-- Written by `make docs`; do not edit. -->\n"
WIDTH = 100  # of help texts


def pages() -> Mapping[str, str]:
    """Return every reference page: path from the repository's root -> text."""
    return {
        "docs/reference/cli.md": cli_page(command_line(LocalWorkshop(0), lambda _keep: 0)),
        "docs/reference/settings.md": settings_page(),
        "docs/reference/codes.md": codes_page(sorted([*codes_in(_sources()), *_computed()])),
    }


# --- commands ---------------------------------------------------------------------------------------------------------

_CLI_HEAD = f"""# Commands
{WRITTEN}
| exit code | meaning |
|---|---|
| 0 | done |
| 1 | refused, or not ready; the message has a stable [code](codes.md) and says how to mend it |
| 2 | wrong usage |
| 3 | a fault: a file that cannot be read, a gateway that answers nonsense |

Answers go to standard output, refusals to standard error. Every command takes `--help`.
"""


def cli_page(root: click.Command) -> str:
    """Write every command with its help."""
    return _CLI_HEAD + "".join(
        f"\n## `{path}`\n\n```text\n{_help(path, at)}\n```\n" for path, at in _commands("remit", root)
    )


def _commands(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _commands(f"{path} {name}", inner)


def _help(path: str, command: click.Command) -> str:
    context = click.Context(
        command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH, help_option_names=["-h", "--help"]
    )
    return command.get_help(context).rstrip()


# --- settings ---------------------------------------------------------------------------------------------------------

_FILES: tuple[tuple[Kind, str, str], ...] = (
    ("settings", "remit.yaml", "Settings. The file may be missing; no key is required."),
    ("agent", "agents/AGENT/agent.yaml", "The charter, one for each agent. See [1 Charter](../01-charter.md)."),
    ("users", "organisation/users.yaml", "What policies know of a user. See [2 Identity](../02-identity.md#users)."),
    (
        "entitlements",
        "organisation/entitlements.yaml",
        "What users may do beyond their issuer's word, once signed. See [2 Identity](../02-identity.md#entitlements).",
    ),
    (
        "history",
        "organisation/history.yaml",
        "Counters of what was done before. See [3 Permissions](../03-permissions.md#history).",
    ),
    (
        "directory",
        "organisation/directories/DIRECTORY.yaml",
        "Values that may be relied on, once signed. See [3 Permissions](../03-permissions.md#directories).",
    ),
    (
        "classes",
        "organisation/classes.yaml",
        "Classes of confidential data. See [3 Permissions](../03-permissions.md#data-classes-and-receivers).",
    ),
    ("catalogue", "catalogue/TOOL.yaml", "A tool server and its operations. See [4 Catalogue](../04-catalogue.md)."),
)


def settings_page() -> str:
    """Write every key of the project's files."""
    text = f"# Keys of the project's files\n{WRITTEN}\n"
    text += "Keys that are not here are refused. `remit init` writes JSON Schemas for editors.\n"
    for kind, file, says in _FILES:
        schema: dict[str, Any] = schema_for(kind)
        text += f"\n## `{file}`\n\n{says}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
        text += "".join(f"| {' | '.join(row)} |\n" for row in _rows("", schema, schema))
    return text


def _rows(prefix: str, node: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    required = set(node.get("required", ()))
    for name, given in node.get("properties", {}).items():
        shape = _resolved(given, schema)
        key = f"{prefix}{name}"
        inner = _mapping_of(shape, schema)
        if "properties" in shape:
            yield from _rows(f"{key}.", shape, schema)
            continue
        default = "required" if name in required else _default(shape)
        yield f"`{key}`", _type(shape, schema), default, _cell(str(shape.get("description", "")))
        if inner is not None:
            yield from _rows(f"{key}.NAME.", inner, schema)


def _resolved(given: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """Follow a reference, and leave null out of `X or null`; what stands beside it is kept."""
    beside = {key: value for key, value in given.items() if key not in ("$ref", "anyOf")}
    if "$ref" in given:
        return {**schema["$defs"][given["$ref"].rpartition("/")[2]], **beside}
    for option in given.get("anyOf", ()):
        if option.get("type") != "null":
            return {**_resolved(option, schema), **beside}
    return given


def _mapping_of(shape: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any] | None:
    for inner in shape.get("patternProperties", {}).values():
        return _resolved(inner, schema)
    return None


def _default(shape: dict[str, Any]) -> str:
    default = shape.get("default")
    if default is None or default in ({}, []):
        return "none"
    shown = ", ".join(default) if isinstance(default, list) else str(default).lower() if default is False else default
    return f"`{shown}`"


def _type(shape: dict[str, Any], schema: dict[str, Any]) -> str:
    choices = shape.get("enum") or ([shape["const"]] if "const" in shape else None)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if "patternProperties" in shape:
        return "mapping of names"
    kind = shape.get("type")
    if kind == "array":
        return f"list of {_type(_resolved(shape['items'], schema), schema)}"
    words = {"string": "text", "integer": "whole number", "number": "number", "object": "mapping"}
    said = words.get(str(kind), "true or false" if kind == "boolean" else "any")
    if "^[a-z0-9]" in str(shape.get("pattern")):
        return "name"
    return said + _bounds(shape)


def _bounds(shape: dict[str, Any]) -> str:
    low = shape.get("minimum", shape.get("exclusiveMinimum"))
    high = shape.get("maximum")
    if low is not None and high is not None:
        return f", {'over ' if 'exclusiveMinimum' in shape else ''}{low} to {high}"
    return f", at most {shape['maxLength']} characters" if "maxLength" in shape else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


# --- codes ------------------------------------------------------------------------------------------------------------

# A code is a string literal in one of these places:
#   1. the first text given to a constructor or helper of refusals (`RAISERS`);
#   2. `code="..."` in any call;
#   3. a snake_case literal that is followed by its message (`PLACES` and line numbers may stand between), in a call's
#      arguments or in a tuple: so problems travel inside a module before they get their place;
#   4. a member of an enumeration called `Code`, or a constant whose value is a code, in `EXPLICIT`.
RAISERS = frozenset({"Reason", "_reason", "_invalid", "_Refused"})
EXPLICIT: Mapping[str, str] = {
    "project_invalid": "any number of problems in the project's files, each listed with its own code",
    "upstream_error": "the tool server answered with a JSON-RPC error",
    "upstream_unsupported": "the tool server asked for what this gateway does not offer",
    "tool_changed": "the tool server no longer serves what was reviewed; nothing was sent",
    "tool_unverified": "whether the tool server still serves what was reviewed is not known; nothing was sent",
    "provenance_untrusted": "`<pointer>` was first seen in the result of `<operation>`, which is untrusted",
    "provenance_unknown_source": "`<pointer>` was never seen in this task, or comes from a source it does not accept",
    "provenance_link": "`<pointer>` carries an address that is neither the user's nor from a source it accepts",
    "policy_hold_invalid": "what is wrong with a hold's annotations",
    "content_unknown": "`content` names `<name>`, which is no argument",
    "receiver_unknown": "`receivers` names `<name>`, which is no argument",
    "artefact_mismatch": "a file of the tool server's program is not the one that was reviewed",
    "demo_needs_mcp": "the demo's tool server and agent use the official MCP SDK",
    "io_error": "a file cannot be read or written",
}
PLACES = frozenset({"file", "line", "path", "index", "place"})  # what may stand between a code and its message
MESSAGES = frozenset({"message", "said"})  # names that hold a message made elsewhere
COMPUTED = (  # codes that are put together, or whose message is
    ("agent_duplicate", "the agent `<name>` is also in <earlier>: one would shadow the other"),
    ("manifest_unknown_operation", "`<operation>` is not in the catalogue"),
    ("operation_unknown", "`<operation>` is not in the catalogue"),
    ("operation_duplicate", "the operation `<name>` is also in <earlier>: one would shadow the other"),
    ("tool_duplicate", "the tool `<name>` is also in <earlier>: one would shadow the other"),
)
CUT_OFF = tuple(
    (f"{what}_revoked", f"the {what} `<name>` is revoked: <why>") for what in ("agent", "key", "task", "user")
)
NO_SOURCES = ("remit.testing", "remit.surfaces.cli._chapters")  # the demo only looks for codes of others
NOT_CODES = frozenset({"further_problems"})  # the verifier's word for what it no longer lists

_WORD = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_SNAKE = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)+")

_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Requests and JSON", ("core", "surfaces._http", "surfaces.data")),
    ("MCP messages", ("surfaces.mcp",)),
    (
        "Identity, tokens, tasks",
        (
            *("identity", "adapters.oauth", "adapters.oidc", "surfaces.oauth", "surfaces.tasks", "surfaces.consents"),
            *("surfaces.events", "surfaces.authzen", "adapters.authzen"),
        ),
    ),
    ("1 Charter", ("charter",)),
    ("3 Permissions", ("permissions",)),
    ("4 Catalogue", ("catalogue",)),
    ("6 Limits", ("limits",)),
    ("7 Fallbacks", ("fallbacks",)),
    ("8 Releases", ("releases",)),
    ("The life of a call", ("pipeline",)),
    ("Tool servers", ("adapters.http1", "adapters.mcp_upstream", "adapters.credentials")),
    ("5 Records", ("records", "adapters.checkpoints", "adapters.keys")),
    ("Store", ("adapters.sqlite", "adapters.postgres")),
    ("Project files", ("adapters.project",)),
    ("Gateway and people", ("app", "surfaces.admin")),
    ("Command line", ("surfaces.cli", "__main__")),
    ("Verifier", ("remit_verifier",)),
)


@dataclass(frozen=True, slots=True, order=True)
class Code:
    """One code where it arises. `message` is its template: `<name>` stands for a value."""

    code: str
    module: str
    message: str


def codes_in(sources: Mapping[str, str]) -> tuple[Code, ...]:
    """Return every code in `sources` (module -> text), each once for a module and message."""
    found = {code for module, text in sources.items() for code in _codes_of(module, ast.parse(text))}
    said = {(code.code, code.module) for code in found if code.message}
    return tuple(sorted(c for c in found if c.code not in NOT_CODES and (c.message or (c.code, c.module) not in said)))


def codes_page(codes: Iterable[Code]) -> str:
    """Write every code by the part it comes from."""
    by_group: dict[str, list[Code]] = defaultdict(list)
    for code in codes:
        by_group[_group(code.module)].append(code)
    text = f"# Codes\n{WRITTEN}\nEvery refusal, problem and fault has a stable code. `<word>` stands for a value.\n"
    for group in sorted(by_group, key=_order):
        text += f"\n## {group}\n\n| code | says | from |\n|---|---|---|\n"
        for code in by_group[group]:
            says = code.message or EXPLICIT.get(code.code, "")
            text += f"| `{code.code}` | {_cell(says)} | `{code.module}` |\n"
    return text


def _computed() -> Iterator[Code]:
    yield from (Code(code, "remit.adapters.project._compile", message) for code, message in COMPUTED)
    yield from (Code(code, "remit.identity._rules", message) for code, message in CUT_OFF)


def _group(module: str) -> str:
    inside = module.removeprefix("remit.")
    for title, prefixes in _GROUPS:
        if any(inside == prefix or inside.startswith(f"{prefix}.") for prefix in prefixes):
            return title
    raise LookupError(f"no group for `{module}`: add it to _GROUPS")


def _order(title: str) -> int:
    return [group for group, _ in _GROUPS].index(title)


def _codes_of(module: str, tree: ast.Module) -> Iterator[Code]:
    names = _assigned(tree)
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=func, args=args, keywords=keywords):
                given = {word.arg: word.value for word in keywords if word.arg}
                yield from _from_values(module, args, names, first=_raises(func))
                if "code" in given:
                    message = given.get("message", given.get("detail"))
                    yield from _coded(module, given["code"], message, names)
            case ast.Tuple(elts=values):
                yield from _from_values(module, values, names, first=False)
            case ast.ClassDef(name="Code", body=body):
                yield from _members(module, body)
            case ast.Constant(value=str(text)) if text in EXPLICIT:
                yield Code(text, module, "")


def _raises(func: ast.expr) -> bool:
    name = ast.unparse(func).rpartition(".")[2]
    return name in RAISERS or name.endswith("Error")


def _from_values(
    module: str, values: list[ast.expr], names: Mapping[str, list[ast.Assign]], *, first: bool
) -> Iterator[Code]:
    words = [(at, v.value) for at, v in enumerate(values) if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    for at, word in words:
        message = _message(values[at + 1 : at + 4], names)
        if first and (at, word) == words[0] and _WORD.fullmatch(word) and len(values) > 1:
            yield Code(word, module, message or _slot(values[at + 1]))
        elif _SNAKE.fullmatch(word) and message is not None:
            yield Code(word, module, message)


def _message(following: list[ast.expr], names: Mapping[str, list[ast.Assign]]) -> str | None:
    """Return the message, if one comes next; the place where something is wrong may stand before it."""
    for value in following:
        if ast.unparse(value) == "fix":
            return None
        template = _template(value, names)
        if template is not None and " " in template:
            return template
        if ast.unparse(value).partition("[")[0] in MESSAGES:
            return f"<{ast.unparse(value).partition('[')[0]}>"
        if not _is_place(value):
            return None
    return None


def _is_place(value: ast.expr) -> bool:
    if isinstance(value, ast.Constant | ast.Attribute | ast.JoinedStr):
        return True
    name = ast.unparse(value.func if isinstance(value, ast.Call) else value)
    return name in PLACES or (isinstance(value, ast.Call) and "line" in name)


def _coded(
    module: str, value: ast.expr, message: ast.expr | None, names: Mapping[str, list[ast.Assign]]
) -> Iterator[Code]:
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and _WORD.fullmatch(value.value):
        yield Code(value.value, module, (_template(message, names) if message else None) or "")


def _members(module: str, body: list[ast.stmt]) -> Iterator[Code]:
    source = (ROOT / "src" / f"{module.replace('.', '/')}.py").read_text("utf-8").splitlines()
    for node in body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            yield Code(str(node.value.value), module, source[node.lineno - 1].partition("# ")[2])


def _template(node: ast.expr, names: Mapping[str, list[ast.Assign]]) -> str | None:
    """Return a message's text with `<name>` for each value; None for what is no message."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(str(v.value) if isinstance(v, ast.Constant) else _slot(v) for v in values)
        case ast.BinOp(left=left):
            return _template(left, names)
        case ast.IfExp(body=body):
            return _template(body, names)
        case ast.Name(id=name, lineno=line):
            before = [found for found in names.get(name, ()) if (found.end_lineno or found.lineno) < line]
            return _template(before[-1].value, names) if before else None
        case _:
            return None


def _slot(node: ast.expr) -> str:
    words = re.findall(r"[A-Za-z_]+", ast.unparse(node).split("[")[0].split("(")[-1])
    return f"<{words[-1].strip('_').lower()}>" if words else "<...>"


def _assigned(tree: ast.Module) -> Mapping[str, list[ast.Assign]]:
    """Return the assignments to plain names, in the order of the text."""
    names: dict[str, list[ast.Assign]] = defaultdict(list)
    for node in sorted((n for n in ast.walk(tree) if isinstance(n, ast.Assign)), key=lambda found: found.lineno):
        match node.targets:
            case [ast.Name(id=name)] if not (isinstance(node.value, ast.Name) and node.value.id == name):
                names[name].append(node)
    return names


def _sources() -> Mapping[str, str]:
    files = [*(ROOT / "src/remit").rglob("*.py"), *(ROOT / "src/remit_verifier").rglob("*.py")]
    modules = {".".join(file.relative_to(ROOT / "src").with_suffix("").parts): file for file in sorted(files)}
    return {name: file.read_text("utf-8") for name, file in modules.items() if not name.startswith(NO_SOURCES)}


def main() -> None:
    """Write the pages."""
    for path, text in pages().items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
