"""The shapes of a project's own files: settings, charters and the catalogue.

These models are met only where bytes come in; rules that need more than one file or one key are in `_compile`.

    shape(AgentFile, read_yaml("agents/desk/agent.yaml", body)).owner
    schema_for("agent")     # for an editor
"""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from pydantic import BeforeValidator, Field, JsonValue

from remit.adapters.project._base import (
    ARGUMENTS_MAX,
    ARTEFACTS_MAX,
    CAPS_MAX,
    CLAIMS_MAX,
    COMMAND_CHARS_MAX,
    COMMAND_MAX,
    DELEGATES_MAX,
    DESCRIPTION_CHARS_MAX,
    FACTS_MAX,
    GROUPS_MAX,
    ISSUERS_MAX,
    LINE_CHARS_MAX,
    OPERATIONS_MAX,
    PEOPLE_MAX,
    RESPONSE_BYTES_MAX,
    ROLES_MAX,
    TIMEOUT_S_MAX,
    TITLE_CHARS_MAX,
    URL_CHARS_MAX,
    USE_CASES_MAX,
    WORD_CHARS_MAX,
    Argument,
    AttributeValue,
    ClientId,
    Digest,
    Domain,
    EffectWord,
    FilePath,
    Groups,
    Labels,
    Line,
    Name,
    Pointer,
    Port,
    Roles,
    Shape,
    TierWord,
    Url,
    Version,
    Word,
)
from remit.adapters.project._organisation import ClassesFile, DirectoryFile, EntitlementsFile, HistoryFile
from remit.core import Json

TARGETS_MAX = 20  # that are told of calls that wait for people


class UseCaseEntry(Shape):
    """One approved use of the agent."""

    description: Line = Field(description="What this use is for, in one line.")
    operations: Annotated[list[Name], Field(min_length=1, max_length=OPERATIONS_MAX)] = Field(
        description="The closed list of operations. Whatever is not in it is denied."
    )
    grant: Literal["all", "named"] = Field(
        default="all", description="Whether a task may have all of them, or those alone that it is opened for by name."
    )


class LimitEntry(Shape):
    """One cap on what the agent does."""

    of: Annotated[list[EffectWord], Field(min_length=1, max_length=len(get_args(EffectWord)))] | None = Field(
        default=None, description="The effects that count; all of them if left out."
    )
    per: Literal["agent", "user", "tool", "task"] = Field(description="What it counts by.")
    window: Literal["minute", "hour", "day"] | None = Field(
        default=None, alias="in", description="In what time, UTC; if left out, calls under way at once."
    )
    max: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(description="How many calls, at most.")


class ClientEntry(Shape):
    """A plain MCP client that is this agent."""

    issuer: Name = Field(description="The issuer's name in remit.yaml.")
    client_id: ClientId = Field(description="The client's id there, or the address of its metadata document.")
    use_case: Name = Field(description="The use case of whatever its users ask for.")


class IdentityEntry(Shape):
    """How an agent proves that it is itself, beside the keys that are registered for it."""

    bearer: bool = Field(
        default=False, description="Whether its task tokens count for whoever bears them, without proof of a key."
    )
    delegates_to: Annotated[list[Name], Field(max_length=DELEGATES_MAX)] = Field(
        default=[], description="The agents that it may hand work on to."
    )
    spiffe: Annotated[list[Line], Field(max_length=DELEGATES_MAX)] = Field(
        default=[], description="Its workload identities, such as spiffe://example.org/refunds."
    )
    clients: Annotated[list[ClientEntry], Field(max_length=DELEGATES_MAX)] = Field(
        default=[],
        description="Plain MCP clients that are this agent, each `{issuer, client_id, use_case}`: they read.",
    )


class LockEntry(Shape):
    """One line of tools.lock: what the agent was deployed with."""

    version: Version = Field(description="The operation's version.")
    digest: Digest = Field(description="The digest of its descriptor.")


class AgentFile(Shape):
    """agents/<name>/agent.yaml: the charter."""

    agent: Name = Field(description="The agent's name, the same as its folder's.")
    owner: Line = Field(description="The accountable person.")
    process: Line = Field(description="The business process that the agent supports.")
    purpose: Line = Field(description="What the agent is for, in one line.")
    use_cases: Annotated[dict[Name, UseCaseEntry], Field(min_length=1, max_length=USE_CASES_MAX)] = Field(
        description="The approved uses. A task names one of them."
    )
    reviewers: Roles = Field(
        default=["operator"], description="Roles of the people who look at calls held for where a value came from."
    )
    limits: Annotated[dict[Name, LimitEntry], Field(min_length=1, max_length=CAPS_MAX)] | None = Field(
        default=None, description="Caps on the agent's calls, by name; if left out, the default ones."
    )
    identity: IdentityEntry = Field(
        default_factory=IdentityEntry, description="How it proves that it is itself, beside its registered keys."
    )


