"""No secret is written anywhere but in its own file: every byte that a gateway leaves behind is searched."""

from base64 import b64encode, urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.conftest import JSON, bearer, gateway, mirrors, order_desk, tool_call

OWN_FILES = {"log.pem", "memory.pem", "tokens.pem", "tools.pem", "development.pem", "development.secret"}
WRONG = "canary-5f1d0c2e9b7a4486"  # sent wherever a secret is expected, and none


@dataclass(frozen=True)
class Left:
    """Everything that a gateway's life left behind, by where it is, and the secrets it had or was sent."""

    written: dict[str, bytes]
    secrets: dict[str, bytes]


def forms(secret: bytes) -> list[bytes]:
    """Return how a secret may look in a file."""
    plain = [secret, secret.hex().encode(), secret.hex().upper().encode(), quote_from_bytes(secret).encode()]
    # (Base64 of text around it shifts by up to two bytes: the middle of each shift is the same.)
    shifted = [b64encode(b"x" * shift + secret)[4:-4] for shift in range(3)]
    return [*plain, *shifted, urlsafe_b64encode(secret)[:-4], secret[::-1]]


def scan(written: dict[str, bytes], secrets: dict[str, bytes]) -> list[str]:
    """Name every place that holds a secret, in any form."""
    return [
        f"{what} in {where}"
        for what, secret in secrets.items()
        for where, found in written.items()
        if any(form in found for form in forms(secret))
    ]


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Left:
    folder = tmp_path_factory.mktemp("secrets")
    written: dict[str, bytes] = {}
    with order_desk(folder) as (url, calls), gateway(folder, url, calls) as one:
        opened = one.open(given={"ticket": "please"})
        wrong = [bearer(WRONG), *mirrors(tool_call())]
        for message in (tool_call(), tool_call("close_account", {}), tool_call(arguments={"order_id": 5})):
            one.call(opened.token, message)
        one.post("/mcp", b"{", [bearer(opened.token), JSON])
        one.post("/mcp", b"{}", wrong)
        one.post(f"/mcp?access_token={WRONG}", b"{}", wrong)
        one.post(f"/{WRONG}", b"{}", [("Cookie", WRONG), *wrong])
        one.post("/v1/tasks", b"{}", [bearer(WRONG), JSON])
        one.post("/v1/tasks", b"{}", [bearer(opened.token), JSON])
        one.post(
            "/development/token", b'{"person":"ana","secret":"%s","audience":"x"}' % WRONG.encode(), [JSON], admin=True
        )
        one.post("/development/token", b'{"secret":"%s"}' % WRONG.encode(), [JSON], admin=True)
        one.raw(f"{WRONG} / HTTP/1.1\r\nAuthorization: Bearer {WRONG}\r\n\r\n".encode())
        one.ask("GET", f"/v1/tasks/{WRONG}/records")
        written["the export"] = "\n".join(one.export()).encode()
        written["the records"] = one.ask("GET", f"/v1/tasks/{opened.task}/records").body
        written["the status"] = one.ask("GET", "/v1/status").body
        secrets = {
            "the task token": opened.token.encode(),
            "the task token's signature": opened.token.rpartition(".")[2].encode(),
            "the development secret": one.secret.encode(),
            "what was sent instead of a secret": WRONG.encode(),
            **{f"a login of {who}": token.encode() for (who, _), token in one.tokens.items()},
            **{f"the key {path.name}": _seed(path) for path in (one.project / "var/keys").iterdir()},
            **{f"the file {path.name}": _line(path) for path in (one.project / "var/keys").iterdir()},
        }
        written.update(_files(folder))  # while it runs: the write-ahead log is there
    written.update({f"{name}, after the end": found for name, found in _files(folder).items()})
    return Left(written, secrets)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in OWN_FILES
    }


def _seed(path: Path) -> bytes:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key.private_bytes_raw()


def _line(path: Path) -> bytes:
    return path.read_bytes().splitlines()[1]


def test_no_secret_is_in_anything_that_a_gateway_leaves_behind(left: Left) -> None:
    names = " ".join(left.written)
    for looked_at in (
        "remit.db",
        "remit.db-wal",
        ".checkpoints",
        "gateway.out",
        "gateway.err",
        "orders.calls",
        "export",
    ):
        assert looked_at in names
    assert len(left.secrets) >= 12
    assert all(len(secret) >= 16 for secret in left.secrets.values())
    assert scan(left.written, left.secrets) == []


@pytest.mark.parametrize("form", range(9))
def test_the_search_finds_a_secret_that_was_planted(left: Left, form: int) -> None:
    """The control: each secret, in each form, in the middle of the store."""
    store = next(found for name, found in left.written.items() if name.endswith("remit.db"))
    for what, secret in left.secrets.items():
        planted = store[:5_000] + b"##" + forms(secret)[form] + b"##" + store[5_000:]
        assert scan({"the store": planted}, {what: secret}) == [f"{what} in the store"]
        assert scan({"the store": store}, {what: secret}) == []


def test_the_secrets_own_files_are_their_owners_alone(tmp_path: Path) -> None:
    with gateway(tmp_path, "http://127.0.0.1:1/mcp", tmp_path / "none") as one:
        found = {path.name: path.stat().st_mode & 0o777 for path in one.project.rglob("*") if path.name in OWN_FILES}
    assert found == dict.fromkeys(OWN_FILES, 0o600)
