"""`POST /oauth/token`: the agent a task was opened for gets its token, and nobody gets anything else.

Every mutant differs from the honest request in one thing, and is signed with the right key unless that is the one
thing. After each refusal nothing was minted.
"""

import asyncio
import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tests.surfaces.oauth.oauth_stage import Stage

from remit.adapters.oauth import (
    AgentAuthentication,
    AgentKeys,
    DevelopmentIssuer,
    DpopProofs,
    TaskTokens,
    Tokens,
    TokenService,
    ToolTokens,
)
from remit.catalogue import Tool
from remit.core import Delegation, JsonObject, Level, Revocation, Task
from remit.identity import (
    Exchange,
    Person,
    Presented,
    Registration,
    TokenRefusedError,
    read_agent_key,
    token_endpoint,
    with_key,
)
from remit.surfaces._http import Door
from remit.surfaces.data import DataPlane
from remit.surfaces.oauth import Published, TokenPorts, oauth_routes
from remit.testing import NOON, FailingStore, ManualClock, MemoryStore, desk_call, desk_task

HOST = "127.0.0.1:8700"
ISSUER = f"http://{HOST}"
MCP = f"{ISSUER}/mcp"
ENDPOINT = token_endpoint(ISSUER)
NOW = int(NOON.timestamp())
TASK = desk_task()
TOM = Person("tom", frozenset({"user"}))
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

TASK_KEY, TOOL_KEY, PEOPLE_KEY, CLERK_KEY, OTHER_KEY, STRAY_KEY = (
    Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32) for seed in range(1, 7)
)


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def jwk(key: Ed25519PrivateKey) -> JsonObject:
    return read_agent_key({"kty": "OKP", "crv": "Ed25519", "x": part(key.public_key().public_bytes_raw())})


def kid(key: Ed25519PrivateKey) -> str:
    return str(jwk(key)["kid"])


def sign(header: Any, claims: Any, key: Ed25519PrivateKey | Ed448PrivateKey) -> str:
    said = f"{part(header)}.{part(claims)}"
    return f"{said}.{part(key.sign(said.encode()))}"


def changed(kept: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**kept, **changes}.items() if value is not ...}


HEADER = {"alg": "Ed25519", "typ": "JWT", "kid": kid(CLERK_KEY)}
CLAIMS = {"iss": "clerk", "sub": "clerk", "aud": ENDPOINT, "jti": "a-1", "iat": NOW, "exp": NOW + 60}


def assertion(header: dict[str, Any] | None = None, /, key: Ed25519PrivateKey = CLERK_KEY, **claims: Any) -> str:
    """Return the honest assertion with changes; `...` leaves something out."""
    return sign(changed(HEADER, header or {}), changed(CLAIMS, claims), key)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    json: Any


class Counted:
    """The exchange as it is; every task token that it makes is put in `minted`."""

    def __init__(self, service: Exchange, minted: list[str]) -> None:
        self.agent = service.agent
        self.exchanged = service.exchanged
        self.handed_on = service.handed_on
        self._mint = service.mint
        self._minted = minted

    def mint(self, task: Task, *, keys: tuple[str, ...] = (), bound: str = "", certificate: str = "") -> str:
        self._minted.append(self._mint(task, keys=keys, bound=bound, certificate=certificate))
        return self._minted[-1]


