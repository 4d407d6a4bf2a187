"""What `check`, `doctor` and the reader of agents' keys say of identity, on a project's real files."""

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from remit.adapters.project import read_settings
from remit.app import LocalWorkshop
from remit.app._workshop import _bundles, _issuers
from remit.core import RemitError
from remit.identity import read_agent_key

SHOP = LocalWorkshop(0)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    SHOP.init(tmp_path / "desk", name="desk", owner="ana", mcp_json=None)
    return tmp_path / "desk"


def says(project: Path, text: str) -> None:
    settings = project / "remit.yaml"
    settings.write_text(f"{settings.read_text('utf-8')}\n{text}", "utf-8")


def found(project: Path, name: str) -> tuple[bool, str]:
    finding = next(each for each in SHOP.doctor(project) if each.name == name)
    assert finding.ok or finding.fix
    return finding.ok, finding.says


# --- doctor ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "right", "word"),
    [(0o600, True, "1 referred to"), (0o644, False, "read by others"), (0, False, "not there")],
)
def test_doctor_reads_a_tools_secret_as_the_gateway_would_and_never_says_it(
    project: Path, mode: int, right: bool, word: str
) -> None:
    catalogue = project / "catalogue/orders.yaml"
    text = catalogue.read_text("utf-8")
    url = next(line for line in text.splitlines() if line.startswith("url:"))
    catalogue.write_text(text.replace(url, f"{url}\ncredential: {{secret: 'file:var/orders.key'}}"), "utf-8")
    if mode:
        (project / "var/orders.key").write_text("canary-0451", "utf-8")
        (project / "var/orders.key").chmod(mode)
    ok, said = found(project, "secrets")
    assert (ok, word in said, "canary" in said) == (right, True, False)


def test_a_variable_is_a_hint_and_a_keyring_is_not_asked(project: Path) -> None:
    catalogue = project / "catalogue/orders.yaml"
    text = catalogue.read_text("utf-8")
    url = next(line for line in text.splitlines() if line.startswith("url:"))
    for reference in ("env:NO_SUCH_ORDERS_KEY", "keyring:remit/orders"):
        catalogue.write_text(text.replace(url, f"{url}\ncredential: {{secret: '{reference}'}}"), "utf-8")
        ok, said = found(project, "secrets")
        assert (ok, f"`{reference}`" in said) == (True, True)


def test_doctor_says_who_else_decides_and_whose_users_come(project: Path) -> None:
    assert found(project, "authzen") == (True, "none is named: calls are decided here alone")
    assert found(project, "issuers")[0]
    assert not [each for each in SHOP.doctor(project) if each.name in ("secrets", "spiffe")]
    says(project, "authzen: {url: https://pdp.example.org}")
    assert "https://pdp.example.org" in found(project, "authzen")[1]


@pytest.fixture
def issuer() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = f"http://{self.headers['host']}"
            body = json.dumps({"issuer": host, "jwks_uri": f"{host}/keys"}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_doctor_asks_each_issuer_where_its_keys_are(tmp_path: Path, issuer: str) -> None:
    (tmp_path / "remit.yaml").write_text(f"issuers: {{corp: {{issuer: 'http://{issuer}'}}}}\n", "utf-8")
    good = asyncio.run(_issuers(read_settings(tmp_path)))
    assert (good.ok, good.says) == (True, "1 named, each says where its keys are")
    more = f"issuers: {{corp: {{issuer: 'http://{issuer}'}}, gone: {{issuer: 'http://127.0.0.1:9'}}}}\n"
    (tmp_path / "remit.yaml").write_text(more, "utf-8")
    bad = asyncio.run(_issuers(read_settings(tmp_path)))
    assert (bad.ok, "`gone`" in bad.says, "`corp`" in bad.says, bool(bad.fix)) == (False, True, False, True)


def test_doctor_and_check_say_which_trust_bundles_are_not_there(project: Path) -> None:
    says(project, "spiffe: {example.org: var/bundle.json}")
    assert "spiffe_bundle_missing" in {each.code for each in SHOP.check(project, accept=False).warnings}
    (bundle,) = _bundles(project, read_settings(project))
    assert (bundle.ok, "`var/bundle.json`" in bundle.says) == (False, True)
    (project / "var/bundle.json").write_text("[]", "utf-8")
    assert not next(_bundles(project, read_settings(project))).ok
    (project / "var/bundle.json").write_text('{"keys": []}', "utf-8")
    assert next(_bundles(project, read_settings(project))).ok
    assert "spiffe_bundle_missing" not in {each.code for each in SHOP.check(project, accept=False).warnings}


# --- agents' keys ----------------------------------------------------------------------------------------------------


def pem(folder: Path, key: Any) -> Path:
    file = folder / "key.pem"
    file.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return file


@pytest.mark.requirement("R2.2")
def test_keys_of_both_kinds_are_taken_in_pem_and_no_other(tmp_path: Path) -> None:
    key = ec.derive_private_key(7, ec.SECP256R1())
    jwk = SHOP.agent_key(pem(tmp_path, key), new=False)
    assert (jwk["kty"], jwk["crv"]) == ("EC", "P-256")
    assert read_agent_key(jwk) == jwk
    assert SHOP.agent_key(pem(tmp_path, Ed25519PrivateKey.generate()), new=False)["kty"] == "OKP"
    for other in (rsa.generate_private_key(65_537, 2_048), ec.generate_private_key(ec.SECP384R1())):
        with pytest.raises(RemitError) as refused:
            SHOP.agent_key(pem(tmp_path, other), new=False)
        assert refused.value.code == "key_invalid"
        assert "Ed25519 and P-256" in refused.value.message


def test_a_reviewer_signs_with_ed25519_alone(project: Path) -> None:
    file = pem(project.parent, ec.derive_private_key(7, ec.SECP256R1()))
    with pytest.raises(RemitError) as refused:
        SHOP.trust(project, "bob", ("security",), file, {}, new=False)
    assert refused.value.code == "key_invalid"
