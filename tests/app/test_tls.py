"""TLS of the data port, seen by raw clients: with a certificate, without, with a foreign one, and without TLS."""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from remit.adapters.project import read_settings
from remit.app import _serving
from remit.app._serving import tls_context
from remit.core import RemitError

PEER_WAIT_S = 10  # what a test waits at most for the server to say or do something
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
NOW = datetime.now(UTC)


@dataclass
class Authority:
    """A certificate authority of its own."""

    name: str

    def __post_init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._signed(self.name, self.key).add_extension(constraints, critical=True)
        self.pem = self.certificate.sign(self.key, SHA256()).public_bytes(Encoding.PEM)

    def _signed(self, name: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(hours=1))
            .not_valid_after(NOW + timedelta(hours=1))
        )

    def issue(
        self, folder: Path, name: str, protection: KeySerializationEncryption | None = None
    ) -> tuple[Path, Path, bytes]:
        """Return the files of a certificate and its key, and the certificate in DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = self._signed(name, key).add_extension(names, critical=False).sign(self.key, SHA256())
        certificate, private = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(made.public_bytes(Encoding.PEM))
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection or NoEncryption()))
        return certificate, private, made.public_bytes(Encoding.DER)


class Files:
    """A server's certificate, and a client's of the same and of a foreign authority."""

    def __init__(self, folder: Path) -> None:
        ours, foreign = Authority("ours"), Authority("foreign")
        self.authorities = folder / "authorities.pem"
        self.authorities.write_bytes(ours.pem)
        self.server = ours.issue(folder, "server")
        self.agent = ours.issue(folder, "agent")
        self.stranger = foreign.issue(folder, "stranger")
        self.locked = ours.issue(folder, "locked", BestAvailableEncryption(b"a passphrase"))

    def context(self, *, clients: bool) -> ssl.SSLContext:
        return tls_context(self.server[0], self.server[1], self.authorities if clients else None)

    def client(self, certificate: tuple[Path, Path, bytes] | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authorities))
        if certificate is not None:
            context.load_cert_chain(*certificate[:2])
        return context


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


class App:
    """Keeps the scopes of its requests and answers each."""

    def __init__(self) -> None:
        self.scopes: list[Any] = []

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextlib.contextmanager
def running(tls: ssl.SSLContext | None) -> Iterator[tuple[tuple[str, int], App]]:
    app = App()
    listens = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = _serving._server(app, tls)

        async def serve() -> None:
            running = asyncio.create_task(server.serve(sockets=[listener]))
            await server.ready.wait()
            listens.set()
            await running

        factory = server.config.get_loop_factory()  # uvloop, as a gateway has it
        thread = threading.Thread(target=lambda: asyncio.Runner(loop_factory=factory).run(serve()))
        thread.start()
        try:
            assert listens.wait(PEER_WAIT_S)
            yield listener.getsockname(), app
        finally:
            server.should_exit = True
            thread.join(PEER_WAIT_S)
            assert not thread.is_alive()


def asked(at: tuple[str, int], client: ssl.SSLContext | None, times: int = 1) -> bytes:
    """Send requests over one connection and return the last answer."""
    with socket.create_connection(at, timeout=PEER_WAIT_S) as plain:
        connection = plain if client is None else client.wrap_socket(plain, server_hostname="127.0.0.1")
        with connection:
            answer = b""
            for _ in range(times):
                connection.sendall(GET)
                answer = b""
                while not answer.endswith(b"ok"):
                    piece = connection.recv(4096)
                    if not piece:
                        raise ConnectionError("the server hung up")
                    answer += piece
            return answer


def client_cert(scope: Any) -> object:
    return scope["extensions"]["tls"]["client_cert"]


@pytest.mark.requirement("R2.2")
def test_the_application_learns_the_verified_certificate_at_every_request(files: Files) -> None:
    with running(files.context(clients=True)) as (at, app):
        assert asked(at, files.client(files.agent), times=2).startswith(b"HTTP/1.1 200")
    assert [client_cert(scope) for scope in app.scopes] == [files.agent[2]] * 2
    assert {scope["scheme"] for scope in app.scopes} == {"https"}


def test_a_client_without_a_certificate_is_served_and_shows_none(files: Files) -> None:
    with running(files.context(clients=True)) as (at, app):
        assert asked(at, files.client()).startswith(b"HTTP/1.1 200")
    assert [client_cert(scope) for scope in app.scopes] == [b""]


@pytest.mark.requirement("R2.2")
def test_a_certificate_of_a_foreign_authority_ends_the_handshake(files: Files) -> None:
    with running(files.context(clients=True)) as (at, app):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            asked(at, files.client(files.stranger))
        assert asked(at, files.client(files.agent)).startswith(b"HTTP/1.1 200")  # the control
    assert len(app.scopes) == 1


def test_a_certificate_that_nobody_asked_for_proves_nothing(files: Files) -> None:
    with running(files.context(clients=False)) as (at, app):
        assert asked(at, files.client(files.stranger)).startswith(b"HTTP/1.1 200")
    assert [client_cert(scope) for scope in app.scopes] == [b""]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_later_are_spoken_and_no_ticket_is_given(files: Files, version: ssl.TLSVersion) -> None:
    client = files.client(files.agent)
    client.minimum_version = client.maximum_version = version
    with running(files.context(clients=True)) as (at, app):
        assert asked(at, client).startswith(b"HTTP/1.1 200")
        with (
            socket.create_connection(at, timeout=PEER_WAIT_S) as plain,
            client.wrap_socket(plain, server_hostname="127.0.0.1") as connection,
        ):
            connection.sendall(GET)
            assert connection.recv(4096)  # (whatever came behind the handshake came before this)
            session = connection.session
            assert session is None or not session.has_ticket
    assert client_cert(app.scopes[0]) == files.agent[2]


def test_anything_before_tls_1_2_is_refused(files: Files) -> None:
    context = files.context(clients=False)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    client = files.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    with running(context) as (at, app), pytest.raises((ssl.SSLError, ConnectionError)):
        asked(at, client)
    assert not app.scopes


def test_plain_http_is_not_served_on_a_tls_port(files: Files) -> None:
    with running(files.context(clients=True)) as (at, app):
        with pytest.raises(ConnectionError):
            asked(at, None)
        assert asked(at, files.client()).startswith(b"HTTP/1.1 200")  # the control
    assert len(app.scopes) == 1


def test_without_tls_nothing_of_it_is_in_the_scope() -> None:
    with running(None) as (at, app):
        assert asked(at, None).startswith(b"HTTP/1.1 200")
    assert "extensions" not in app.scopes[0]
    assert app.scopes[0]["scheme"] == "http"


def test_a_client_that_never_finishes_the_handshake_is_let_go(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_serving, "HANDSHAKE_WAIT_S", 0.1)
    with (
        running(files.context(clients=True)) as (at, app),
        socket.create_connection(at, timeout=PEER_WAIT_S) as silent,
        contextlib.suppress(ConnectionError),
    ):
        assert silent.recv(1) == b""
    assert not app.scopes


@pytest.mark.parametrize("wrong", ["missing", "another key", "no pem", "a passphrase", "no authorities"])
def test_files_that_cannot_be_used_are_said_at_start(files: Files, tmp_path: Path, wrong: str) -> None:
    certificate, key, _ = files.server
    rubbish = tmp_path / "rubbish"
    rubbish.write_text("rubbish")
    taken: dict[str, tuple[Path, Path, Path | None]] = {
        "missing": (certificate, tmp_path / "missing", None),
        "another key": (certificate, files.agent[1], None),
        "no pem": (rubbish, key, None),
        "a passphrase": (*files.locked[:2], None),
        "no authorities": (certificate, key, rubbish),
    }
    with pytest.raises(RemitError) as refused:
        tls_context(*taken[wrong])
    assert refused.value.code == "tls_unreadable"
    assert str(tmp_path) not in refused.value.message


def test_the_settings_name_the_files_from_the_projects_folder(files: Files, tmp_path: Path) -> None:
    assert _serving._tls(tmp_path, read_settings(tmp_path)) is None, "without data.tls there is none"
    for name, path in (("c.pem", files.server[0]), ("k.pem", files.server[1]), ("a.pem", files.authorities)):
        (tmp_path / name).write_bytes(path.read_bytes())
    said = "data: {tls: {certificate: c.pem, key: k.pem%s}}"
    (tmp_path / "remit.yaml").write_text(said % "")
    context = _serving._tls(tmp_path, read_settings(tmp_path))
    assert context is not None
    assert context.verify_mode is ssl.CERT_NONE
    (tmp_path / "remit.yaml").write_text(said % ", client_authorities: a.pem")
    context = _serving._tls(tmp_path, read_settings(tmp_path))
    assert context is not None
    assert context.verify_mode is ssl.CERT_OPTIONAL
