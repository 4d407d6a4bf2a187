"""Token mutants: what an attacker makes of our tokens, of agents' assertions and of proofs; each refused by its code.

Every family has a control that passes, so that a refusal is known to come from the one thing that was changed.
"""

import asyncio
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from remit.adapters.oauth import (
    JWT_BEARER,
    AgentAuthentication,
    AgentKeys,
    DevelopmentIssuer,
    DpopProofs,
    TaskTokens,
    TokenService,
)
from remit.core import Authority, Json, Task
from remit.identity import ClientProof, Person, Presented, TokenRefusedError, token_endpoint, with_key
from remit.testing import NOON, ManualClock, seeded

ISSUER = "http://127.0.0.1:8700"
MCP, ENDPOINT, ADMIN = f"{ISSUER}/mcp", token_endpoint(ISSUER), "http://127.0.0.1:8701"
NOW = int(NOON.timestamp())


def ed25519(seed: int) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)


OURS, TOOLS, PEOPLE, CLERK, OTHER, EVE = map(ed25519, range(1, 7))
HOLDER = OKPKey.import_key(ed25519(7))
EVE_EC = ECKey.generate_key("P-256")
EVE_RSA = RSAKey.generate_key(2048)
SMALL_RSA = {"kty": "RSA", "e": "AQAB", "n": urlsafe_b64encode(((1 << 1023) + 1).to_bytes(128)).rstrip(b"=").decode()}
TASK = Task(
    id="t_1",
    user="tom",
    agent="clerk",
    use_case="serve",
    opened_at=NOON,
    expires_at=NOON + timedelta(hours=1),
    authority=Authority(operations=frozenset({"look"}), calls_max=5),
    chain=("tracker",),
    parent="t_0",
)


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(value: Any) -> str:
    return b64(value if isinstance(value, bytes) else json.dumps(value).encode())


def digest(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


def public(key: Ed25519PrivateKey) -> dict[str, Json]:
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}


def kid(key: Ed25519PrivateKey) -> str:
    return OKPKey.import_key(key).thumbprint()


def changed(kept: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {name: value for name, value in {**kept, **members}.items() if value is not ...}


def sign(claims: Any, header: Any, key: Ed25519PrivateKey) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{b64(key.sign(text.encode()))}"


def sign_as(alg: str, key: ECKey | RSAKey | OKPKey, claims: Any, header: Any) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{b64(jws.JWSRegistry.algorithms[alg].sign(text.encode(), key))}"


def mac(claims: Any, header: Any, secret: bytes) -> str:
    text = f"{part(header)}.{part(claims)}"
    return f"{text}.{b64(hmac.digest(secret, text.encode(), 'sha256'))}"


def read(token: str, at: int) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[at] + "=="))
    return said


def edited(token: str, **claims: Any) -> str:
    """Change what a token says, and keep its signature."""
    header, _, signature = token.split(".")
    return f"{header}.{part(changed(read(token, 1), **claims))}.{signature}"


def doubled(kept: dict[str, Any], name: str, first: Any) -> bytes:
    """Write an object in which a member comes twice."""
    return (f'{{"{name}":{json.dumps(first)},' + json.dumps(kept)[1:]).encode()


class Gate:
    """A gateway's own doors at noon: at /mcp, and at the token endpoint."""

    def __init__(self) -> None:
        clock = ManualClock()
        self.proofs = DpopProofs(clock, random=seeded(1))
        self.tasks = TaskTokens(OURS, ISSUER, MCP, clock, proofs=self.proofs)
        kept = {"clerk": with_key("", public(CLERK)), "other": with_key("", public(OTHER))}
        agents = AgentAuthentication(AgentKeys(lambda agent: kept.get(agent, "")), ISSUER, clock)
        self.service = TokenService(self.tasks, agents)
        self.people = DevelopmentIssuer(PEOPLE, f"{ADMIN}/development", clock)

    def at_mcp(self, token: str) -> object:
        return asyncio.run(self.tasks.delegation(Presented(token)))

    def at_exchange(self, token: str) -> object:
        return self.service.exchanged(token)

    def at_handing_on(self, token: str) -> object:
        return self.service.handed_on(token)

    def at_client_authentication(self, assertion: str) -> object:
        return asyncio.run(self.service.agent(ClientProof(assertion=assertion, assertion_type=JWT_BEARER)))

    def at_mcp_with(self, proof: str) -> object:
        return asyncio.run(self.tasks.delegation(Presented(BOUND, "dpop", proof, "POST", MCP)))


