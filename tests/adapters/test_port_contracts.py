"""One contract for every way out and every clock: the stand-ins and the adapters on real sockets answer alike.

Each check runs against both kinds; each has controls, implementations that break one promise and must not pass it.
"""

import asyncio
import socket
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, Literal, Protocol

import orjson
import pytest

from remit.adapters.http1 import Pool
from remit.adapters.mcp_upstream import McpUpstream
from remit.adapters.system import SystemClock
from remit.catalogue import Controls, Descriptor, Effect, Tool
from remit.core import ToolCall, canonical_bytes, parse_strict
from remit.pipeline import Clock, Credential, Sent, Upstream, UpstreamAnswer, UpstreamFailure
from remit.testing import NOON, Hang, ManualClock, UpstreamSimulator, desk_call

BYTES_MAX = 4096
TIMEOUT_S = 10.0
Ending = UpstreamAnswer | UpstreamFailure
Act = Literal["fine", "late", "tool_error", "hang", "refused", "cut", "silent", "too_large", "rpc_error", "malformed"]

FAULTS: dict[Act, tuple[str, Sent]] = {
    "refused": ("upstream_unreachable", Sent.NOT_SENT),
    "cut": ("upstream_closed", Sent.UNKNOWN),
    "silent": ("upstream_timeout", Sent.UNKNOWN),
    "too_large": ("upstream_too_large", Sent.UNKNOWN),
    "rpc_error": ("upstream_error", Sent.ANSWERED),
    "malformed": ("upstream_malformed", Sent.ANSWERED),
}


class World(Protocol):
    """A tool that acts as told, and the way to it."""

    upstream: Upstream
    arrived: asyncio.Event

    def script(self, operation: str, *acts: Act) -> None:
        """Let `operation` act so, in turn; the last act is repeated."""
        ...

    def tool(self, act: Act) -> Tool:
        """Return where the tool is, for a call that comes to `act`."""
        ...

    def received(self) -> list[tuple[str, bytes]]:
        """Return (the tool's own name of the operation, the bytes of the arguments) of all that arrived, in order."""
        ...


Worlds = Callable[[], AbstractAsyncContextManager[World]]
Check = Callable[[World], Coroutine[Any, Any, None]]


def result_of(operation: str, act: Act) -> dict[str, Any]:
    """Return what `operation` answers, so that no two operations answer alike."""
    return {"content": [{"text": operation, "type": "text"}], "isError": act == "tool_error"}


