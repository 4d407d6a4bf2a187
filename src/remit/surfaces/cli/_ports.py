"""What the command line needs done on this machine, by whoever composes it. Everything else it asks the admin API."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from remit.core import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A project that loads."""

    digest: str
    operations: int
    agents: int
    warnings: tuple[Problem, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A gateway that answers."""

    data: str
    admin: str
    mode: str
    digest: str
    people: tuple[str, ...]
    warnings: tuple[str, ...]
    started_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What `remit doctor` found. `fix` is empty where nothing needs mending."""

    name: str
    ok: bool
    says: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The files that `remit init` wrote, and what a person should know of them."""

    files: tuple[str, ...]
    notes: tuple[str, ...]


class Workshop(Protocol):
    """Local work. Every method raises `RemitError` with a code and a fix."""

    def check(self, root: Path) -> Checked:
        """Check a project's files; `ProjectInvalidError` names every problem."""
        ...

    def init(self, root: Path, *, name: str, owner: str, mcp_json: Path | None) -> Written:
        """Write a new project, from an existing client configuration if one is given."""
        ...

    def up(self, root: Path, *, observe: bool, on_ready: Callable[[Ready], None]) -> None:
        """Run a gateway until this process is told to stop."""
        ...

    def doctor(self, root: Path) -> tuple[Finding, ...]:
        """Look for what keeps a gateway on this project from working."""
        ...

    def outside(self, root: Path) -> tuple[str, str]:
        """Return the log's verifier key and every checkpoint kept outside the store."""
        ...
