"""What a check found: counts, and every problem with the entry it begins at."""

from dataclasses import dataclass, field

PROBLEMS_MAX = 100  # listed; further ones are counted, so that a hostile export cannot fill the memory
OPEN_MAX = 100  # calls in flight that are named; all are counted


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why the export proves nothing. `index` is the first entry concerned, None where none can be named."""

    code: str
    index: int | None
    message: str


@dataclass(frozen=True, slots=True)
class OpenCall:
    """An intent that had neither an outcome nor an unknown when the export was made."""

    index: int
    call: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The answer. `proven` is true only if there is at least one entry and no problem."""

    proven: bool
    entries: int
    intents: int
    outcomes: int
    unknown: int
    observed: int  # intents that went out in observe mode: nothing was enforced on them, and they are no evidence
    open: int
    erased: int  # payloads that a leaf commits to and the export does not hold
    checkpoints: int  # outside checkpoints whose signature, order and root hold
    problems: tuple[Problem, ...]
    open_calls: tuple[OpenCall, ...]  # the first OPEN_MAX


@dataclass(slots=True)
class Findings:
    """Problems while they are gathered. Listed up to PROBLEMS_MAX, then only counted."""

    listed: list[Problem] = field(default_factory=list)
    further: int = 0

    def add(self, code: str, index: int | None, message: str) -> None:
        """Note one problem."""
        if len(self.listed) < PROBLEMS_MAX:
            self.listed.append(Problem(code, index, message))
        else:
            self.further += 1

    def all(self) -> tuple[Problem, ...]:
        """All problems in the order found, with one more that counts those not listed."""
        if not self.further:
            return tuple(self.listed)
        return (*self.listed, Problem("further_problems", None, f"{self.further} further problems are not listed"))


def shown(text: object) -> str:
    """Write text from an export so that it cannot steer a terminal: printable ASCII, at most 64 characters of it."""
    if isinstance(text, list | dict):
        return "a list" if isinstance(text, list) else "an object"
    return ascii(text[:64] if isinstance(text, str) else text)