class Service:
    """The token service behind the data plane. `minted` is every task token it made."""

    def __init__(self, store: MemoryStore | FailingStore | None = None) -> None:
        self.clock = ManualClock()
        self.log = MemoryStore()
        self.proofs = DpopProofs(self.clock)
        self.tokens = TaskTokens(TASK_KEY, ISSUER, MCP, self.clock, proofs=self.proofs)
        self.people = DevelopmentIssuer(PEOPLE_KEY, ISSUER, self.clock)
        self.tools = ToolTokens(TOOL_KEY, ISSUER)
        self.kept = {"clerk": with_key("", jwk(CLERK_KEY)), "other": with_key("", jwk(OTHER_KEY))}
        keys = AgentKeys(lambda agent: self.kept.get(agent, ""))
        self.service = TokenService(self.tokens, AgentAuthentication(keys, ISSUER, self.clock))
        self.minted: list[str] = []
        self.open: dict[str, Task] = {TASK.id: TASK}
        self.revoked: dict[str, str] = {}
        stage = Stage()
        ports = TokenPorts(
            exchange=Counted(self.service, self.minted),
            logins=Tokens(self.tokens, self.people, {TOM.name: TOM}),
            assertions=None,
            proofs=self.proofs,
            opening=stage.opening,
            ending=stage.desk.controls,
            registrations=lambda: {"clerk": Registration(bearer=True), "other": Registration(bearer=True)},
            task_of=self.open.get,
            revoked=self._revocation,
            issuer=ISSUER,
            audience=MCP,
            ledger=self.log if store is None else store,
            clock=self.clock,
        )
        self.plane = DataPlane(Door([HOST]), oauth_routes(ports, Published(jwks=self.tools.jwks())), dict)

    def _revocation(self, delegation: Delegation) -> Revocation | None:
        why = self.revoked.get(delegation.agent)
        return Revocation("agent", delegation.agent, why) if why else None

    def delegated(self, token: str) -> Delegation:
        """Return what a task token says where it is borne."""
        return asyncio.run(self.tokens.delegation(Presented(token)))

    @property
    def honest(self) -> dict[str, str]:
        return {
            "grant_type": EXCHANGE,
            "subject_token": self.tokens.delegate(TASK),
            "subject_token_type": JWT,
            "client_assertion_type": JWT_BEARER,
            "client_assertion": assertion(),
        }

    def exchange(self, **changes: Any) -> Answer:
        """Send the honest request with changes; `...` leaves something out."""
        return self.post(urlencode(changed(self.honest, changes)).encode())

    def post(
        self, body: bytes, *lines: tuple[bytes, bytes], media: bytes = b"application/x-www-form-urlencoded"
    ) -> Answer:
        return self.ask("POST", "/oauth/token", body, (b"content-type", media), *lines)

    def ask(self, method: str, path: str, body: bytes = b"", *lines: tuple[bytes, bytes]) -> Answer:
        sent: list[Any] = []
        headers = [(b"host", HOST.encode()), (b"content-length", b"%d" % len(body)), *lines]
        scope = {"type": "http", "method": method, "path": path, "headers": headers}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.plane(scope, receive, send))
        start, end = sent
        said = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], said, json.loads(end["body"]))

    def records(self) -> list[tuple[str, str]]:
        leaves = [json.loads(entry.leaf) for entry in self.log.log]
        assert all((leaf["kind"], leaf["surface"]) == ("refused", "oauth") for leaf in leaves)
        assert all(leaf["task"] in (TASK.id, "") for leaf in leaves)
        return [(leaf["agent"], leaf["code"]) for leaf in leaves]


ERRORS = {
    "assertion_invalid": (401, "invalid_client"),
    "assertion_missing": (401, "invalid_client"),
    "client_secret_refused": (401, "invalid_client"),
    "grant_type_unsupported": (400, "unsupported_grant_type"),
    "audience_unknown": (400, "invalid_target"),
    "scope_unsupported": (400, "invalid_scope"),
    "content_type_refused": (415, "invalid_request"),
    "body_too_large": (413, "invalid_request"),
}


def refused(service: Service, answer: Answer) -> str:
    """Check the form of a refusal, and that it is one; return its code."""
    said = answer.json
    assert said.keys() == {"error", "error_description", "code", "fix"}
    assert (answer.status, said["error"]) == ERRORS.get(said["code"], (400, "invalid_request"))
    assert all(said.values())
    assert re.fullmatch(r"[ !#-\[\]-~]+", said["error_description"])  # RFC 6749, section 5.2
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)
    assert service.minted == []
    return str(said["code"])


# --- the honest request ----------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.2", "R2.4")
def test_the_agent_of_a_task_exchanges_its_delegation_for_the_task_token() -> None:
    service = Service()
    answer = service.exchange()
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    token = answer.json.pop("access_token")
    assert answer.json == {
        "issued_token_type": ACCESS_TOKEN,
        "token_type": "Bearer",
        "expires_in": 3_600,
        "authorization_details": [
            {"type": "agent_task", "use_case": "serve", "expires_at": "2026-11-22T13:00:00.000000Z"}
        ],
    }
    assert service.minted == [token]
    assert service.delegated(token) == Delegation(
        user="tom",
        agent="clerk",
        task=TASK.id,
        use_case="serve",
        expires_at=TASK.expires_at,
        level=Level.TASK,
        keys=(kid(CLERK_KEY),),
    )
    assert service.records() == []


