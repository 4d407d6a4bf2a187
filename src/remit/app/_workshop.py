"""The command line's local work: reading, writing, reviewing and running a project on this machine."""

import asyncio
import contextlib
import json
import os
import re
import stat
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import apsw
import cedarpy
import httpx2
import uvloop
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from remit.adapters.checkpoints import CheckpointFile
from remit.adapters.credentials import Secrets
from remit.adapters.http1 import Pool, PoolLimits
from remit.adapters.keys import load_or_create
from remit.adapters.mcp_upstream import McpUpstream
from remit.adapters.oauth import TrustBundles
from remit.adapters.oidc import FetchFailedError, HttpFetch
from remit.adapters.oidc._discovery import discover
from remit.adapters.project import (
    Checked as CheckedProject,
)
from remit.adapters.project import (
    ClientServer,
    Decisions,
    Settings,
    bundles_missing,
    check_project,
    decisions_changed,
    decisions_of,
    decisions_unknown,
    from_mcp_json,
    lock_text,
    new_project,
    read_settings,
    read_sources,
    row_json,
    served_text,
    servers_of,
    unmatched,
    write_project,
)
from remit.adapters.project._mistakes import nearest
from remit.adapters.project._warnings import notify_unknown
from remit.adapters.sqlite import SQLITE_OLDEST
from remit.adapters.system import SystemClock
from remit.app._gateway import GATEWAY_FILE
from remit.app._lists import listed, with_signature
from remit.app._serving import serving
from remit.catalogue import (
    DEVELOPMENT_ROLE,
    Descriptor,
    Pin,
    Secret,
    Signer,
    Tool,
    TrustRoot,
    differences,
    keyid_of,
    public_key_of,
    read_trust,
    review_of,
    sign_parts,
    trust_json,
)
from remit.core import (
    REQUESTER,
    InputRefusedError,
    JsonObject,
    Problem,
    ProjectInvalidError,
    RemitError,
    is_name,
    parse_strict,
)
from remit.identity import read_agent_key
from remit.pipeline import CredentialUnavailableError, Snapshot
from remit.surfaces.cli import Checked, Decided, Finding, Listed, Locked, Ready, Served, Signed, Trusted, Written

LISTING_TIMEOUT_S = 5.0  # for one tool server to list its tools
READY_TIMEOUT_S = 3.0
DISCOVERY_TIMEOUT_S = 2.0  # for one issuer to say where its keys are
LISTING_BYTES_MAX = 4 << 20
MCP_JSON_BYTES_MAX = 1 << 20
KEY_FILE_BYTES_MAX = 1 << 14
FREE_BYTES_MIN = 256 << 20  # of disk, below which `remit doctor` warns
DIGEST_CHARS = 19  # of a digest, for people
CLASSES_FILE = "organisation/classes.yaml"
FIRST_TRUST = "var/trust.json"  # of a project that `init` writes
_ADDRESS = {  # what is wrong with where a target's address is kept, and the fix
    "secret_missing": ("is not there, or empty", "put the address there, or mend `to` under `notify:` in remit.yaml"),
    "secret_exposed": ("can be read by others", "chmod 600 on it"),
    "secret_invalid": ("holds no address of 8 to 8192 visible ascii characters", "put the target's address there"),
}


