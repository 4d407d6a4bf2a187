"""Serving: a gateway's sockets, signals and background work, started in order and stopped in reverse."""

import asyncio
import contextlib
import functools
import gc
import json
import logging
import signal
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from remit.adapters.project import Settings
from remit.app._gateway import GATEWAY_FILE, App, door_of, start, write_whole
from remit.app._protocol import BoundedProtocol, TlsProtocol
from remit.core import RemitError
from remit.surfaces.admin import admin_app

GC_THRESHOLDS = (50_000, 20, 20)  # a call leaves no cycles: collecting every 700 objects cost an eighth of its time
STOP_WAIT_S = 10  # for requests under way when the gateway is told to stop
HANDSHAKE_WAIT_S = 10  # for a TLS handshake, which no other bound of a connection covers

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
        RemitError: as `start` does, `tls_unreadable` or `port_taken`.
    """
    app, checked = await start(root, observe=observe)
    try:
        settings = app.settings
        tls = _tls(root, settings)
        with (
            _listening(settings.data.host, settings.data.port) as data,
            _listening(settings.admin.host, settings.admin.port) as admin,
        ):
            door = door_of(settings.admin.host, settings.admin.port)
            servers = [_server(app.data_plane(), tls), _server(admin_app(app.admin(), door))]
            stop = asyncio.Event()
            with _signals(stop):
                running = [
                    asyncio.create_task(s.serve(sockets=[at])) for s, at in zip(servers, (data, admin), strict=True)
                ]
                background = [
                    asyncio.create_task(_keep_checkpoints(app)),
                    asyncio.create_task(app.watch.keep(settings.catalogue.check_every_s)),
                    asyncio.create_task(app.notices.run()),
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


def tls_context(certificate: Path, key: Path, client_authorities: Path | None) -> ssl.SSLContext:
    """Return the TLS of a port: 1.2 or later, with the certificate chain and its key, both PEM.

    With `client_authorities` (PEM) clients are asked for a certificate. They may show none, and one that is not of
    those authorities ends the handshake. No session is resumed by ticket: every connection proves its certificate.

    Raises:
        RemitError: `tls_unreadable`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0
    try:
        # (An encrypted key would otherwise be asked for at the terminal.)
        context.load_cert_chain(certificate, key, password=bytes)
        if client_authorities is not None:
            context.load_verify_locations(client_authorities)
            context.verify_mode = ssl.CERT_OPTIONAL
    except OSError as error:  # (an `SSLError` is one)
        fix = "set data.tls in remit.yaml to readable PEM files: the certificate chain, its key without a passphrase"
        said = error.strerror or type(error).__name__
        raise RemitError("tls_unreadable", f"the files of data.tls cannot be used: {said.lower()}", fix) from error
    return context


def _tls(root: Path, settings: Settings) -> ssl.SSLContext | None:
    said = settings.data_tls
    if said is None:
        return None
    authorities = root / said.client_authorities if said.client_authorities else None
    return tls_context(root / said.certificate, root / said.key, authorities)


def _server(app: Callable[..., object], tls: ssl.SSLContext | None = None) -> "_Server":
    return _Server(
        uvicorn.Config(
            app,
            http=BoundedProtocol if tls is None else TlsProtocol,
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=STOP_WAIT_S,
        ),
        tls,
    )


class _Server(uvicorn.Server):
    """A server among several: the process's signals are handled once, by `_signals`. `ready` is set once it listens."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        if self._tls is None:
            await super().startup(sockets)
        else:
            await self._startup_tls(self._tls, sockets or [])
        self.ready.set()

    async def _startup_tls(self, tls: ssl.SSLContext, sockets: list[socket.socket]) -> None:
        """Listen as uvicorn does, with a bound on handshakes, which it has none for."""
        make = functools.partial(TlsProtocol, self.config, self.server_state, {})
        loop = asyncio.get_running_loop()
        self.servers = [
            await loop.create_server(
                make, sock=at, ssl=tls, ssl_handshake_timeout=HANDSHAKE_WAIT_S, backlog=self.config.backlog
            )
            for at in sockets
        ]
        self.started = True

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