def test_what_a_client_may_add_or_leave_out_changes_nothing() -> None:
    for changes in (
        {"client_id": "clerk"},
        {"audience": MCP},
        {"resource": MCP},
        {"requested_token_type": ACCESS_TOKEN},
        {"scope": "", "actor_token": "", "authorization_details": ""},  # without a value is as good as not sent
        {"unknown": "ignored"},
        {"client_assertion": assertion({"typ": ...})},
        {"client_assertion": assertion({"alg": "EdDSA"})},
        {"client_assertion": assertion({"alg": "EdDSA", "typ": ...})},
        {"client_assertion": assertion(aud=[ENDPOINT])},
        {"client_assertion": assertion(jti="x")},
        {"client_assertion": assertion(jti="x" * 128)},
        {"client_assertion": assertion(exp=NOW + 300)},
        {"client_assertion": assertion(iat=NOW + 30, exp=NOW + 330)},
        {"client_assertion": assertion(exp=NOW + 1)},
        {"client_assertion": assertion(nbf=NOW, more={"a": 1})},
    ):
        assert Service().exchange(**changes).status == 200, changes


def test_the_token_lives_as_long_as_its_task_and_no_longer() -> None:
    service = Service()
    service.clock.advance(timedelta(minutes=59, seconds=30))
    later = NOW + 59 * 60 + 30
    answer = service.exchange(client_assertion=assertion(iat=later, exp=later + 60))
    assert answer.json["expires_in"] == 30
    assert service.delegated(answer.json["access_token"]).expires_at == TASK.expires_at


# --- the assertion ---------------------------------------------------------------------------------------------------

