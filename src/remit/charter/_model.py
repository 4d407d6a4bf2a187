"""What an agent is for: its owner, its business process, and a closed list of what each use case may do."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCase:
    """One approved use. `operations` is the closed list: whatever is not in it is denied."""

    name: str
    description: str
    operations: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Charter:
    """An agent's job. `owner` is the accountable person; `process` the business process it supports."""

    agent: str
    owner: str
    process: str
    purpose: str
    use_cases: Mapping[str, UseCase]

    @property
    def operations(self) -> frozenset[str]:
        """Every operation that some use case lists."""
        return frozenset().union(*(use_case.operations for use_case in self.use_cases.values()))
