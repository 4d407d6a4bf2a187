"""What is measured without a network: the disk, one commit, one decision, a start, an installation."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvloop
from bench.load import percentile
from bench.processes import ROOT, free_ports, running

from bench import project
from remit.adapters.project import check_project
from remit.adapters.sqlite import SqliteStore
from remit.adapters.system import SystemClock
from remit.core import Allow, Delegation, JsonObject, Task, ToolCall, Trace, canonical_bytes
from remit.limits import is_capped
from remit.permissions import Memory, OperationShape, Question, Shard, compile_policies, provenance_suffices
from remit.pipeline import Facts, Live, decide
from remit.records import Entry, event

_RESULT = canonical_bytes(
    {"content": [{"type": "text", "text": "refunded"}], "structuredContent": {f"f{n}": f"value {n}" for n in range(30)}}
)
_BLOCK = 1024
_FILE_BYTES = 4 << 20
_DECISIONS = 400  # in one block, before the other catalogue has its turn


def fdatasync_us(folder: Path, times: int) -> list[float]:
    """Overwrite 1 KB of a preallocated file and fdatasync it, `times` times."""
    found: list[float] = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        file.write(b"\0" * _FILE_BYTES)
        file.flush()
        os.fsync(file.fileno())
        for at in range(times):
            started = time.perf_counter()
            os.pwrite(file.fileno(), b"x" * _BLOCK, at * _BLOCK % _FILE_BYTES)
            os.fdatasync(file.fileno())
            found.append((time.perf_counter() - started) * 1e6)
    return found


def commit_us(folder: Path, times: int) -> list[float]:
    """Append `times` entries of 1 KB to a store one by one, each awaited until it is durable, hand-offs included."""
    draft = event("started", at=datetime.now(UTC), by="bench", said={"text": "x" * 900})

    async def measured(path: Path) -> list[float]:
        store = await SqliteStore.open(path)
        found: list[float] = []
        for _ in range(times):
            started = time.perf_counter()
            await store.append(draft)
            found.append((time.perf_counter() - started) * 1e6)
        await store.close()
        return found

    with tempfile.TemporaryDirectory(dir=folder) as inside:
        return uvloop.run(measured(Path(inside) / "store.db"))


def decisions_us(sizes: tuple[int, ...], blocks: int) -> dict[int, list[float]]:
    """Gather the facts of a call and decide it, with catalogues of several sizes, taking turns."""
    cases = {size: _case(size) for size in sizes}
    found: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(blocks):
        for size, (call, gather) in cases.items():
            for _ in range(_DECISIONS):
                started = time.perf_counter()
                decide(call, gather())
                found[size].append((time.perf_counter() - started) * 1e6)
    return found


def policies_us(sizes: tuple[int, ...], blocks: int) -> dict[int, list[float]]:
    """Ask the policies of one operation alone, in projects of several sizes, taking turns call by call."""
    cases = {size: _policy_case(size) for size in sizes}
    found: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(blocks * _DECISIONS):
        for size, (shard, question) in cases.items():
            started = time.perf_counter()
            shard.decide(question)
            found[size].append((time.perf_counter() - started) * 1e6)
    return found


def _policy_case(size: int) -> tuple[Shard, Question]:
    names = [f"refund_{at}" for at in range(size)]
    schema: JsonObject = {
        "type": "object",
        "properties": {"order_id": {"type": "string"}, "amount_minor": {"type": "integer"}},
        "required": ["order_id", "amount_minor"],
    }
    shapes = [
        OperationShape(operation=name, tool=f"tool_{at // 10}", input_schema=schema, history={"refunded_today": "Long"})
        for at, name in enumerate(names)
    ]
    tens = (", ".join(f'Action::"{name}"' for name in names[at : at + 10]) for at in range(0, size, 10))
    text = "\n".join(_TEN_POLICIES.format(actions=actions, at=at) for at, actions in enumerate(tens)) + _ALL_POLICIES
    shards, problems = compile_policies("refunds", {"bench.cedar": text}, shapes)
    question = Question(
        user="ana",
        agent="refunds",
        use_case="refund",
        operation=names[size // 2],
        tool=f"tool_{size // 20}",
        arguments={"order_id": "ORD-1234", "amount_minor": 4000},
        level="A",
        history=(("refunded_today", 8000),),
    )
    if problems or not isinstance(shards[question.operation].decide(question), Allow):
        raise TypeError(f"the measured policies do not permit: {problems}")
    return shards[question.operation], question


_TEN_POLICIES = """
@id("small.{at}") permit (principal, action in [{actions}], resource)
when {{ context.arguments.amount_minor > 0 && context.history.refunded_today <= 50000 }};
@id("large.{at}") @hold("approval") @approvers("finance") forbid (principal, action in [{actions}], resource)
when {{ context.arguments.amount_minor > 10000 }};
"""
_ALL_POLICIES = '@id("client") forbid (principal, action, resource) when { context.agent.level == "C" };\n'


def _case(size: int) -> tuple[ToolCall, Callable[[], Facts]]:
    names = [f"refund_{at}" for at in range(size)]
    tools = {f"tool_{at}": ("http://127.0.0.1:9/mcp", names[at * 10 : at * 10 + 10]) for at in range(size // 10)}
    sources = project.reviewed(project.files(tools))
    now = datetime.now(UTC)
    task = Task(
        id="t_1",
        user=project.PERSON,
        agent=project.AGENT,
        use_case=project.USE_CASE,
        opened_at=now,
        expires_at=now + timedelta(hours=1),
    )
    call = ToolCall(
        id="c_1",
        trace=Trace("1" * 32, "1" * 16),
        delegation=Delegation(
            user=task.user, agent=task.agent, task=task.id, use_case=task.use_case, expires_at=task.expires_at
        ),
        operation=names[min(size, 500) - 1],  # (the last of the first use case)
        canonical=canonical_bytes(project.ARGUMENTS),
    )
    live = Live(
        SystemClock(),
        check_project(sources).snapshot,
        {},
        tenant="bench",
        memory_key=os.urandom(32),
        entries_of=_nothing,
    )
    live.admit(task, canonical_bytes({"input": project.GIVEN}))
    if not isinstance(decide(call, live.gather(call)).decision, Allow):
        raise TypeError(f"the measured call is not allowed: {decide(call, live.gather(call))}")
    return call, lambda: live.gather(call)


async def _nothing(_task: str) -> tuple[Entry, ...]:
    return ()


def gates_us(times: int) -> dict[str, list[float]]:
    """Time what provenance and limits cost one call, each apart: they are in the governed call's figure as well."""
    call, gather = _case(10)
    facts = gather()
    memory = Memory(os.urandom(32))
    memory.learn_input(canonical_bytes({"input": project.GIVEN}))
    flow, delegation = facts.flow, call.delegation
    if flow is None:
        raise TypeError("the measured call has no flow")

    def provenance() -> None:
        origins = memory.origins(call.arguments, flow, directories={}, classes={}, now=facts.now)
        provenance_suffices(flow, origins)

    def learning() -> None:
        memory.learn_result(call.operation, call.id, flow, call.arguments, _RESULT)

    def limits() -> None:
        is_capped(
            facts.caps,
            agent=delegation.agent,
            user=delegation.user,
            tool="tool_0",
            task=delegation.task,
            effect="write",
            now=facts.now,
        )

    found: dict[str, list[float]] = {
        "provenance, per call": [],
        "provenance, a result learned": [],
        "limits of a call": [],
    }
    for _ in range(times):
        for name, run in zip(found, (provenance, learning, limits), strict=True):
            started = time.perf_counter()
            run()
            found[name].append((time.perf_counter() - started) * 1e6)
    return found