HONEST = assertion()
X448 = Ed448PrivateKey.from_private_bytes(bytes(57))
ASSERTIONS: list[tuple[str, str]] = [
    ("a word", "canary"),
    ("dots", ".."),
    ("four parts", f"{HONEST}.x"),
    ("too long", "a" * 5_000),
    ("not ASCII", f"{HONEST}\u00e9"),
    ("the delegation itself", "<delegation>"),
    ("signature cut", HONEST[:-4]),
    ("signature gone", HONEST.rpartition(".")[0] + "."),
    ("payload swapped", ".".join([HONEST.split(".")[0], part({**CLAIMS, "jti": "b"}), HONEST.split(".")[2]])),
    ("payload padded", HONEST.replace(".", "=.", 1)),
    ("claims a list", sign(HEADER, [], CLERK_KEY)),
    ("claims not JSON", sign(HEADER, b"{", CLERK_KEY)),
    ("claims not UTF-8", sign(HEADER, b"\xff", CLERK_KEY)),
    ("claims deep", sign(HEADER, b"[" * 2_000, CLERK_KEY)),
    ("a claim twice", sign(HEADER, json.dumps(CLAIMS).encode().replace(b"{", b'{"sub":"other",', 1), CLERK_KEY)),
    ("header a list", sign([], CLAIMS, CLERK_KEY)),
    ("header not JSON", sign(b"{", CLAIMS, CLERK_KEY)),
    ("alg twice", sign(json.dumps(HEADER).encode().replace(b"{", b'{"alg":"none",', 1), CLAIMS, CLERK_KEY)),
    ("alg none", assertion({"alg": "none"})),
    ("alg none unsigned", f"{part({**HEADER, 'alg': 'none'})}.{HONEST.split('.')[1]}."),
    ("alg HS256", assertion({"alg": "HS256"})),
    ("alg Ed448", assertion({"alg": "Ed448"})),
    ("alg a list", assertion({"alg": ["Ed25519"]})),
    ("alg missing", assertion({"alg": ...})),
    ("alg in capitals", assertion({"alg": "EDDSA"})),
    ("EdDSA by another curve", sign({**HEADER, "alg": "EdDSA"}, CLAIMS, X448)),
    ("typ of a task token", assertion({"typ": "at+jwt"})),
    ("typ of a delegation", assertion({"typ": "delegation+jwt"})),
    ("typ null", assertion({"typ": None})),
    ("kid missing", assertion({"kid": ...})),
    ("kid empty", assertion({"kid": ""})),
    ("kid a number", assertion({"kid": 5})),
    ("kid a list", assertion({"kid": [kid(CLERK_KEY)]})),
    ("kid a path", assertion({"kid": "../../keys/other"})),
    ("kid unknown", assertion({"kid": kid(STRAY_KEY)}, STRAY_KEY)),
    ("kid of another agent", assertion({"kid": kid(OTHER_KEY)}, OTHER_KEY)),
    ("kid of another agent, own signature", assertion({"kid": kid(OTHER_KEY)})),
    ("a key in the header", assertion({"jwk": jwk(STRAY_KEY)}, STRAY_KEY)),
    ("a key address", assertion({"jku": "http://attacker.example"})),
    ("a critical header", assertion({"crit": ["exp"], "exp": 1})),
    ("unencoded payload", assertion({"b64": False, "crit": ["b64"]})),
    ("compressed", assertion({"zip": "DEF"})),
    ("signed by a stray key", assertion(None, STRAY_KEY)),
    ("signed by another agent", assertion(None, OTHER_KEY)),
    ("signed by the task key", assertion(None, TASK_KEY)),
    ("another issuer", assertion(iss="other")),
    ("no issuer", assertion(iss=...)),
    ("issuer a list", assertion(iss=["clerk"])),
    ("another subject", assertion(sub="other")),
    ("an unknown subject", assertion(iss="nobody", sub="nobody")),
    ("no subject", assertion(sub=...)),
    ("subject no name", assertion(iss="../clerk", sub="../clerk")),
    ("subject a list", assertion(sub=["clerk"])),
    ("audience missing", assertion(aud=...)),
    ("audience the issuer with a slash", assertion(aud=f"{ISSUER}/")),
    ("audience /mcp", assertion(aud=MCP)),
    ("audience with a slash", assertion(aud=f"{ENDPOINT}/")),
    ("audience of another", assertion(aud="http://attacker.example/oauth/token")),
    ("two audiences", assertion(aud=[ENDPOINT, "http://attacker.example"])),
    ("an audience twice", assertion(aud=[ENDPOINT, ENDPOINT])),
    ("no audience in the list", assertion(aud=[])),
    ("audience an object", assertion(aud={"url": ENDPOINT})),
    ("expiry missing", assertion(exp=...)),
    ("expiry text", assertion(exp=str(NOW + 60))),
    ("expiry a fraction", assertion(exp=NOW + 60.5)),
    ("expiry true", assertion(exp=True)),
    ("expired now", assertion(iat=NOW, exp=NOW)),
    ("expiry negative", assertion(exp=-1)),
    ("a life of 301 s", assertion(exp=NOW + 301)),
    ("a life of a day", assertion(exp=NOW + 86_400)),
    ("a life without end", assertion(exp=10**30)),
    ("made later", assertion(iat=NOW + 31, exp=NOW + 60)),
    ("made before the start", assertion(iat=NOW - 1)),
    ("made long ago", assertion(iat=0)),
    ("moment of making missing", assertion(iat=...)),
    ("moment of making text", assertion(iat=str(NOW))),
    ("not yet", assertion(nbf=NOW + 31)),
    ("not before text", assertion(nbf="now")),
    ("jti missing", assertion(jti=...)),
    ("jti empty", assertion(jti="")),
    ("jti too long", assertion(jti="x" * 129)),
    ("jti a number", assertion(jti=5)),
    ("jti unprintable", assertion(jti="a\u0000b")),
    ("jti not ASCII", assertion(jti="\u00e9")),
]


@pytest.mark.requirement("R2.2", "R2.6")
@pytest.mark.parametrize(("name", "mutant"), ASSERTIONS, ids=[name for name, _ in ASSERTIONS])
def test_an_assertion_that_is_not_quite_right_authenticates_nobody(name: str, mutant: str) -> None:
    service = Service()
    answer = service.exchange(
        client_assertion=service.honest["subject_token"] if name.startswith("the del") else mutant
    )
    assert refused(service, answer) == "assertion_invalid"
    assert mutant[:40] not in json.dumps(answer.json)
    assert service.records() == [("clerk", "assertion_invalid")]
    assert service.exchange().status == 200  # and the honest one, with the same jti, was not used up by it


