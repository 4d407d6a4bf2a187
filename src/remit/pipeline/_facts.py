"""Everything a decision looks at, as immutable values.

A `Snapshot` is the running release, compiled once and swapped whole; `Facts` are what one call is decided on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remit.catalogue import Descriptor, SchemaCheck, Tool
from remit.charter import Charter
from remit.core import Task
from remit.permissions import Shard

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one call is decided on. `now` is taken once."""

    now: datetime
    task: Task | None
    charter: Charter | None
    tool: Tool | None
    descriptor: Descriptor | None
    check: SchemaCheck | None
    shard: Shard | None
    bundle: str  # the snapshot's digest
    versions: Versions
