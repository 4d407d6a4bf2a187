"""Who did what, in figures: a user who tries many agents, or an agent that loops; and who had a part in a call."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import JsonValue

from remit.core import RemitError, utc_text
from remit.pipeline import Store
from remit.records import Entry, Figures, Pair, Seen, UserTotals, figures, sightings, told, who
from remit.surfaces.admin._access import Access
from remit.surfaces.admin._control import Control, Said

ENTRIES_COUNTED = 20_000  # the newest ones
PAGE = 200  # entries read at once, with their payloads
HOURS_MAX = 24 * 366

Hours = Annotated[int | None, Query(ge=1, le=HOURS_MAX)]


def activity_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes; operators only."""
    routes = APIRouter(dependencies=[Depends(access.operator)])

    @routes.get("/v1/agents/{name}/activity")
    async def activity(name: str, hours: Hours = None) -> Said:
        since = "" if hours is None else utc_text(control.clock.now() - timedelta(hours=hours))
        seen = await _seen(control, since)
        found = figures(seen)
        if name not in found.agents and name not in control.live.snapshot.charters:
            raise RemitError("agent_unknown", "there is no such agent", "see `remit agents list`")
        return {
            "agent": name,
            "entries": len(seen),
            "since": seen[0].at if seen else since,
            "told": list[JsonValue](told(found, agent=name)),
            **_figures(found, name),
        }

    @routes.get("/v1/records/{name}/who")
    async def custody(name: str) -> Said:
        task, call = await _named(control.store, name, await _size(control))
        entries = await control.store.entries_of(task)
        if not entries:
            raise RemitError("not_found", "the log has no such task or call", "see `remit tasks list`")
        parts = who(entries, call)
        found = figures(await _seen(control, ""))
        pairs = {(each.user, each.agent) for each in sightings(entries) if each.kind != "outcome"}
        named = sorted(pair for pair in pairs if pair[0])  # (the empty user is no user)
        lines = dict.fromkeys(line for user, agent in named for line in _lines(found, user, agent))
        return {
            "task": task,
            "call": call,
            "who": [{"what": what, "who": line} for what, line in (*parts, *(("activity", each) for each in lines))],
        }

    return routes


def _lines(found: Figures, user: str, agent: str) -> tuple[str, ...]:
    """Tell the figures of one agent, and of one user."""
    agents = {agent: found.agents[agent]} if agent in found.agents else {}
    users = {user: found.users[user]} if user in found.users else {}
    return told(Figures(pairs=found.pairs, users=users, agents=agents), user=user)


def _figures(found: Figures, agent: str) -> Said:
    """Write the figures of an agent, of those it acted for, and of those with any agent."""
    pairs = [each for each in found.pairs.values() if each.agent == agent and each.user]
    total = found.agents.get(agent)
    return {
        "total": None if total is None else asdict(total),
        "by_user": [_counted(each) for each in pairs],
        "users": [_counted(found.users[each.user]) for each in pairs if each.user in found.users],
    }


def _counted(each: Pair | UserTotals) -> Said:
    return {**asdict(each), "codes": dict[str, JsonValue](each.codes)}


async def _seen(control: Control, since: str) -> tuple[Seen, ...]:
    """Read the newest entries, from `since` on, a page at a time, so that few payloads are held at once."""
    stop = await _size(control)
    start = max(0, stop - ENTRIES_COUNTED)
    pages: list[tuple[Seen, ...]] = []
    while stop > start:
        first = max(start, stop - PAGE)
        page = await control.store.entries(first, stop)
        kept = tuple(each for each in sightings(page) if each.at >= since)
        pages.append(kept)
        stop = first
        if since and _older(page, since):
            break
    return tuple(each for page in reversed(pages) for each in page)


def _older(page: tuple[Entry, ...], since: str) -> bool:
    """Whether everything before `page` happened before `since`: so it is where its first call did."""
    first = next(sightings(page), None)
    return first is not None and first.at < since


async def _named(store: Store, name: str, size: int) -> tuple[str, str]:
    """Return the task and the call that `name` is the id of; of a call only the newest entries know."""
    if not name.startswith("c_"):
        return name, ""
    for stop in range(size, max(0, size - ENTRIES_COUNTED), -PAGE):
        for entry in await store.entries(max(0, stop - PAGE), stop, payloads=False):
            if entry.call == name:
                return entry.task, name
    return "", name


async def _size(control: Control) -> int:
    return (await control.store.state(control.clock.now())).size