class Scripted:
    """The stand-in, told in its own words."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self._late: list[Hang] = []
        self._simulator = UpstreamSimulator(self._on_arrival)
        self.upstream: Upstream = self._simulator

    def _on_arrival(self, _call: ToolCall) -> None:
        """Let the late answers go, the last first, once as many calls arrived as there are late answers."""
        self.arrived.set()
        if len(self._simulator.received) + 1 == len(self._late):
            for hang in reversed(self._late):
                hang.release.set()

    def script(self, operation: str, *acts: Act) -> None:
        self._simulator.script(operation, *(self._line(operation, act) for act in acts))

    def _line(self, operation: str, act: Act) -> Ending | Hang:
        if act in FAULTS:
            code, sent = FAULTS[act]
            return UpstreamFailure(code=code, sent=sent, detail="as told")
        if act == "hang":
            return Hang()
        answer = UpstreamAnswer(result=canonical_bytes(result_of(operation, act)), is_error=act == "tool_error")
        if act == "late":
            self._late.append(Hang(answer))
            return self._late[-1]
        return answer

    def tool(self, act: Act) -> Tool:
        return Tool(name="desk", url=f"http://{act}.test/mcp", timeout_s=TIMEOUT_S, response_bytes_max=BYTES_MAX)

    def received(self) -> list[tuple[str, bytes]]:
        return [(each.upstream_name, each.body) for each in self._simulator.received]


def http(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


@dataclass
class OnLoopback:
    """The adapter, its pool and a raw server. `ports` are the server's and one on which nobody listens."""

    play: Any
    upstream: Upstream
    peer: Any = None
    dead_port: int = 0
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    acts: defaultdict[str, list[Act]] = field(default_factory=lambda: defaultdict(lambda: ["fine"]))

    def script(self, operation: str, *acts: Act) -> None:
        self.acts[own_name(operation)] = list(acts)

    def answer(self, _count: int, _head: bytes, body: bytes) -> Any:
        self.arrived.set()
        request = orjson.loads(body)
        acts = self.acts[request["params"]["name"]]
        act = acts.pop(0) if len(acts) > 1 else acts[0]
        frame = {"jsonrpc": "2.0", "id": request["id"]}
        match act:
            case "hang" | "silent":
                return self.play(b"", "hang")
            case "cut":
                return self.play(b"", "close")
            case "malformed":
                return self.play(http(orjson.dumps(frame | {"result": {}})))
            case "too_large":
                return self.play(http(orjson.dumps(frame | {"result": "x" * BYTES_MAX})))
            case "rpc_error":
                return self.play(http(orjson.dumps(frame | {"error": {"code": -32602, "message": "no"}})))
            case _:
                operation = request["params"]["name"].removeprefix("desk.")
                wordy = {"resultType": "complete", "_meta": {"a": 1}} | result_of(operation, act)
                return self.play(http(orjson.dumps(frame | {"result": wordy}, option=orjson.OPT_INDENT_2)), piece=61)

    def tool(self, act: Act) -> Tool:
        port = self.dead_port if act == "refused" else self.peer.port
        wait_s = 0.2 if act == "silent" else TIMEOUT_S
        url = f"http://127.0.0.1:{port}/mcp"
        return Tool(name="desk", url=url, timeout_s=wait_s, response_bytes_max=BYTES_MAX)

    def received(self) -> list[tuple[str, bytes]]:
        return [
            (orjson.loads(body)["params"]["name"], body.partition(b',"arguments":')[2].removesuffix(b"}}"))
            for body in self.peer.bodies
        ]


@contextmanager
def port_without_listener() -> Iterator[int]:
    """Hold a port that refuses every connection; nobody else can be given it meanwhile."""
    with closing(socket.socket()) as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture(params=["simulator", "mcp over http"])
def worlds(request: pytest.FixtureRequest, serving: Any, play: Any) -> Worlds:
    @asynccontextmanager
    async def simulator() -> AsyncIterator[World]:
        yield Scripted()

    @asynccontextmanager
    async def loopback() -> AsyncIterator[World]:
        pool = Pool()
        world = OnLoopback(play, McpUpstream(pool))
        with port_without_listener() as world.dead_port:
            async with serving(world.answer) as world.peer:
                try:
                    yield world
                finally:
                    await pool.close()
                    await world.peer.gone()

    return simulator if request.param == "simulator" else loopback


def own_name(operation: str) -> str:
    return f"desk.{operation}"


def descriptor(operation: str) -> Descriptor:
    return Descriptor(
        operation=operation,
        tool="desk",
        upstream_name=own_name(operation),
        version="1",
        title="",
        description="",
        input_schema={"type": "object"},
        output_schema=None,
        endpoint={},
        served="",
        author="",
        controls=Controls(effect=Effect.READ),
        digest="sha256:0",
    )


async def invoke(world: World, operation: str = "look", act: Act = "fine", canonical: bytes = b"{}") -> Ending:
    call = replace(desk_call(operation, call=f"c_{operation}"), canonical=canonical)
    return await world.upstream.invoke(world.tool(act), descriptor(operation), call, Credential("authorization", ""))


def assert_answers(ending: Ending, operation: str, act: Act = "fine") -> None:
    """See that `ending` is the answer of `operation`, in the one form that may come back."""
    assert isinstance(ending, UpstreamAnswer), ending
    result = parse_strict(ending.result)
    assert isinstance(result, dict), "a result is an object"
    assert "content" in result
    assert not result.keys() & {"_meta", "resultType"}, "the client's machinery is not the agent's"
    assert ending.result == canonical_bytes(result), "canonical"
    assert result == result_of(operation, act), "its own answer"
    assert ending.is_error is (act == "tool_error")


async def an_answer_is_canonical_and_bare(world: World) -> None:
    assert_answers(await invoke(world), "look")


