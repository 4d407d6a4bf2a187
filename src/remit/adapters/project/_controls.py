"""What a file says of how its operations are governed, checked against their arguments and turned into values.

found = wrong_controls(entry, names)        # (path within the operation, code, message, fix), each
flow_of(controls_of(entry), entry.input_schema, reviewers=("operator",))
"""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from remit.adapters.project._histories import always_there, arguments_of, told
from remit.adapters.project._lookups import Found, fact_types, look_up_of
from remit.adapters.project._mistakes import nearest
from remit.adapters.project._models import AgentFile, LimitEntry, OperationEntry
from remit.adapters.project._pointers import is_undeclared, lost_at, without_null
from remit.adapters.project._yaml import Path
from remit.catalogue import Controls, Descriptor, Effect, Tier
from remit.core import Json, JsonObject, Window
from remit.limits import DEFAULT_CAPS, Cap, Per
from remit.permissions import Flow, History, Label, OperationShape

USER, RECORDS, DIRECTORY = "user", "records", "directory"  # sources that are no operation
_POINTER = re.compile(r"(/([^/~]|~[01])*)+")  # RFC 6901, section 3, below the whole value


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a project that controls may refer to, sound or not; None: not all known, and so not asked for."""

    operations: AbstractSet[str] | None
    directories: AbstractSet[str]
    classes: AbstractSet[str] | None


def wrong_controls(entry: OperationEntry, names: Names) -> Iterator[Found]:
    """Yield what is wrong with an operation's controls but for its look-ups."""
    declared = entry.input_schema.get("properties")
    arguments = declared if isinstance(declared, dict) else {}
    yield from _wrong_confirm(entry, arguments)
    said = (("content", "content_unknown", entry.content), ("receivers", "receiver_unknown", entry.receivers))
    for key, code, listed in said:
        for index, name in enumerate(listed):
            if name not in arguments:
                message = f"`{key}` names `{name}`, which is no argument{nearest(name, sorted(arguments))}"
                yield (key, index), code, message, "name a property of input_schema"
    for name, sources in entry.sources.items():
        yield from _wrong_sources(entry, arguments, name)
        for index, source in enumerate(sources):
            yield from wrong_source(("sources", name, index), source, names)
    for index, source in enumerate(entry.links or ()):
        yield from wrong_source(("links", index), source, names)
    if entry.links is not None and not entry.content:
        message = "`links` without `content`: no argument of it may say anything, so there is nothing to look through"
        yield ("links",), "links_unused", message, "take `links` out, or name the arguments that are content"
    yield from _wrong_classes(entry, names)


def _wrong_classes(entry: OperationEntry, names: Names) -> Iterator[Found]:
    for pointer, name in entry.classes.items():
        if names.classes is not None and name not in names.classes:
            message = (
                f"the data class `{name}` is not in organisation/classes.yaml{nearest(name, sorted(names.classes))}"
            )
            yield ("classes", pointer), "class_unknown", message, "describe it there: who may receive it, who reviews"
        if is_undeclared(entry.output_schema, pointer):
            message = f"`{pointer}` is no field of the output_schema{lost_at(entry.output_schema, pointer)}"
            yield ("classes", pointer), "class_unknown_field", message, "point at a field that is declared there"


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


def wrong_source(path: Path, source: str, names: Names) -> Iterator[Found]:
    """Yield what is wrong with `source`, where a value may come from: it stands at `path`."""
    operation, slash, rest = source.partition("/")
    if source in {USER, RECORDS}:
        return
    if operation == DIRECTORY:
        if rest not in names.directories:
            message = f"there is no directory `{rest[:80]}`{nearest(rest, sorted(names.directories))}"
            yield (
                path,
                "directory_unknown",
                message,
                "write it as organisation/directories/NAME.yaml, and have it signed",
            )
        return
    if names.operations is not None and operation not in names.operations:
        message = f"the source `{source[:80]}` begins with no operation{nearest(operation, sorted(names.operations))}"
        fix = f"write {USER}, {RECORDS}, {DIRECTORY}/NAME, an operation, or one with a pointer: get_order/customer_id"
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
        tier=None if entry.tier is None else Tier(entry.tier),
        links=(USER,) if entry.links is None else tuple(entry.links),
        receivers=tuple(entry.receivers),
        classes=dict(entry.classes),
        facts={name: look_up_of(fact) for name, fact in entry.facts.items()},
        before=None if entry.before is None else look_up_of(entry.before),
    )


