"""Everything a decision looks at, as immutable values.

A `Snapshot` is the running release, compiled once and swapped whole; `Facts` are what one call is decided on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from remit.catalogue import Descriptor, Pin, Review, SchemaCheck, Tool
from remit.charter import Charter
from remit.core import Attribute, JsonObject, Revocation, Task
from remit.identity import Registration
from remit.limits import Cap
from remit.permissions import (
    NO_ORIGINS,
    NOBODY,
    Approval,
    DataClass,
    Directory,
    Entitlements,
    Flow,
    History,
    Opinion,
    Origins,
    Shard,
    Tally,
)

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
    directories: Mapping[str, Directory] = field(default_factory=dict)
    classes: Mapping[str, DataClass] = field(default_factory=dict)
    histories: Mapping[str, tuple[History, ...]] = field(default_factory=dict)  # by operation: those it is told
    entitlements: Entitlements = NOBODY


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one call is decided on. `now` is taken once.

    `bearer`: whether the agent's tokens count without proof of a key. `stopped` and `quarantined` say, where they are
    not empty, why everything or this operation stands still; `revoked` says who of the delegation was cut off.
    `approvals` are those of this task; `origins` says where what the call carries came from; `outside` is what a
    decision point of the organisation's own said, where one is asked. `groups` and `attributes` are the user's, from
    their issuer and the signed file. `history` is what was counted so far. `known` are the facts looked up about what
    the call is about, by name, and `missing` why others are not; `before` is what the call would change, as the
    look-up for it answered: None, where it was not asked for.
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
    origins: Origins = NO_ORIGINS
    groups: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Attribute], ...] = ()
    history: tuple[Tally, ...] = ()
    classes: Mapping[str, DataClass] = field(default_factory=dict)
    known: Mapping[str, JsonObject] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    before: bytes | None = None
    approvals: tuple[Approval, ...] = ()
    outside: Opinion | None = None
