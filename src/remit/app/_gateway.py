"""The composition root: reads a project and picks the adapters of one gateway.

One process, one event loop, one store. Start: project -> store -> checkpoint guard -> sweep. Stop: last entry -> last
checkpoint -> store.
"""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from remit import __version__
from remit.adapters.authzen import DecisionPoint
from remit.adapters.checkpoints import CheckpointFile
from remit.adapters.http1 import Pool, PoolLimits
from remit.adapters.keys import load_or_create
from remit.adapters.mcp_upstream import McpUpstream
from remit.adapters.notify import Notices, Target
from remit.adapters.project import Checked, Settings, check_project, compile_snapshot, read_settings, read_sources
from remit.adapters.sqlite import SqliteStore
from remit.adapters.system import Bell, CallsUnderway, SystemClock, random
from remit.app._identity import Identities
from remit.app._watch import Watch, compared_json
from remit.catalogue import Tool
from remit.core import Problem, RemitError, StoreUnavailableError
from remit.identity import Person
from remit.pipeline import (
    RELEASE,
    STOP,
    ApprovalDesk,
    ControlDesk,
    Deployed,
    Gateway,
    Live,
    OpenCall,
    Snapshot,
    StoredState,
    recorded,
    replay,
)
from remit.records import (
    Checkpoint,
    Draft,
    Entry,
    checkpoint_text,
    event,
    open_note,
    parse_checkpoint,
    sign_note,
    unknown,
    verifier_key,
)
from remit.surfaces._http import Bounds, Door
from remit.surfaces.admin import Control
from remit.surfaces.data import DataPlane
from remit.surfaces.mcp import McpEndpoint

GATEWAY_FILE = "var/gateway.json"  # where a running gateway says how to reach it
SECRET_FILE = "var/development.secret"  # noqa: S105 - a file's name; whoever can read the file may log in
TASKS_OPEN_MAX = 1_000  # tasks of one user with one agent at once
RELEASES_LOOKED_AT = 1_000  # the newest ones, for a predecessor
DEPLOY, ROLLBACK = "deploy", "rollback"  # how a release came to run
SNAPSHOTS_KEPT = 8  # compiled bundles kept for replays

_log = logging.getLogger("remit")


