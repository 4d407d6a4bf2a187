"""Settings: remit.yaml as values. Every field has a safe default, and the file may be missing.

settings = read_settings(Path("project"))
settings.data.port, settings.store.path         # 8700, "var/remit.db"
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath
from types import MappingProxyType

from remit.adapters.project._models import SettingsFile, role_reserved, shape
from remit.adapters.project._sources import TOP, read_file
from remit.adapters.project._urls import is_loopback
from remit.adapters.project._yaml import Document, read_yaml
from remit.core import REQUESTER, Problem, ProjectInvalidError, is_name
from remit.identity import Person

SETTINGS_FILE = "remit.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """Where to listen."""

    host: str
    port: int


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
    for part, host in (("data", found.data.host), ("admin", found.admin.host)):
        if not is_loopback(host):
            yield Problem(
                code="listen_beyond_loopback",
                file=document.file,
                line=document.line((part, "host")),
                message=f"`{part}.host` is `{host[:80]}`: profile development listens on this machine only",
                fix="use 127.0.0.1",
            )
    if found.data.port == found.admin.port:
        yield Problem(
            code="ports_equal",
            file=document.file,
            line=document.line(("admin", "port") if "admin" in found.model_fields_set else ("data", "port")),
            message=f"agents and people share port {found.data.port}: expected two ports",
            fix="give admin.port another number",
        )
    for name, person in found.development.people.items():
        for index, role in enumerate(person.roles):
            if role == REQUESTER:
                yield role_reserved(document, ("development", "people", name, "roles", index))
    if normpath(found.catalogue.trust).partition("/")[0] in TOP:
        yield Problem(
            code="trust_in_bundle",
            file=document.file,
            line=document.line(("catalogue", "trust")),
            message="the trust root stands among the files that it vouches for",
            fix="keep it outside agents, catalogue and organisation, such as `trust: var/trust.json`",
        )


def _settings(found: SettingsFile, default_name: str) -> Settings:
    people = {name: Person(name, frozenset(person.roles)) for name, person in sorted(found.development.people.items())}
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
    )
