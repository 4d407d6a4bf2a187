"""Tasks and their records: told, summarised, exported."""

import json
from collections.abc import AsyncIterator
from dataclasses import asdict

from fastapi import APIRouter, Depends
from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from remit.core import RemitError, Task, utc_text
from remit.records import Entry, explain, refusals
from remit.surfaces.admin._access import Access
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._export import export_lines

TASKS_SHOWN = 50
CONTROLLING = frozenset({"control", "release", "started", "stopped"})  # what happened to the gateway itself
ENTRIES_SUMMARISED = 20_000  # the newest ones


def record_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for tasks and the log; operators only."""
    routes = APIRouter(dependencies=[Depends(access.operator)])

    @routes.get("/v1/tasks")
    async def tasks() -> list[dict[str, str]]:
        return [_task(task) for task in await control.store.recent_tasks(TASKS_SHOWN)]

    @routes.get("/v1/tasks/{task}/records")
    async def task_records(task: str) -> Said:
        entries = await control.store.entries_of(task)
        if not entries:
            raise RemitError("not_found", "the log has no such task", "see `remit tasks list`")
        replayed = await control.replayed(entries)
        return {
            "task": task,
            "told": list[JsonValue](explain(entries)),
            "entries": [{"index": entry.index, "leaf": entry.leaf.decode("utf-8")} for entry in entries],
            "replayed": {str(index): word for index, word in replayed.items()},
        }

    @routes.get("/v1/records/refusals")
    async def refused() -> list[Said]:
        size = (await control.store.state(control.clock.now())).size
        entries = await control.store.entries(max(0, size - ENTRIES_SUMMARISED), size, payloads=False)
        return [asdict(refusal) for refusal in refusals(entries)]

    @routes.get("/v1/records/controls")
    async def controls() -> Said:
        size = (await control.store.state(control.clock.now())).size
        entries = await control.store.entries(max(0, size - ENTRIES_SUMMARISED), size, payloads=False)
        told = explain([await _with_value(control, entry) for entry in entries if entry.kind in CONTROLLING])
        return {"told": list[JsonValue](told)}

    @routes.get("/v1/records/export")
    async def export() -> StreamingResponse:
        note = await control.checkpoint()
        lines: AsyncIterator[str] = export_lines(control.store, control.origin, note)
        return StreamingResponse(lines, media_type="application/jsonl")

    return routes


async def _with_value(control: Control, entry: Entry) -> Entry:
    """Fetch what an approver added to a directory: it stands apart from its entry."""
    leaf = json.loads(entry.leaf)
    if leaf.get("word") != "extended":
        return entry
    (found,) = await control.store.entries(entry.index, entry.index + 1)
    return found


def _task(task: Task) -> dict[str, str]:
    return {
        "task": task.id,
        "user": task.user,
        "agent": task.agent,
        "use_case": task.use_case,
        "opened_at": utc_text(task.opened_at),
        "expires_at": utc_text(task.expires_at),
    }
