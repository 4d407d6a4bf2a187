"""What a policy is asked, what it may look at, and the compiled form that answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from remit.core import Attribute, Decision, Json, JsonObject

GROUPS, ID = "groups", "id"
"""What policies may always read of a user, so that no attribute has such a name."""

KINDS = frozenset({"text", "number", "yes_no"})
"""What an attribute of a user may be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One authorization question in AuthZEN's words: subject, action, resource, context.

    `user` is the subject (for whom), `agent` the actor (who acts), `operation` the action, `tool` the resource.
    `groups` and `attributes` are the user's, as their issuer said when the task was opened, and a signed file says.
    `effect` and `tier` are the operation's, `level` how the agent is attached (`A`, `B`, `C`), `confidence` the agent's
    own word, in percent. `strangers`: untrusted content has entered the task; `granted`: the user named this operation
    when they gave the task. `labels` are by argument the worst origin of its values; `history` what was counted so far,
    this call included; `facts` what was looked up about what the call is about, by name.
    (What is left out is the worst: a caller that forgets one is told no.)
    """

    user: str
    agent: str
    use_case: str
    operation: str
    tool: str
    arguments: Mapping[str, Json]
    groups: tuple[str, ...] = ()
    attributes: tuple[tuple[str, Attribute], ...] = ()
    effect: str = "irreversible"
    tier: str = "critical"
    level: str = "C"
    confidence: int | None = None
    strangers: bool = True
    granted: bool = False
    labels: tuple[tuple[str, str], ...] = ()
    history: tuple[tuple[str, int], ...] = ()
    facts: Mapping[str, JsonObject] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a decision point outside said (AuthZEN 1.0). `why` says it in one line; `failed` is why there is none."""

    permits: bool
    why: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationShape:
    """What policies may know of one operation before any call: its tool and the JSON Schema of its arguments.

    `history` are the counters that it is told, by name `Long` or `decimal`; those in `history_optional` only where the
    call has the arguments that they count by. `facts` are by name the Cedar types of the values looked up (`String`,
    `Long`, `Bool`, `decimal`). `labelled` are the arguments whose origin it is told.
    """

    operation: str
    tool: str
    input_schema: JsonObject
    effect: str = "irreversible"
    tier: str = "critical"
    history: Mapping[str, str] = field(default_factory=dict)
    history_optional: frozenset[str] = frozenset()
    facts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    labelled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Known:
    """The closed sets that texts in policies are compared with: a text that is in none of them is a misspelling.

    `use_cases` are those of the agent (of every agent, for a file of the organisation's), `agents` every agent's name.
    None: not known, and so not asked.
    """

    use_cases: frozenset[str] | None = None
    agents: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class UserShape:
    """What policies may know of any user beside the groups: `attributes`, each `text`, `number` or `yes_no`, by name.

    An issuer may say nothing of one of them, so a policy asks first whether it is there.

    Raises:
        ValueError: an attribute called `groups` or `id`, or of another kind.
    """

    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if {GROUPS, ID} & self.attributes.keys() or not KINDS.issuperset(self.attributes.values()):
            raise ValueError("an attribute called `groups` or `id`, or one of a kind that is not known")


class Shard(Protocol):
    """The policies that can concern one operation, parsed and ready: rules and holds, kept apart."""

    def decide(self, question: Question) -> Decision:
        """Answer `question`: rules first, then, only where they permit, holds. Any evaluation error denies."""
        ...
