"""What a policy is asked, what it may look at, and the compiled form that answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from remit.core import Attribute, Decision, Json, JsonObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One authorization question in AuthZEN's words: subject, action, resource, context.

    `user` is the subject (for whom), `agent` the actor (who acts), `operation` the action, `tool` the resource.
    `groups` and `attributes` are the user's, as their issuer said when the task was opened.
    """

    user: str
    agent: str
    use_case: str
    operation: str
    tool: str
    arguments: Mapping[str, Json]
    groups: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Attribute], ...] = ()


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a decision point outside said (AuthZEN 1.0). `why` says it in one line; `failed` is why there is none."""

    permits: bool
    why: str = ""
    failed: str = ""


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
