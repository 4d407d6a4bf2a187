"""What may be called: operations, as reviewed descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from remit.core import Json, JsonObject


class Effect(StrEnum):
    """What an operation does to the world (R3.2)."""

    READ = "read"
    WRITE = "write"
    EXECUTE = "execute"
    IRREVERSIBLE = "irreversible"


@dataclass(frozen=True, slots=True)
class Minted:
    """A tool gets a token of ours, for it alone. With `sequence`, a new one each call, numbered (R2.3, R2.10)."""

    sequence: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchanged:
    """A tool gets a token of its own authorization server, for a token of ours (RFC 8693).

    `audience` is what the token is asked for (`resource`, RFC 8707); `client_id` is who we are at that server, proven
    with our tool key (`private_key_jwt`).
    """

    token_endpoint: str
    client_id: str
    audience: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A tool gets a secret that never changes by itself, kept outside the project.

    `source` is `env`, `file` or `keyring`, `name` where it is there: a variable, a path, `service/user`. It is sent in
    `header`, after `scheme` and a space where there is one.
    """

    source: str
    name: str
    header: str = "authorization"
    scheme: str = "Bearer"


ToolCredential = Minted | Exchanged | Secret
"""What a tool server knows our calls by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A tool server: an MCP endpoint at `url`, or a program of this machine, `command`, spoken to over stdio.

    `artefacts` are the files that make up the program, each as (path, `sha256:...`): another content is another tool.
    """

    name: str
    url: str
    timeout_s: float
    response_bytes_max: int
    command: tuple[str, ...] = ()
    artefacts: tuple[tuple[str, str], ...] = ()
    credential: ToolCredential = Minted()

    @property
    def endpoint(self) -> JsonObject:
        """What a review is bound to besides the operation itself: where the tool is, or what it is made of.

        So it is to what the tool knows our calls by, where that is not the plain token minted for it.
        """
        place: JsonObject = {"url": self.url}
        if self.command:
            place = {"command": list(self.command), "artefacts": [list(pair) for pair in self.artefacts]}
        return place if self.credential == Minted() else {**place, "credential": _credential_json(self.credential)}


def _credential_json(credential: ToolCredential) -> JsonObject:
    match credential:
        case Minted(sequence=sequence):
            return {"minted": {"sequence": sequence}}
        case Exchanged():
            said: JsonObject = {
                "token_endpoint": credential.token_endpoint,
                "client_id": credential.client_id,
                "audience": credential.audience,
                "scopes": list(credential.scopes),
            }
            return {"exchanged": said}
        case Secret():
            kept: JsonObject = {
                "source": credential.source,
                "name": credential.name,
                "header": credential.header,
                "scheme": credential.scheme,
            }
            return {"secret": kept}


class Tier(StrEnum):
    """How much is at stake when an operation goes wrong (R3.3)."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


TIERS = {
    Effect.READ: Tier.LOW,
    Effect.WRITE: Tier.MEDIUM,
    Effect.EXECUTE: Tier.HIGH,
    Effect.IRREVERSIBLE: Tier.CRITICAL,
}
"""The tier of an operation whose reviewed controls name none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUp:
    """A read that says something about what a call is about: `operation`, asked with `arguments`.

    `arguments` are by name there the JSON pointer into the call's own arguments. An answer counts for `max_age_s`
    seconds. `values` are what is taken from its structured result: by name, the JSON pointer and how it is read,
    `value` (as the read's output schema types it) or `days_since` (a date or date-time, as whole days until now).
    """

    operation: str
    arguments: Mapping[str, str]
    max_age_s: int = 0
    values: Mapping[str, tuple[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Controls:
    """How an operation is governed: the part of its descriptor that changes without its interface (R4.8).

    `confirm` names the argument whose value a person types to confirm the call; every irreversible operation has one.
    `content`, `sources`, `results`, `links`, `receivers` and `classes` are about provenance (see `permissions.Flow`);
    `carries_data_out` marks a read whose request can take data away. `facts` are look-ups, by name, that policy is told
    the values of; `before` is the look-up that shows whoever approves a call what it would change.
    """

    effect: Effect
    tier: Tier | None = None
    confirm: str = ""
    content: tuple[str, ...] = ()
    sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    carries_data_out: bool = False
    links: tuple[str, ...] = ("user",)
    receivers: tuple[str, ...] = ()
    classes: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, LookUp] = field(default_factory=dict)
    before: LookUp | None = None

    @property
    def stakes(self) -> Tier:
        """Its tier: the reviewed one, or that of its effect."""
        return TIERS[self.effect] if self.tier is None else self.tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Descriptor:
    """One operation as reviewed: what the agent sees, what is called, and how it is governed.

    `operation` is its name here and for the agent; `upstream_name` is the tool server's own name for it. `served` is
    the digest of the definition that the server showed when it was reviewed; empty: never compared. `interface` and
    `controls_digest` are `sha256:` over the canonical form of the two parts that are signed; `digest` is over both.
    """

    operation: str
    tool: str
    upstream_name: str
    version: str
    title: str
    description: str
    input_schema: JsonObject
    output_schema: JsonObject | None
    endpoint: JsonObject
    served: str
    author: str  # who wrote it, and so cannot review it; empty where the trust root asks for one signer only
    controls: Controls
    interface: str = ""
    controls_digest: str = ""
    digest: str = ""

    @property
    def effect(self) -> Effect:
        """What it does to the world."""
        return self.controls.effect


@dataclass(frozen=True, slots=True)
class Pin:
    """What an agent's deployed manifest says of an operation: exactly this version with exactly this digest."""

    version: str
    digest: str


@dataclass(frozen=True, slots=True)
class Review:
    """What was found when a descriptor's signatures were checked against the trust root, once, when it was loaded.

    `signers` are (person, role) of those that count for both parts; `missing` says what is wrong, empty when nothing.
    """

    signers: tuple[tuple[str, str], ...]
    missing: str


class SchemaCheck(Protocol):
    """A compiled argument schema."""

    def violations(self, arguments: Mapping[str, Json]) -> tuple[str, ...]:
        """Return what does not fit, each as `pointer: what was expected`; empty when everything fits."""
        ...
