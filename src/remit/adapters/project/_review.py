"""The files that a review leaves behind: read back, and written as text for people to keep.

lock_text(snapshot.descriptors, charter.operations)         # agents/<name>/tools.lock
served_text({"getOrder": definition_as_listed})             # catalogue/served/<tool>.json
"""

import json
from collections.abc import Iterable, Mapping

from remit.catalogue import Descriptor
from remit.core import InputRefusedError, JsonObject, parse_strict

_HEAD = "# Written by `remit tools lock`: exactly these descriptors are deployed with this agent, and no other runs.\n"


def lock_text(descriptors: Mapping[str, Descriptor], operations: Iterable[str]) -> str:
    """Write the manifest tools.lock for those of `operations` that are in `descriptors`, by name."""
    lines = (
        # (Text in JSON's quotes, when it is ASCII, is the same text in YAML's.)
        f"{json.dumps(name)}: {{version: {json.dumps(found.version)}, digest: {json.dumps(found.digest)}}}\n"
        for name in sorted(set(operations))
        if (found := descriptors.get(name)) is not None
    )
    return _HEAD + "".join(lines)


def served_text(definitions: Mapping[str, JsonObject]) -> str:
    """Write a file of catalogue/served: by upstream name, each definition exactly as its server listed it."""
    return json.dumps(dict(definitions), indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False) + "\n"


def read_served(body: bytes) -> Mapping[str, JsonObject]:
    """Read what `served_text` wrote.

    Raises:
        InputRefusedError: `served_invalid`.
    """
    fix = "write the file anew from the server's own listing"
    try:
        value = parse_strict(body)
    except InputRefusedError as refused:
        raise InputRefusedError("served_invalid", f"not a server's definitions: {refused.message}", fix) from refused
    definitions = value if isinstance(value, dict) else {"": None}
    found = {name: definition for name, definition in definitions.items() if isinstance(definition, dict)}
    if len(found) != len(definitions):
        raise InputRefusedError("served_invalid", "expected one object with a definition for each name", fix)
    return found