async def the_tools_own_error_is_an_answer_that_says_so(world: World) -> None:
    world.script("look", "tool_error", "fine")
    assert_answers(await invoke(world), "look", "tool_error")
    assert_answers(await invoke(world), "look")


async def the_tool_receives_its_own_name_and_the_bytes_decided_on(world: World) -> None:
    """No other writer would keep this spacing, order and number: the bytes were not written anew."""
    odd = b'{ "z":1,"a": 1.50 ,"text":"\\u00e9" }'
    await invoke(world, "look", canonical=odd)
    await invoke(world, "pay", canonical=b'{"amount":1}')
    assert world.received() == [("desk.look", odd), ("desk.pay", b'{"amount":1}')]


async def each_fault_is_a_value_and_is_not_tried_again(world: World) -> None:
    for act, (code, sent) in FAULTS.items():
        world.script(act, act, "fine")
        before = len(world.received())
        ending = await invoke(world, act, act)
        assert isinstance(ending, UpstreamFailure), (act, ending)
        assert (ending.code, ending.sent) == (code, sent), act
        assert len(world.received()) - before == (0 if sent is Sent.NOT_SENT else 1), act
        assert_answers(await invoke(world), "look")


async def twenty_calls_at_once_each_get_their_own_answer(world: World) -> None:
    names = [f"op{n}" for n in range(20)]
    for name in names:
        world.script(name, "late")
    endings = await asyncio.gather(*(invoke(world, name) for name in names))
    for name, ending in zip(names, endings, strict=True):
        assert_answers(ending, name)
    assert sorted(name for name, _ in world.received()) == sorted(map(own_name, names))


async def a_waiting_call_is_cancelled_and_later_calls_are_answered(world: World) -> None:
    world.script("look", "hang", "fine")
    waiting = asyncio.create_task(invoke(world))
    await world.arrived.wait()
    assert_answers(await invoke(world, "pay"), "pay")
    assert not waiting.done(), "the other call is not held up, nor does it end this one"
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    assert_answers(await invoke(world), "look")


CHECKS: tuple[Check, ...] = (
    an_answer_is_canonical_and_bare,
    the_tools_own_error_is_an_answer_that_says_so,
    the_tool_receives_its_own_name_and_the_bytes_decided_on,
    each_fault_is_a_value_and_is_not_tried_again,
    twenty_calls_at_once_each_get_their_own_answer,
    a_waiting_call_is_cancelled_and_later_calls_are_answered,
)


def held_to(check: Check, worlds: Worlds, liar: "type[Liar] | None" = None) -> Coroutine[Any, Any, None]:
    """Run `check` in a new world, with `liar` between if there is one."""

    async def scenario() -> None:
        async with asyncio.timeout(30), worlds() as world:
            world.script("look", "fine")  # the simulator's own default does not name the operation
            world.script("pay", "fine")
            if liar is not None:
                world.upstream = liar(world.upstream)
            await check(world)

    return scenario()


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_every_upstream_keeps_the_contract(run: Any, worlds: Worlds, check: Check) -> None:
    run(held_to(check, worlds))


@pytest.mark.parametrize("is_error", [True, False])
def test_a_hanging_tool_had_an_effect_unless_it_ends_with_its_own_error(is_error: bool) -> None:
    hang = Hang(UpstreamAnswer(result=b'{"content":[]}', is_error=is_error))
    hang.release.set()
    simulator, world = UpstreamSimulator(), Scripted()
    simulator.script("look", hang)
    world.upstream = simulator
    asyncio.run(invoke(world))
    assert simulator.effects["look"] == (0 if is_error else 1)


@dataclass
class Liar:
    """An upstream that passes everything on. Each kind below breaks one promise."""

    inner: Upstream

    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential) -> Ending:
        return self.tell(await self.inner.invoke(tool, descriptor, call, credential))

    def tell(self, ending: Ending) -> Ending:
        if isinstance(ending, UpstreamFailure):
            return self.tell_failure(ending)
        return self.tell_answer(ending)

    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        return answer

    def tell_failure(self, failure: UpstreamFailure) -> Ending:
        return failure


class AddsMeta(Liar):
    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        return replace(answer, result=b'{"_meta":{},' + answer.result[1:])


