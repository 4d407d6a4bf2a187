"""Everything a decision looks at, as immutable values.

A `Snapshot` is the running release, compiled once and swapped whole; `Facts` are what one call is decided on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from remit.catalogue import Descriptor, Pin, Review, SchemaCheck, Tool
from remit.charter import Charter
from remit.core import Revocation, Task
from remit.identity import Registration
from remit.limits import Cap
from remit.permissions import Approval, Flow, Opinion, Shard, Sourced

Versions = tuple[tuple[str, int], ...]
"""Names of mutable values that a decision read, each with the version it read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The running release: charters, catalogue and policies, compiled, under one digest.

    `sources` are the exact files it was compiled from, so that any recorded decision can be replayed.
    """

    digest: str
    sources: Mapping[str, bytes]
    charters: Mapping[str, Charter]
    tools: Mapping[str, Tool]
    descriptors: Mapping[str, Descriptor]
    checks: Mapping[str, SchemaCheck]
    shards: Mapping[tuple[str, str], Shard]  # by agent and operation
    reviews: Mapping[str, Review]  # by operation
    flows: Mapping[tuple[str, str], Flow]  # by agent and operation
    manifests: Mapping[str, Mapping[str, Pin]]  # by agent, then operation
    caps: Mapping[str, tuple[Cap, ...]]  # by agent
    registrations: Mapping[str, Registration] = field(default_factory=dict)  # by agent


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one call is decided on. `now` is taken once.

    `bearer`: whether the agent's tokens count without proof of a key. `stopped` and `quarantined` say, where they are
    not empty, why everything or this operation stands still; `revoked` says who of the delegation was cut off.
    `approvals` are those of this task; `sourced` says where each control argument came from; `outside` is what a
    decision point of the organisation's own said, where one is asked.
    """

    now: datetime
    task: Task | None
    charter: Charter | None
    tool: Tool | None
    descriptor: Descriptor | None
    review: Review | None
    pin: Pin | None
    check: SchemaCheck | None
    flow: Flow | None
    shard: Shard | None
    caps: tuple[Cap, ...] | None
    bundle: str  # the snapshot's digest
    versions: Versions
    bearer: bool = False
    tenant: str = ""
    stopped: str = ""
    revoked: Revocation | None = None
    quarantined: str = ""
    sourced: tuple[Sourced, ...] = ()
    approvals: tuple[Approval, ...] = ()
    outside: Opinion | None = None