class App:
    """One gateway on one project."""

    def __init__(self, root: Path, settings: Settings, store: SqliteStore, live: Live, *, observe: bool) -> None:
        self.root = root
        self.settings = settings
        self.store = store
        self.live = live
        self.observe = observe
        self.clock = SystemClock()
        scheme = "http" if settings.data_tls is None else "https"
        self.data_url = f"{scheme}://{settings.data.host}:{settings.data.port}"
        self.admin_url = f"http://{settings.admin.host}:{settings.admin.port}"
        self.origin = f"{settings.name}.remit.local"
        self._log_key = load_or_create(root / "var/keys/log.pem")
        self.identities = Identities(root, settings, live, store, self.clock, self.data_url, self.admin_url)
        self.checkpoints = CheckpointFile(root / settings.records.checkpoint_file)
        self.vkey = verifier_key(self.origin, self._log_key.public_key())
        self._checkpointing = asyncio.Lock()
        self._snapshots: dict[str, Snapshot] = {live.snapshot.digest: live.snapshot}
        self._pool = Pool(PoolLimits(connections_max=settings.upstream.connections_max))
        self._upstream = McpUpstream(self._pool, root=root, on_connect=self._verify)
        self._bell = Bell()
        self._underway = CallsUnderway()
        self._credentials = self.identities.credentials(root, self._pool)
        self.controls = ControlDesk(
            live=live,
            store=store,
            clock=self.clock,
            bell=self._bell,
            underway=self._underway,
            forget=self._credentials.forget,
        )
        targets = [Target(name, said.to, said.roles, said.agents) for name, said in settings.notify.items()]
        self.notices = Notices(targets, self.identities.secrets(root), self.clock, self.admin_url)
        self.watch = Watch(live, self.controls, self._upstream.list_tools, self._upstream.distrust)
        self.gateway = Gateway(
            facts=live,
            ledger=store,
            upstream=self._upstream,
            credentials=self._credentials,
            underway=self._underway,
            bell=self._bell,
            clock=self.clock,
            random=random,
            on_fault=_report_fault,
            hold_wait_s=settings.holds.wait_s,
            outside=self._decision_point(),
            observe=observe,
        )
        self.approvals = ApprovalDesk(
            live=live, store=store, clock=self.clock, bell=self._bell, propose=self.gateway.propose
        )

    def _decision_point(self) -> DecisionPoint | None:
        """Return the organisation's own decision point, where the settings name one."""
        asked = self.settings.authzen
        return None if asked is None else DecisionPoint(asked.url, self._pool, timeout_ms=asked.timeout_ms)

    async def _verify(self, tool: Tool) -> frozenset[str]:
        return await self.watch.verify(tool)

    def data_plane(self) -> DataPlane:
        """Build what agents and channels reach."""
        bounds = Bounds(body_bytes_max=self.settings.input.body_bytes_max)
        approvals_url = f"{self.admin_url}/approvals"
        mcp = McpEndpoint(
            self.gateway,
            self.live,
            self.identities.attachments,
            bounds,
            __version__,
            url=self.identities.mcp_url,
            approvals_url=approvals_url,
            metadata_url=self.identities.metadata_url,
        )
        return DataPlane(
            door_of(self.settings.data.host, self.settings.data.port),
            {"/mcp": mcp.serve, **self.identities.routes(bounds, self.controls, self.gateway.outside)},
            self.health,
        )

    def admin(self) -> Control:
        """Build what people and the command line can do."""
        return Control(
            store=self.store,
            clock=self.clock,
            door=self.identities.door("admin"),
            audience=self.admin_url,
            log_in=self.identities.log_in,
            status=self.status,
            deploy=self.deploy,
            checkpoint=self.checkpoint,
            replayed=self.replayed,
            live=self.live,
            approvals=self.approvals,
            controls=self.controls,
            check_tools=self.check_tools,
            rollback=self.rollback,
            origin=self.origin,
            issuers=frozenset(self.settings.issuers),
        )

    def health(self) -> dict[str, JsonValue]:
        """Say whether calls can be decided and recorded."""
        return {"ready": self.store.healthy, "mode": self.mode, "version": __version__}

    @property
    def mode(self) -> str:
        """`enforce`, or `observe`: UNSAFE, nothing is refused."""
        return "observe" if self.observe else "enforce"

    async def status(self) -> dict[str, JsonValue]:
        """Say what runs."""
        state = await self.store.state(self.clock.now())
        return {
            **self.health(),
            "project": self.settings.name,
            "profile": self.settings.profile,
            "bundle": self.live.snapshot.digest,
            "stopped": self.live.says(STOP),
            "entries": state.size,
            "open_tasks": len(state.tasks),
            "verifier_key": self.vkey,
        }

    async def deploy(self, by: Person) -> dict[str, JsonValue]:
        """Make the project's files the running release, or leave everything as it is.

        Raises:
            ProjectInvalidError: the files do not load; the running release stays.
        """
        settings, checked = await asyncio.to_thread(_read, self.root, self.settings.catalogue.trust)
        warnings = [str(warning) for warning in checked.warnings]
        if settings != self.settings:
            warnings.append("remit.yaml has changed since the start: settings are read only then, so start again")
        before = self.live.snapshot.digest
        if checked.snapshot.digest != before:
            await self._release(checked.snapshot, by.name, DEPLOY)
        return {
            "bundle": checked.snapshot.digest,
            "before": before,
            "warnings": list[JsonValue](warnings),
        }

    async def rollback(self, by: Person, to: str) -> dict[str, JsonValue]:
        """Bring back the bundle with the digest `to`, or the one that ran before, as it was, and say how long it took.

        Raises:
            RemitError: `no_predecessor`, `bundle_unknown`, or the bundle no longer loads.
        """
        started = self.clock.elapsed_us()
        before = self.live.snapshot.digest
        target = to or await self._predecessor(before)
        files = await self.store.bundle(target)
        if files is None:
            raise RemitError("bundle_unknown", "no bundle with this digest ever ran", "see `remit release history`")
        snapshot = self._snapshots.get(target)
        if snapshot is None:
            snapshot = await asyncio.to_thread(compile_snapshot, files)
        if snapshot.digest != target:
            raise RemitError("bundle_damaged", "the kept files are not those that ran", "restore the store")
        if target != before:
            await self._release(snapshot, by.name, ROLLBACK)
        elapsed_ms = (self.clock.elapsed_us() - started) / 1000
        return {"bundle": target, "before": before, "elapsed_ms": round(elapsed_ms, 1)}

    async def _predecessor(self, running: str) -> str:
        for release in await self.store.releases(RELEASES_LOOKED_AT):
            if release.bundle != running:
                return release.bundle
        raise RemitError("no_predecessor", "nothing ran before this", "see `remit release history`")

    async def _release(self, snapshot: Snapshot, by: str, how: str) -> None:
        """Let `snapshot` run from here on, and look at once whether its tools are served as it says."""
        self.live.swap(snapshot, await _deploy(self.store, snapshot, self.clock, by, how))
        self._snapshots[snapshot.digest] = snapshot
        await self.controls.void_waiting(f"another release runs since: {snapshot.digest[:19]}")
        await self.watch.check_all()

    async def check_tools(self) -> list[dict[str, JsonValue]]:
        """Compare every tool server with what was reviewed, now."""
        return [compared_json(each) for each in await self.watch.check_all()]

    async def checkpoint(self) -> str:
        """Sign the log as it stands, and write the note outside the store as well."""
        async with self._checkpointing:  # the file grows at its end: one after another
            note = await self.store.checkpoint(self._sign)
            await asyncio.to_thread(self.checkpoints.append, note)
        return note

    async def replayed(self, entries: tuple[Entry, ...]) -> dict[int, str]:
        """Decide each recorded decision again and say whether it came out the same."""
        decided = [entry for entry in entries if entry.kind in ("intent", "denied", "held")]
        for digest in {json.loads(entry.leaf)["bundle"] for entry in decided} - self._snapshots.keys():
            files = await self.store.bundle(digest)
            if files is not None:
                while len(self._snapshots) >= SNAPSHOTS_KEPT:
                    self._snapshots.pop(next(iter(self._snapshots)))
                compiled = await asyncio.to_thread(compile_snapshot, files)
                if compiled.digest == digest:  # else the files kept are not those that ran
                    self._snapshots[digest] = compiled
        found: dict[int, str] = {}
        for entry in decided:
            again = replay(entry, self._snapshots.get, self.settings.name)
            found[entry.index] = (
                "not replayable" if again is None else "same" if again == recorded(entry) else "DIFFERENT"
            )
        return found

    async def close(self) -> None:
        """Write the last entry and checkpoint, then let go of the store."""
        try:
            await self.store.append(event("stopped", at=self.clock.now(), by="gateway", said={"mode": self.mode}))
            await self.checkpoint()
        except StoreUnavailableError as error:
            _log.error("the log could not be closed: %s", error)
        finally:
            await self.notices.close()
            await self._upstream.close()
            await self._credentials.close()
            await self.identities.close()
            await self._pool.close()
            await self.store.close()

    def _sign(self, size: int, root: bytes) -> str:
        return sign_note(checkpoint_text(Checkpoint(self.origin, size, root)), self.origin, self._log_key)