class UsersFile(Shape):
    """organisation/users.yaml: what policies may know of users."""

    attributes: Annotated[dict[Name, Literal["text", "number", "yes_no"]], Field(max_length=CLAIMS_MAX)] = Field(
        default={},
        description="What policies may read as `context.user.NAME`, where the issuer says it: text, number or yes_no. "
        "`context.user.id` and `context.user.groups` are always there.",
    )


class LookUpEntry(Shape):
    """A read of the catalogue that says something about what a call is about."""

    read: Name = Field(description="The operation that is read; its effect is read, and it carries no data out.")
    given: Annotated[dict[Argument, Pointer], Field(max_length=ARGUMENTS_MAX)] = Field(
        default={}, alias="with", description="Its arguments, each with a JSON pointer into this call's own."
    )


class ValueEntry(Shape):
    """One value of a look-up's result."""

    at: Pointer = Field(description="Where it is in the result, as a JSON pointer.")
    kind: Literal["value", "days_since"] = Field(
        default="value", alias="as", description="As it is, or a date as whole days until now."
    )


def _by_place(value: object) -> object:
    """Read a pointer alone as the value there."""
    return {"at": value} if isinstance(value, str) else value


class FactEntry(LookUpEntry):
    """A look-up whose values policies see."""

    max_age_s: Annotated[int, Field(ge=0, le=86_400)] = Field(
        default=0, description="How old an answer may be, in seconds; asked anew each time if left out."
    )
    values: Annotated[
        dict[Name, Annotated[ValueEntry, BeforeValidator(_by_place, json_schema_input_type=ValueEntry | Pointer)]],
        Field(min_length=1, max_length=FACTS_MAX),
    ] = Field(
        description="What policies are told, by name: a pointer into the result, or `{at: POINTER, as: days_since}`."
    )


class OperationEntry(Shape):
    """One operation of a tool, as reviewed."""

    upstream_name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[!-~]+$")] | None = Field(
        default=None, description="The tool server's own name for it; the operation's name if left out."
    )
    version: Version = Field(description="The reviewed version, in quotes.")
    title: Annotated[str, Field(min_length=1, max_length=TITLE_CHARS_MAX)] = Field(description="A short title.")
    description: Annotated[str, Field(min_length=1, max_length=DESCRIPTION_CHARS_MAX)] = Field(
        description="What the agent's model reads. Instructions in it are instructions to the model."
    )
    effect: EffectWord = Field(description="What it does to the world. Set it after reading what the operation does.")
    confirm: Argument | None = Field(
        default=None,
        description="The argument whose value a person types to confirm an irreversible call; if left out, the "
        "operation's own name is typed.",
    )
    content: Annotated[list[Argument], Field(max_length=ARGUMENTS_MAX)] = Field(
        default=[], description="Arguments that may say anything, wherever it came from. Every other one controls."
    )
    sources: Annotated[
        dict[Argument, Annotated[list[Line], Field(min_length=1, max_length=ARGUMENTS_MAX)]],
        Field(max_length=ARGUMENTS_MAX),
    ] = Field(
        default={},
        description="Where a controlling argument's values may come from: user, records, OPERATION, "
        "OPERATION/POINTER or directory/NAME; the user and every system of record if left out.",
    )
    results: Labels | None = Field(
        default=None,
        description="How far the result is to be trusted: system_of_record or untrusted, for all of it or by JSON "
        "pointer, `*` for any one step. What nothing covers is untrusted.",
    )
    carries_data_out: bool = Field(default=False, description="Whether its request can take data away.")
    tier: TierWord | None = Field(
        default=None,
        description="How much is at stake: low, medium, high or critical; that of its effect if left out (read low, "
        "write medium, execute high, irreversible critical).",
    )
    links: Annotated[list[Line], Field(max_length=ARGUMENTS_MAX)] | None = Field(
        default=None,
        description="Where URLs, mail addresses and IBANs in content may come from, as in sources; the user alone if "
        "left out.",
    )
    receivers: Annotated[list[Argument], Field(max_length=ARGUMENTS_MAX)] = Field(
        default=[], description="Arguments that name who gets to know the rest of the call."
    )
    classes: Annotated[dict[Pointer, Name], Field(max_length=ARGUMENTS_MAX)] = Field(
        default={},
        description="Confidential fields of the result, by JSON pointer (`*` for any one step), each with its data "
        "class of organisation/classes.yaml.",
    )
    facts: Annotated[dict[Name, FactEntry], Field(max_length=FACTS_MAX)] = Field(
        default={}, description="What is looked up before a call is decided, as `context.facts.NAME` for policies."
    )
    before: LookUpEntry | None = Field(
        default=None, description="The read that shows whoever approves a call what it would change."
    )
    input_schema: dict[str, JsonValue] = Field(
        description="JSON Schema 2020-12 of the arguments: `type: object`, `additionalProperties: false`."
    )
    output_schema: dict[str, JsonValue] | None = Field(default=None, description="JSON Schema 2020-12 of the result.")