def start_s(folder: Path, times: int) -> list[float]:
    """Start the gateway on a project and say how many seconds it took to be ready, each time."""
    found: list[float] = []
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        data, admin = free_ports(2)
        root = project.write(Path(inside), {"flat": ("http://127.0.0.1:9/mcp", ["refund"])}, data, admin)
        for _ in range(times):
            with running("-m", "remit", "up", "-C", str(root)) as (_, took):
                found.append(took)
    return found


def install_mb(folder: Path) -> float:
    """Install the locked core dependencies and the wheel into a fresh environment; return its size in MB, less pip."""
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        wheels, target = Path(inside) / "wheels", Path(inside) / "venv"
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        _run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", str(wheels), str(ROOT))
        _run(sys.executable, "-m", "venv", "--without-pip", str(target))
        into = [*pip, "--python", str(target / "bin/python"), "install"]
        _run(*into, "--require-hashes", "-r", str(ROOT / "requirements/core.txt"))
        _run(*into, "--no-deps", *map(str, wheels.glob("*.whl")))
        return sum(file.lstat().st_size for file in target.rglob("*") if not file.is_dir()) / 1e6


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=600, cwd=ROOT)


def p(values: list[float], percent: float) -> float:
    """Return a percentile."""
    return percentile(sorted(values), percent)
