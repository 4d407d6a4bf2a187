"""What a policy is asked, what it may look at, and the compiled form that answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from remit.core import Decision, Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One authorization question in AuthZEN's words: subject, action, resource, context.

    `user` is the subject (for whom), `agent` the actor (who acts), `operation` the action, `tool` the resource.
    """

    user: str
    agent: str
    use_case: str
    operation: str
    tool: str
    arguments: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationShape:
    """What policies may know of one operation before any call: its tool and the JSON Schema of its arguments."""

    operation: str
    tool: str
    input_schema: JsonObject


class Shard(Protocol):
    """The policies that can concern one operation, parsed and ready: rules and holds, kept apart."""

    def decide(self, question: Question) -> Decision:
        """Answer `question`: rules first, then, only where they permit, holds. Any evaluation error denies."""
        ...