class AddsResultType(Liar):
    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        return replace(answer, result=answer.result[:-1] + b',"resultType":"complete"}')


class AddsSpace(Liar):
    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        return replace(answer, result=answer.result + b" ")


class EmptiesResult(Liar):
    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        return replace(answer, result=b"{}")


class HidesError(Liar):
    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        return replace(answer, is_error=False)


class MakesErrorAFailure(Liar):
    def tell_answer(self, answer: UpstreamAnswer) -> Ending:
        failure = UpstreamFailure(code="upstream_error", sent=Sent.ANSWERED, detail="")
        return failure if answer.is_error else answer


class WritesAnew(Liar):
    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential) -> Ending:
        anew = canonical_bytes({"args": parse_strict(call.canonical)})[8:-1]
        return await self.inner.invoke(tool, descriptor, replace(call, canonical=anew), credential)


class SendsOurName(Liar):
    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential) -> Ending:
        return await self.inner.invoke(tool, replace(descriptor, upstream_name=call.operation), call, credential)


class SaysNothingLeft(Liar):
    def tell_failure(self, failure: UpstreamFailure) -> Ending:
        return replace(failure, sent=Sent.NOT_SENT)


class SaysUnknown(Liar):
    def tell_failure(self, failure: UpstreamFailure) -> Ending:
        return replace(failure, sent=Sent.UNKNOWN)


class SaysAnswered(Liar):
    def tell_failure(self, failure: UpstreamFailure) -> Ending:
        return replace(failure, sent=Sent.ANSWERED)


class HasOneCode(Liar):
    def tell_failure(self, failure: UpstreamFailure) -> Ending:
        return replace(failure, code="upstream_failed")


class Raises(Liar):
    def tell_failure(self, failure: UpstreamFailure) -> Ending:
        raise ConnectionError(failure.detail)


class TriesAgain(Liar):
    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential) -> Ending:
        ending = await self.inner.invoke(tool, descriptor, call, credential)
        if isinstance(ending, UpstreamFailure):
            await self.inner.invoke(tool, descriptor, call, credential)
        return ending


@dataclass
class GivesTheFirstAnswerToAll(Liar):
    first: list[Ending] = field(default_factory=list)

    def tell(self, ending: Ending) -> Ending:
        self.first.append(ending)
        return self.first[0]


class SwallowsCancelling(Liar):
    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential) -> Ending:
        try:
            return await self.inner.invoke(tool, descriptor, call, credential)
        except asyncio.CancelledError:
            return UpstreamFailure(code="upstream_timeout", sent=Sent.UNKNOWN, detail="")


@dataclass
class IsSpentByCancelling(Liar):
    spent: bool = False

    async def invoke(self, tool: Tool, descriptor: Descriptor, call: ToolCall, credential: Credential) -> Ending:
        if self.spent:
            return UpstreamFailure(code="upstream_busy", sent=Sent.NOT_SENT, detail="")
        try:
            return await self.inner.invoke(tool, descriptor, call, credential)
        except asyncio.CancelledError:
            self.spent = True
            raise


CONTROLS: tuple[tuple[type[Liar], Check], ...] = (
    (AddsMeta, an_answer_is_canonical_and_bare),
    (AddsResultType, an_answer_is_canonical_and_bare),
    (AddsSpace, an_answer_is_canonical_and_bare),
    (EmptiesResult, an_answer_is_canonical_and_bare),
    (HidesError, the_tools_own_error_is_an_answer_that_says_so),
    (MakesErrorAFailure, the_tools_own_error_is_an_answer_that_says_so),
    (WritesAnew, the_tool_receives_its_own_name_and_the_bytes_decided_on),
    (SendsOurName, the_tool_receives_its_own_name_and_the_bytes_decided_on),
    (SaysNothingLeft, each_fault_is_a_value_and_is_not_tried_again),
    (SaysUnknown, each_fault_is_a_value_and_is_not_tried_again),
    (SaysAnswered, each_fault_is_a_value_and_is_not_tried_again),
    (HasOneCode, each_fault_is_a_value_and_is_not_tried_again),
    (Raises, each_fault_is_a_value_and_is_not_tried_again),
    (TriesAgain, each_fault_is_a_value_and_is_not_tried_again),
    (GivesTheFirstAnswerToAll, twenty_calls_at_once_each_get_their_own_answer),
    (SwallowsCancelling, a_waiting_call_is_cancelled_and_later_calls_are_answered),
    (IsSpentByCancelling, a_waiting_call_is_cancelled_and_later_calls_are_answered),
)


