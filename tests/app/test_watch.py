"""What the watch makes of the lists that tool servers give it: twice the same name, no list at all, a list again."""

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from remit.app._watch import LISTED_TWICE, Watch
from remit.catalogue import Descriptor, Tool
from remit.core import JsonObject, RemitError
from remit.pipeline import Snapshot, operation_control
from remit.testing import Desk

pytestmark = pytest.mark.requirement("R4.7")

NO_LIST = RemitError("upstream_too_large", "a tool list over 100 pages", "mend the server")


@dataclass
class Server:
    """Lists what it is told to, and keeps which tools are distrusted."""

    listed: tuple[JsonObject, ...] = tuple({"name": name} for name in ("look", "pay", "wipe", "spare"))
    fault: RemitError | None = None
    distrusted: list[str] = field(default_factory=list)

    async def list_tools(self, _: Tool) -> tuple[JsonObject, ...]:
        if self.fault is not None:
            raise self.fault
        return self.listed

    def distrust(self, tool: Tool) -> None:
        self.distrusted.append(tool.name)


def watched(desk: Desk, server: Server) -> Watch:
    return Watch(desk.live, desk.controls, server.list_tools, server.distrust)


def unpinned(snapshot: Snapshot) -> Snapshot:
    def bare(each: Descriptor) -> Descriptor:
        return replace(each, served="")

    return replace(snapshot, descriptors={name: bare(each) for name, each in snapshot.descriptors.items()})


def test_a_name_that_the_list_has_twice_is_a_change_even_if_both_are_as_reviewed() -> None:
    """The control: listed once each, all are as reviewed and none is in quarantine."""

    async def scenario() -> None:
        desk, server = Desk(), Server()
        watch = watched(desk, server)
        assert {each.state for each in await watch.check_all()} == {"reviewed"}
        assert await watch.verify(desk.live.snapshot.tools["desk"]) == frozenset()
        again: tuple[JsonObject, ...] = ({"name": "pay"}, {"name": "pay", "description": "Another one."})
        for second in again:
            for listed in ((*Server.listed, second), (second, *Server.listed)):
                server.listed = listed
                assert await watch.verify(desk.live.snapshot.tools["desk"]) == {"pay"}
        changed = [each for each in await watch.check_all() if each.state != "reviewed"]
        assert [(each.operation, each.state, each.differences) for each in changed] == [
            ("pay", "changed", (LISTED_TWICE,))
        ]
        assert LISTED_TWICE in desk.store.log[-1].leaf.decode()
        assert desk.live.says(operation_control("pay")) != ""
        assert desk.live.says(operation_control("look")) == ""

    asyncio.run(scenario())


def test_a_server_that_stops_listing_is_distrusted_from_the_third_time_on() -> None:
    """The controls: two failures are no reason, and a comparison that succeeds starts the count anew."""

    async def scenario() -> None:
        desk, server = Desk(), Server()
        watch, tool = watched(desk, server), desk.live.snapshot.tools["desk"]
        for heal in (watch.check_all, lambda: watch.verify(tool)):
            server.fault = NO_LIST
            for _ in range(2):
                assert {each.state for each in await watch.check_all()} == {"unverified"}
            server.fault = None
            await heal()
        assert server.distrusted == []
        server.fault = NO_LIST
        for times in (0, 0, 1, 2):
            await watch.check_all()
            assert len(server.distrusted) == times
        assert set(server.distrusted) == {"desk"}
        server.fault = None
        await watch.check_all()
        assert len(server.distrusted) == 2

    asyncio.run(scenario())


def test_a_server_that_nobody_reviewed_is_neither_asked_nor_distrusted() -> None:
    async def scenario() -> None:
        desk, server = Desk(), Server(fault=NO_LIST)
        watch = watched(desk, server)
        desk.live.swap(unpinned(desk.live.snapshot), 1)
        for _ in range(4):
            assert {each.state for each in await watch.check_all()} == {"not_pinned"}
        assert server.distrusted == []

    asyncio.run(scenario())
