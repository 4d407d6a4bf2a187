"""Agents without an assertion of their own: by a workload identity (JWT-SVID), or by a TLS certificate."""

import asyncio
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from remit.adapters.oauth import JWT_BEARER, JWT_SPIFFE, AgentAuthentication, AgentKeys, TaskTokens, TokenService
from remit.core import Json
from remit.identity import (
    X509,
    Agents,
    AuthenticatedAgent,
    ClientProof,
    Exchange,
    Hands,
    Registration,
    TokenRefusedError,
    token_endpoint,
    with_key,
)
from remit.testing import NOON, ManualClock

ISSUER = "http://127.0.0.1:8700"
ENDPOINT = token_endpoint(ISSUER)
CLERK = "spiffe://example.org/clerk"
SHARED = "spiffe://example.org/shared"
DOTS = "spiffe://example.org/x/../other"
EC, RSA, OKP = ECKey.generate_key("P-256"), RSAKey.generate_key(2048), OKPKey.generate_key("Ed25519")
STRANGER = ECKey.generate_key("P-256")
SECOND = timedelta(seconds=1)
REGISTERED = {
    "clerk": Registration(spiffe=frozenset({CLERK, SHARED})),
    "other": Registration(spiffe=frozenset({SHARED, DOTS, "spiffe://example.com/other"})),
    "plain": Registration(),
}


def jwk(key: ECKey | RSAKey | OKPKey, kid: str, use: str = "jwt-svid") -> dict[str, Json]:
    members = ("kty", "crv", "x", "y", "n", "e")
    said = {name: str(value) for name, value in key.as_dict(private=False).items() if name in members}
    return {**said, "kid": kid, "use": use}


TRUST: dict[str, Json] = {
    "example.org": {
        "keys": [
            jwk(EC, "ec"),
            jwk(RSA, "rsa", "sig"),
            jwk(OKP, "okp"),
            jwk(STRANGER, "x509", "x509-svid"),
            jwk(EC, "twice"),
            jwk(EC, "twice"),
            5,
        ]
    },
    "example.com": {"keys": [jwk(STRANGER, "ec")]},
    "damaged.example": {"keys": 5},
}