@pytest.mark.requirement("R2.2")
def test_an_assertion_counts_once() -> None:
    service = Service()
    assert service.exchange().status == 200
    service.minted.clear()
    assert refused(service, service.exchange()) == "assertion_invalid"
    assert service.exchange(client_assertion=assertion(jti="a-2")).status == 200


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"client_assertion": ...}, "assertion_missing"),
        ({"client_assertion": ""}, "assertion_missing"),
        ({"client_assertion_type": ...}, "assertion_missing"),
        ({"client_assertion_type": f"{JWT_BEARER}x"}, "assertion_missing"),
        ({"client_id": "other"}, "assertion_invalid"),
        ({"client_id": "Clerk"}, "assertion_invalid"),
        ({"client_secret": "x"}, "client_secret_refused"),
    ],
    ids=str,
)
def test_an_agent_authenticates_by_an_assertion_and_nothing_else(changes: dict[str, Any], code: str) -> None:
    service = Service()
    assert refused(service, service.exchange(**changes)) == code
    assert service.records() == [("clerk", code)]


def test_a_secret_beside_the_assertion_is_refused() -> None:
    service = Service()
    answer = service.post(urlencode(service.honest).encode(), (b"authorization", b"Basic Y2xlcms6eA=="))
    assert refused(service, answer) == "client_secret_refused"


# --- the subject token -----------------------------------------------------------------------------------------------

SUBJECT = json.loads(urlsafe_b64decode(Service().honest["subject_token"].split(".")[1] + "=="))
DELEGATION = {"alg": "Ed25519", "typ": "delegation+jwt"}
TOOL = Tool(name="mirror", url=ENDPOINT, timeout_s=1, response_bytes_max=1_000)


def subject(header: dict[str, Any] | None = None, /, key: Ed25519PrivateKey = TASK_KEY, **claims: Any) -> Any:
    token = sign(changed(DELEGATION, header or {}), changed(SUBJECT, claims), key)
    return lambda _: token


SUBJECTS: list[tuple[str, Callable[[Service], str]]] = [
    ("a task token", lambda service: service.tokens.mint(TASK)),
    ("a login", lambda service: service.people.mint(TOM, ISSUER)),
    ("a login for here", lambda service: service.people.mint(TOM, ENDPOINT)),
    ("a tool token", lambda service: service.tools.mint(TOOL, desk_call("look"), b"intent", NOON).value),
    ("the assertion", lambda service: service.honest["client_assertion"]),
    ("a word", lambda _: "canary"),
    ("too long", lambda _: "a" * 5_000),
    ("signature cut", lambda service: service.honest["subject_token"][:-4]),
    ("a task token made out to here", subject({"typ": "at+jwt"})),
    ("a plain JWT", subject({"typ": "JWT"})),
    ("no typ", subject({"typ": ...})),
    ("alg none", subject({"alg": "none"})),
    ("alg EdDSA", subject({"alg": "EdDSA"})),
    ("a kid", subject({"kid": "x"})),
    ("a key in the header", subject({"jwk": jwk(STRAY_KEY)}, STRAY_KEY)),
    ("signed by the agent", subject(None, CLERK_KEY)),
    ("signed by the tool-token key", subject(None, TOOL_KEY)),
    ("signed by the development key", subject(None, PEOPLE_KEY)),
    ("another issuer", subject(iss="http://attacker.example")),
    ("issued by the agent", subject(iss="clerk")),
    ("audience /mcp", subject(aud=MCP)),
    ("audience the issuer", subject(aud=ISSUER)),
    ("audience a list", subject(aud=[ENDPOINT])),
    ("no audience", subject(aud=...)),
    ("no user", subject(sub=...)),
    ("a user that is no name", subject(sub="Tom")),
    ("act instead of may_act", subject(may_act=..., act={"sub": "clerk"})),
    ("nobody may act", subject(may_act=...)),
    ("may_act a text", subject(may_act="clerk")),
    ("may_act a list", subject(may_act=[{"sub": "clerk"}])),
    ("may_act of lists", subject(may_act={"sub": ["clerk"]})),
    ("no task", subject(txn=...)),
    ("an empty task", subject(txn="")),
    ("no use case", subject(use_case=...)),
    ("no expiry", subject(exp=...)),
    ("expiry text", subject(exp="2999")),
    ("expiry true", subject(exp=True)),
]


