"""Where remit.yaml and the bundle speak of the same thing, and only one of the two knows it: warnings, never problems.

Settings belong to a place where the gateway runs, the bundle to every one of them; so they may differ.

    unmatched(snapshot, settings)       # Problem(code="client_issuer_unknown", file="agents/desk/agent.yaml", ...)
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from remit.adapters.project._mistakes import nearest, shape
from remit.adapters.project._models import UsersFile
from remit.adapters.project._settings import SETTINGS_FILE, Settings
from remit.adapters.project._sources import read_file
from remit.adapters.project._yaml import read_yaml
from remit.core import Attribute, Problem
from remit.pipeline import Snapshot

USERS_FILE = "organisation/users.yaml"

_KINDS: Mapping[str, type] = {"text": str, "number": int, "yes_no": bool}


def unmatched(snapshot: Snapshot, settings: Settings) -> tuple[Problem, ...]:
    """Warn of clients at issuers that are not in `settings`, and of attributes there that no policy can read.

    So it does of issuers that give nobody a role.

    `snapshot` is of sources that were checked.
    """
    declared = _declared(snapshot.sources.get(USERS_FILE))
    return (
        *_clients(snapshot, settings),
        *_roleless(settings),
        *_mapped(declared, settings),
        *_said(declared, settings),
    )


def bundles_missing(root: Path, settings: Settings) -> Iterator[Problem]:
    """Warn of each trust domain whose bundle's file is not there; `root` is the project's folder, read for lines."""
    missing = [(domain, file) for domain, file in settings.spiffe.items() if not (root / file).is_file()]
    document = read_yaml(SETTINGS_FILE, read_file(root, SETTINGS_FILE) or b"{}")
    for domain, file in missing:
        yield Problem(
            code="spiffe_bundle_missing",
            file=SETTINGS_FILE,
            line=document.line(("spiffe", domain)),
            message=f"there is no file `{file}`: no workload of `{domain}` can prove who it is",
            fix="put the trust domain's bundle there, or mend the path",
        )


def _roleless(settings: Settings) -> Iterator[Problem]:
    for issuer in settings.issuers.values():
        if not issuer.claims.roles:
            yield Problem(
                code="issuer_without_roles",
                file=SETTINGS_FILE,
                line=0,
                message=f"issuer `{issuer.name}` has no `claims.roles`: nobody of it may do anything",
                fix="say which of its groups have which role: `claims: {roles: {user: [GROUP]}}`",
            )


def _declared(body: bytes | None) -> Mapping[str, str]:
    return {} if body is None else shape(UsersFile, read_yaml(USERS_FILE, body)).attributes


def _clients(snapshot: Snapshot, settings: Settings) -> Iterator[Problem]:
    for agent, registered in snapshot.registrations.items():
        file = f"agents/{agent}/agent.yaml"
        for index, client in enumerate(registered.clients):
            if client.issuer not in settings.issuers:
                near = nearest(client.issuer, sorted(settings.issuers))
                yield Problem(
                    code="client_issuer_unknown",
                    file=file,
                    line=read_yaml(file, snapshot.sources[file]).line(("identity", "clients", index, "issuer")),
                    message=f"remit.yaml has no issuer `{client.issuer}`{near}: nobody can come with this client",
                    fix="describe it under `issuers:` in remit.yaml, or take the client out",
                )


def _mapped(declared: Mapping[str, str], settings: Settings) -> Iterator[Problem]:
    for issuer in settings.issuers.values():
        for name in sorted(issuer.claims.attributes.keys() - declared.keys()):
            yield _undeclared(f"issuer `{issuer.name}`", name, declared)


def _said(declared: Mapping[str, str], settings: Settings) -> Iterator[Problem]:
    for person in settings.development.people.values():
        for name, value in person.attributes:
            if name not in declared:
                yield _undeclared(f"person `{person.name}`", name, declared)
            elif not _fits(value, declared[name]):
                yield Problem(
                    code="attribute_kind",
                    file=SETTINGS_FILE,
                    line=0,
                    message=f"`{name}` of person `{person.name}` is no {declared[name]}: policies that read it deny",
                    fix=f"write it as it is declared in {USERS_FILE}",
                )


def _fits(value: Attribute, kind: str) -> bool:
    return type(value) is _KINDS[kind]


def _undeclared(whose: str, name: str, declared: Mapping[str, str]) -> Problem:
    return Problem(
        code="attribute_undeclared",
        file=SETTINGS_FILE,
        line=0,
        message=f"`{name}` of {whose} is not declared{nearest(name, sorted(declared))}: no policy can read it",
        fix=f"declare it under `attributes:` in {USERS_FILE}",
    )
