"""The log as lines that a stranger's verifier reads: format `remit-export/1`, described in docs/verify.md."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator

from remit.pipeline import Store
from remit.records import Entry, parse_checkpoint

PAGE_ENTRIES = 500  # read from the store at once


async def export_lines(store: Store, origin: str, note: str) -> AsyncIterator[str]:
    """Yield the export of every entry that the signed checkpoint `note` covers, one line each."""
    size = parse_checkpoint(note[: note.index("\n\n") + 1]).size
    yield _line({"format": "remit-export/1", "origin": origin})
    for start in range(0, size, PAGE_ENTRIES):
        for entry in await store.entries(start, min(start + PAGE_ENTRIES, size)):
            yield _line(_exported(entry))
    yield _line({"checkpoint": note})


def _exported(entry: Entry) -> dict[str, object]:
    return {
        "index": entry.index,
        "leaf": entry.leaf.decode("utf-8"),
        "payloads": [
            {
                "name": payload.name,
                "salt": b64encode(payload.salt).decode("ascii"),
                "body": b64encode(payload.body).decode("ascii"),
            }
            for payload in entry.payloads
        ],
    }


def _line(value: dict[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"
