"""The watch: what tool servers serve, compared with what was reviewed; a difference is quarantined at once (R4.7)."""

import asyncio
import json
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from pydantic import JsonValue

from remit.catalogue import Descriptor, Tool, differences, served_digest
from remit.core import JsonObject, RemitError
from remit.pipeline import ControlDesk, Live

LISTED_NOWHERE = "the tool server no longer offers it"
LISTED_TWICE = "the tool server lists it twice"

_FAILURES_MAX = 3  # comparisons in a row that may fail before the tool is no longer called unverified

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
        self,
        live: Live,
        desk: ControlDesk,
        list_tools: Callable[[Tool], Awaitable[tuple[JsonObject, ...]]],
        distrust: Callable[[Tool], None],
    ) -> None:
        self._live = live
        self._desk = desk
        self._list_tools = list_tools
        self._distrust = distrust
        self._failures: dict[str, int] = {}  # comparisons that failed in a row, by tool

    async def verify(self, tool: Tool) -> frozenset[str]:
        """Compare every operation of `tool`; return those that are not served as reviewed, quarantined by then.

        Raises:
            RemitError: the server did not list its tools, or the quarantine could not be recorded.
        """
        compared = await self._compare(tool)
        self._failures.pop(tool.name, None)
        return frozenset(each.operation for each in compared if each.state == "changed")

    async def check_all(self) -> list[Compared]:
        """Compare every tool of the running release, one that does not answer included.

        A tool whose comparison failed three times in a row is distrusted: each call of it waits for a verification of
        its own, and is refused without one, until a comparison succeeds.
        """
        found: list[Compared] = []
        for name, tool in sorted(self._live.snapshot.tools.items()):
            try:
                found += await self._compare(tool)
                self._failures.pop(name, None)
            except RemitError as error:
                self._failed(tool, error)
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

    def _failed(self, tool: Tool, error: RemitError) -> None:
        failures = self._failures[tool.name] = self._failures.get(tool.name, 0) + 1
        if failures == 1:  # said once
            _log.warning("tool server `%s` was not compared with its review: %s", tool.name, error)
        if failures >= _FAILURES_MAX:
            self._distrust(tool)

    async def _compare(self, tool: Tool) -> list[Compared]:
        operations = self._operations(tool)
        pinned = any(each.served for each in operations)  # (a server that nobody reviewed is not asked)
        listing = await self._list_tools(tool) if pinned else ()
        reviewed = self._reviewed(tool)
        listed = {str(each.get("name")): each for each in listing}
        times = Counter(str(each.get("name")) for each in listing)
        found = [_compared(each, reviewed, listed, times[each.upstream_name]) for each in operations]
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


def _compared(descriptor: Descriptor, reviewed: JsonObject, listed: dict[str, JsonObject], times: int) -> Compared:
    operation, tool = descriptor.operation, descriptor.tool
    if not descriptor.served:
        return Compared(operation=operation, tool=tool, state="not_pinned")
    now = listed.get(descriptor.upstream_name)
    if now is None:
        return Compared(operation=operation, tool=tool, state="changed", differences=(LISTED_NOWHERE,))
    if times > 1:  # which of them a call would reach is the server's choice
        return Compared(operation=operation, tool=tool, state="changed", differences=(LISTED_TWICE,))
    if served_digest(now) == descriptor.served:
        return Compared(operation=operation, tool=tool, state="reviewed")
    before = reviewed.get(descriptor.upstream_name)
    told = differences(before if isinstance(before, dict) else {}, now)
    return Compared(operation=operation, tool=tool, state="changed", differences=told)


def compared_json(each: Compared) -> dict[str, JsonValue]:
    """Write a comparison for the admin API."""
    lines: list[JsonValue] = list(each.differences)
    return {"operation": each.operation, "tool": each.tool, "state": each.state, "differences": lines}
