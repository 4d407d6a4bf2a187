"""The watch: what tool servers serve, compared with what was reviewed; a difference is quarantined at once (R4.7)."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import JsonValue

from remit.catalogue import Descriptor, Tool, differences, served_digest
from remit.core import JsonObject, RemitError
from remit.pipeline import ControlDesk, Live

LISTED_NOWHERE = "the tool server no longer offers it"

_log = logging.getLogger("remit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """How one operation is served: `state` is reviewed, changed, unverified or not_pinned."""

    operation: str
    tool: str
    state: str
    differences: tuple[str, ...] = ()


class Watch:
    """Compares, and quarantines. Off the call path, but for the first call over a new connection."""

    def __init__(
        self, live: Live, desk: ControlDesk, list_tools: Callable[[Tool], Awaitable[tuple[JsonObject, ...]]]
    ) -> None:
        self._live = live
        self._desk = desk
        self._list_tools = list_tools
        self._silent: set[str] = set()  # tools that could not be asked the last time, said once

    async def verify(self, tool: Tool) -> frozenset[str]:
        """Compare every operation of `tool`; return those that are not served as reviewed, quarantined by then.

        Raises:
            RemitError: the server did not list its tools, or the quarantine could not be recorded.
        """
        compared = await self._compare(tool)
        return frozenset(each.operation for each in compared if each.state == "changed")

    async def check_all(self) -> list[Compared]:
        """Compare every tool of the running release, one that does not answer included."""
        found: list[Compared] = []
        for name, tool in sorted(self._live.snapshot.tools.items()):
            try:
                found += await self._compare(tool)
                self._silent.discard(name)
            except RemitError as error:
                if name not in self._silent:
                    _log.warning("tool server `%s` was not compared with its review: %s", name, error)
                self._silent.add(name)
                found += [
                    Compared(operation=each.operation, tool=name, state="unverified", differences=(error.message,))
                    for each in self._operations(tool)
                ]
        return found

    async def keep(self, every_s: float) -> None:
        """Compare again and again, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            await self.check_all()

    async def _compare(self, tool: Tool) -> list[Compared]:
        operations = self._operations(tool)
        pinned = any(each.served for each in operations)  # (a server that nobody reviewed is not asked)
        listed = {str(each.get("name")): each for each in await self._list_tools(tool)} if pinned else {}
        reviewed = self._reviewed(tool)
        found = [_compared(each, reviewed, listed) for each in operations]
        for each in found:
            if each.state == "changed":
                await self._desk.quarantine(each.operation, each.differences)
        return found

    def _operations(self, tool: Tool) -> list[Descriptor]:
        return [each for _, each in sorted(self._live.snapshot.descriptors.items()) if each.tool == tool.name]

    def _reviewed(self, tool: Tool) -> JsonObject:
        body = self._live.snapshot.sources.get(f"catalogue/served/{tool.name}.json")
        value = json.loads(body) if body else {}
        return value if isinstance(value, dict) else {}


def _compared(descriptor: Descriptor, reviewed: JsonObject, listed: dict[str, JsonObject]) -> Compared:
    operation, tool = descriptor.operation, descriptor.tool
    if not descriptor.served:
        return Compared(operation=operation, tool=tool, state="not_pinned")
    now = listed.get(descriptor.upstream_name)
    if now is None:
        return Compared(operation=operation, tool=tool, state="changed", differences=(LISTED_NOWHERE,))
    if served_digest(now) == descriptor.served:
        return Compared(operation=operation, tool=tool, state="reviewed")
    before = reviewed.get(descriptor.upstream_name)
    told = differences(before if isinstance(before, dict) else {}, now)
    return Compared(operation=operation, tool=tool, state="changed", differences=told)


def compared_json(each: Compared) -> dict[str, JsonValue]:
    """Write a comparison for the admin API."""
    lines: list[JsonValue] = list(each.differences)
    return {"operation": each.operation, "tool": each.tool, "state": each.state, "differences": lines}