class MintedEntry(Shape):
    """A token of ours, made out to the tool."""

    sequence: bool = Field(default=False, description="Whether each call has a new one, numbered.")


class ExchangedEntry(Shape):
    """A token of the tool's own authorization server, for one of ours (RFC 8693)."""

    token_endpoint: Url = Field(description="Where that server answers: https, or http on this machine.")
    client_id: ClientId = Field(description="Who we are there; proven with our tool key.")
    audience: Word = Field(description="What the token is asked for.")
    scopes: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX, pattern=r"^[!#-\[\]-~]+$")]],
        Field(max_length=GROUPS_MAX),
    ] = Field(default=[], description="The scopes that are asked for.")


class CredentialEntry(Shape):
    """What a tool server knows our calls by: one of `minted`, `exchanged` and `secret`."""

    minted: MintedEntry | None = Field(default=None, description="A token of ours, made out to the tool.")
    exchanged: ExchangedEntry | None = Field(
        default=None, description="A token of the tool's own authorization server, for one of ours."
    )
    secret: Annotated[str, Field(max_length=LINE_CHARS_MAX)] | None = Field(
        default=None,
        description="Where a secret is kept, and never the secret: env:NAME, file:PATH or keyring:SERVICE/USER.",
    )
    header: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The header that a secret is sent in; authorization if left out."
    )
    scheme: Annotated[str, Field(max_length=64)] | None = Field(
        default=None, description="The word before it; Bearer in authorization, else none, if left out."
    )


def _by_kind(value: object) -> object:
    """Read the word `minted` alone as the default of its kind."""
    return {"minted": {}} if value == "minted" else value


class CatalogueFile(Shape):
    """catalogue/<tool>.yaml: a tool server and its operations."""

    tool: Name = Field(description="The tool server's name here.")
    url: Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)] | None = Field(
        default=None, description="Where its MCP endpoint answers: https, or http on this machine."
    )
    command: Annotated[
        list[Annotated[str, Field(max_length=COMMAND_CHARS_MAX)]], Field(min_length=1, max_length=COMMAND_MAX)
    ] | (None) = Field(
        default=None,
        description="Instead of url: the program of this machine that is the tool server, spoken to over stdio, with "
        "its arguments. Relative paths begin at the project.",
    )
    artefacts: Annotated[dict[FilePath, Digest], Field(max_length=ARTEFACTS_MAX)] = Field(
        default={}, description="The files that make up the command, each with its sha256: digest."
    )
    author: Name | None = Field(default=None, description="Who wrote this file, and so cannot sign it.")
    credential: Annotated[
        CredentialEntry, BeforeValidator(_by_kind, json_schema_input_type=CredentialEntry | Literal["minted"])
    ] = Field(
        default=CredentialEntry(minted=MintedEntry()),
        description="What the tool server knows our calls by; minted if left out.",
    )
    timeout_s: Annotated[float, Field(gt=0, le=TIMEOUT_S_MAX)] = Field(
        default=10, description="How long to wait for an answer, in seconds."
    )
    response_bytes_max: Annotated[int, Field(ge=1, le=64 << 20)] = Field(
        default=RESPONSE_BYTES_MAX, description="The longest answer taken, in bytes."
    )
    operations: Annotated[dict[Name, OperationEntry], Field(min_length=1, max_length=OPERATIONS_MAX)] = Field(
        description="The operations that may be called. Nothing else of this server exists."
    )