class LocalWorkshop:
    """See `Workshop`."""

    def __init__(self, started_ns: int) -> None:
        self._started_ns = started_ns  # of this process, monotonic

    def check(self, root: Path, *, accept: bool) -> Checked:
        """See `Workshop.check`."""
        settings = read_settings(root)
        found = _project(root, settings)
        decisions = decisions_of(found)
        written = _accept(root, decisions) if accept else ()
        if written:
            found = _project(root, settings)
            decisions = decisions_of(found)
        warnings = (
            *found.warnings,
            *(warning for each in decisions if (warning := decisions_changed(each)) is not None),
            *(warning for each in decisions for warning in decisions_unknown(each)),
            *_approvers_nobody(found.snapshot, settings),
            *_notify_unknown(root, found.snapshot, settings),
            *unmatched(found.snapshot, settings),
            *bundles_missing(root, settings),
        )
        return Checked(
            digest=found.snapshot.digest,
            operations=len(found.snapshot.descriptors),
            agents=len(found.snapshot.charters),
            warnings=tuple(sorted(warnings, key=lambda each: (each.file, each.line, each.code, each.message))),
            decisions=tuple(map(_decided, decisions)),
            written=written,
        )

    def init(self, root: Path, *, name: str, owner: str, mcp_json: Path | None) -> Written:
        """See `Workshop.init`."""
        _refuse_existing(root / FIRST_TRUST)
        if mcp_json is None:
            files: Mapping[str, str] = new_project(name, owner)
            notes: tuple[str, ...] = ()
        else:
            files, notes = _imported(root, mcp_json, name, owner)
        write_project(root, files)
        key = _reviewer_key(root, owner)
        signer = Signer(frozenset({DEVELOPMENT_ROLE}), (load_or_create(key).public_key().public_bytes_raw(),))
        trust = TrustRoot(version=1, persons={owner: signer}, thresholds={DEVELOPMENT_ROLE: 1})
        _replace(root / FIRST_TRUST, trust_json(trust).decode("ascii"), private=True)
        signed = self.sign(root, (), owner, None)
        locks = [each.file for each in self.lock(root, "")]
        kept = [*(_signature_file(each.operation) for each in signed), *locks, FIRST_TRUST, f"var/keys/{key.name}"]
        said = f"{owner} signed {len(signed)} operation(s) with var/keys/{key.name}: good for development only"
        return Written(files=tuple(sorted([*files, *kept])), notes=(*notes, said))

    def up(self, root: Path, *, observe: bool, on_ready: Callable[[Ready], None]) -> None:
        """See `Workshop.up`."""
        os.umask(0o077)  # what the gateway writes, payloads among it, is its owner's alone
        uvloop.run(self._up(root, observe=observe, on_ready=on_ready))

    async def _up(self, root: Path, *, observe: bool, on_ready: Callable[[Ready], None]) -> None:
        async with serving(root, observe=observe) as (address, stop):
            on_ready(
                Ready(
                    data=address.data,
                    admin=address.admin,
                    mode=address.mode,
                    digest=address.digest,
                    people=tuple(read_settings(root).development.people),
                    warnings=address.warnings,
                    started_s=(time.monotonic_ns() - self._started_ns) / 1e9,
                )
            )
            await stop.wait()

    def doctor(self, root: Path) -> tuple[Finding, ...]:
        """See `Workshop.doctor`."""
        return tuple(_findings(root))

    def outside(self, root: Path) -> tuple[str, str]:
        """See `Workshop.outside`."""
        file = CheckpointFile(root / read_settings(root).records.checkpoint_file)
        try:
            key = file.path.with_suffix(".vkey").read_text("ascii").strip()
        except OSError as error:
            fix = "start the gateway once with `remit up`"
            raise RemitError("no_verifier_key", "this project has no log's verifier key yet", fix) from error
        return key, file.text()

    # --- reviews -----------------------------------------------------------------------------------------------------

    def trust(  # noqa: PLR0913 - the port's
        self, root: Path, person: str, roles: tuple[str, ...], key: Path, thresholds: Mapping[str, int], *, new: bool
    ) -> Trusted:
        """See `Workshop.trust`."""
        file = read_settings(root).catalogue.trust
        path = root / file
        old = read_trust(path.read_bytes()) if path.exists() else None
        if new:
            _refuse_existing(key)
            public = load_or_create(key).public_key().public_bytes_raw()
        else:
            public = _reviewers_key(key)
        try:
            changed = _with_person(old, person, frozenset(roles), public, thresholds)
        except RemitError:
            if new:
                key.unlink()
            raise
        _replace(path, trust_json(changed).decode("ascii"), private=True)
        return Trusted(
            file=file,
            key=str(key),
            version=changed.version,
            persons={name: tuple(sorted(signer.roles)) for name, signer in sorted(changed.persons.items())},
            thresholds=dict(sorted(changed.thresholds.items())),
        )

    def sign(self, root: Path, operations: tuple[str, ...], person: str, key: Path | None) -> tuple[Signed, ...]:
        """See `Workshop.sign`."""
        settings = read_settings(root)
        trust = _trust_root(root, settings)
        snapshot = _project(root, settings).snapshot
        wanted = [_described(snapshot, operation) for operation in operations or sorted(snapshot.descriptors)]
        reviewer = _reviewer(root, trust, person, key)
        return tuple(_sign_one(root, snapshot, found, trust, reviewer) for found in wanted)

    def lists(self, root: Path) -> tuple[Listed, ...]:
        """See `Workshop.lists`."""
        settings = read_settings(root)
        sources = _project(root, settings).snapshot.sources
        trust = sources.get("trust.json")
        return listed(sources, None if trust is None else read_trust(trust))

    def sign_lists(self, root: Path, names: tuple[str, ...], person: str, key: Path | None) -> tuple[Listed, ...]:
        """See `Workshop.sign_lists`."""
        settings = read_settings(root)
        trust = _trust_root(root, settings)
        sources = _project(root, settings).snapshot.sources
        reviewer = _reviewer(root, trust, person, key)
        return with_signature(
            sources, names, trust, reviewer.private_key, lambda file, text: _replace(root / file, text)
        )

    def lock(self, root: Path, agent: str) -> tuple[Locked, ...]:
        """See `Workshop.lock`."""
        snapshot = _project(root, read_settings(root)).snapshot
        if agent and agent not in snapshot.charters:
            raise RemitError("agent_unknown", f"there is no agent `{agent[:64]}`", "name one under agents/")
        return tuple(_lock_one(root, snapshot, each) for each in ([agent] if agent else sorted(snapshot.charters)))

    def import_served(self, root: Path, tool: str) -> tuple[Served, ...]:
        """See `Workshop.import_served`."""
        snapshot = _project(root, read_settings(root)).snapshot
        if tool and tool not in snapshot.tools:
            raise RemitError("tool_unknown", f"there is no tool `{tool[:64]}`", "name one under catalogue/")
        return asyncio.run(_import_served(root.resolve(), snapshot, [tool] if tool else sorted(snapshot.tools)))

    def agent_key(self, path: Path, *, new: bool) -> JsonObject:
        """See `Workshop.agent_key`."""
        if new:
            _refuse_existing(path)
            return _jwk(load_or_create(path).public_key())
        return _public_key(path)


