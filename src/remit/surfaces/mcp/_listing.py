"""`tools/list`: the reviewed descriptors of what this caller may call, in stable order, and never upstream's text.

What the gates would refuse whatever the arguments is not shown: not listed, not granted, not signed, quarantined, or
not the pinned version; and to a plain client no more than it may read. In observe mode, where nothing is refused,
everything is.
"""

from remit import catalogue, charter, identity
from remit.catalogue import Descriptor, Effect
from remit.core import Allow, Authority, Delegation, Json, JsonObject, Level, canonical_bytes
from remit.identity import ALL
from remit.pipeline import Live, operation_control

TTL_MS = 60_000  # how long a client may keep the list; the decision on a call never depends on it
CACHE_MAX = 1_000  # lists kept at a time

_TRANSPORT_HINT = "x-mcp-header"  # asks clients to repeat an argument in a header; meant for the tool's own server


_Who = tuple[str, str, Level, Authority]
"""Agent, use case, how it is attached, and what its task was granted."""


class Listing:
    """Lists of operations, made once per agent, use case and form, until a bundle or a control changes."""

    def __init__(self, live: Live, *, observe: bool) -> None:
        self._live = live
        self._observe = observe
        self._generation = live.generation
        self._made: dict[tuple[str, str, Level, Authority, bool], bytes] = {}

    def result(self, delegation: Delegation, *, older: bool = False) -> bytes:
        """Return the ListToolsResult for this caller, in the form of 2026-07-28 or of an older revision."""
        if self._live.generation != self._generation or len(self._made) > CACHE_MAX:
            self._generation, self._made = self._live.generation, {}
        task = self._live.task(delegation.task)
        authority = ALL if task is None else task.authority
        key = (delegation.agent, delegation.use_case, delegation.level, authority, older)
        if key not in self._made:
            self._made[key] = self._list(*key)
        return self._made[key]

    def _list(self, agent: str, use_case: str, level: Level, authority: Authority, older: bool) -> bytes:
        tools = [
            _tool(descriptor, older=older)
            for operation, descriptor in sorted(self._live.snapshot.descriptors.items())
            if self._observe or _visible(self._live, (agent, use_case, level, authority), operation, descriptor)
        ]
        if older:
            return canonical_bytes({"tools": tools})
        return canonical_bytes({"resultType": "complete", "tools": tools, "ttlMs": TTL_MS, "cacheScope": "private"})


def _visible(live: Live, who: _Who, operation: str, descriptor: Descriptor) -> bool:
    """Ask the gates as a call does that need no arguments: the use case, what the task was granted, gates 1 to 3."""
    agent, use_case, level, authority = who
    snapshot, registered = live.snapshot, live.snapshot.registrations.get(agent)
    bearer = registered is not None and registered.bearer
    job = snapshot.charters.get(agent)
    listed = frozenset[str]() if job is None else job.operations
    quarantined = live.says(operation_control(operation))
    answers = (
        charter.within_use_case(job, use_case, operation),
        catalogue.is_listed(descriptor, operation, listed),
        identity.attachment_suffices(level, bearer=bearer, reads=descriptor.effect is Effect.READ),
        identity.authority_covers(authority, operation=operation, tool=descriptor.tool),
        catalogue.signatures_hold(snapshot.reviews.get(operation), quarantined),
        catalogue.version_matches(snapshot.manifests.get(agent, {}).get(operation), descriptor),
    )
    return all(isinstance(answer, Allow) for answer in answers)


def _tool(descriptor: Descriptor, *, older: bool) -> JsonObject:
    tool: JsonObject = {
        "name": descriptor.operation,
        "title": descriptor.title,
        "description": descriptor.description,
        "inputSchema": _without_hint(descriptor.input_schema),
        "annotations": {
            "readOnlyHint": descriptor.effect is Effect.READ,
            "destructiveHint": descriptor.effect is Effect.IRREVERSIBLE,
        },
    }
    # (Before 2026-07-28 structured content was an object, and so is its schema: 2025-11-25, server/tools.)
    if descriptor.output_schema is not None and not (older and descriptor.output_schema.get("type") != "object"):
        tool["outputSchema"] = descriptor.output_schema
    return tool


def _without_hint(schema: Json) -> Json:
    """Leave out the transport hint wherever it stands as a keyword; a property may bear that name."""
    if isinstance(schema, list):
        return [_without_hint(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: JsonObject = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            kept[key] = {name: _without_hint(item) for name, item in value.items()}
        elif key in ("enum", "const", "default", "examples"):
            kept[key] = value
        elif key != _TRANSPORT_HINT:
            kept[key] = _without_hint(value)
    return kept