@pytest.mark.requirement("R2.4", "R2.6")
@pytest.mark.parametrize("case", SUBJECTS, ids=[name for name, _ in SUBJECTS])
def test_only_our_own_delegation_is_exchanged(case: tuple[str, Callable[[Service], str]]) -> None:
    service = Service()
    answer = service.exchange(subject_token=case[1](service))
    assert refused(service, answer) == "subject_token_invalid"
    assert service.records() == [("clerk", "subject_token_invalid")]  # it is the agent's own that says who asks
    assert service.exchange(client_assertion=assertion(jti="a-2")).status == 200


@pytest.mark.requirement("R2.2", "R2.6")
def test_another_agent_cannot_use_a_delegation_that_it_got_hold_of() -> None:
    service = Service()
    stolen = assertion({"kid": kid(OTHER_KEY)}, OTHER_KEY, iss="other", sub="other")
    assert refused(service, service.exchange(client_assertion=stolen)) == "delegation_other_agent"
    assert service.records() == [("clerk", "delegation_other_agent")]


@pytest.mark.requirement("R2.4", "R2.9", "R2.11")
@pytest.mark.parametrize(
    ("happens", "code"),
    [
        (lambda service: service.open.clear(), "task_unknown"),
        (lambda service: service.revoked.update(clerk='its "key" was published \\o/ überall'), "agent_revoked"),
        (lambda service: service.open.update({TASK.id: desk_task(expires_at=NOON)}), "task_expired"),
        (lambda service: service.open.update({TASK.id: Task(id=TASK.id, user="eve", agent="clerk", use_case="serve",
                                                            opened_at=NOON, expires_at=TASK.expires_at)}),
         "delegation_mismatch"),
        (lambda service: service.clock.advance(timedelta(hours=1)), "token_expired"),
    ],
    ids=["closed", "revoked", "over", "another's", "expired"],
)  # fmt: skip
def test_a_delegation_ends_with_its_task_and_with_its_agent(happens: Callable[[Service], Any], code: str) -> None:
    service = Service()
    happens(service)
    now = int(service.clock.now().timestamp())
    answer = service.exchange(client_assertion=assertion(iat=now, exp=now + 60))
    assert refused(service, answer) == code
    assert service.records() == [("clerk", code)]


def test_revoking_one_agent_leaves_the_others_alone() -> None:
    service = Service()
    service.revoked["other"] = "its key was published"
    assert service.exchange().status == 200


def test_a_refusal_goes_on_record_once_a_minute_and_code_however_often_it_is_provoked() -> None:
    service = Service()
    for _ in range(5):
        service.exchange(client_assertion="canary")
        service.exchange(client_assertion=...)
    assert service.records() == [("clerk", "assertion_invalid"), ("clerk", "assertion_missing")]
    service.clock.advance(timedelta(minutes=1))
    service.exchange(client_assertion="canary")
    assert len(service.records()) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_without_a_store_a_refusal_stays_a_refusal(kept: bool) -> None:
    log = MemoryStore()
    service = Service(FailingStore(log, at={1}, kept=kept))
    assert refused(service, service.exchange(client_assertion="canary")) == "assertion_invalid"


@pytest.mark.requirement("R2.6")
def test_a_delegation_opens_nothing_at_mcp() -> None:
    service = Service()
    with pytest.raises(TokenRefusedError) as caught:
        service.delegated(service.honest["subject_token"])
    assert caught.value.code == "token_audience"
    with pytest.raises(TokenRefusedError) as made_out_to_mcp:  # its kind alone is enough
        service.delegated(subject(aud=MCP, act={"sub": "clerk"})(service))
    assert made_out_to_mcp.value.code == "token_audience"
    good = changed(SUBJECT, {"aud": MCP, "act": {"sub": "clerk"}, "client_id": "clerk", "may_act": ...})
    assert service.delegated(sign({**DELEGATION, "typ": "at+jwt"}, good, TASK_KEY)).task == TASK.id  # the control