class Door:
    """The token endpoint's guard, from noon on."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.kept: dict[str, str] = {}
        self.restart()

    def restart(self) -> None:
        keys = AgentKeys(lambda agent: self.kept.get(agent, ""))
        self.agents = AgentAuthentication(keys, ISSUER, self.clock, registrations=lambda: REGISTERED, trust=TRUST)

    def svid(
        self, claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None, key: Any = EC
    ) -> ClientProof:
        now = int(self.clock.now().timestamp())
        said = {"sub": CLERK, "aud": [ENDPOINT], "iat": now, "exp": now + 300, **(claims or {})}
        head = {"alg": "ES256", "kid": "ec", "typ": "JWT", **(header or {})}
        head, said = ({name: each for name, each in one.items() if each is not ...} for one in (head, said))
        algorithms = ["ES256", "RS256", "Ed25519", "HS256"]
        return ClientProof(assertion=jwt.encode(head, said, key, algorithms=algorithms), assertion_type=JWT_SPIFFE)

    def agent(self, shown: ClientProof) -> AuthenticatedAgent:
        port: Agents = self.agents
        return asyncio.run(port.agent(shown))

    def code(self, shown: ClientProof) -> str:
        try:
            self.agent(shown)
        except TokenRefusedError as error:
            return error.code
        return ""


@pytest.mark.requirement("R2.2")
def test_a_workload_is_the_agent_that_its_id_is_registered_for() -> None:
    door = Door()
    assert door.agent(door.svid()) == AuthenticatedAgent("clerk", EC.thumbprint(), "spiffe_jwt")
    by_rsa = door.svid({"aud": ISSUER}, {"alg": "RS256", "kid": "rsa", "typ": ...}, RSA)
    assert door.agent(by_rsa) == AuthenticatedAgent("clerk", RSA.thumbprint(), "spiffe_jwt")
    assert door.agent(door.svid({"sub": "spiffe://example.com/other"}, key=STRANGER)).name == "other"


BAD_SVIDS: list[tuple[dict[str, Any], dict[str, Any], Any]] = [
    ({"sub": SHARED}, {}, EC),  # two agents' ID is nobody's
    ({"sub": "spiffe://example.org/nobody"}, {}, EC),
    ({"sub": "clerk"}, {}, EC),
    ({"sub": ...}, {}, EC),
    ({"sub": [CLERK]}, {}, EC),
    ({"sub": f"{CLERK}/"}, {}, EC),
    ({"sub": "spiffe://EXAMPLE.org/clerk"}, {}, EC),
    ({"sub": "spiffe://example.org/x/../clerk"}, {}, EC),
    ({"sub": f"{CLERK}?a"}, {}, EC),
    ({"sub": "spiffe://damaged.example/clerk"}, {}, EC),
    ({"aud": "http://elsewhere.example"}, {}, EC),
    ({"aud": [ENDPOINT, "http://elsewhere.example"]}, {}, EC),  # whoever is there could use it here
    ({"aud": []}, {}, EC),
    ({"aud": ...}, {}, EC),
    ({"exp": ...}, {}, EC),
    ({"exp": int(NOON.timestamp())}, {}, EC),
    ({"exp": int(NOON.timestamp()) + 3_601}, {}, EC),
    ({"iat": ...}, {}, EC),
    ({"iat": int(NOON.timestamp()) - 1}, {}, EC),  # from before the start
    ({"iat": int(NOON.timestamp()) + 31}, {}, EC),
    ({"nbf": int(NOON.timestamp()) + 31}, {}, EC),
    ({}, {"kid": ...}, EC),
    ({}, {"kid": "unknown"}, EC),
    ({}, {"kid": "twice"}, EC),
    ({}, {"kid": "rsa"}, EC),
    ({}, {"kid": "x509"}, STRANGER),  # a key for certificates signs no token
    ({}, {"alg": "Ed25519", "kid": "okp"}, OKP),
    ({}, {"typ": "at+jwt"}, EC),
    ({}, {"jwk": jwk(STRANGER, "ec")}, STRANGER),
    ({}, {"jwk": jwk(EC, "ec")}, EC),
    ({"sub": DOTS}, {}, EC),  # registered, yet no SPIFFE ID
    ({}, {}, STRANGER),
    ({"sub": "spiffe://example.com/other"}, {}, EC),  # one trust domain speaks for no other
]


@pytest.mark.requirement("R2.2", "R2.6")
@pytest.mark.parametrize(("claims", "header", "key"), BAD_SVIDS, ids=range(len(BAD_SVIDS)))
def test_any_other_svid_authenticates_nobody(claims: dict[str, Any], header: dict[str, Any], key: Any) -> None:
    door = Door()
    assert door.code(door.svid(claims, header, key)) == "assertion_invalid"


def test_an_svid_counts_once_however_its_signature_is_written() -> None:
    door = Door()
    shown = door.svid()
    assert [door.code(shown), door.code(shown)] == ["", "assertion_invalid"]
    signed, _, signature = shown.assertion.rpartition(".")
    again = ClientProof(assertion=f"{signed}.{_other_signature(signature)}", assertion_type=JWT_SPIFFE)
    assert door.code(again) == "assertion_invalid"
    fresh = Door()
    assert fresh.code(again) == ""  # the control: that signature holds as well


def _other_signature(signature: str) -> str:
    """Return the other ECDSA signature of the same text, which anybody can write: (r, n - s)."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    raw = urlsafe_b64decode(signature + "==")
    other = raw[:32] + (order - int.from_bytes(raw[32:])).to_bytes(32)
    return urlsafe_b64encode(other).rstrip(b"=").decode()


def test_an_svid_is_no_assertion_of_the_agents_own_key_nor_the_other_way_round() -> None:
    door = Door()
    shown = door.svid()
    assert door.code(ClientProof(assertion=shown.assertion, assertion_type=JWT_BEARER)) == "assertion_invalid"
    assert door.code(ClientProof(assertion=shown.assertion, assertion_type="")) == "assertion_invalid"
    named = ClientProof(assertion=shown.assertion, assertion_type=JWT_SPIFFE, client_id="other")
    assert door.code(named) == "assertion_invalid"


def certificate(*uris: str, key: EllipticCurvePrivateKey | None = None, ca: bool | None = None, days: int = 1) -> bytes:
    key = key or generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "clerk")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOON)
        .not_valid_after(NOON + timedelta(days=days))
    )
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if ca is not None:
        made = made.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    return made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def thumbprint(der: bytes) -> str:
    return urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def over_tls(der: bytes, client_id: str = "clerk") -> ClientProof:
    return ClientProof(certificate=der, client_id=client_id)


