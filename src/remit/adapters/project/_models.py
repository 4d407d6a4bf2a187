"""The shapes of a project's files, and their mistakes as problems with a place and a fix.

These models are met only where bytes come in; rules that need more than one file or one key are in `_compile`.

    document = read_yaml("agents/desk/agent.yaml", b"agent: desk")
    shape(AgentFile, document)      # ProjectInvalidError: charter_incomplete (owner), (process), (purpose), ...
"""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Final, Literal, TypeVar, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    PlainValidator,
    ValidationError,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from remit.adapters.project._commands import KEY_SHAPE
from remit.adapters.project._yaml import Document, Path
from remit.core import NAME_PATTERN, REQUESTER, Attribute, Json, Problem, ProjectInvalidError

TITLE_CHARS_MAX = 120
DESCRIPTION_CHARS_MAX = 8_000
LINE_CHARS_MAX = 500  # owner, process, purpose, a use case's description
URL_CHARS_MAX = 2_048
OPERATIONS_MAX = 500  # in one tool, and in one use case
USE_CASES_MAX = 100
PEOPLE_MAX = 1_000
ROLES_MAX = 20  # of one person, and of one agent's reviewers
CAPS_MAX = 100  # of one agent
COMMAND_MAX = 100  # elements of a command
COMMAND_CHARS_MAX = 1_000  # of one element
ARTEFACTS_MAX = 1_000
ARGUMENTS_MAX = 1_000  # named in an operation's controls
DELEGATES_MAX = 100  # of one agent, and its workload identities and plain clients
ISSUERS_MAX = 20
CLAIMS_MAX = 100  # attributes or roles that an issuer's claims are mapped to, and attributes of users
GROUPS_MAX = 200  # of one person, and of one role
WORD_CHARS_MAX = 200  # a group, a claim's name, an audience
ATTRIBUTE_CHARS_MAX = 500  # a text that is said of a person
SPIFFE_BYTES_MAX = 2_048  # SPIFFE ID, section 2.3
TIMEOUT_S_MAX = 300
RESPONSE_BYTES_MAX = 1 << 20

Name = Annotated[str, Field(pattern=NAME_PATTERN)]
Line = Annotated[str, Field(min_length=1, max_length=LINE_CHARS_MAX, pattern=r"\S")]
Port = Annotated[int, Field(ge=1, le=65_535)]
FilePath = Annotated[str, Field(min_length=1, max_length=1_000, pattern=r"^[^\x00-\x1f]+$")]
Domain = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,255}$")]  # (SPIFFE ID, section 2.1)
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
Version = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[!-~]+$")]
Roles = Annotated[list[Name], Field(min_length=1, max_length=ROLES_MAX)]
Url = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]
Word = Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX, pattern=r"^[^\x00-\x1f\x7f]+$")]
Groups = Annotated[list[Word], Field(max_length=GROUPS_MAX)]
ClientId = Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX, pattern=r"^[!-~]+$")]
Argument = Annotated[str, Field(min_length=1, max_length=128)]
EffectWord = Literal["read", "write", "execute", "irreversible"]
LabelWord = Literal["system_of_record", "untrusted"]
# A JSON pointer (RFC 6901), the whole value's or one that begins with `/`.
Pointer = Annotated[str, Field(max_length=1_000, pattern=r"^(/([^/~]|~[01])*)*$")]
Labels = Annotated[dict[Pointer, LabelWord], Field(min_length=1, max_length=ARGUMENTS_MAX)]


def _by_pointer(value: object) -> object:
    """Read one label alone as the whole result's."""
    return {"": value} if isinstance(value, str) else value


_LABELS_SCHEMA: Final = {
    "anyOf": [
        {"enum": list(get_args(LabelWord))},
        {"type": "object", "minProperties": 1, "additionalProperties": {"enum": list(get_args(LabelWord))}},
    ]
}