# --- the form --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"grant_type": ...}, "grant_type_missing"),
        ({"grant_type": ""}, "grant_type_missing"),
        ({"grant_type": "client_credentials"}, "grant_type_unsupported"),
        ({"grant_type": "authorization_code"}, "grant_type_unsupported"),
        ({"grant_type": EXCHANGE.upper()}, "grant_type_unsupported"),
        ({"subject_token": ...}, "subject_token_missing"),
        ({"subject_token_type": ...}, "token_type_unsupported"),
        ({"subject_token_type": f"{ACCESS_TOKEN}s"}, "token_type_unsupported"),
        ({"requested_token_type": JWT}, "token_type_unsupported"),
        ({"actor_token": "x"}, "actor_token_unsupported"),
        ({"actor_token_type": JWT}, "actor_token_unsupported"),
        ({"audience": ISSUER}, "audience_unknown"),
        ({"resource": "http://127.0.0.1:9301/mcp"}, "audience_unknown"),
        ({"audience": MCP, "resource": ISSUER}, "audience_unknown"),
        ({"scope": "admin"}, "scope_unsupported"),
    ],
    ids=str,
)
def test_a_request_for_something_else_is_refused(changes: dict[str, Any], code: str) -> None:
    service = Service()
    assert refused(service, service.exchange(**changes)) == code
    assert service.exchange().status == 200  # nothing was used up


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda _: b"", "grant_type_missing"),
        (lambda _: b"{}", "form_invalid"),
        (lambda body: body + b"&", "form_invalid"),
        (lambda body: body + b"&x", "form_invalid"),
        (lambda body: body + b"&x=%", "form_invalid"),
        (lambda body: body + b"&x=%zz", "form_invalid"),
        (lambda body: body + b"&x=%ff", "form_invalid"),
        (lambda body: body + b"&x=\xc3\xa9", "form_invalid"),
        (lambda body: body + b"&x=\n", "form_invalid"),
        (lambda body: body + b"&" + b"&".join(b"x%d=1" % number for number in range(30)), "form_invalid"),
        (lambda body: body + b"&grant_type=" + EXCHANGE.encode(), "parameter_repeated"),
        (lambda body: body + b"&grant%5Ftype=x", "parameter_repeated"),
        (lambda body: body + b"&grant_type=", "parameter_repeated"),
        (lambda body: body + b"&resource=a&resource=b", "parameter_repeated"),
        (lambda body: body + b"&x=" + b"x" * (16 << 10), "body_too_large"),
    ],
)  # fmt: skip
def test_a_form_that_two_readers_could_read_differently_is_refused(make: Callable[[bytes], bytes], code: str) -> None:
    service = Service()
    body = urlencode(service.honest).encode()
    assert refused(service, service.post(make(body))) == code
    assert service.post(body).status == 200


@pytest.mark.parametrize(
    "media",
    [
        b"application/json",
        b"text/plain",
        b"",
        b"application/x-www-form-urlencoded; charset=latin-1",
        b"multipart/form-data",
    ],
)
def test_another_media_type_is_refused(media: bytes) -> None:
    service = Service()
    assert refused(service, service.post(urlencode(service.honest).encode(), media=media)) == "content_type_refused"


def test_the_charset_may_be_said() -> None:
    service = Service()
    media = b"application/x-www-form-urlencoded; charset=UTF-8"
    assert service.post(urlencode(service.honest).encode(), media=media).status == 200


def test_other_methods_are_refused() -> None:
    service = Service()
    for path, right in (("/oauth/token", "POST"), ("/.well-known/jwks.json", "GET")):
        answer = service.ask("PUT", path)
        assert (answer.status, answer.headers["allow"]) == (405, right)
    assert service.ask("GET", f"/oauth/token?{urlencode(service.honest)}".split("?")[0]).status == 405


# --- what it says of itself ------------------------------------------------------------------------------------------


@pytest.mark.requirement("R2.10")
def test_the_metadata_and_the_keys_are_there_for_anybody() -> None:
    service = Service()
    said = service.ask("GET", "/.well-known/oauth-authorization-server")
    assert said.status == 200
    assert said.json["issuer"] == ISSUER
    assert said.json["jwks_uri"] == f"{ISSUER}/.well-known/jwks.json"
    keys = service.ask("GET", "/.well-known/jwks.json")
    assert keys.headers["content-type"] == "application/json"
    [key] = keys.json["keys"]
    assert key["kid"] == kid(TOOL_KEY)  # the tool tokens' key; the task tokens' is nobody else's business
    assert "d" not in key
