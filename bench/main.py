"""Measure the call path in one go, everything on free loopback ports of this machine, and say the ratios.

    echo            raw ASGI echo on uvicorn: the floor of a server in Python
    proxy           the same, forwarding to the echo through the gateway's own client pool: the floor of a proxy
    governed        `remit up` in front of a raw ASGI tool: Cedar policy, both records durable
    sdk             the official MCP SDK's server, asked directly
    governed sdk    `remit up` in front of that server

Rounds take turns between the targets, so that a slow minute of the machine hits all of them. What counts is the ratios
of one run; absolute numbers of a shared machine are worth little. Needs Linux (/proc).
"""

import argparse
import http.client
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median

import apsw
from bench.load import CHECK_WAIT_S, Generator, Request, choose
from bench.processes import ROOT, cpu_us, free_ports, rss_mb, running

from bench import local, project, report

RESULTS = ROOT / "bench/results"
WARM_UP = 200  # requests of each target before anything is counted
CATALOGUES = (10, 1_000)  # operations


@dataclass(frozen=True, slots=True)
class Target:
    """Something to send load to. `process` is the server's id."""

    name: str
    process: int
    request: Request
    expected: bytes  # in every right answer, and in no other
    connections: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure."""

    rounds: int
    seconds: float
    starts: int
    disk: int  # fdatasyncs, and commits, in each round
    blocks: int  # of decisions


@dataclass(slots=True)
class Found:
    """What a run has measured so far."""

    samples: list[report.Sample] = field(default_factory=list)
    fdatasync_us: list[float] = field(default_factory=list)
    commit_us: list[float] = field(default_factory=list)
    decision_us: dict[int, list[float]] = field(default_factory=dict)
    policy_us: dict[int, list[float]] = field(default_factory=dict)
    gates_us: dict[str, list[float]] = field(default_factory=dict)
    start_s: list[float] = field(default_factory=list)
    sizes: dict[str, float] = field(default_factory=dict)  # MB
    faults: list[str] = field(default_factory=list)


def main() -> int:
    """Run, print, write the results; 0 unless something answered wrongly."""
    given = _arguments()
    plan = Plan(2, 1.0, 3, 200, 5) if given.quick else Plan(3, 4.0, 5, 500, 20)
    plan = Plan(given.rounds or plan.rounds, given.seconds or plan.seconds, plan.starts, plan.disk, plan.blocks)
    generator = choose()
    RESULTS.mkdir(parents=True, exist_ok=True)
    print(f"load: {generator.name}, {plan.rounds} rounds of {plan.seconds:g} s, taking turns", flush=True)
    started, found = time.monotonic(), Found()
    with tempfile.TemporaryDirectory(dir=given.dir or RESULTS, prefix="run-") as folder:
        found.start_s = local.start_s(Path(folder), plan.starts)
        found.decision_us = local.decisions_us(CATALOGUES, plan.blocks)
        found.policy_us = local.policies_us(CATALOGUES, plan.blocks)
        found.gates_us = local.gates_us(plan.disk * plan.blocks)
        _measure(Path(folder), generator, plan, found)
        if given.install:
            found.sizes["install"] = local.install_mb(Path(folder))
    said = _said(found, generator, plan)
    print(f"took {time.monotonic() - started:.0f} s")
    for path in (RESULTS / time.strftime("%Y%m%dT%H%M%SZ.json", time.gmtime()), given.json):
        if path is not None:
            path.write_text(json.dumps(said, indent=1), "utf-8")
    for fault in found.faults:
        print(f"FAULT {fault}", file=sys.stderr)
    return 1 if found.faults else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="about 30 s, for a first look")
    parser.add_argument("--rounds", type=int, help="how often each target has its turn")
    parser.add_argument("--seconds", type=float, help="how long each turn lasts; wrk takes whole seconds")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there too")
    parser.add_argument("--dir", type=Path, metavar="FOLDER", help="the disk to measure on; bench/results if left out")
    parser.add_argument("--install", action="store_true", help="also measure a core installation (slow)")
    return parser.parse_args()


def _measure(folder: Path, generator: Generator, plan: Plan, found: Found) -> None:
    """Start every server, give each its turns, and check that what came back and what was recorded is right."""
    with _targets(folder) as targets:
        gateway = next(target.process for target in targets if target.name == "governed")
        for target in targets:
            _check(target, found, WARM_UP)
        for _ in range(plan.rounds):
            found.fdatasync_us += local.fdatasync_us(folder, plan.disk)
            found.commit_us += local.commit_us(folder, plan.disk)
            for target in targets:
                for connections in target.connections:
                    found.samples.append(_sample(target, connections, generator, plan.seconds))
        for target in targets:
            _check(target, found, 1)
        found.sizes["memory"] = rss_mb(gateway)
    found.faults += [
        f"{sample.target}, {sample.connections} connections: {sample.errors} errors"
        for sample in found.samples
        if sample.errors
    ]
    answered = sum(sample.requests for sample in found.samples if sample.target.startswith("governed"))
    found.faults += _unrecorded(folder / "project/var/remit.db", answered)


@contextmanager
def _targets(folder: Path) -> Iterator[list[Target]]:
    """Run every server while the context lasts."""
    ports = dict(zip(("echo", "proxy", "tool", "sdk", "data", "admin"), free_ports(6), strict=True))
    tools = {
        "flat": (f"http://127.0.0.1:{ports['tool']}/mcp", ["refund"]),
        "trivial": (f"http://127.0.0.1:{ports['sdk']}/mcp", ["sdk_refund"]),
    }
    root = project.write(folder / "project", tools, ports["data"], ports["admin"])
    upstream = {"proxy": [f"http://127.0.0.1:{ports['echo']}/"]}
    with ExitStack() as stack:
        ids = {
            kind: stack.enter_context(running("-m", "bench.servers", kind, str(ports[kind]), *upstream.get(kind, [])))[
                0
            ]
            for kind in ("echo", "proxy", "tool", "sdk")
        }
        gateway = stack.enter_context(running("-m", "remit", "up", "-C", str(root)))[0]
        token = project.task_token(root, ports["data"], ports["admin"])

        def target(name: str, process: int, port: str, operation: str, key: str = "") -> Target:
            request = Request(ports[port], "/mcp", project.call_headers(operation, key), project.call_body(operation))
            expected = b"ORD-1234" if name in ("echo", "proxy") else b"refunded "
            return Target(name, process, request, expected, (1, 32 if operation == "refund" else 16))

        yield [
            target("echo", ids["echo"], "echo", "refund"),
            target("proxy", ids["proxy"], "proxy", "refund"),
            target("governed", gateway, "data", "refund", token),
            target("sdk", ids["sdk"], "sdk", "sdk_refund"),
            target("governed sdk", gateway, "data", "sdk_refund", token),
        ]


def _check(target: Target, found: Found, times: int) -> None:
    """Ask a target `times` times and look at each answer: status, a result, and not a refusal in a result's clothes."""
    request = target.request
    with closing(http.client.HTTPConnection("127.0.0.1", request.port, timeout=CHECK_WAIT_S)) as connection:
        for _ in range(times):
            connection.request("POST", request.path, request.body, request.headers)
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or target.expected not in body or b'"isError":true' in body:
                found.faults.append(f"{target.name} answered {answer.status}: {body[:200]!r}")
                return