MINT = Gate()
GOOD = MINT.tasks.mint(TASK, keys=(kid(CLERK),))
BOUND = MINT.tasks.mint(TASK, keys=(kid(CLERK),), bound=HOLDER.thumbprint())
DELEGATED = MINT.tasks.delegate(TASK)
LOGIN = MINT.people.mint(Person("tom", frozenset({"user"})), MCP)
SAYS, DELEGATES = read(GOOD, 1), read(DELEGATED, 1)
AT_JWT, DELEGATION = {"alg": "Ed25519", "typ": "at+jwt"}, {"alg": "Ed25519", "typ": "delegation+jwt"}
TOOL = sign(
    {**SAYS, "aud": "http://127.0.0.1:9301/mcp", "exp": NOW + 120, "jti": "0" * 32},
    {**AT_JWT, "kid": kid(TOOLS)},
    TOOLS,
)
ASSERTS = {"iss": "clerk", "sub": "clerk", "aud": ENDPOINT, "jti": "a", "iat": NOW, "exp": NOW + 60}
BY_CLERK = {"alg": "Ed25519", "kid": kid(CLERK)}
ASSERTION = sign(ASSERTS, BY_CLERK, CLERK)
PROVES = {"jti": "a", "htm": "POST", "htu": MCP, "iat": NOW, "ath": digest(BOUND)}
JWK = {name: value for name, value in HOLDER.as_dict(private=False).items() if name in ("kty", "crv", "x")}
PROOF_HEADER = {"typ": "dpop+jwt", "alg": "Ed25519", "jwk": JWK}
PEM = OURS.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
RAW = OURS.public_key().public_bytes_raw()


def prove(header: dict[str, Any] | None = None, **claims: Any) -> str:
    return sign_as("Ed25519", HOLDER, changed(PROVES, **claims), changed(PROOF_HEADER, **(header or {})))


def forged(says: dict[str, Any], header: dict[str, str]) -> dict[str, str]:
    """Make tokens that were never signed by us, in every way to have them taken for ours."""
    return {
        "alg none": f"{part({**header, 'alg': 'none'})}.{part(says)}.",
        "alg none with a signature": sign(says, {**header, "alg": "none"}, EVE),
        "alg NONE": f"{part({**header, 'alg': 'NONE'})}.{part(says)}.",
        "no alg": sign(says, changed(header, alg=...), OURS),
        "hmac with our public key": mac(says, {**header, "alg": "HS256"}, RAW),
        "hmac with our public key as pem": mac(says, {**header, "alg": "HS256"}, PEM),
        "hmac under our own alg": mac(says, header, RAW),
        "another algorithm, es256": sign_as("ES256", EVE_EC, says, {**header, "alg": "ES256"}),
        "another algorithm, rs256": sign_as("RS256", EVE_RSA, says, {**header, "alg": "RS256"}),
        "es256 under our own alg": sign_as("ES256", EVE_EC, says, header),
        "another key": sign(says, header, EVE),
        "the tools' key": sign(says, header, TOOLS),
        "the people's key": sign(says, header, PEOPLE),
        "an agent's key": sign(says, header, CLERK),
        "jwk in the header": sign(says, {**header, "jwk": public(EVE)}, EVE),
        "jku in the header": sign(says, {**header, "jku": "http://eve.example/jwks"}, EVE),
        "x5u in the header": sign(says, {**header, "x5u": "http://eve.example/x"}, EVE),
        "x5c in the header": sign(says, {**header, "x5c": ["x"]}, EVE),
        "kid of the attacker": sign(says, {**header, "kid": kid(EVE)}, EVE),
        "kid that is a path": sign(says, {**header, "kid": "../../dev/null"}, EVE),
        "kid that is a query": sign(says, {**header, "kid": "' or 1=1 --"}, EVE),
        "crit that nobody knows": sign(says, {**header, "crit": ["x"], "x": 1}, OURS),
        "unencoded payload": sign(says, {**header, "crit": ["b64"], "b64": False}, OURS),
        "compressed": sign(says, {**header, "zip": "DEF"}, OURS),
        "alg twice in the header": sign(says, doubled(header, "alg", "none"), OURS),
        "sub twice": sign(doubled(says, "sub", "eve"), header, OURS),
        "exp twice": sign(doubled(says, "exp", NOW + 99_999), header, OURS),
        "iss of another": sign({**says, "iss": "http://eve.example"}, header, OURS),
        "iss with a stroke": sign({**says, "iss": f"{ISSUER}/"}, header, OURS),
        "from the future": sign({**says, "iat": NOW + 31}, header, OURS),
        "made at no time": sign(changed(says, iat=...), header, OURS),
        "never expires": sign(changed(says, exp=...), header, OURS),
        "expires at a fraction": sign({**says, "exp": NOW + 60.5}, header, OURS),
    }