class _Shape(BaseModel):
    """A mapping with known keys only; nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _attribute(value: object) -> Attribute:
    if not isinstance(value, str | int) or (isinstance(value, str) and len(value) > ATTRIBUTE_CHARS_MAX):
        raise PydanticCustomError("attribute", "a short text, a whole number, true or false")
    return value


AttributeValue = Annotated[
    Attribute, PlainValidator(_attribute), WithJsonSchema({"type": ["string", "integer", "boolean"]})
]


class UseCaseEntry(_Shape):
    """One approved use of the agent."""

    description: Line = Field(description="What this use is for, in one line.")
    operations: Annotated[list[Name], Field(min_length=1, max_length=OPERATIONS_MAX)] = Field(
        description="The closed list of operations. Whatever is not in it is denied."
    )


class LimitEntry(_Shape):
    """One cap on what the agent does."""

    of: Annotated[list[EffectWord], Field(min_length=1, max_length=len(get_args(EffectWord)))] | None = Field(
        default=None, description="The effects that count; all of them if left out."
    )
    per: Literal["agent", "user", "tool", "task"] = Field(description="What it counts by.")
    window: Literal["minute", "hour", "day"] | None = Field(
        default=None, alias="in", description="In what time, UTC; if left out, calls under way at once."
    )
    max: Annotated[int, Field(ge=0, le=1_000_000_000)] = Field(description="How many calls, at most.")


class ClientEntry(_Shape):
    """A plain MCP client that is this agent."""

    issuer: Name = Field(description="The issuer's name in remit.yaml.")
    client_id: ClientId = Field(description="The client's id there, or the address of its metadata document.")
    use_case: Name = Field(description="The use case of whatever its users ask for.")


class IdentityEntry(_Shape):
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


class LockEntry(_Shape):
    """One line of tools.lock: what the agent was deployed with."""

    version: Version = Field(description="The operation's version.")
    digest: Digest = Field(description="The digest of its descriptor.")


class AgentFile(_Shape):
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


class UsersFile(_Shape):
    """organisation/users.yaml: what policies may know of users."""

    attributes: Annotated[dict[Name, Literal["text", "number", "yes_no"]], Field(max_length=CLAIMS_MAX)] = Field(
        default={},
        description="What policies may read as `context.user.NAME`, where the issuer says it: text, number or yes_no. "
        "`context.user.groups` is always there.",
    )


class OperationEntry(_Shape):
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
        description="Where a controlling argument's values may come from: user, records, OPERATION or "
        "OPERATION/POINTER; the user and every system of record if left out.",
    )
    results: Annotated[Labels, BeforeValidator(_by_pointer), WithJsonSchema(_LABELS_SCHEMA)] | None = Field(
        default=None,
        description="How far the result is to be trusted: system_of_record or untrusted, for all of it or by JSON "
        "pointer, `*` for any one step. What nothing covers is untrusted.",
    )
    carries_data_out: bool = Field(default=False, description="Whether its request can take data away.")
    input_schema: dict[str, JsonValue] = Field(
        description="JSON Schema 2020-12 of the arguments: `type: object`, `additionalProperties: false`."
    )
    output_schema: dict[str, JsonValue] | None = Field(default=None, description="JSON Schema 2020-12 of the result.")


class MintedEntry(_Shape):
    """A token of ours, made out to the tool."""

    sequence: bool = Field(default=False, description="Whether each call has a new one, numbered.")


class ExchangedEntry(_Shape):
    """A token of the tool's own authorization server, for one of ours (RFC 8693)."""

    token_endpoint: Url = Field(description="Where that server answers: https, or http on this machine.")
    client_id: ClientId = Field(description="Who we are there; proven with our tool key.")
    audience: Word = Field(description="What the token is asked for.")
    scopes: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=WORD_CHARS_MAX, pattern=r"^[!#-\[\]-~]+$")]],
        Field(max_length=GROUPS_MAX),
    ] = Field(default=[], description="The scopes that are asked for.")


class CredentialEntry(_Shape):
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


class CatalogueFile(_Shape):
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


class _Listen(_Shape):
    host: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default="127.0.0.1", description="The address to listen on."
    )


class TlsShape(_Shape):
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


class StoreShape(_Shape):
    """Where state and log are kept."""

    path: FilePath = Field(default="var/remit.db", description="The database file, relative to the project.")


class RecordsShape(_Shape):
    """The log's checkpoints."""

    checkpoint_file: FilePath = Field(
        default="checkpoints/log.checkpoints",
        description="Where signed checkpoints are appended. Keep a copy elsewhere.",
    )
    checkpoint_every_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=10, description="How often one is written while the log grows, in seconds."
    )


class TasksShape(_Shape):
    """Tasks, the unit of authority."""

    life_s: Annotated[int, Field(ge=1, le=604_800)] = Field(
        default=3600, description="How long a task lives, in seconds."
    )


class InputShape(_Shape):
    """Bounds on what comes in."""

    body_bytes_max: Annotated[int, Field(ge=1_024, le=16 << 20)] = Field(
        default=1 << 20, description="The longest request body, in bytes."
    )


class UpstreamShape(_Shape):
    """Connections to tool servers."""

    connections_max: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=64, description="Connections open to tool servers at once."
    )


