"""Caps: how much an agent may do, however often it asks and whatever it says."""

from dataclasses import dataclass
from enum import StrEnum

from remit.core import Window


class Per(StrEnum):
    """What a cap counts by. `USER`, `TOOL` and `TASK` are those of the agent that the cap stands with."""

    AGENT = "agent"
    USER = "user"
    TOOL = "tool"
    TASK = "task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """At most `max` calls with one of `effects`, per `per`, in each `window`; without a window, under way at once."""

    name: str
    effects: frozenset[str]
    per: Per
    window: Window | None
    max: int