def tampered(token: str) -> dict[str, str]:
    """Change what one of our tokens says, and keep its signature."""
    head, body, signature = token.split(".")
    [details] = read(token, 1)["authorization_details"]
    wider = [{**changed(details, limits=...), "operations": ["look", "pay"]}]
    return {
        "swapped sub": edited(token, sub="eve"),
        "swapped use case": edited(token, use_case="admin"),
        "swapped txn": edited(token, txn="t_2"),
        "longer life": edited(token, exp=NOW + 99_999),
        "widened authorization_details": edited(token, authorization_details=wider),
        "stripped authorization_details": edited(token, authorization_details=...),
        "signature cut off": f"{head}.{body}.",
        "signature cut short": f"{head}.{body}.{signature[:-8]}",
        "signature of another token": f"{head}.{body}.{TOOL.rpartition('.')[2]}",
        "without a signature part": f"{head}.{body}",
        "with a part more": f"{token}.{signature}",
        "padded": f"{head}.{body}=.{signature}",
        "with a line feed": f"{token}\n",
    }


AT_MCP: dict[str, tuple[str, str]] = {
    **{name: (token, "token_invalid") for name, token in (forged(SAYS, AT_JWT) | tampered(GOOD)).items()},
    "stripped act": (edited(GOOD, act=...), "token_invalid"),
    "swapped act": (edited(GOOD, act={"sub": "other"}), "token_invalid"),
    "act without the chain": (edited(GOOD, act={"sub": "clerk"}), "token_invalid"),
    "act as its own chain": (edited(GOOD, act={"sub": "tracker", "act": {"sub": "clerk"}}), "token_invalid"),
    "swapped client": (edited(GOOD, client_id="other"), "token_invalid"),
    "changed remit_keys": (edited(GOOD, remit_keys=[kid(OTHER)]), "token_invalid"),
    "stripped remit_keys": (edited(GOOD, remit_keys=...), "token_invalid"),
    "stripped cnf": (edited(BOUND, cnf=...), "token_invalid"),
    "cnf of the attacker": (edited(BOUND, cnf={"jkt": kid(EVE)}), "token_invalid"),
    "cnf put on": (edited(GOOD, cnf={"jkt": kid(EVE)}), "token_invalid"),
    "act that names no agent, though signed": (sign({**SAYS, "act": {}}, AT_JWT, OURS), "token_invalid"),
    "act nested without end, though signed": (
        sign({**SAYS, "act": json.loads('{"sub":"clerk","act":' * 6 + '{"sub":"a"}' + "}" * 6)}, AT_JWT, OURS),
        "token_invalid",
    ),
    "expired": (sign({**SAYS, "exp": NOW}, AT_JWT, OURS), "token_expired"),
    "another audience": (sign({**SAYS, "aud": ADMIN}, AT_JWT, OURS), "token_audience"),
    "audience among others": (sign({**SAYS, "aud": [MCP, ADMIN]}, AT_JWT, OURS), "token_audience"),
    "audience missing": (sign(changed(SAYS, aud=...), AT_JWT, OURS), "token_audience"),
    "a delegation token": (DELEGATED, "token_audience"),
    "a delegation token for /mcp": (sign({**DELEGATES, "aud": MCP}, DELEGATION, OURS), "token_audience"),
    "a tool token": (TOOL, "token_invalid"),
    "a tool token for /mcp": (sign(SAYS, {**AT_JWT, "kid": kid(TOOLS)}, TOOLS), "token_invalid"),
    "a person's token for /mcp": (LOGIN, "token_invalid"),
    "an agent's assertion": (ASSERTION, "token_invalid"),
    "a dpop proof": (prove(), "token_invalid"),
    "a bound token as bearer": (BOUND, "dpop_required"),
}