class CatalogueShape(_Shape):
    """Reviews of the catalogue, and what tool servers show."""

    trust: FilePath = Field(
        default="var/trust.json", description="The trust root: who may sign reviews. Relative to the project."
    )
    check_every_s: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=10, description="How often each tool server's own listing is compared with the reviewed, in seconds."
    )


class HoldsShape(_Shape):
    """Calls that wait for people."""

    wait_s: Annotated[int, Field(ge=0, le=60)] = Field(
        default=5, description="How long a held call waits for people before it answers `held`, in seconds."
    )


class ClaimsShape(_Shape):
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


class IssuerShape(_Shape):
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


class TokensShape(_Shape):
    """Proof of keys."""

    dpop_nonce: bool = Field(default=False, description="Whether DPoP proofs carry a nonce of ours.")
    proof_age_max_s: Annotated[int, Field(ge=10, le=300)] = Field(
        default=60, description="How old a DPoP proof may be, in seconds."
    )


class AuthzenShape(_Shape):
    """The organisation's own decision point (AuthZEN 1.0), asked besides: one more gate."""

    url: Url = Field(
        description="Where it answers: https, or http on this machine. Its base, to which /access/v1/evaluation is "
        "added, or the whole address of that endpoint."
    )
    timeout_ms: Annotated[int, Field(ge=10, le=5_000)] = Field(
        default=300, description="How long to wait for it, in milliseconds; without an answer, no call."
    )


class PersonShape(_Shape):
    """A person of the development profile."""

    roles: Roles = Field(
        description="What the person may do: operator runs the gateway, user uses agents, and any other name is a role "
        "that policies, reviewers and the trust root can ask for."
    )
    groups: Groups = Field(default=[], description="The person's groups, for policies to look at.")
    attributes: Annotated[dict[Name, AttributeValue], Field(max_length=CLAIMS_MAX)] = Field(
        default={}, description="Attributes of organisation/users.yaml, each with what is true of the person."
    )


class DevelopmentShape(_Shape):
    """The development profile's own people, instead of an identity provider."""

    people: Annotated[dict[Name, PersonShape], Field(max_length=PEOPLE_MAX)] = Field(
        default_factory=dict, description="Person names with their roles."
    )


class SettingsFile(_Shape):
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
    development: DevelopmentShape = Field(
        default_factory=DevelopmentShape, description="The development profile's people."
    )


Kind = Literal["agent", "catalogue", "settings", "users"]

_FILES: Final[Mapping[Kind, type[_Shape]]] = {
    "agent": AgentFile,
    "catalogue": CatalogueFile,
    "settings": SettingsFile,
    "users": UsersFile,
}
_CHARTER: Final[Mapping[str | int | None, str]] = {
    "owner": "the accountable person",
    "process": "the business process it supports",
    "purpose": "what it is for",
}
_EMPTY = frozenset({"string_too_short", "string_pattern_mismatch", "string_type"})

REVIEW_FIX = "set effect: read|write|execute|irreversible after reading what it does"

_Said = tuple[str, str, str]
"""A problem without its place: code, message, fix."""

S = TypeVar("S", bound=_Shape)


def schema_for(kind: Kind) -> dict[str, Json]:
    """Return the JSON Schema that an editor checks a file of this `kind` against."""
    schema: dict[str, Json] = _FILES[kind].model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def shape(model: type[S], document: Document) -> S:
    """Read `document` as `model`.

    Raises:
        ProjectInvalidError: with every mistake found, each at its line.
    """
    if not isinstance(document.value, dict):
        message = f"expected keys such as `{next(iter(model.model_fields))}:`, found {_kind_of(document.value)}"
        fix = "write `key: value` lines; `remit init` writes an example"
        line = document.line(())
        problem = Problem(code="value_invalid", file=document.file, line=line, message=message, fix=fix)
        raise ProjectInvalidError((problem,))
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=True)
        raise ProjectInvalidError(tuple(_translate(model, document, detail) for detail in details)) from error


def shape_each(model: type[S], document: Document) -> dict[str, S]:
    """Read `document` as a mapping of names that it chose, each to a `model`; a document of comments only has none.

    Raises:
        ProjectInvalidError: with every mistake found, each at its line.
    """
    if document.value is None:
        return {}
    if not isinstance(document.value, dict):
        keys = ", ".join(f"{name}: ..." for name in model.model_fields)
        message = f"expected lines such as `name: {{{keys}}}`, found {_kind_of(document.value)}"
        line = document.line(())
        fix = "write the file anew by the command in its first line"
        problem = Problem(code="value_invalid", file=document.file, line=line, message=message, fix=fix)
        raise ProjectInvalidError((problem,))
    within: dict[str | int, dict[Path, int]] = {}
    for path, line in document.positions.items():
        if path:
            within.setdefault(path[0], {})[path[1:]] = line
    found: dict[str, S] = {}
    problems: list[Problem] = []
    for name, value in document.value.items():
        try:
            found[name] = shape(model, Document(document.file, value, within[name]))
        except ProjectInvalidError as invalid:
            problems.extend(invalid.problems)
    if problems:
        raise ProjectInvalidError(tuple(problems))
    return found