def _memory_key(root: Path, state: StoredState) -> bytes:
    """Return the key under which values are remembered: what was marked under it is found again by it alone.

    Raises:
        RemitError: `memory_key_missing`, where there are marks that another key would not find.
    """
    path = root / "var/keys/memory.pem"
    if state.marks and not path.exists():
        said = f"`{path.name}` is missing, and {len(state.marks)} untrusted values are remembered under it"
        raise RemitError("memory_key_missing", said, f"restore var/keys/{path.name} from a backup")
    return load_or_create(path).private_bytes_raw()


async def start(root: Path, *, observe: bool) -> tuple[App, Checked]:
    """Build a gateway on the project in `root`: everything but its sockets.

    Raises:
        ProjectInvalidError: with every problem found.
        RemitError: the store or a key cannot be used, or the log is shorter than its checkpoint outside.
    """
    settings, checked = _read(root)
    clock = SystemClock()
    store = await SqliteStore.open(root / settings.store.path)
    try:
        state = await store.state(clock.now())
        running = state.controls.get(RELEASE, (0, ""))[1]
        kept, warning = await _rolled_back(store, checked.snapshot, running)
        snapshot = kept or checked.snapshot
        live = Live(
            clock,
            snapshot,
            state.controls,
            tenant=settings.name,
            memory_key=_memory_key(root, state),
            entries_of=store.entries_of,
            tallies_of=store.tallies,
            marks=state.marks,
            later=asyncio.get_running_loop().call_soon,
        )
        app = App(root, settings, store, live, observe=observe)
        anew = await _guard(app, state)
        swept = await store.sweep(lambda call: _lost(call, clock))
        if running != snapshot.digest:
            live.swap(snapshot, await _deploy(store, snapshot, clock, "gateway", DEPLOY))
        for task in state.tasks:
            live.admit(task)
        for approval in state.approvals:
            live.put(approval)
        if running != snapshot.digest:
            await app.controls.void_waiting(f"another release runs since: {snapshot.digest[:19]}")
        said: dict[str, object] = {
            "mode": app.mode,
            "profile": settings.profile,
            "bundle": snapshot.digest,
            "swept": swept,
        }
        if anew:
            said["checkpoints"] = "begun anew: the file outside the store was empty"
        started = event("started", at=clock.now(), by="gateway", said={**said, "version": __version__})
        app.identities.number_calls((await store.append(started)).index)
        await app.checkpoint()
        live.tell = app.notices.changed
    except RemitError:
        await store.close()
        raise
    write_whole(app.checkpoints.path.with_suffix(".vkey"), app.vkey + "\n")
    return app, Checked(snapshot, (*warning, *checked.warnings))


