"""Serving: a gateway's sockets, signals and background work, started in order and stopped in reverse."""

import asyncio
import contextlib
import gc
import json
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from remit.app._gateway import GATEWAY_FILE, App, door_of, start, write_whole
from remit.app._protocol import BoundedProtocol
from remit.core import RemitError
from remit.surfaces.admin import admin_app

GC_THRESHOLDS = (50_000, 20, 20)  # a call leaves no cycles: collecting every 700 objects cost an eighth of its time
STOP_WAIT_S = 10  # for requests under way when the gateway is told to stop

_log = logging.getLogger("remit")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a running gateway answers."""

    data: str
    admin: str
    mode: str
    digest: str
    warnings: tuple[str, ...]


@contextlib.asynccontextmanager
async def serving(root: Path, *, observe: bool) -> AsyncIterator[tuple[Address, asyncio.Event]]:
    """Run a gateway while the context lasts. The event is set when its process is told to stop.

    Raises:
        RemitError: as `start` does, or `port_taken`.
    """
    app, checked = await start(root, observe=observe)
    try:
        settings = app.settings
        with (
            _listening(settings.data.host, settings.data.port) as data,
            _listening(settings.admin.host, settings.admin.port) as admin,
        ):
            door = door_of(settings.admin.host, settings.admin.port)
            servers = [_server(app.data_plane()), _server(admin_app(app.admin(), door))]
            stop = asyncio.Event()
            with _signals(stop):
                running = [
                    asyncio.create_task(s.serve(sockets=[at])) for s, at in zip(servers, (data, admin), strict=True)
                ]
                background = [
                    asyncio.create_task(_keep_checkpoints(app)),
                    asyncio.create_task(app.watch.keep(settings.catalogue.check_every_s)),
                ]
                address = Address(
                    data=app.data_url,
                    admin=app.admin_url,
                    mode=app.mode,
                    digest=app.live.snapshot.digest,
                    warnings=tuple(map(str, checked.warnings)),
                )
                await asyncio.gather(*(server.ready.wait() for server in servers))
                gc.collect()
                gc.freeze()  # what is loaded now lives as long as the process: no collection need look at it again
                gc.set_threshold(*GC_THRESHOLDS)
                write_whole(root / GATEWAY_FILE, json.dumps({"data": app.data_url, "admin": app.admin_url}))
                try:
                    yield address, stop
                finally:
                    (root / GATEWAY_FILE).unlink(missing_ok=True)
                    for server in servers:
                        server.should_exit = True
                    for each in background:
                        each.cancel()
                    await asyncio.gather(*running)
    finally:
        await app.close()


async def _keep_checkpoints(app: App) -> None:
    while True:
        await asyncio.sleep(app.settings.records.checkpoint_every_s)
        try:
            if not app.store.healthy:
                await app.store.probe()  # nothing else may write while nobody sends to a gateway that is not ready
            await app.checkpoint()
        except RemitError as error:
            _log.error("no checkpoint could be written: %s", error)


def _server(app: Callable[..., object]) -> "_Server":
    return _Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_WAIT_S,
        )
    )


class _Server(uvicorn.Server):
    """A server among several: the process's signals are handled once, by `_signals`. `ready` is set once it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def _listening(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            fix = "stop what listens there, or set another port in remit.yaml"
            raise RemitError("port_taken", f"cannot listen on {host}:{port}: {error.strerror}", fix) from error
        yield listener
