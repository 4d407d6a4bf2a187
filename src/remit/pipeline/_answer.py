"""How a call ends, in core's words; each surface says it in its protocol's."""

from dataclasses import dataclass

from remit.core import Reason


@dataclass(frozen=True, slots=True)
class Done:
    """The tool answered. `result` is its CallToolResult, canonical."""

    call: str
    result: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was forwarded. `held` tells a hold from a denial."""

    call: str
    reason: Reason
    held: bool


@dataclass(frozen=True, slots=True)
class Failed:
    """The call was allowed and did not end well. `effect_possible` says whether the tool may have acted."""

    call: str
    reason: Reason
    effect_possible: bool


Answer = Done | Refused | Failed
