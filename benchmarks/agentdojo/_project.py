"""The benchmark's project, signed as a review would sign it, and the two ends that the controls need.

compiled(AS_WRITTEN)     # the project as it stands in project/
compiled(RULES_OFF)      # everything is permitted and nothing is asked: what the suites do without a gateway
compiled(ALL_DENIED)     # one forbid: nothing happens
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import yaml

from remit.adapters.project import compile_snapshot, read_sources, served_text
from remit.core import Json, JsonObject
from remit.pipeline import Snapshot
from remit.testing import reviewed

AS_WRITTEN = "as_written"
RULES_OFF = "rules_off"
ALL_DENIED = "all_denied"
CONFIRMED_DELETIONS = "confirmed_deletions"

ROOT = Path(__file__).parent / "project"

_PERMIT = '@id("{agent}.off")\npermit (principal, action in [{actions}], resource);\n'
_FORBID = '\n@id("{agent}.denied")\nforbid (principal, action, resource);\n'


@cache
def compiled(variant: str) -> Snapshot:
    """Return the project, or the variant of it, reviewed, pinned and compiled.

    Raises:
        KeyError: no such variant.
        ProjectInvalidError: the project has a mistake in it.
    """
    sources = _served(_VARIANTS[variant](dict(read_sources(ROOT))))
    return compile_snapshot(reviewed(sources))


def _served(sources: dict[str, bytes]) -> dict[str, bytes]:
    for path in [path for path in sources if path.startswith("catalogue/")]:
        tool = yaml.safe_load(sources[path])
        shown: dict[str, JsonObject] = {name: {"name": name} for name in tool["operations"]}
        sources[f"catalogue/served/{tool['tool']}.json"] = served_text(shown).encode()
    return sources


# -- variants


def _rules_off(sources: dict[str, bytes]) -> dict[str, bytes]:
    """Take every rule out that could stop a call: policies permit, nothing counts as a change, caps are far."""
    kept: dict[str, bytes] = {}
    for path, body in sources.items():
        if path.endswith("/agent.yaml"):
            kept[path] = _edited(body, _boundless)
        elif path.startswith("catalogue/"):
            kept[path] = _edited(body, _uncontrolled)
        elif path.startswith("organisation/") and not path.endswith(".cedar"):
            kept[path] = body
    for path in [path for path in sources if path.endswith("/agent.yaml")]:
        charter = yaml.safe_load(sources[path])
        listed = sorted({name for case in charter["use_cases"].values() for name in case["operations"]})
        actions = ", ".join(f'Action::"{name}"' for name in listed)
        text = _PERMIT.format(agent=charter["agent"], actions=actions)
        kept[f"agents/{charter['agent']}/policies/off.cedar"] = text.encode()
    return kept


def _boundless(charter: JsonObject) -> None:
    every: JsonObject = {
        "of": ["read", "write", "execute", "irreversible"],
        "per": "task",
        "in": "day",
        "max": 1_000_000,
    }
    charter["limits"] = {"calls": every}


def _uncontrolled(tool: JsonObject) -> None:
    """Call every operation a read that takes nothing away: provenance, links and confirmations are then not asked."""
    for operation in _operations(tool):
        for key in ("confirm", "receivers", "classes", "facts", "before", "carries_data_out"):
            operation.pop(key, None)
        operation["effect"] = "read"


def _all_denied(sources: dict[str, bytes]) -> dict[str, bytes]:
    for path in [path for path in sources if path.endswith(".cedar")]:
        sources[path] += _FORBID.format(agent=path.split("/")[1]).encode()
    return sources


def _confirmed_deletions(sources: dict[str, bytes]) -> dict[str, bytes]:
    """Call a deletion what cannot be undone: the employee types which file or email it is."""
    for path in [path for path in sources if path.startswith("catalogue/")]:
        sources[path] = re.sub(
            rb"(  delete_(file|email):\n(?:    .*\n)*?    effect:) write", rb"\1 irreversible", sources[path]
        )
    return sources


def _edited(body: bytes, edit: Callable[[JsonObject], None]) -> bytes:
    value = yaml.safe_load(body)
    edit(value)
    return json.dumps(value).encode()  # (JSON is YAML)


def _operations(tool: JsonObject) -> list[dict[str, Json]]:
    operations = tool["operations"]
    return [each for each in operations.values() if isinstance(each, dict)] if isinstance(operations, dict) else []


_VARIANTS: Mapping[str, Callable[[dict[str, bytes]], dict[str, bytes]]] = {
    AS_WRITTEN: lambda sources: sources,
    RULES_OFF: _rules_off,
    ALL_DENIED: _all_denied,
    CONFIRMED_DELETIONS: _confirmed_deletions,
}