def _project(root: Path, settings: Settings) -> CheckedProject:
    return check_project(read_sources(root, root / settings.catalogue.trust))


def _accept(root: Path, decisions: Sequence[Decisions]) -> tuple[str, ...]:
    """Write each table that is not the accepted one."""
    new = [each for each in decisions if each.accepted is None or each.changed]
    for each in new:
        _replace(root / each.file, each.text)
    return tuple(each.file for each in new)


def _decided(found: Decisions) -> Decided:
    return Decided(
        agent=found.agent,
        file=found.file,
        text=found.text,
        rows=tuple(map(row_json, found.rows)),
        accepted=found.accepted is not None and not found.changed,
        difference=found.difference(),
    )


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        fix = "choose another place, or move the file away"
        raise InputRefusedError("file_exists", f"`{path}` is already there; nothing was written", fix)


def _replace(path: Path, text: str, *, private: bool = False) -> None:
    """Write a file so that whoever reads it sees all of it or the one before; a `private` one is its owner's alone."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700 if private else 0o777)
    draft = path.with_name(f".{path.name}.part-{os.getpid()}")  # hidden: a project is read without such names
    with draft.open("w", encoding="utf-8", newline="\n") as opened:
        if private:
            draft.chmod(0o600)
        opened.write(text)
        opened.flush()
        os.fsync(opened.fileno())
    draft.replace(path)


# --- a client's configuration ----------------------------------------------------------------------------------------


def _imported(root: Path, mcp_json: Path, name: str, owner: str) -> tuple[Mapping[str, str], tuple[str, ...]]:
    if mcp_json.stat().st_size > MCP_JSON_BYTES_MAX:
        raise RemitError("mcp_config_invalid", f"`{mcp_json.name}` is over 1 MiB", "give a client's configuration")
    text = mcp_json.read_text("utf-8", "surrogateescape")
    root.mkdir(parents=True, exist_ok=True)  # where programs are started
    listings, unreachable = asyncio.run(_listings(root.resolve(), servers_of(text)))
    try:
        imported = from_mcp_json(text, listings, name=name, owner=owner)
    except RemitError as error:
        for note in unreachable:
            error.add_note(note)
        raise
    return imported.files, (*unreachable, *imported.notes)


async def _listings(
    root: Path, servers: Mapping[str, ClientServer]
) -> tuple[dict[str, tuple[JsonObject, ...]], tuple[str, ...]]:
    """Ask each server for its tools; one that does not answer is noted, and the rest goes on."""
    found: dict[str, tuple[JsonObject, ...]] = {}
    notes: list[str] = []
    async with _asking(root) as upstream:
        for name, server in servers.items():
            tool = Tool(
                name=name,
                url=server.url,
                command=server.command,
                timeout_s=LISTING_TIMEOUT_S,
                response_bytes_max=LISTING_BYTES_MAX,
            )
            try:
                found[name] = await upstream.list_tools(tool)
            except RemitError as error:
                notes.append(f"server `{name}`: not imported: {error.message}")
    return found, tuple(notes)


@contextlib.asynccontextmanager
async def _asking(root: Path) -> AsyncIterator[McpUpstream]:
    """Ask tool servers while the context lasts; programs that were started for it, in `root`, absolute, end with it."""
    pool = Pool(PoolLimits())
    upstream = McpUpstream(pool, root)
    try:
        yield upstream
    finally:
        await upstream.close()
        await pool.close()


# --- reviews ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reviewer:
    person: str
    private_key: bytes  # PEM


def _reviewer_key(root: Path, person: str) -> Path:
    return root / f"var/keys/reviewer-{person}.pem"


def _signature_file(operation: str) -> str:
    return f"catalogue/signatures/{operation}.dsse.json"


def _trust_root(root: Path, settings: Settings) -> TrustRoot:
    path = root / settings.catalogue.trust
    if not path.exists():
        fix = "begin one with `remit tools trust PERSON --role ROLE --new-key FILE`"
        raise RemitError("trust_missing", f"there is no trust root at `{settings.catalogue.trust}`", fix)
    return read_trust(path.read_bytes())


def _with_person(
    old: TrustRoot | None, person: str, roles: frozenset[str], key: bytes, thresholds: Mapping[str, int]
) -> TrustRoot:
    persons = {} if old is None else dict(old.persons)
    before = persons.get(person, Signer(frozenset(), ()))
    persons[person] = Signer(before.roles | roles, (*before.keys, key))
    asked = {**(dict.fromkeys(roles, 1) if old is None else old.thresholds), **thresholds}
    return TrustRoot(
        version=1 if old is None else old.version + 1,
        persons=persons,
        thresholds={role: count for role, count in asked.items() if count},
    )


def _described(snapshot: Snapshot, operation: str) -> Descriptor:
    found = snapshot.descriptors.get(operation)
    if found is None:
        message = f"there is no operation `{operation[:64]}` in the catalogue"
        raise RemitError("operation_unknown", message, "name one under catalogue/")
    return found


def _reviewer(root: Path, trust: TrustRoot, person: str, key: Path | None) -> _Reviewer:
    """Return who signs, once their key is seen to be theirs; a key that the trust root knows says whose it is."""
    if not person and key is not None:
        person = _owner(trust, key)
    if not person:
        if len(trust.persons) != 1:
            people = ", ".join(sorted(trust.persons))
            raise RemitError("signer_missing", f"several people may sign: {people}", "say who does: --as PERSON")
        person = next(iter(trust.persons))
    if not is_name(person):
        raise RemitError("signer_unknown", "that is no name of a person", "name one of the trust root's")
    path = key or _reviewer_key(root, person)
    if not path.exists():
        raise RemitError("signing_key_missing", f"there is no key at `{path}`", "say where it is: --key FILE")
    load_or_create(path)  # refuses a key that others can read, or that is none
    private_key = path.read_bytes()
    owner = trust.owners.get(keyid_of(public_key_of(private_key)))
    if owner != person:
        whose = f"that of `{owner}`" if owner else "in the trust root for nobody"
        fix = "sign with your own key, or have it trusted with `remit tools trust`"
        raise RemitError("signing_key_foreign", f"the key at `{path}` is {whose}, not that of `{person}`", fix)
    return _Reviewer(person, private_key)


def _owner(trust: TrustRoot, key: Path) -> str:
    """Return whose key it is by the trust root; empty: nobody's."""
    load_or_create(key)  # refuses a key that others can read, or that is none
    return trust.owners.get(keyid_of(public_key_of(key.read_bytes())), "")