class _Listen(Shape):
    host: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="127.0.0.1", description="The address to listen on."
    )


class TlsShape(Shape):
    """TLS, by PEM files."""

    certificate: FilePath = Field(description="The certificate, with those between it and its authority.")
    key: FilePath = Field(description="Its private key, without a passphrase.")
    client_authorities: FilePath | None = Field(
        default=None, description="Whose certificates agents may prove themselves by; if left out, nobody's."
    )


class DataShape(_Listen):
    """Where agents connect."""

    port: Port = Field(default=8700, description="The port to listen on.")
    tls: TlsShape | None = Field(default=None, description="TLS; none if left out.")


class AdminShape(_Listen):
    """Where people and the command line connect."""

    port: Port = Field(default=8701, description="The port to listen on.")


class StoreShape(Shape):
    """Where state and log are kept."""

    path: FilePath = Field(default="var/remit.db", description="The database file, relative to the project.")


class RecordsShape(Shape):
    """The log's checkpoints."""

    checkpoint_file: FilePath = Field(
        default="checkpoints/log.checkpoints",
        description="Where signed checkpoints are appended. Keep a copy elsewhere.",
    )
    checkpoint_every_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=10, description="How often one is written while the log grows, in seconds."
    )


class TasksShape(Shape):
    """Tasks, the unit of authority."""

    life_s: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=3600, description="How long a task lives, in seconds."
    )


class InputShape(Shape):
    """Bounds on what comes in."""

    body_bytes_max: Annotated[int, Field(ge=1_024, le=16 << 20)] = Field(
        default=1 << 20, description="The longest request body, in bytes."
    )


class UpstreamShape(Shape):
    """Connections to tool servers."""

    connections_max: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="Connections open to tool servers at once."
    )


class CatalogueShape(Shape):
    """Reviews of the catalogue, and what tool servers show."""

    trust: FilePath = Field(
        default="var/trust.json", description="The trust root: who may sign reviews. Relative to the project."
    )
    check_every_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=10, description="How often each tool server's own listing is compared with the reviewed, in seconds."
    )


class HoldsShape(Shape):
    """Calls that wait for people."""

    wait_s: Annotated[int, Field(ge=0, le=60)] = Field(
        default=5, description="How long a held call waits for people before it answers `held`, in seconds."
    )


class ClaimsShape(Shape):
    """Which claims of an issuer's tokens say what."""

    subject: Word = Field(default="sub", description="The claim that names the person, never given to another one.")
    groups: Word = Field(default="groups", description="The claim that lists the person's groups.")
    attributes: Annotated[dict[Name, Word], Field(max_length=CLAIMS_MAX)] = Field(
        default={}, description="Attributes of organisation/users.yaml, each with the claim that says it."
    )
    roles: Annotated[
        dict[Name, Annotated[list[Word], Field(min_length=1, max_length=GROUPS_MAX)]], Field(max_length=CLAIMS_MAX)
    ] = Field(
        default={},
        description="Roles, each with the groups whose members have it; `*` is everybody's group.",
    )


class IssuerShape(Shape):
    """An identity provider of the organisation's."""

    issuer: Url = Field(description="What its tokens say as `iss`, to the letter: https, or http on this machine.")
    audiences: Annotated[list[Word], Field(max_length=ISSUERS_MAX)] = Field(
        default=[], description="Audiences of tokens that count, besides our own address."
    )
    claims: ClaimsShape = Field(default_factory=ClaimsShape, description="Which claims say what.")
    jwks_age_max_s: Annotated[int, Field(ge=60, le=86_400)] = Field(
        default=3600, description="How long its keys count after they were fetched, in seconds."
    )
    events: bool = Field(default=False, description="Whether its security events (CAEP) are believed.")


class TokensShape(Shape):
    """Proof of keys."""

    dpop_nonce: bool = Field(default=False, description="Whether DPoP proofs carry a nonce of ours.")
    proof_age_max_s: Annotated[int, Field(ge=10, le=300)] = Field(
        default=60, description="How old a DPoP proof may be, in seconds."
    )


class AuthzenShape(Shape):
    """The organisation's own decision point (AuthZEN 1.0), asked besides: one more gate."""

    url: Url = Field(
        description="Where it answers: https, or http on this machine. Its base, to which /access/v1/evaluation is "
        "added, or the whole address of that endpoint."
    )
    timeout_ms: Annotated[int, Field(ge=10, le=5_000)] = Field(
        default=300, description="How long to wait for it, in milliseconds; without an answer, no call."
    )