@pytest.mark.requirement("R2.2")
def test_the_very_certificate_that_is_registered_is_the_agent() -> None:
    door, der = Door(), certificate()
    assert door.code(over_tls(der)) == "certificate_unknown"
    door.kept["clerk"] = with_key("", {"kty": X509, "x5t#S256": thumbprint(der)})
    found = AuthenticatedAgent("clerk", thumbprint(der), "self_signed_tls_client_auth")
    assert door.agent(over_tls(der)) == found
    assert door.code(over_tls(certificate())) == "certificate_unknown"
    for other in ("", "other", "Clerk", "../clerk"):
        assert door.code(over_tls(der, other)) == "certificate_unknown"
    door.kept["../clerk"] = door.kept.pop("clerk")
    assert door.code(over_tls(der)) == "certificate_unknown"  # taken away, it is gone at once
    assert door.code(over_tls(der, "../clerk")) == "certificate_unknown"  # what is no name is not even looked up


def test_a_certificate_too_long_is_nobodys_although_it_is_registered() -> None:
    for length, code in ((10_000, ""), (20_000, "certificate_unknown")):
        door, der = Door(), certificate(f"https://example.org/{'a' * length}")
        door.kept["clerk"] = with_key("", {"kty": X509, "x5t#S256": thumbprint(der)})
        assert door.code(over_tls(der)) == code


@pytest.mark.requirement("R2.2")
def test_a_certificate_of_a_workload_is_the_agent_its_id_is_registered_for() -> None:
    door, der = Door(), certificate(CLERK, ca=False)
    assert door.agent(over_tls(der)) == AuthenticatedAgent("clerk", thumbprint(der), "tls_client_auth")
    for client_id in ("", "other", "plain"):
        assert door.code(over_tls(der, client_id)) == "certificate_unknown"


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"x",
        b"x" * 20_000,
        certificate(),
        certificate(SHARED),
        certificate(CLERK, "spiffe://example.org/x"),
        certificate(CLERK, CLERK),
        certificate("https://example.org/clerk"),
        certificate(CLERK, ca=True),  # an authority's is no workload's
        certificate(CLERK) + b"x",
    ],
    ids=range(10),
)
def test_any_other_certificate_is_nobodys(der: bytes) -> None:
    door = Door()
    assert door.code(over_tls(der)) == ("certificate_unknown" if der else "assertion_missing")


def test_a_connection_that_outlasts_its_certificate_authenticates_nobody() -> None:
    door, der = Door(), certificate(CLERK)
    door.clock.advance(timedelta(days=1) - SECOND)
    assert door.code(over_tls(der)) == ""
    door.clock.advance(2 * SECOND)
    assert door.code(over_tls(der)) == "certificate_unknown"
    early = Door()
    early.clock.advance(-SECOND)
    assert early.code(over_tls(der)) == "certificate_unknown"


def test_beside_a_certificate_an_assertion_is_what_counts() -> None:
    door = Door()
    wrong = ClientProof(assertion="x", assertion_type=JWT_BEARER, certificate=certificate(CLERK), client_id="clerk")
    assert door.code(wrong) == "assertion_invalid"
    svid = door.svid().assertion
    both = ClientProof(assertion=svid, assertion_type=JWT_SPIFFE, certificate=certificate(), client_id="clerk")
    assert door.agent(both).method == "spiffe_jwt"


def test_without_anything_nobody_is_authenticated() -> None:
    assert Door().code(ClientProof(client_id="clerk")) == "assertion_missing"


def test_without_trust_no_svid_counts() -> None:
    door = Door()
    door.agents = AgentAuthentication(AgentKeys(lambda _: ""), ISSUER, door.clock, registrations=lambda: REGISTERED)
    assert door.code(door.svid()) == "assertion_invalid"


def test_an_agent_with_a_workload_identity_can_prove_itself_and_one_with_nothing_cannot() -> None:
    door = Door()
    assert [door.agents.has_key(agent) for agent in ("clerk", "plain", "nobody")] == [True, False, False]
    door.kept["plain"] = with_key("", {"kty": X509, "x5t#S256": thumbprint(b"x")})
    assert door.agents.has_key("plain")


def test_the_token_service_stands_behind_both_ports() -> None:
    door = Door()
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    service = TokenService(TaskTokens(key, ISSUER, f"{ISSUER}/mcp", door.clock), door.agents)
    hands: Hands = service
    exchange: Exchange = service
    assert hands.has_key("clerk")
    assert asyncio.run(exchange.agent(door.svid())).name == "clerk"