SECRET_SAID: Final[_Said] = (
    "secret_in_config",
    "a secret, it seems, where only a reference belongs: expected env:NAME, file:PATH or keyring:SERVICE/USER",
    "keep it there and refer to it; treat this one as known to others if the file was shared",
)
"""What is said of a secret in a project file: everything but the secret."""

_ENTROPY = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_.-]{20,}", re.ASCII)


def looks_secret(text: str) -> bool:
    """Tell whether `text` looks like a key: it has the shape of a well-known one, or is long and like no word."""
    return KEY_SHAPE.search(text) is not None or _ENTROPY.fullmatch(text) is not None


def attribute_reserved(document: Document, path: Path) -> Problem:
    """Say that no attribute of a user has the name at `path`: it means the user's groups."""
    message = f"the attribute `{path[-1]}` is reserved: `context.user.{path[-1]}` is always there, from the issuer"
    fix = "give the attribute another name"
    return Problem(code="attribute_reserved", file=document.file, line=document.line(path), message=message, fix=fix)


def role_reserved(document: Document, path: Path) -> Problem:
    """Say that nobody has the role at `path`: its name means whoever asked."""
    message = f"the role `{REQUESTER}` is reserved: it means the person for whom the agent acts"
    fix = "give the role another name"
    return Problem(code="role_reserved", file=document.file, line=document.line(path), message=message, fix=fix)


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` with the known word nearest to `word`, or nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _translate(model: type[_Shape], document: Document, detail: ErrorDetails) -> Problem:
    # (pydantic marks a bad key of a mapping with a last step "[key]"; the place is the key itself.)
    path: Path = tuple(step for step in detail["loc"] if step != "[key]")
    said: _Said | None = None
    if model is AgentFile:
        said = _charter(path, detail)
    elif model is CatalogueFile and path[:1] == ("credential",):
        said = _credential(model, path, detail)
    code, message, fix = said or _said(model, path, detail)
    return Problem(code=code, file=document.file, line=document.line(path), message=message, fix=fix)


def _said(model: type[_Shape], path: Path, detail: ErrorDetails) -> _Said:
    found = detail["input"]
    match detail["type"]:
        case "missing":
            fix = f"add `{path[-1]}:`{_meaning(model, path)}"
            return "key_missing", f"expected the key `{path[-1]}`{_within(path)}", fix
        case "extra_forbidden":
            return _unknown(model, path)
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == NAME_PATTERN:
            given = path[-1] if "[key]" in detail["loc"] else found
            fix = "use 1 to 64 of a-z, 0-9, `_`, `.`, `-`, beginning with a letter or digit"
            return "name_invalid", f"`{_short(given)}` is not a name{_within(path)}", fix
        case "literal_error" if path[-1] == "effect" or path[2:3] == ("results",):
            return _unreviewed(path, detail)
        case "string_too_long":
            message = f"`{_dotted(path)}` has {len(found)} characters: expected {_expected(detail)}"
            return "text_too_long", message, "shorten it"
        case _:
            message = f"`{_dotted(path)}`: expected {_expected(detail)}, found {_kind_of(found)}"
            return "value_invalid", message, f"write {_expected(detail)}"


def _unreviewed(path: Path, detail: ErrorDetails) -> _Said:
    """Say that a word which a reviewer sets is none of those there are: an effect, or a label."""
    found, expected = _short(detail["input"]), _expected(detail)
    if path[-1] == "effect":
        message = f"the effect `{found}` of `{path[-2]}` is not reviewed: expected {expected}"
        return "effect_unreviewed", message, REVIEW_FIX
    return "label_unknown", f"the label `{found}` of `{path[1]}`: expected {expected}", f"write {expected}"


def _charter(path: Path, detail: ErrorDetails) -> _Said | None:
    """Say what makes a charter no charter: no owner, process, purpose or use case (R1.1)."""
    kind = detail["type"]
    if path == ("use_cases",) and (kind == "missing" or detail["input"] in (None, {})):
        message = "the charter lists no use case: the agent could do nothing"
        return "use_case_missing", message, "add one under `use_cases:` with its operations"
    key = path[0] if len(path) == 1 else None
    if key not in _CHARTER or (kind != "missing" and kind not in _EMPTY):
        return None
    found = "is missing" if kind == "missing" else "does not name one"
    return "charter_incomplete", f"a charter names its {key}: `{key}:` {found}", f"add `{key}: <{_CHARTER[key]}>`"


def _credential(model: type[_Shape], path: Path, detail: ErrorDetails) -> _Said | None:
    """Say what is wrong with a credential, and never what was found there: it may be one."""
    if detail["type"] == "missing":
        return None
    if detail["type"] == "extra_forbidden":
        return _unknown(model, path) if _known_near(model, path) else _hidden_key(model, path)
    if path[-1] == "secret" or (isinstance(detail["input"], str) and looks_secret(detail["input"])):
        return SECRET_SAID
    expected = "`minted` or `key: value` lines" if path == ("credential",) else _expected(detail)
    return "value_invalid", f"`{_dotted(path)}`: expected {expected}", f"write {expected}"


def _hidden_key(model: type[_Shape], path: Path) -> _Said:
    known = ", ".join(_keys_at(model, path))
    return "key_unknown", f"a key that is not known{_within(path)}", f"use one of: {known}"


def _known_near(model: type[_Shape], path: Path) -> bool:
    return bool(nearest(str(path[-1]), _keys_at(model, path)))


def _keys_at(model: type[_Shape], path: Path) -> list[str]:
    inner = _model_at(model, path[:-1])
    return [field.alias or name for name, field in inner.model_fields.items()] if inner else []


def _unknown(model: type[_Shape], path: Path) -> _Said:
    known = _keys_at(model, path)
    message = f"unknown key `{_short(path[-1])}`{_within(path)}{nearest(str(path[-1]), known)}"
    return "key_unknown", message, f"use one of: {', '.join(known)}"


def _model_at(model: type[_Shape], path: Path) -> type[_Shape] | None:
    """Follow `path` through the models: a field's name, then any key of a mapping, then a field's name again."""
    here: type[_Shape] | None = model
    steps = iter(path)
    for step in steps:
        field = here.model_fields.get(str(step)) if here else None
        if field is None:
            return None
        here, is_mapping = _inner(field.annotation)
        if is_mapping:
            next(steps, None)
    return here


def _inner(annotation: object) -> tuple[type[_Shape] | None, bool]:
    """Return the model inside a field's annotation, and whether it stands behind a mapping's keys or in a list."""
    if isinstance(annotation, type) and not get_args(annotation):
        return (annotation, False) if issubclass(annotation, _Shape) else (None, False)
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return _inner(get_args(annotation)[0])
    if get_origin(annotation) in {dict, list}:
        return _inner(get_args(annotation)[-1])[0], True
    return None, False


def _meaning(model: type[_Shape], path: Path) -> str:
    inner = _model_at(model, path[:-1])
    field: FieldInfo | None = inner.model_fields.get(str(path[-1])) if inner else None
    return f": {field.description[0].lower()}{field.description[1:]}".rstrip(".") if field and field.description else ""


def _dotted(path: Path) -> str:
    return ".".join(_short(step) for step in path if step != "")


def _within(path: Path) -> str:
    return f" in `{_dotted(path[:-1])}`" if len(path) > 1 else ""


def _expected(detail: ErrorDetails) -> str:  # noqa: C901, PLR0911, PLR0912 - one flat table over pydantic's kinds
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "string_type":
            number = isinstance(detail["input"], int | float)
            return "text in quotes" if number else "text"
        case "int_type" | "int_from_float" | "int_parsing":
            return "a whole number"
        case "bool_type" | "bool_parsing":
            return "true or false"
        case "float_type" | "float_parsing":
            return "a number"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "`key: value` lines"
        case "list_type":
            return "a list"
        case "literal_error":
            return f"one of {limits['expected']}"
        case "too_short":
            return f"at least {limits['min_length']} entry"
        case "too_long":
            return f"at most {limits['max_length']} entries"
        case "string_too_short":
            return f"at least {limits['min_length']} character"
        case "string_too_long":
            return f"at most {limits['max_length']}"
        case "greater_than_equal":
            return f"at least {limits['ge']}"
        case "greater_than":
            return f"more than {limits['gt']}"
        case "less_than_equal":
            return f"at most {limits['le']}"
        case "string_pattern_mismatch":
            return f"text that matches {limits['pattern']}"
        case _:
            return detail["msg"].lower()


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"`{_short(value)}`"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "`key: value` lines"


def _short(value: object) -> str:
    text = "".join(c if c.isprintable() else "\ufffd" for c in str(value))
    return text if len(text) <= 40 else text[:39] + "…"