class NotifyShape(Shape):
    """Where people are told of calls that wait for them: a target of Apprise."""

    to: Annotated[str, Field(max_length=LINE_CHARS_MAX)] = Field(
        description="Where the target's address is kept, and never the address, which has its secrets: env:NAME, "
        "file:PATH or keyring:SERVICE/USER."
    )
    roles: Annotated[list[Name], Field(max_length=ROLES_MAX)] = Field(
        default=[], description="It is told only of calls that one of these roles may approve; of all if left out."
    )
    agents: Annotated[list[Name], Field(max_length=DELEGATES_MAX)] = Field(
        default=[], description="It is told only of calls of these agents; of all if left out."
    )


class PersonShape(Shape):
    """A person of the development profile."""

    roles: Roles = Field(
        description="What the person may do: operator runs the gateway, user uses agents, and any other name is a role "
        "that policies, reviewers and the trust root can ask for."
    )
    groups: Groups = Field(default=[], description="The person's groups, for policies to look at.")
    attributes: Annotated[dict[Name, AttributeValue], Field(max_length=CLAIMS_MAX)] = Field(
        default={}, description="Attributes of organisation/users.yaml, each with what is true of the person."
    )


class DevelopmentShape(Shape):
    """The development profile's own people, instead of an identity provider."""

    people: Annotated[dict[Name, PersonShape], Field(max_length=PEOPLE_MAX)] = Field(
        default_factory=dict, description="Person names with their roles."
    )


class SettingsFile(Shape):
    """remit.yaml: settings. Every one has a safe default."""

    name: Name | None = Field(default=None, description="The project's name; its folder's if left out.")
    profile: Literal["development"] = Field(default="development", description="Which rules of deployment hold.")
    data: DataShape = Field(default_factory=DataShape, description="Where agents connect.")
    admin: AdminShape = Field(default_factory=AdminShape, description="Where people connect.")
    store: StoreShape = Field(default_factory=StoreShape, description="Where state and log are kept.")
    records: RecordsShape = Field(default_factory=RecordsShape, description="The log's checkpoints.")
    tasks: TasksShape = Field(default_factory=TasksShape, description="Tasks, the unit of authority.")
    input: InputShape = Field(default_factory=InputShape, description="Bounds on what comes in.")
    upstream: UpstreamShape = Field(default_factory=UpstreamShape, description="Connections to tool servers.")
    catalogue: CatalogueShape = Field(
        default_factory=CatalogueShape, description="Reviews, and what tool servers show."
    )
    holds: HoldsShape = Field(default_factory=HoldsShape, description="Calls that wait for people.")
    issuers: Annotated[dict[Name, IssuerShape], Field(max_length=ISSUERS_MAX)] = Field(
        default_factory=dict, description="The organisation's identity providers, by name: people are `name:subject`."
    )
    tokens: TokensShape = Field(default_factory=TokensShape, description="Proof of keys.")
    spiffe: Annotated[dict[Domain, FilePath], Field(max_length=ISSUERS_MAX)] = Field(
        default_factory=dict,
        description="SPIFFE trust domains, each with the file of its trust bundle, a JWK set; relative to the project.",
    )
    authzen: AuthzenShape | None = Field(
        default=None, description="The organisation's own decision point, asked besides; none if left out."
    )
    notify: Annotated[dict[Name, NotifyShape], Field(max_length=TARGETS_MAX)] = Field(
        default_factory=dict, description="Targets that are told of calls that wait for people, by name."
    )
    development: DevelopmentShape = Field(
        default_factory=DevelopmentShape, description="The development profile's people."
    )


Kind = Literal["agent", "catalogue", "classes", "directory", "entitlements", "history", "settings", "users"]

_FILES: Final[Mapping[Kind, type[Shape]]] = {
    "agent": AgentFile,
    "catalogue": CatalogueFile,
    "classes": ClassesFile,
    "directory": DirectoryFile,
    "entitlements": EntitlementsFile,
    "history": HistoryFile,
    "settings": SettingsFile,
    "users": UsersFile,
}


def schema_for(kind: Kind) -> dict[str, Json]:
    """Return the JSON Schema that an editor checks a file of this `kind` against."""
    schema: dict[str, Json] = _FILES[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
