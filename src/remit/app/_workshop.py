"""The command line's local work: reading, writing and running a project on this machine."""

import asyncio
import contextlib
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import apsw
import httpx2
import uvloop

from remit.adapters.checkpoints import CheckpointFile
from remit.adapters.http1 import Pool, PoolLimits
from remit.adapters.mcp_upstream import McpUpstream
from remit.adapters.project import (
    Checked as CheckedProject,
)
from remit.adapters.project import (
    Settings,
    check_project,
    from_mcp_json,
    new_project,
    read_settings,
    read_sources,
    servers_of,
    write_project,
)
from remit.adapters.sqlite import SQLITE_OLDEST
from remit.app._gateway import GATEWAY_FILE
from remit.app._serving import serving
from remit.catalogue import Tool
from remit.core import JsonObject, ProjectInvalidError, RemitError
from remit.surfaces.cli import Checked, Finding, Ready, Written

LISTING_TIMEOUT_S = 5.0  # for one tool server to list its tools
READY_TIMEOUT_S = 3.0
LISTING_BYTES_MAX = 4 << 20
MCP_JSON_BYTES_MAX = 1 << 20
FREE_BYTES_MIN = 256 << 20  # of disk, below which `remit doctor` warns


class LocalWorkshop:
    """See `Workshop`."""

    def __init__(self, started_ns: int) -> None:
        self._started_ns = started_ns  # of this process, monotonic

    def check(self, root: Path) -> Checked:
        """See `Workshop.check`."""
        read_settings(root)
        found = check_project(read_sources(root))
        return Checked(
            digest=found.snapshot.digest,
            operations=len(found.snapshot.descriptors),
            agents=len(found.snapshot.charters),
            warnings=found.warnings,
        )

    def init(self, root: Path, *, name: str, owner: str, mcp_json: Path | None) -> Written:
        """See `Workshop.init`."""
        if mcp_json is None:
            files: Mapping[str, str] = new_project(name, owner)
            notes: tuple[str, ...] = ()
        else:
            if mcp_json.stat().st_size > MCP_JSON_BYTES_MAX:
                raise RemitError(
                    "mcp_config_invalid", f"`{mcp_json.name}` is over 1 MiB", "give a client's configuration"
                )
            text = mcp_json.read_text("utf-8", "surrogateescape")
            listings, unreachable = asyncio.run(_listings(servers_of(text)))
            try:
                imported = from_mcp_json(text, listings, name=name, owner=owner)
            except RemitError as error:
                for note in unreachable:
                    error.add_note(note)
                raise
            files, notes = imported.files, (*unreachable, *imported.notes)
        write_project(root, files)
        return Written(files=tuple(sorted(files)), notes=notes)

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


async def _listings(servers: Mapping[str, str]) -> tuple[dict[str, tuple[JsonObject, ...]], tuple[str, ...]]:
    """Ask each server for its tools; one that does not answer is noted, and the rest goes on."""
    found: dict[str, tuple[JsonObject, ...]] = {}
    notes: list[str] = []
    async with contextlib.aclosing(_Closing(Pool(PoolLimits()))) as closing:
        for name, url in servers.items():
            tool = Tool(name=name, url=url, timeout_s=LISTING_TIMEOUT_S, response_bytes_max=LISTING_BYTES_MAX)
            try:
                found[name] = await McpUpstream(closing.pool).list_tools(tool)
            except RemitError as error:
                notes.append(f"server `{name}`: not imported: {error.message}")
    return found, tuple(notes)


class _Closing:
    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    async def aclose(self) -> None:
        await self.pool.close()


def _findings(root: Path) -> Iterator[Finding]:
    version = apsw.sqlite_lib_version()
    yield Finding(
        name="sqlite",
        ok=tuple(map(int, version.split("."))) >= SQLITE_OLDEST,
        says=f"SQLite {version} through apsw",
    )
    try:
        settings, project = read_settings(root), check_project(read_sources(root))
    except ProjectInvalidError as error:
        yield Finding(name="project", ok=False, says=f"{error.message}; first: {error.problems[0]}", fix="remit check")
        return
    said = f"bundle {project.snapshot.digest[:19]}, {len(project.warnings)} warning(s)"
    yield Finding(name="project", ok=True, says=said)
    yield _disk(root)
    yield from _keys(root)
    yield _gateway(root, settings)
    yield from asyncio.run(_tools(project))


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


async def _tools(project: CheckedProject) -> list[Finding]:
    """Ask every tool server whether it is there and still has what the catalogue names."""
    findings: list[Finding] = []
    async with contextlib.aclosing(_Closing(Pool(PoolLimits()))) as closing:
        for name, tool in sorted(project.snapshot.tools.items()):
            wanted = {d.upstream_name for d in project.snapshot.descriptors.values() if d.tool == name}
            try:
                offered = {str(listed.get("name")) for listed in await McpUpstream(closing.pool).list_tools(tool)}
            except RemitError as error:
                findings.append(Finding(name=f"tool {name}", ok=False, says=error.message, fix=error.fix))
                continue
            missing = sorted(wanted - offered)
            says = f"lacks {', '.join(missing)}" if missing else f"answers and has all {len(wanted)} operations"
            fix = f"mend catalogue/{name}.yaml or the server" if missing else ""
            findings.append(Finding(name=f"tool {name}", ok=not missing, says=says, fix=fix))
    return findings