def flow_of(
    controls: Controls, schema: JsonObject, reviewers: tuple[str, ...], labelled: frozenset[str] | None = None
) -> Flow:
    """Return what `controls` and the input schema say about values; `reviewers` lift the agent's provenance holds.

    `labelled` are the arguments whose origin the agent's policies read; None: that is not known, so any.
    """
    return Flow(
        consequential=is_consequential(controls),
        content=frozenset(controls.content),
        sources=controls.sources,
        labels=tuple((pattern, Label(label)) for pattern, label in sorted(controls.results.items())),
        reviewers=reviewers,
        closed=frozenset(_closed(schema)),
        names=frozenset(_names(schema)),
        links=controls.links,
        receivers=frozenset(controls.receivers),
        carries_out=controls.carries_data_out or bool(controls.receivers),
        classes=tuple(sorted(controls.classes.items())),
        labelled=labelled,
    )


def is_consequential(controls: Controls) -> bool:
    """Tell whether a call changes the world, or its request can carry data out."""
    return controls.effect is not Effect.READ or controls.carries_data_out


def shape_of(
    descriptor: Descriptor, descriptors: Mapping[str, Descriptor], histories: tuple[History, ...]
) -> OperationShape:
    """Return what policies may know of calls of `descriptor`: typed by it, by what it looks up and what is counted."""
    schema, controls = descriptor.input_schema, descriptor.controls
    properties = schema.get("properties")
    arguments = sorted(properties) if isinstance(properties, dict) and is_consequential(controls) else ()
    counted = told(histories, schema, descriptor.operation)
    return OperationShape(
        operation=descriptor.operation,
        tool=descriptor.tool,
        input_schema=schema,
        effect=controls.effect.value,
        tier=controls.stakes.value,
        history={history.name: "decimal" if history.decimal else "Long" for history in counted},
        history_optional=frozenset(
            history.name
            for history in counted
            if not all(always_there(schema, argument) for argument in arguments_of(history.per))
        ),
        facts=fact_types(descriptor, descriptors),
        labelled=tuple(arguments),
    )


_CLOSED = frozenset({"enum", "const"})
_CLOSED_DEPTH_MAX = 8  # steps down
_CLOSED_PLACES_MAX = 2_000  # places looked at: a type that holds itself has no end


def _closed(schema: JsonObject) -> Iterator[str]:
    """Yield the pointer patterns of the places whose schema lists every value, the highest ones."""
    named = schema.get("$defs")
    types = named if isinstance(named, dict) else {}
    places: deque[tuple[str, Json]] = deque([("", {**schema, "type": "object"})])
    for _ in range(_CLOSED_PLACES_MAX):
        if not places:
            return
        pointer, here = places.popleft()
        if not isinstance(here, dict) or (pointer and "$id" in here):  # (another base: its `#` is not this schema)
            continue
        if pointer and _CLOSED & here.keys():
            yield pointer
        elif pointer.count("/") < _CLOSED_DEPTH_MAX:
            places += _places_below(pointer, here, types)


def _places_below(pointer: str, here: JsonObject, types: JsonObject) -> Iterator[tuple[str, Json]]:
    """Yield what a place is said to be elsewhere, and the places one step down, where only those can be."""
    reference, properties = here.get("$ref"), here.get("properties")
    if isinstance(reference, str) and reference.startswith(_TYPES):
        yield pointer, types.get(reference.removeprefix(_TYPES))
    inner = without_null(here)
    if inner is not here:
        yield pointer, inner
    elif here.get("type") == "object" and isinstance(properties, dict):
        for name, schema in properties.items():
            if name != "*":  # (a pattern could not tell it from any item)
                yield f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}", schema
    elif here.get("type") == "array" and "prefixItems" not in here:
        yield f"{pointer}/*", here.get("items")


_TYPES = "#/$defs/"


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