@pytest.mark.parametrize(("liar", "check"), CONTROLS, ids=lambda each: each.__name__)
def test_an_upstream_that_breaks_one_promise_is_caught(
    run: Any, worlds: Worlds, liar: type[Liar], check: Check
) -> None:
    with pytest.raises(ConnectionError if liar is Raises else AssertionError):
        run(held_to(check, worlds, liar))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_an_upstream_that_only_passes_on_is_not_caught(run: Any, worlds: Worlds, check: Check) -> None:
    """The control of the controls: it is the lie that is caught, not the one between."""
    run(held_to(check, worlds, Liar))


def check_clock(clock: Clock, between: Callable[[], None] = lambda: None) -> None:
    """See that a hundred readings of `clock` are what the port says. `between` is done before each."""
    walls: list[datetime] = []
    readings: list[int] = []
    for _ in range(100):
        between()
        walls.append(clock.now())
        readings.append(clock.elapsed_us())
    assert all(wall.utcoffset() == timedelta(0) for wall in walls), "aware UTC"
    assert all(type(reading) is int for reading in readings)
    assert walls == sorted(walls)
    assert readings == sorted(readings)


def check_advance(clock: ManualClock) -> None:
    """See that a manual clock stands still until told, and then moves both its readings alike."""
    assert (clock.now(), clock.elapsed_us()) == (clock.now(), clock.elapsed_us()) == (NOON, 0)
    clock.advance(timedelta(seconds=1, microseconds=5))
    assert (clock.now(), clock.elapsed_us()) == (NOON + timedelta(seconds=1, microseconds=5), 1_000_005)
    clock.advance(timedelta(days=400))
    assert clock.now() - NOON == timedelta(microseconds=clock.elapsed_us()) == timedelta(400, 1, 5)


def test_the_systems_clock_keeps_the_contract() -> None:
    check_clock(SystemClock())


@pytest.mark.parametrize("step", [timedelta(0), timedelta(microseconds=1), timedelta(days=1)])
def test_the_manual_clock_keeps_the_contract(step: timedelta) -> None:
    clock = ManualClock()
    check_clock(clock, lambda: clock.advance(step))


def test_the_manual_clock_moves_only_when_told() -> None:
    check_advance(ManualClock())


class NaiveClock(ManualClock):
    def now(self) -> datetime:
        return super().now().replace(tzinfo=None)


class LocalClock(ManualClock):
    def now(self) -> datetime:
        return super().now().astimezone(timezone(timedelta(hours=1)))


class WallGoesBack(ManualClock):
    def now(self) -> datetime:
        return NOON - (super().now() - NOON)


class ElapsedGoesBack(ManualClock):
    def elapsed_us(self) -> int:
        return -super().elapsed_us()


class ElapsedIsAFraction(ManualClock):
    def elapsed_us(self) -> int:
        return super().elapsed_us() / 1  # type: ignore[return-value]  # the lie that is told


class WallStands(ManualClock):
    def now(self) -> datetime:
        return NOON


class ElapsedStands(ManualClock):
    def elapsed_us(self) -> int:
        return 0


@pytest.mark.parametrize("kind", [NaiveClock, LocalClock, WallGoesBack, ElapsedGoesBack, ElapsedIsAFraction])
def test_a_clock_that_breaks_one_promise_is_caught(kind: type[ManualClock]) -> None:
    clock = kind()
    with pytest.raises(AssertionError):
        check_clock(clock, lambda: clock.advance(timedelta(seconds=1)))


@pytest.mark.parametrize("kind", [WallStands, ElapsedStands])
def test_a_manual_clock_that_moves_only_one_reading_is_caught(kind: type[ManualClock]) -> None:
    with pytest.raises(AssertionError):
        check_advance(kind())