def _sign_one(root: Path, snapshot: Snapshot, found: Descriptor, trust: TrustRoot, reviewer: _Reviewer) -> Signed:
    if found.author == reviewer.person:
        missing = f"`{reviewer.person}` is its author, and others sign it"
        return Signed(operation=found.operation, changed=False, missing=missing)
    file = _signature_file(found.operation)
    old = snapshot.sources.get(file)
    new = sign_parts(found, old, reviewer.private_key)
    if new != old:
        _replace(root / file, new.decode("ascii"))
    return Signed(operation=found.operation, changed=new != old, missing=review_of(found, new, trust).missing)


def _lock_one(root: Path, snapshot: Snapshot, agent: str) -> Locked:
    operations = sorted(snapshot.charters[agent].operations)
    file = f"agents/{agent}/tools.lock"
    text = lock_text(snapshot.descriptors, operations)
    if text.encode("utf-8") != snapshot.sources.get(file):
        _replace(root / file, text)
    described = {name: snapshot.descriptors[name] for name in operations}
    return Locked(
        agent=agent,
        file=file,
        changes=tuple(_pins_changed(snapshot.manifests.get(agent, {}), described)),
        unsigned=tuple(name for name in operations if snapshot.reviews[name].missing),
    )


def _pins_changed(old: Mapping[str, Pin], described: Mapping[str, Descriptor]) -> Iterator[str]:
    new = {name: Pin(found.version, found.digest) for name, found in described.items()}
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        for sign, pins in (("-", old), ("+", new)):
            if name in pins:
                yield f"{sign} {name} {pins[name].version} {pins[name].digest[:DIGEST_CHARS]}"


