"""What a run says: the table, the ratios, and for each its aim.

Aims are ratios of one run, so that they mean the same on a slow and on a busy machine. The floor must not be missed;
the goal is where the design should get to.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from statistics import median

Measured = Mapping[tuple[str, int], "Summary"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One target at one number of connections, in one round."""

    target: str
    connections: int
    requests: int
    errors: int
    p50_us: float
    p99_us: float
    per_s: float
    cpu_us: float


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of a run's rounds, with the smallest and the largest."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        """Summarize the values of all rounds."""
        return cls(round(median(values), 3), round(min(values), 3), round(max(values), 3))


@dataclass(frozen=True, slots=True)
class Summary:
    """One target at one number of connections, over all rounds."""

    p50_us: Spread
    p99_us: Spread
    per_s: Spread
    cpu_us: Spread
    requests: int
    errors: int

    @classmethod
    def of(cls, samples: list[Sample]) -> "Summary":
        """Summarize the rounds."""
        return cls(
            Spread.of([sample.p50_us for sample in samples]),
            Spread.of([sample.p99_us for sample in samples]),
            Spread.of([sample.per_s for sample in samples]),
            Spread.of([sample.cpu_us for sample in samples]),
            sum(sample.requests for sample in samples),
            sum(sample.errors for sample in samples),
        )


@dataclass(frozen=True, slots=True)
class Aim:
    """What a ratio or size should be. `floor` and `goal` are upper bounds, or lower ones where `least` is set."""

    id: str
    says: str
    floor: float
    goal: float
    unit: str = "x"
    least: bool = False


AIMS = (
    Aim("G1", "added p50 of a governed call / p50 of the echo, 1 connection", 20, 10),
    Aim("G2", "added p50 of a governed call / fdatasync p50", 10, 5),
    Aim("G3", "throughput, governed / bare proxy, 32 connections", 25, 45, "%", least=True),
    Aim("G4", "throughput, through the gateway / direct to the SDK's server, 16 connections", 75, 90, "%", least=True),
    Aim("G9", "CPU per call, governed / echo, 32 connections", 6, 3.5),
    Aim("G10", "decision p99, 1,000 tools / 10 tools", 2, 1.2),
    Aim("policy", "policy's own p99 (one shard), 1,000 operations / 10 operations", 2, 1.2),
    Aim("memory", "resident memory of the gateway after the load", 120, 80, "MB"),
    Aim("start", "process start to ready, median", 1.5, 0.8, "s"),
    Aim("install", "core installation with all dependencies", 120, 60, "MB"),
)


def summaries(samples: list[Sample]) -> dict[tuple[str, int], Summary]:
    """Summarize every target at every number of connections."""
    keys = dict.fromkeys((sample.target, sample.connections) for sample in samples)
    return {key: Summary.of([one for one in samples if (one.target, one.connections) == key]) for key in keys}


def ratios(measured: Measured, disk_us: float, p99_us: Mapping[int, float]) -> dict[str, float]:
    """Compute the ratios of one run."""
    echo, governed, echo_32 = measured["echo", 1], measured["governed", 1], measured["echo", 32]
    governed_32, proxy_32 = measured["governed", 32], measured["proxy", 32]
    added = governed.p50_us.median - echo.p50_us.median
    direct, through = measured["sdk", 16], measured["governed sdk", 16]
    return {
        "G1": added / echo.p50_us.median,
        "G2": added / disk_us,
        "G3": 100 * governed_32.per_s.median / proxy_32.per_s.median,
        "G4": 100 * through.per_s.median / direct.per_s.median,
        "G9": governed_32.cpu_us.median / max(echo_32.cpu_us.median, 0.1),
        "G10": p99_us[max(p99_us)] / p99_us[min(p99_us)],
    }


def verdict(aim: Aim, value: float) -> str:
    """Say whether an aim is met."""
    met = [value >= bound if aim.least else value <= bound for bound in (aim.floor, aim.goal)]
    return "goal met" if met[1] else "floor met" if met[0] else "SHORT of the floor"


def judged(values: Mapping[str, float]) -> list[dict[str, object]]:
    """Put each value beside its aim."""
    return [
        {**asdict(aim), "value": round(values[aim.id], 3), "verdict": verdict(aim, values[aim.id])}
        for aim in AIMS
        if aim.id in values
    ]


def table(measured: Measured) -> str:
    """Write the table: medians over the rounds, smallest and largest in brackets."""
    lines = [f"{'target':14}{'c':>3}{'p50 us':>26}{'p99 us':>30}{'req/s':>28}{'CPU us/req':>24}{'errors':>8}"]
    for (target, connections), seen in measured.items():
        cells = f"{_cell(seen.p50_us):>26}{_cell(seen.p99_us):>30}{_cell(seen.per_s):>28}{_cell(seen.cpu_us):>24}"
        lines.append(f"{target:14}{connections:>3}{cells}{seen.errors:>8}")
    return "\n".join(lines)


def verdicts(values: Mapping[str, float]) -> str:
    """Write each value with its aim."""
    lines = []
    for aim in AIMS:
        if aim.id in values:
            sign = ">=" if aim.least else "<="
            aims = f"{sign} {aim.floor:g} (goal {aim.goal:g}) {aim.unit}"
            lines.append(
                f"{aim.id:8}{values[aim.id]:>8.2f} {aim.unit:3}{aims:24}{verdict(aim, values[aim.id]):20}{aim.says}"
            )
    return "\n".join(lines)


def _cell(spread: Spread) -> str:
    return f"{spread.median:,.0f} ({spread.least:,.0f}-{spread.most:,.0f})"
