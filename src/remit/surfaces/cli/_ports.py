"""What the command line needs done on this machine, by whoever composes it. Everything else it asks the admin API."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from remit.core import JsonObject, Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """The decision table of one agent, as `text` and as `rows` for programs; `file` is where it is accepted.

    `difference` is a unified diff from the table that was accepted, and empty where `accepted` is this one or none.
    """

    agent: str
    file: str
    text: str
    rows: tuple[JsonObject, ...]
    accepted: bool
    difference: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A project that loads. `written` are the files in which tables were accepted just now."""

    digest: str
    operations: int
    agents: int
    warnings: tuple[Problem, ...]
    decisions: tuple[Decided, ...] = ()
    written: tuple[str, ...] = ()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """The trust root after a change: each person's roles, and how many of each role must sign. `key` is the new one."""

    file: str
    key: str
    version: int
    persons: Mapping[str, tuple[str, ...]]
    thresholds: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """One operation after signing: whether its file changed, and what its review still lacks; empty: nothing."""

    operation: str
    changed: bool
    missing: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """One agent's manifest after locking: the lines that changed, `+ name version` or `- name version`."""

    agent: str
    file: str
    changes: tuple[str, ...]
    unsigned: tuple[str, ...]  # operations in it whose review lacks something: their calls are denied all the same


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What a tool server shows, kept. `changes` has each operation's differences from what was kept before.

    `lacking` are operations that the server does not list; what was kept of them stays. With `fault`, nothing was kept.
    """

    tool: str
    file: str
    changes: Mapping[str, tuple[str, ...]]
    lacking: tuple[str, ...] = ()
    fault: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One list of the organisation's: a directory, or the entitlements. `missing` is why it counts for nothing.

    `entries` are values of a directory or users of the entitlements; `changed` says that it was signed just now.
    """

    name: str
    kind: str
    file: str
    entries: int
    signers: tuple[tuple[str, str], ...]
    missing: str
    changed: bool = False


class Workshop(Protocol):
    """Local work. Every method raises `RemitError` with a code and a fix."""

    def check(self, root: Path, *, accept: bool) -> Checked:
        """Check a project's files; `ProjectInvalidError` names every problem. `accept`: write the decision tables."""
        ...

    def init(self, root: Path, *, name: str, owner: str, mcp_json: Path | None) -> Written:
        """Write a new project, from an existing client configuration if one is given, signed and locked."""
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

    def trust(
        self, root: Path, person: str, roles: tuple[str, ...], key: Path, thresholds: Mapping[str, int], *, new: bool
    ) -> Trusted:
        """Give `person` a key and these roles in the trust root, which is begun if there is none.

        With `new`, a key pair is made and `key` is where its private half goes; else `key` holds their public key.

        `thresholds` replace the root's own for the roles they name; 0 takes a role out.
        """
        ...

    def sign(self, root: Path, operations: tuple[str, ...], person: str, key: Path | None) -> tuple[Signed, ...]:
        """Sign both parts of `operations`, or of all, as `person`, who holds `key`.

        Without a person it is the trust root's only one; without a key the one that `init` would have made for them.
        """
        ...

    def lock(self, root: Path, agent: str) -> tuple[Locked, ...]:
        """Write the manifest of `agent`, or of all: exactly the descriptors that are in the catalogue now."""
        ...

    def import_served(self, root: Path, tool: str) -> tuple[Served, ...]:
        """Ask `tool`, or all tool servers, what they show, and keep the definitions of the operations described."""
        ...

    def lists(self, root: Path) -> tuple[Listed, ...]:
        """Return every signed list of the project, and what it is worth."""
        ...

    def sign_lists(self, root: Path, names: tuple[str, ...], person: str, key: Path | None) -> tuple[Listed, ...]:
        """Sign the lists `names`, or all, as `person`, who holds `key`; who and what is left out is as in `sign`."""
        ...

    def agent_key(self, path: Path, *, new: bool) -> JsonObject:
        """Return the public JWK of an agent's key: of a new pair whose private half goes to `path`, or read from it.

        A file that is read holds a public key, as a JWK or in PEM; a private one is refused.
        """
        ...