async def _import_served(root: Path, snapshot: Snapshot, tools: Sequence[str]) -> tuple[Served, ...]:
    found: list[Served] = []
    async with _asking(root) as upstream:
        for name in tools:
            file = f"catalogue/served/{name}.json"
            try:
                listed = await upstream.list_tools(snapshot.tools[name])
            except RemitError as error:
                found.append(Served(tool=name, file=file, changes={}, fault=error.message))
                continue
            found.append(_keep(root, snapshot, name, file, {str(each["name"]): each for each in listed}))
    return tuple(found)


def _keep(root: Path, snapshot: Snapshot, tool: str, file: str, listed: Mapping[str, JsonObject]) -> Served:
    """Keep what is listed of the operations described. What is no longer listed stays: its absence is a difference."""
    old = _definitions(snapshot, file)
    mine = {name: each.upstream_name for name, each in snapshot.descriptors.items() if each.tool == tool}
    kept = {upstream: old[upstream] for upstream in mine.values() if upstream in old}
    new = {**kept, **{upstream: listed[upstream] for upstream in mine.values() if upstream in listed}}
    changes = {
        name: differences(old.get(upstream, {}), new[upstream])
        for name, upstream in sorted(mine.items())
        if upstream in new and old.get(upstream) != new[upstream]
    }
    text = served_text(new)
    if new and text.encode("ascii") != snapshot.sources.get(file):
        _replace(root / file, text)
    lacking = tuple(sorted(name for name, upstream in mine.items() if upstream not in listed))
    return Served(
        tool=tool, file=file, changes={name: lines for name, lines in changes.items() if lines}, lacking=lacking
    )


def _definitions(snapshot: Snapshot, file: str) -> dict[str, JsonObject]:
    value = json.loads(snapshot.sources.get(file, b"{}"))  # (checked when the project was)
    return {name: each for name, each in value.items() if isinstance(each, dict)}


# --- agents' keys ----------------------------------------------------------------------------------------------------