AT_EXCHANGE: dict[str, tuple[str, str]] = {
    **{
        name: (token, "subject_token_invalid")
        for name, token in (forged(DELEGATES, DELEGATION) | tampered(DELEGATED)).items()
    },
    "stripped may_act": (edited(DELEGATED, may_act=...), "subject_token_invalid"),
    "swapped may_act": (edited(DELEGATED, may_act={"sub": "other"}), "subject_token_invalid"),
    "stripped chain": (edited(DELEGATED, act=...), "subject_token_invalid"),
    "may_act of two, though signed": (
        sign({**DELEGATES, "may_act": {"sub": "clerk", "act": {"sub": "other"}}}, DELEGATION, OURS),
        "subject_token_invalid",
    ),
    "chain of nobody, though signed": (sign({**DELEGATES, "act": {}}, DELEGATION, OURS), "subject_token_invalid"),
    "expired": (sign({**DELEGATES, "exp": NOW}, DELEGATION, OURS), "token_expired"),
    "another audience": (sign({**DELEGATES, "aud": MCP}, DELEGATION, OURS), "subject_token_invalid"),
    "a task token": (GOOD, "subject_token_invalid"),
    "a task token for the endpoint": (sign({**SAYS, "aud": ENDPOINT}, AT_JWT, OURS), "subject_token_invalid"),
    "a tool token": (TOOL, "subject_token_invalid"),
    "a person's token": (LOGIN, "subject_token_invalid"),
    "an agent's assertion": (ASSERTION, "subject_token_invalid"),
}

AT_HANDING_ON: dict[str, tuple[str, str]] = {
    "a delegation token": (DELEGATED, "subject_token_invalid"),
    "a tool token": (TOOL, "subject_token_invalid"),
    "a person's token": (LOGIN, "subject_token_invalid"),
    "another key": (sign(SAYS, AT_JWT, EVE), "subject_token_invalid"),
    "a longer chain": (edited(GOOD, act={"sub": "clerk", "act": {"sub": "boss"}}), "subject_token_invalid"),
    "expired": (sign({**SAYS, "exp": NOW}, AT_JWT, OURS), "token_expired"),
}

ASSERTIONS: dict[str, str] = {
    "another agent's key": sign(ASSERTS, {"alg": "Ed25519", "kid": kid(OTHER)}, OTHER),
    "another agent's key under the own kid": sign(ASSERTS, BY_CLERK, OTHER),
    "another agent's name": sign({**ASSERTS, "iss": "other", "sub": "other"}, BY_CLERK, CLERK),
    "issued by another": sign({**ASSERTS, "iss": "other"}, BY_CLERK, CLERK),
    "an unknown agent": sign({**ASSERTS, "iss": "eve", "sub": "eve"}, {"alg": "Ed25519", "kid": kid(EVE)}, EVE),
    "an unknown kid": sign(ASSERTS, {"alg": "Ed25519", "kid": kid(EVE)}, EVE),
    "kid that is a path": sign(ASSERTS, {"alg": "Ed25519", "kid": "../clerk"}, EVE),
    "no kid": sign(ASSERTS, {"alg": "Ed25519"}, CLERK),
    "jwk in the header": sign(ASSERTS, {**BY_CLERK, "jwk": public(EVE)}, EVE),
    "jku in the header": sign(ASSERTS, {**BY_CLERK, "jku": "http://eve.example"}, EVE),
    "alg none": f"{part({**BY_CLERK, 'alg': 'none'})}.{part(ASSERTS)}.",
    "hmac with the public key": mac(ASSERTS, {**BY_CLERK, "alg": "HS256"}, CLERK.public_key().public_bytes_raw()),
    "es256 with an ed25519 kid": sign_as("ES256", EVE_EC, ASSERTS, {**BY_CLERK, "alg": "ES256"}),
    "rs256": sign_as("RS256", EVE_RSA, ASSERTS, {**BY_CLERK, "alg": "RS256"}),
    "typ of a task token": sign(ASSERTS, {**BY_CLERK, "typ": "at+jwt"}, CLERK),
    "typ of a proof": sign(ASSERTS, {**BY_CLERK, "typ": "dpop+jwt"}, CLERK),
    "another audience": sign({**ASSERTS, "aud": MCP}, BY_CLERK, CLERK),
    "two audiences": sign({**ASSERTS, "aud": [ENDPOINT, "http://eve.example"]}, BY_CLERK, CLERK),
    "expired": sign({**ASSERTS, "exp": NOW}, BY_CLERK, CLERK),
    "too long a life": sign({**ASSERTS, "exp": NOW + 301}, BY_CLERK, CLERK),
    "from the future": sign({**ASSERTS, "iat": NOW + 31}, BY_CLERK, CLERK),
    "not yet begun": sign({**ASSERTS, "nbf": NOW + 31}, BY_CLERK, CLERK),
    "from before the start": sign({**ASSERTS, "iat": NOW - 1}, BY_CLERK, CLERK),
    "no jti": sign(changed(ASSERTS, jti=...), BY_CLERK, CLERK),
    "a jti too long": sign({**ASSERTS, "jti": "a" * 129}, BY_CLERK, CLERK),
    "sub twice": sign(doubled(ASSERTS, "sub", "other"), BY_CLERK, CLERK),
    "swapped sub": edited(ASSERTION, sub="other", iss="other"),
    "a task token": GOOD,
    "a delegation token": DELEGATED,
    "a tool token": TOOL,
}

