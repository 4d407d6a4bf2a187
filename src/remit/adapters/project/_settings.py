"""Settings: remit.yaml as values. Every field has a safe default, and the file may be missing.

settings = read_settings(Path("project"))
settings.data.port, settings.store.path         # 8700, "var/remit.db"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from types import MappingProxyType
from urllib.parse import urlsplit

from remit.adapters.oidc import Issuer
from remit.adapters.project._credentials import wrong_reference
from remit.adapters.project._mistakes import attributes_reserved, role_reserved, shape
from remit.adapters.project._models import IssuerShape, NotifyShape, PersonShape, SettingsFile, TlsShape
from remit.adapters.project._sources import TOP, read_file
from remit.adapters.project._urls import Wrong, address_wrong, is_loopback, issuer_wrong
from remit.adapters.project._yaml import Document, read_yaml
from remit.adapters.project._yaml import Path as Place
from remit.catalogue import Secret
from remit.core import REQUESTER, Problem, ProjectInvalidError, is_name
from remit.identity import ClaimsMap, Person

SETTINGS_FILE = "remit.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to listen."""

    host: str
    port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS by PEM files, relative to the project unless absolute; `client_authorities` is empty where there are none."""

    certificate: str
    key: str
    client_authorities: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`path`: the database file, relative to the project unless absolute."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordsSettings:
    """`checkpoint_file`, relative to the project unless absolute, gets a checkpoint every `checkpoint_every_s`."""

    checkpoint_file: str
    checkpoint_every_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """`life_s`: how long a task lives, in seconds."""

    life_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """`body_bytes_max`: the longest request body."""

    body_bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """`connections_max`: connections open to tool servers at once."""

    connections_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueSettings:
    """`trust`: the trust root's file, relative to the project unless absolute.

    Every `check_every_s` each tool server's listing is compared with what was reviewed.
    """

    trust: str
    check_every_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldsSettings:
    """`wait_s`: how long a held call waits for people before it is answered, 0 to 60 seconds."""

    wait_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """`dpop_nonce`: DPoP proofs carry a nonce of ours; they are at most `proof_age_max_s` old."""

    dpop_nonce: bool
    proof_age_max_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthzenSettings:
    """The organisation's own decision point at `url`, waited for `timeout_ms` at most."""

    url: str
    timeout_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifySettings:
    """A target whose address is kept where `to` says; told of calls that any of `roles` may approve, of `agents`.

    Empty: of every call.
    """

    to: Secret
    roles: frozenset[str]
    agents: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DevelopmentSettings:
    """`people` of the development profile, by name."""

    people: Mapping[str, Person]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What remit.yaml says, defaults filled in."""

    name: str
    profile: str
    data: Listen
    admin: Listen
    store: StoreSettings
    records: RecordsSettings
    tasks: TaskSettings
    input: InputSettings
    upstream: UpstreamSettings
    catalogue: CatalogueSettings
    holds: HoldsSettings
    development: DevelopmentSettings
    tokens: TokenSettings
    issuers: Mapping[str, Issuer]
    spiffe: Mapping[str, str]  # the file of each trust domain's bundle, relative to the project unless absolute
    data_tls: Tls | None
    authzen: AuthzenSettings | None
    notify: Mapping[str, NotifySettings]


def read_settings(root: Path) -> Settings:
    """Read remit.yaml under `root`; without the file, every default, and the folder's name as the project's.

    Raises:
        ProjectInvalidError: with every mistake found in it.
    """
    body = read_file(root, SETTINGS_FILE)
    folder = root.resolve().name
    default_name = folder if is_name(folder) else "project"
    # (A file of comments only says nothing, which is what no file says.)
    document = read_yaml(SETTINGS_FILE, body or b"{}")
    if document.value is None:
        document = read_yaml(SETTINGS_FILE, b"{}")
    found = shape(SettingsFile, document)
    problems = tuple(_problems(found, document))
    if problems:
        raise ProjectInvalidError(problems)
    return _settings(found, default_name)


def _problems(found: SettingsFile, document: Document) -> Iterator[Problem]:
    yield from _wrong_listening(found, document)
    yield from _wrong_files(found, document)
    yield from _wrong_people(found.development.people, document)
    earlier: dict[str, str] = {}
    for name, issuer in found.issuers.items():
        yield from _wrong_issuer(("issuers", name), issuer, document)
        same = earlier.setdefault(issuer.issuer.rstrip("/"), name)
        if same != name:
            said = f"`{name}` and `{same}` are one issuer: its people would have two names"
            wrong = "issuer_duplicate", said, "keep one of the two"
            yield _problem(document, ("issuers", name, "issuer"), wrong)
        if _is_own(issuer.issuer, {found.data.port, found.admin.port}):
            said = "this address is our own: our tokens would be another issuer's too"
            wrong = "issuer_is_ours", said, "write the address of the identity provider"
            yield _problem(document, ("issuers", name, "issuer"), wrong)
    wrong_url = None if found.authzen is None else address_wrong(found.authzen.url)
    if wrong_url:
        yield _problem(document, ("authzen", "url"), wrong_url)
    for name, target in found.notify.items():
        wrong_place = wrong_reference(target.to)
        if wrong_place:
            yield _problem(document, ("notify", name, "to"), wrong_place)


def _wrong_listening(found: SettingsFile, document: Document) -> Iterator[Problem]:
    for part, host in (("data", found.data.host), ("admin", found.admin.host)):
        if not is_loopback(host):
            said = f"`{part}.host` is `{host[:80]}`: profile development listens on this machine only"
            yield _problem(document, (part, "host"), ("listen_beyond_loopback", said, "use 127.0.0.1"))
    if found.data.port == found.admin.port:
        place: Place = ("admin", "port") if "admin" in found.model_fields_set else ("data", "port")
        said = f"agents and people share port {found.data.port}: expected two ports"
        yield _problem(document, place, ("ports_equal", said, "give admin.port another number"))


def _wrong_files(found: SettingsFile, document: Document) -> Iterator[Problem]:
    if _in_bundle(found.catalogue.trust):
        said = "the trust root stands among the files that it vouches for"
        fix = "keep it outside agents, catalogue and organisation, such as `trust: var/trust.json`"
        yield _problem(document, ("catalogue", "trust"), ("trust_in_bundle", said, fix))
    if found.data.tls is not None and _in_bundle(found.data.tls.key):
        said = "a private key stands among the files that are reviewed and shared"
        fix = "keep it outside agents, catalogue and organisation, such as `key: var/keys/tls.pem`"
        yield _problem(document, ("data", "tls", "key"), ("secret_in_bundle", said, fix))


def _in_bundle(path: str) -> bool:
    return normpath(path).partition("/")[0] in TOP


def _wrong_people(people: Mapping[str, PersonShape], document: Document) -> Iterator[Problem]:
    for name, person in people.items():
        place: Place = ("development", "people", name)
        for index, role in enumerate(person.roles):
            if role == REQUESTER:
                yield role_reserved(document, (*place, "roles", index))
        yield from attributes_reserved(document, (*place, "attributes"), person.attributes)


def _wrong_issuer(place: Place, issuer: IssuerShape, document: Document) -> Iterator[Problem]:
    wrong = issuer_wrong(issuer.issuer)
    if wrong:
        yield _problem(document, (*place, "issuer"), wrong)
    if REQUESTER in issuer.claims.roles:
        yield role_reserved(document, (*place, "claims", "roles", REQUESTER))
    yield from attributes_reserved(document, (*place, "claims", "attributes"), issuer.claims.attributes)


def _is_own(issuer: str, ports: set[int]) -> bool:
    try:
        parts = urlsplit(issuer)
        return is_loopback(parts.hostname or "") and parts.port in ports
    except ValueError:
        return False  # (what is no address at all is said besides)


def _problem(document: Document, place: Place, wrong: Wrong) -> Problem:
    code, message, fix = wrong
    return Problem(code=code, file=document.file, line=document.line(place), message=message, fix=fix)


def _settings(found: SettingsFile, default_name: str) -> Settings:
    people = {name: _person(name, person) for name, person in sorted(found.development.people.items())}
    issuers = {name: _issuer(name, issuer) for name, issuer in sorted(found.issuers.items())}
    asked = found.authzen
    return Settings(
        name=found.name or default_name,
        profile=found.profile,
        data=Listen(host=found.data.host, port=found.data.port),
        admin=Listen(host=found.admin.host, port=found.admin.port),
        store=StoreSettings(path=found.store.path),
        records=RecordsSettings(
            checkpoint_file=found.records.checkpoint_file, checkpoint_every_s=found.records.checkpoint_every_s
        ),
        tasks=TaskSettings(life_s=found.tasks.life_s),
        input=InputSettings(body_bytes_max=found.input.body_bytes_max),
        upstream=UpstreamSettings(connections_max=found.upstream.connections_max),
        catalogue=CatalogueSettings(trust=found.catalogue.trust, check_every_s=found.catalogue.check_every_s),
        holds=HoldsSettings(wait_s=found.holds.wait_s),
        development=DevelopmentSettings(people=MappingProxyType(people)),
        tokens=TokenSettings(dpop_nonce=found.tokens.dpop_nonce, proof_age_max_s=found.tokens.proof_age_max_s),
        issuers=MappingProxyType(issuers),
        spiffe=MappingProxyType(dict(sorted(found.spiffe.items()))),
        data_tls=None if found.data.tls is None else _tls(found.data.tls),
        authzen=None if asked is None else AuthzenSettings(url=asked.url, timeout_ms=asked.timeout_ms),
        notify=MappingProxyType({name: _notify(target) for name, target in sorted(found.notify.items())}),
    )


def _person(name: str, person: PersonShape) -> Person:
    return Person(name, frozenset(person.roles), frozenset(person.groups), tuple(sorted(person.attributes.items())))


def _issuer(name: str, said: IssuerShape) -> Issuer:
    claims = ClaimsMap(
        subject=said.claims.subject,
        groups=said.claims.groups,
        attributes=MappingProxyType(said.claims.attributes),
        roles=MappingProxyType({role: frozenset(groups) for role, groups in said.claims.roles.items()}),
    )
    return Issuer(
        name=name,
        issuer=said.issuer,
        audiences=tuple(said.audiences),
        claims=claims,
        jwks_age_max_s=said.jwks_age_max_s,
        events=said.events,
    )


def _notify(said: NotifyShape) -> NotifySettings:
    source, _, name = said.to.partition(":")
    return NotifySettings(
        to=Secret(source=source, name=name), roles=frozenset(said.roles), agents=frozenset(said.agents)
    )


def _tls(said: TlsShape) -> Tls:
    return Tls(certificate=said.certificate, key=said.key, client_authorities=said.client_authorities or "")