def _public_key(path: Path) -> JsonObject:
    """Read a public key, as a JWK or in PEM. Nothing of a private one is repeated."""
    fix = "give a public key for Ed25519 or ES256 (P-256), as a JWK or in PEM"
    if path.stat().st_size > KEY_FILE_BYTES_MAX:
        raise InputRefusedError("key_invalid", f"`{path.name}` is too long for a key", fix)
    body = path.read_bytes()
    if b"PRIVATE KEY" in body:
        raise InputRefusedError("key_private", f"`{path.name}` is a private key: it never leaves its agent", fix)
    if body.lstrip().startswith(b"{"):
        jwk = parse_strict(body)
        return read_agent_key(jwk if isinstance(jwk, dict) else {})
    try:
        found = load_pem_public_key(body)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputRefusedError("key_invalid", f"`{path.name}` holds no public key", fix) from error
    match found:
        case Ed25519PublicKey():
            return _jwk(found)
        case EllipticCurvePublicKey(curve=SECP256R1()):
            point = found.public_numbers()
            x, y = (_base64url(number.to_bytes(32)) for number in (point.x, point.y))
            return read_agent_key({"kty": "EC", "crv": "P-256", "x": x, "y": y})
        case _:
            said = f"`{path.name}` holds a key of another kind: Ed25519 and P-256 are taken, RSA is not"
            raise InputRefusedError("key_invalid", said, fix)


def _reviewers_key(path: Path) -> bytes:
    """Read the public key that a reviewer signs with, which is one for Ed25519."""
    key = _public_key(path)
    if key["kty"] != "OKP":
        said = f"`{path.name}` holds a key of another kind: reviews are signed with Ed25519"
        raise InputRefusedError("key_invalid", said, "give an Ed25519 public key, as a JWK or in PEM")
    return urlsafe_b64decode(f"{key['x']}=")


def _jwk(key: Ed25519PublicKey) -> JsonObject:
    return read_agent_key({"kty": "OKP", "crv": "Ed25519", "x": _base64url(key.public_bytes_raw())})