def _read(root: Path, trust: str = "") -> tuple[Settings, Checked]:
    """Read the project; `trust` is where the trust root was at the start, which no later setting moves."""
    settings = read_settings(root)
    return settings, check_project(read_sources(root, root / (trust or settings.catalogue.trust)))


async def _rolled_back(
    store: SqliteStore, files: Snapshot, running: str
) -> tuple[Snapshot | None, tuple[Problem, ...]]:
    """Return what must go on running although the project's files say otherwise: what somebody rolled back to."""
    newest = await store.releases(RELEASES_LOOKED_AT)
    if not newest or newest[0].how != ROLLBACK or files.digest == running:
        return None, ()
    if files.digest not in {release.bundle for release in newest}:  # the files are new since then
        return None, ()
    kept = await store.bundle(running)
    if kept is None:
        return None, ()
    message = f"the files are those that were rolled back; {running[:19]} goes on running"
    fix = "`remit release deploy` deploys the files all the same"
    problem = Problem(code="rolled_back", file="remit.yaml", line=0, message=message, fix=fix)
    return compile_snapshot(kept), (problem,)


async def _deploy(store: SqliteStore, snapshot: Snapshot, clock: SystemClock, by: str, how: str) -> int:
    now = clock.now()
    said: Mapping[str, object] = {"bundle": snapshot.digest, "files": len(snapshot.sources), "how": how}
    entry = event(RELEASE, at=now, by=by, said=said)
    release = Deployed(number=0, bundle=snapshot.digest, at=now, by=by, how=how)
    return await store.deploy(release, snapshot.sources, entry)


async def _guard(app: App, state: StoredState) -> bool:
    """Refuse to go on with a log that is shorter than, or other than, what was signed outside the store.

    Returns whether the checkpoints outside begin anew: somebody put an empty file where there was one, on purpose.
    """
    note = app.checkpoints.last()
    if note is None and state.checkpointed and not app.checkpoints.path.exists():
        name = app.settings.records.checkpoint_file
        raise RemitError(
            "checkpoints_missing",
            f"`{name}` is gone, and with it what shows that nobody put an older log back",
            "restore it from a copy; if it is lost for good, put an empty file there: the log will say so",
        )
    if note is None:
        return state.checkpointed > 0
    outside = parse_checkpoint(_opened(note, app))
    if outside.size > state.size or await app.store.root_at(outside.size) != outside.root:
        raise RemitError(
            "log_rolled_back",
            f"the log has {state.size} entries and does not continue the checkpoint over {outside.size} outside it",
            "restore the whole log; `remit records verify` on an export says what is missing",
        )
    return False


def _opened(note: str, app: App) -> str:
    """Return what the newest checkpoint outside says, signed with the key that this gateway has."""
    try:
        return open_note(note, app.vkey)
    except RemitError as error:
        raise RemitError(
            "checkpoints_foreign",
            f"`{app.settings.records.checkpoint_file}` was not signed with this gateway's log key",
            "restore var/keys/log.pem; in a clone, which has a log of its own, or if the key is lost for good: "
            "move the file away and put an empty one there",
        ) from error


def _lost(call: OpenCall, clock: SystemClock) -> Draft:
    return unknown(call.call, call.task, call.intent, at=clock.now())


def door_of(host: str, port: int) -> Door:
    """Return the door that lets through requests for this address, by whichever name of it."""
    return Door(f"{name}:{port}" for name in {host, "127.0.0.1", "localhost", "[::1]"})


def write_whole(path: Path, text: str) -> None:
    """Write a file so that whoever reads it sees all of it or the one before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(path.suffix + ".new")
    draft.write_text(text, "utf-8")
    draft.replace(path)


def _report_fault(error: Exception) -> None:
    _log.error("a decision failed and was denied", exc_info=error)
