"""What an agent is for: its owner, its business process, and a closed list of what each use case may do."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """One approved use. `operations` is the closed list: whatever is not in it is denied.

    With `named`, a task is opened for those of them alone that whoever opens it names (R3.6).
    """

    name: str
    description: str
    operations: frozenset[str]
    named: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """An agent's job. `owner` is the accountable person; `process` the business process it supports.

    `operations` is every operation that some use case lists.
    """

    agent: str
    owner: str
    process: str
    purpose: str
    use_cases: Mapping[str, UseCase]
    operations: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        listed: frozenset[str] = frozenset()
        object.__setattr__(self, "operations", listed.union(*(case.operations for case in self.use_cases.values())))