def _sample(target: Target, connections: int, generator: Generator, seconds: float) -> report.Sample:
    before = cpu_us(target.process)
    seen = generator.run(target.request, connections, seconds)
    used = cpu_us(target.process) - before
    requests = max(seen.requests, 1)
    return report.Sample(
        target=target.name,
        connections=connections,
        requests=seen.requests,
        errors=seen.errors + (not seen.requests),
        p50_us=seen.p50_us,
        p99_us=seen.p99_us,
        per_s=seen.requests / seen.seconds,
        cpu_us=used / requests,
    )


def _unrecorded(path: Path, answered: int) -> list[str]:
    """Look into the stopped gateway's log: an answer without its two records was not governed."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as store:
        rows = store.execute("SELECT kind, count(*) FROM entries GROUP BY kind").fetchall()
    kinds = {str(row[0]): int(str(row[1])) for row in rows}
    intents, outcomes = kinds.get("intent", 0), kinds.get("outcome", 0)
    faults = [f"{kinds[kind]} entries `{kind}` in the log" for kind in ("denied", "held", "refused") if kind in kinds]
    if not intents == outcomes >= answered:
        faults.append(f"{answered} answers, but {intents} intents and {outcomes} outcomes in the log")
    return faults


def _said(found: Found, generator: Generator, plan: Plan) -> dict[str, object]:
    """Print what was found, and return it for the file."""
    measured = report.summaries(found.samples)
    local_us = {"fdatasync": found.fdatasync_us, "commit": found.commit_us, **found.gates_us}
    local_us |= {f"decision, {size:,} tools": times for size, times in found.decision_us.items()}
    local_us |= {f"policy, {size:,} operations": times for size, times in found.policy_us.items()}
    percentiles = {name: {f"p{n}": round(local.p(times, n), 1) for n in (50, 99)} for name, times in local_us.items()}
    p99_us = {size: local.p(times, 99) for size, times in found.decision_us.items()}
    values = report.ratios(measured, local.p(found.fdatasync_us, 50), p99_us)
    values["policy"] = local.p(found.policy_us[max(CATALOGUES)], 99) / local.p(found.policy_us[min(CATALOGUES)], 99)
    values |= {**found.sizes, "start": median(found.start_s)}
    print(report.table(measured))
    for name, seen in percentiles.items():
        print(f"{name:26}p50 {seen['p50']:8.1f} us   p99 {seen['p99']:8.1f} us")
    print(report.verdicts(values))
    return {
        "load": generator.name,
        "plan": asdict(plan),
        "targets": {f"{name}, {count}": asdict(seen) for (name, count), seen in measured.items()},
        "local_us": percentiles,
        "start_s": [round(took, 3) for took in found.start_s],
        "ratios": report.judged(values),
        "faults": found.faults,
    }


if __name__ == "__main__":
    sys.exit(main())
