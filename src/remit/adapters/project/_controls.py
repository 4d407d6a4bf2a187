"""What a file says of how its operations are governed, checked against their arguments and turned into values.

found = wrong_controls(entry, named=frozenset({"get_order"}))     # (path within the operation, code, message, fix)
flow_of(controls_of(entry), entry.input_schema, reviewers=("operator",))
"""

import re
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from remit.adapters.project._models import AgentFile, LimitEntry, OperationEntry, nearest
from remit.adapters.project._yaml import Path
from remit.catalogue import Controls, Effect
from remit.core import Json, JsonObject, Window
from remit.limits import DEFAULT_CAPS, Cap, Per
from remit.permissions import Flow, Label

Found = tuple[Path, str, str, str]
"""A place within an operation, a code, a message and a fix."""

USER, RECORDS = "user", "records"  # sources that are no operation
_POINTER = re.compile(r"(/([^/~]|~[01])*)+")  # RFC 6901, section 3, below the whole value


def wrong_controls(entry: OperationEntry, named: AbstractSet[str] | None) -> Iterator[Found]:
    """Yield what is wrong with an operation's controls.

    `named` are the operations of the whole catalogue; None where they are not all known, and so not asked for.
    """
    declared = entry.input_schema.get("properties")
    arguments = declared if isinstance(declared, dict) else {}
    yield from _wrong_confirm(entry, arguments)
    for index, name in enumerate(entry.content):
        if name not in arguments:
            message = f"`content` names `{name}`, which is no argument{nearest(name, sorted(arguments))}"
            yield ("content", index), "content_unknown", message, "name a property of input_schema"
    for name, sources in entry.sources.items():
        yield from _wrong_sources(entry, arguments, name)
        for index, source in enumerate(sources):
            yield from _wrong_source(("sources", name, index), source, named)


def _wrong_confirm(entry: OperationEntry, arguments: Mapping[str, Json]) -> Iterator[Found]:
    name = entry.confirm
    if name is None:
        return
    required = entry.input_schema.get("required")
    schema = arguments.get(name)
    fix = "name a required argument of `type: string`, or leave `confirm` out: then the operation's name is typed"
    if not isinstance(schema, dict) or not isinstance(required, list) or name not in required:
        message = f"`confirm` names `{name}`, which is no required argument{nearest(name, sorted(arguments))}"
        yield ("confirm",), "confirm_invalid", message, fix
    elif schema.get("type") != "string":
        yield ("confirm",), "confirm_invalid", f"`confirm` names `{name}`, which is not of type string", fix
    elif Effect(entry.effect) is not Effect.IRREVERSIBLE:
        message = f"`confirm` on an operation whose effect is `{entry.effect}`: nobody would ever be asked"
        yield ("confirm",), "confirm_invalid", message, "leave it out, or set effect: irreversible"


def _wrong_sources(entry: OperationEntry, arguments: Mapping[str, Json], name: str) -> Iterator[Found]:
    if name not in arguments:
        message = f"`sources` names `{name}`, which is no argument{nearest(name, sorted(arguments))}"
        yield ("sources", name), "source_unknown", message, "name a property of input_schema"
    elif name in entry.content:
        message = f"`{name}` is content, which may come from anywhere: its sources would never be asked for"
        yield ("sources", name), "source_unused", message, f"take `{name}` out of content, or its sources away"


def _wrong_source(path: Path, source: str, named: AbstractSet[str] | None) -> Iterator[Found]:
    operation, slash, rest = source.partition("/")
    if source in {USER, RECORDS}:
        return
    if named is not None and operation not in named:
        message = f"the source `{source[:80]}` begins with no operation{nearest(operation, sorted(named))}"
        fix = f"write {USER}, {RECORDS}, an operation of the catalogue, or one with a pointer: get_order/customer_id"
        yield path, "source_unknown", message, fix
    elif slash and not _POINTER.fullmatch(slash + rest):
        message = f"the source `{source[:80]}` does not end in a JSON pointer"
        yield path, "source_unknown", message, "write `~` as ~0 and `/` as ~1 within a name"


def controls_of(entry: OperationEntry) -> Controls:
    """Return the controls that `entry` declares."""
    return Controls(
        effect=Effect(entry.effect),
        confirm=entry.confirm or "",
        content=tuple(entry.content),
        sources={name: tuple(sources) for name, sources in entry.sources.items()},
        results=dict(entry.results or {}),
        carries_data_out=entry.carries_data_out,
    )


def flow_of(controls: Controls, schema: JsonObject, reviewers: tuple[str, ...]) -> Flow:
    """Return what `controls` and the input schema say about values; `reviewers` lift the agent's provenance holds."""
    properties = schema.get("properties")
    declared = properties if isinstance(properties, dict) else {}
    return Flow(
        consequential=controls.effect is not Effect.READ or controls.carries_data_out,
        content=frozenset(controls.content),
        sources=controls.sources,
        labels=tuple((pattern, Label(label)) for pattern, label in sorted(controls.results.items())),
        reviewers=reviewers,
        closed=frozenset(
            name for name, inner in declared.items() if isinstance(inner, dict) and _CLOSED & inner.keys()
        ),
        names=frozenset(_names(schema)),
    )


_CLOSED = frozenset({"enum", "const"})


def _names(schema: Json) -> Iterator[str]:
    """Yield every property name that stands anywhere in `schema`."""
    if isinstance(schema, list):
        for item in schema:
            yield from _names(item)
    elif isinstance(schema, dict):
        for key, value in schema.items():
            if key == "properties" and isinstance(value, dict):
                yield from value
            yield from _names(value)


def caps_of(found: AgentFile) -> tuple[Cap, ...]:
    """Return the agent's caps; `DEFAULT_CAPS` where its file has none."""
    if found.limits is None:
        return DEFAULT_CAPS
    return tuple(_cap(name, entry) for name, entry in found.limits.items())


def _cap(name: str, entry: LimitEntry) -> Cap:
    return Cap(
        name=name,
        effects=frozenset(Effect) if entry.of is None else frozenset(entry.of),
        per=Per(entry.per),
        window=None if entry.window is None else Window(entry.window),
        max=entry.max,
    )