def _base64url(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


# --- roles that nobody has -------------------------------------------------------------------------------------------


def _approvers_nobody(snapshot: Snapshot, settings: Settings) -> Iterator[Problem]:
    """Warn of each role that is asked to decide held calls and that nobody has by remit.yaml."""
    held = _held(settings)
    for file, text, asked in _asked(snapshot):
        for role in sorted(asked - held):
            near = nearest(role, sorted(held))
            yield Problem(
                code="approvers_nobody",
                file=file,
                line=_line_naming(text, role),
                message=f"nobody in remit.yaml has the role `{role}`: what waits for it is never decided{near}",
                fix=f"give a person the role in remit.yaml: `development: {{people: {{NAME: {{roles: [{role}]}}}}}}`",
            )


def _notify_unknown(root: Path, snapshot: Snapshot, settings: Settings) -> Iterator[Problem]:
    """Warn of targets of `notify:` that wait for what nobody and nothing has.

    (A role that a hold asks for and nobody has is told of there: its target does hear of what waits.)
    """
    asked = {role for *_, roles in _asked(snapshot) for role in roles}
    return notify_unknown(root, settings, _held(settings) | asked, snapshot.charters)


def _held(settings: Settings) -> set[str]:
    """Return the roles that somebody has by remit.yaml, at an issuer whoever is in their groups, and the requester."""
    people = {role for person in settings.development.people.values() for role in person.roles}
    return people | {role for issuer in settings.issuers.values() for role in issuer.claims.roles} | {REQUESTER}


def _asked(snapshot: Snapshot) -> Iterator[tuple[str, str, set[str]]]:
    """Yield each file that names who decides held calls: its path, its text and the roles."""
    for file, body in sorted(snapshot.sources.items()):
        text = body.decode("utf-8", "replace")
        if file.endswith(".cedar"):
            yield file, text, _approvers(text)
        elif file.endswith("/agent.yaml"):
            agent = file.split("/")[1]
            flows = [flow for (whose, _), flow in snapshot.flows.items() if whose == agent]
            yield file, text, {role for flow in flows for role in flow.reviewers}
        elif file == CLASSES_FILE:
            yield file, text, {role for found in snapshot.classes.values() for role in found.reviewers}


def _approvers(text: str) -> set[str]:
    """Return the roles that a policy file's holds name. Its text was parsed before."""
    policies = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"].values()
    named = [str(policy.get("annotations", {}).get("approvers", "")) for policy in policies]
    return {role for names in named for role in re.split(r"\s*,\s*|\s+and\s+", names.strip()) if role}


def _line_naming(text: str, role: str) -> int:
    """Return the first line that asks for approvers or reviewers and names `role`; 0 where none says both."""
    lines = enumerate(text.split("\n"), start=1)
    return next((number for number, line in lines if role in line and ("@approvers" in line or "reviewers" in line)), 0)


# --- doctor ----------------------------------------------------------------------------------------------------------


def _findings(root: Path) -> Iterator[Finding]:
    version = apsw.sqlite_lib_version()
    yield Finding(
        name="sqlite",
        ok=tuple(map(int, version.split("."))) >= SQLITE_OLDEST,
        says=f"SQLite {version} through apsw",
    )
    try:
        settings = read_settings(root)
        project = _project(root, settings)
    except ProjectInvalidError as error:
        yield Finding(name="project", ok=False, says=f"{error.message}; first: {error.problems[0]}", fix="remit check")
        return
    said = f"bundle {project.snapshot.digest[:DIGEST_CHARS]}, {len(project.warnings)} warning(s)"
    yield Finding(name="project", ok=True, says=said)
    yield from _reviews(project.snapshot, settings)
    yield _disk(root)
    yield from _keys(root)
    yield from _bundles(root, settings)
    asked = settings.authzen
    said = "none is named: calls are decided here alone" if asked is None else f"`{asked.url}` is asked of each call"
    yield Finding(name="authzen", ok=True, says=said)
    yield asyncio.run(_issuers(settings))
    yield from asyncio.run(_secrets(root, project.snapshot))
    yield from asyncio.run(_targets(root, settings))
    yield _gateway(root, settings)
    yield from asyncio.run(_tools(root.resolve(), project.snapshot))


def _reviews(snapshot: Snapshot, settings: Settings) -> Iterator[Finding]:
    """Say whether there is a trust root, and which operations nobody may call for want of a review."""
    file = settings.catalogue.trust
    body = snapshot.sources.get("trust.json")
    if body is None:
        fix = "remit tools trust PERSON --role ROLE --new-key FILE"
        yield Finding(name="trust root", ok=False, says=f"there is none at {file}: nothing is reviewed", fix=fix)
    else:
        trust = read_trust(body)
        kind = "; one signer, for development only" if trust.development else ""
        yield Finding(name="trust root", ok=True, says=f"{file}: {len(trust.persons)} person(s){kind}")
    unsigned = sorted(name for name, review in snapshot.reviews.items() if review.missing)
    says = f"not reviewed, so denied: {', '.join(unsigned)}" if unsigned else "every operation is reviewed"
    yield Finding(name="reviews", ok=not unsigned, says=says, fix="remit tools sign" if unsigned else "")


def _disk(root: Path) -> Finding:
    free = os.statvfs(root).f_bavail * os.statvfs(root).f_frsize
    ok = free >= FREE_BYTES_MIN
    return Finding(
        name="disk", ok=ok, says=f"{free >> 20} MiB free", fix="" if ok else "make room: a full disk stops calls"
    )


def _keys(root: Path) -> Iterator[Finding]:
    for path in sorted((root / "var/keys").glob("*.pem")):
        exposed = stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
        says = "can be read by others" if exposed else "only its owner can read it"
        yield Finding(name=f"key {path.name}", ok=not exposed, says=says, fix=f"chmod 600 {path}" if exposed else "")


def _bundles(root: Path, settings: Settings) -> Iterator[Finding]:
    """Say whether the trust bundles, where any are named, hold keys."""
    found = TrustBundles({domain: root / file for domain, file in settings.spiffe.items()})
    wrong = [
        f"`{settings.spiffe[name]}`" for name, body in found.items() if not (isinstance(body, dict) and "keys" in body)
    ]
    if found:
        says = f"not there, or no bundle: {', '.join(wrong)}" if wrong else f"{len(found)} bundle(s) can be read"
        fix = "put the trust domain's bundle there: a JWK set" if wrong else ""
        yield Finding(name="spiffe", ok=not wrong, says=says, fix=fix)


async def _issuers(settings: Settings) -> Finding:
    """Ask every issuer where its keys are."""
    fetch, wrong = HttpFetch(), list[str]()
    for issuer in settings.issuers.values():
        try:
            async with asyncio.timeout(DISCOVERY_TIMEOUT_S):
                await discover(issuer.issuer, fetch)
        except TimeoutError:
            wrong.append(f"`{issuer.name}`: no answer within {DISCOVERY_TIMEOUT_S:g} s")
        except FetchFailedError as error:
            wrong.append(f"`{issuer.name}`: {error.message}")
    known = len(settings.issuers)
    says = (
        "; ".join([f"{known} named", *wrong]) if wrong or not known else f"{known} named, each says where its keys are"
    )
    fix = "see that the address under `issuers:` in remit.yaml is right and answers from here" if wrong else ""
    return Finding(name="issuers", ok=not wrong, says=says, fix=fix)


async def _secrets(root: Path, snapshot: Snapshot) -> list[Finding]:
    """Read tools' secrets as the gateway would, and say none.

    What the environment has here is only a hint, and the keyring is not asked: it might ask a person.
    """
    clock, faults, hints, fix = SystemClock(), list[str](), list[str](), ""
    kept = sorted({(each.source, each.name) for each in _secret_credentials(snapshot)})
    secrets = Secrets(os.environ, root, clock)
    for source, name in kept:
        if source == "keyring":
            hints.append(f"`keyring:{name}` was not asked")
            continue
        try:
            await secrets.value(Secret(source=source, name=name), clock.now())
        except CredentialUnavailableError as error:
            if source == "env":
                hints.append(f"here, which need not be where the gateway runs: {error.message}")
            else:
                faults.append(error.message)
                fix = error.fix
    says = "; ".join([*(faults or [f"{len(kept)} referred to"]), *hints])
    return [Finding(name="secrets", ok=not faults, says=says, fix=fix)] if kept else []


async def _targets(root: Path, settings: Settings) -> list[Finding]:
    """Read the address of each target of `notify:` as the gateway would, and say none; see `_secrets` for hints."""
    clock, findings = SystemClock(), list[Finding]()
    secrets = Secrets(os.environ, root, clock)
    for name, target in settings.notify.items():
        where = f"`{target.to.source}:{target.to.name}`"
        if target.to.source == "keyring":
            findings.append(Finding(name=f"notify {name}", ok=True, says=f"its address: {where} was not asked"))
            continue
        ok, says, fix = True, f"its address can be read: {where}", ""
        try:
            await secrets.value(target.to, clock.now())
        except CredentialUnavailableError as error:
            what, fix = _ADDRESS[error.code]
            ok = target.to.source == "env"
            here = " here, which need not be where the gateway runs" if ok else ""
            says = f"its address cannot be read{here}: {where} {what} ({error.code})"
        findings.append(Finding(name=f"notify {name}", ok=ok, says=says, fix=fix))
    return findings


def _secret_credentials(snapshot: Snapshot) -> Iterator[Secret]:
    for tool in snapshot.tools.values():
        if isinstance(tool.credential, Secret):
            yield tool.credential


def _gateway(root: Path, settings: Settings) -> Finding:
    where = f"http://{settings.data.host}:{settings.data.port}"
    if not (root / GATEWAY_FILE).exists():
        return Finding(name="gateway", ok=True, says=f"not running; `remit up` would listen at {where}")
    try:
        said = httpx2.get(f"{where}/readyz", timeout=READY_TIMEOUT_S, trust_env=False)
    except httpx2.TransportError:
        fix = "start it with `remit up`; calls that were under way will be listed as unknown"
        return Finding(name="gateway", ok=False, says=f"ended without stopping; nothing answers at {where}", fix=fix)
    ready = said.status_code == 200
    fix = "" if ready else "look at its output: the store did not confirm its last write"
    return Finding(name="gateway", ok=ready, says=f"{'ready' if ready else 'NOT ready'} at {where}", fix=fix)


async def _tools(root: Path, snapshot: Snapshot) -> list[Finding]:
    """Ask every tool server whether it is there and still has what the catalogue names."""
    findings: list[Finding] = []
    async with _asking(root) as upstream:
        for name, tool in sorted(snapshot.tools.items()):
            wanted = {found.upstream_name for found in snapshot.descriptors.values() if found.tool == name}
            try:
                offered = {str(listed.get("name")) for listed in await upstream.list_tools(tool)}
            except RemitError as error:
                findings.append(Finding(name=f"tool {name}", ok=False, says=error.message, fix=error.fix))
                continue
            missing = sorted(wanted - offered)
            says = f"lacks {', '.join(missing)}" if missing else f"answers and has all {len(wanted)} operations"
            fix = f"mend catalogue/{name}.yaml or the server" if missing else ""
            findings.append(Finding(name=f"tool {name}", ok=not missing, says=says, fix=fix))
    return findings
