"""`tools/list`: the reviewed descriptors of what this caller may call, in stable order, and never upstream's text."""

from remit import catalogue, charter
from remit.catalogue import Descriptor, Effect
from remit.core import Allow, Delegation, Json, JsonObject, canonical_bytes
from remit.pipeline import Live, Snapshot

TTL_MS = 60_000  # how long a client may keep the list; the decision on a call never depends on it
CACHE_MAX = 1_000  # lists kept per bundle

_TRANSPORT_HINT = "x-mcp-header"  # asks clients to repeat an argument in a header; meant for the tool's own server


class Listing:
    """Lists of operations, made once per bundle, agent and use case."""

    def __init__(self, live: Live, *, observe: bool) -> None:
        self._live = live
        self._observe = observe
        self._digest = ""
        self._made: dict[tuple[str, str], bytes] = {}

    def result(self, delegation: Delegation) -> bytes:
        """Return the ListToolsResult for this caller."""
        snapshot = self._live.snapshot
        if snapshot.digest != self._digest or len(self._made) > CACHE_MAX:
            self._digest, self._made = snapshot.digest, {}
        key = (delegation.agent, delegation.use_case)
        if key not in self._made:
            self._made[key] = _list(snapshot, *key, observe=self._observe)
        return self._made[key]


def _list(snapshot: Snapshot, agent: str, use_case: str, *, observe: bool) -> bytes:
    tools = [
        _tool(descriptor)
        for operation, descriptor in sorted(snapshot.descriptors.items())
        if observe or _visible(snapshot, agent, use_case, operation)
    ]
    return canonical_bytes({"resultType": "complete", "tools": tools, "ttlMs": TTL_MS, "cacheScope": "private"})


def _visible(snapshot: Snapshot, agent: str, use_case: str, operation: str) -> bool:
    """Ask the same gates as a call does, those that need no arguments."""
    job = snapshot.charters.get(agent)
    listed = frozenset[str]() if job is None else job.operations
    within = charter.within_use_case(job, use_case, operation)
    on_list = catalogue.is_listed(snapshot.descriptors.get(operation), operation, listed)
    return isinstance(within, Allow) and isinstance(on_list, Allow)


def _tool(descriptor: Descriptor) -> JsonObject:
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
    if descriptor.output_schema is not None:
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