INVALID = "dpop_proof_invalid"
PROOFS: dict[str, tuple[str, str]] = {
    "another address": (prove(htu=f"{ISSUER}/oauth/token"), INVALID),
    "another host": (prove(htu="http://eve.example/mcp"), INVALID),
    "another scheme": (prove(htu="https://127.0.0.1:8700/mcp"), INVALID),
    "no address": (prove(htu=...), INVALID),
    "another method": (prove(htm="GET"), INVALID),
    "the method in small letters": (prove(htm="post"), INVALID),
    "no method": (prove(htm=...), INVALID),
    "old": (prove(iat=NOW - 61), INVALID),
    "from the future": (prove(iat=NOW + 31), INVALID),
    "made at no time": (prove(iat=...), INVALID),
    "made at a fraction": (prove(iat=NOW + 0.5), INVALID),
    "made at true": (prove(iat=True), INVALID),
    "no jti": (prove(jti=...), INVALID),
    "an empty jti": (prove(jti=""), INVALID),
    "a jti too long": (prove(jti="a" * 129), INVALID),
    "a jti that is a list": (prove(jti=["a"]), INVALID),
    "no ath": (prove(ath=...), INVALID),
    "ath of another token": (prove(ath=digest(GOOD)), INVALID),
    "ath that is the token": (prove(ath=BOUND), INVALID),
    "ath with padding": (prove(ath=f"{digest(BOUND)}="), INVALID),
    "from before the start": (prove(iat=NOW - 1), "dpop_nonce_required"),
    "a nonce that is not ours": (prove(nonce="x"), "dpop_nonce_required"),
    "an empty nonce": (prove(nonce=""), "dpop_nonce_required"),
    "another key": (
        sign_as("ES256", EVE_EC, PROVES, {"typ": "dpop+jwt", "alg": "ES256", "jwk": EVE_EC.as_dict(private=False)}),
        INVALID,
    ),
    "signed by another key": (sign(PROVES, PROOF_HEADER, EVE), INVALID),
    "the private key in it": (prove({"jwk": {**JWK, "d": b64(bytes([7]) * 32)}}), INVALID),
    "an empty private part in it": (prove({"jwk": {**JWK, "d": ""}}), INVALID),
    "a shared key": (
        mac(PROVES, {**PROOF_HEADER, "alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, bytes(3)),
        INVALID,
    ),
    "hmac with the public key": (
        mac(PROVES, {**PROOF_HEADER, "alg": "HS256"}, urlsafe_b64decode(f"{JWK['x']}=")),
        INVALID,
    ),
    "alg none": (f"{part({**PROOF_HEADER, 'alg': 'none'})}.{part(PROVES)}.", INVALID),
    "an alg that does not fit the key": (prove({"alg": "ES256"}), INVALID),
    "an alg that the key says is another": (prove({"jwk": {**JWK, "alg": "ES256"}}), INVALID),
    "a key too small": (
        sign(PROVES, {**PROOF_HEADER, "alg": "RS256", "jwk": SMALL_RSA}, EVE),
        INVALID,
    ),
    "a key anybody can sign for": (
        f"{part({**PROOF_HEADER, 'jwk': {**JWK, 'x': b64(bytes([1]) + bytes(31))}})}.{part(PROVES)}."
        + b64(bytes([1]) + bytes(63)),
        INVALID,
    ),
    "a key of another curve": (prove({"jwk": {**JWK, "crv": "X25519"}}), INVALID),
    "no key": (prove({"jwk": ...}), INVALID),
    "a kid instead": (prove({"jwk": ..., "kid": HOLDER.thumbprint()}), INVALID),
    "a kid besides": (prove({"kid": HOLDER.thumbprint()}), INVALID),
    "an address of a key": (prove({"jku": "http://eve.example"}), INVALID),
    "crit": (prove({"crit": ["x"], "x": 1}), INVALID),
    "typ JWT": (prove({"typ": "JWT"}), INVALID),
    "no typ": (prove({"typ": ...}), INVALID),
    "htu twice": (
        sign_as("Ed25519", HOLDER, doubled(PROVES, "htu", "http://eve.example/mcp"), PROOF_HEADER),
        INVALID,
    ),
    "jwk twice": (sign_as("Ed25519", HOLDER, PROVES, doubled(PROOF_HEADER, "jwk", public(EVE))), INVALID),
    "changed after it was signed": (edited(prove(htu=f"{ISSUER}/x"), htu=MCP), INVALID),
    "no object": (sign_as("Ed25519", HOLDER, [PROVES], PROOF_HEADER), INVALID),
    "two proofs": (f"{prove()},{prove(jti='b')}", INVALID),
    "too long": (prove(x="a" * 4_096), INVALID),
    "a task token": (GOOD, INVALID),
    "an assertion": (ASSERTION, INVALID),
    "letters": ("x", INVALID),
    "none": ("", "dpop_required"),
}

MUTANTS: list[tuple[str, Callable[[Gate, str], object], str, str]] = [
    *((f"at /mcp: {name}", Gate.at_mcp, *mutant) for name, mutant in AT_MCP.items()),
    *((f"at the exchange: {name}", Gate.at_exchange, *mutant) for name, mutant in AT_EXCHANGE.items()),
    *((f"handed on: {name}", Gate.at_handing_on, *mutant) for name, mutant in AT_HANDING_ON.items()),
    *(
        (f"assertion: {name}", Gate.at_client_authentication, mutant, "assertion_invalid")
        for name, mutant in ASSERTIONS.items()
    ),
    *((f"proof: {name}", Gate.at_mcp_with, *mutant) for name, mutant in PROOFS.items()),
]


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(("door", "mutant", "code"), [each[1:] for each in MUTANTS], ids=[each[0] for each in MUTANTS])
def test_a_mutant_is_refused_by_its_code_and_never_repeated(
    door: Callable[[Gate, str], object], mutant: str, code: str
) -> None:
    with pytest.raises(TokenRefusedError) as caught:
        door(Gate(), mutant)
    assert caught.value.code == code
    assert caught.value.fix
    assert len(mutant) < 20 or mutant not in f"{caught.value} {caught.value.message} {caught.value.fix}"


def test_there_are_enough_mutants_and_no_two_are_alike() -> None:
    assert len(MUTANTS) >= 80
    assert len({(door, mutant) for _, door, mutant, _ in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize(
    ("door", "good"),
    [
        (Gate.at_mcp, GOOD),
        (Gate.at_mcp, sign(SAYS, AT_JWT, OURS)),
        (Gate.at_exchange, DELEGATED),
        (Gate.at_exchange, sign(DELEGATES, DELEGATION, OURS)),
        (Gate.at_handing_on, GOOD),
        (Gate.at_handing_on, BOUND),
        (Gate.at_client_authentication, ASSERTION),
        (Gate.at_client_authentication, sign(ASSERTS, {**BY_CLERK, "typ": "JWT"}, CLERK)),
        (Gate.at_mcp_with, prove()),
        (Gate.at_mcp_with, prove(nonce=MINT.proofs.nonce())),
        (Gate.at_mcp_with, prove({"jwk": {**JWK, "kid": "mine", "use": "sig", "alg": "EdDSA"}, "alg": "EdDSA"})),
    ],
    ids=range(11),
)
def test_what_the_mutants_were_made_of_is_taken(door: Callable[[Gate, str], object], good: str) -> None:
    """The controls: signed by this file's own hand where mutants are, so that the hand is known to be right."""
    door(Gate(), good)


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(("door", "once"), [(Gate.at_client_authentication, ASSERTION), (Gate.at_mcp_with, prove())])
def test_what_counts_once_is_refused_the_second_time(door: Callable[[Gate, str], object], once: str) -> None:
    gate = Gate()
    door(gate, once)
    with pytest.raises(TokenRefusedError) as caught:
        door(gate, once)
    assert caught.value.code in {"assertion_invalid", "dpop_proof_replayed"}
