"""The token service in this process, before a real desk: tasks, consents and revocations are the real ones.

Only cryptography is played: a token is a word that the stage knows, and a proof is the name of its key.

stage = Stage()
answer = stage.exchange("clerk", stage.login("tom", may_act={"clerk"}))
stage.minted[answer.json["access_token"]].keys
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from remit.core import Delegation, JsonObject, Level, Task
from remit.identity import (
    AuthenticatedAgent,
    ClientProof,
    Person,
    Presented,
    Registration,
    TokenRefusedError,
    UserToken,
    token_endpoint,
)
from remit.pipeline import ConsentDesk, Ledger, Refusals, Snapshot, TaskDesk
from remit.surfaces._http import Door
from remit.surfaces._people import PeopleDoor
from remit.surfaces.consents import ConsentsEndpoint
from remit.surfaces.data import DataPlane
from remit.surfaces.oauth import Published, TokenPorts, oauth_routes
from remit.testing import NOON, Desk, desk_snapshot, desk_task, seeded

HOST = "127.0.0.1:8700"
ISSUER = f"http://{HOST}"
MCP = f"{ISSUER}/mcp"
ENDPOINT = token_endpoint(ISSUER)

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"

SPIFFE = "spiffe://example.org/clerk"
FORM = (b"content-type", b"application/x-www-form-urlencoded")
DETAILS: list[JsonObject] = [{"type": "agent_task", "operations": ["look"], "limits": {"calls": 5}}]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    json: Any

    @property
    def code(self) -> str:
        return str(self.json.get("code", ""))


@dataclass(frozen=True)
class Minted:
    task: Task
    keys: tuple[str, ...]
    bound: str
    certificate: str


@dataclass
class PlainTokens:
    """Every port that verifies or mints, without cryptography: what is in one of its tables counts, nothing else."""

    stage: "Stage"
    minted: dict[str, Minted] = field(default_factory=dict)
    delegations: dict[str, Task] = field(default_factory=dict)
    logins: dict[str, tuple[str, UserToken]] = field(default_factory=dict)  # with their audience
    assertions: dict[str, tuple[str, str, UserToken]] = field(default_factory=dict)  # with audience and client
    used: set[str] = field(default_factory=set)
    asked: list[ClientProof] = field(default_factory=list)
    presented: list[Presented] = field(default_factory=list)
    nonce: str = ""  # demanded of every proof, once it is set

    async def agent(self, shown: ClientProof) -> AuthenticatedAgent:
        self.asked.append(shown)
        if shown.certificate:
            name = shown.certificate.decode().removeprefix("certificate of ")
            if name != shown.client_id:
                raise TokenRefusedError("certificate_unknown", "no certificate of that agent", "register it")
            return AuthenticatedAgent(name, f"x5t-{name}", "tls_client_auth")
        name, _, number = shown.assertion.partition(" no ")
        if name not in ("clerk", "mate") or not number or shown.assertion in self.used:
            raise TokenRefusedError("assertion_invalid", "the assertion does not count", "sign another one")
        self.used.add(shown.assertion)
        return AuthenticatedAgent(name, f"key-{name}", "private_key_jwt")

    def exchanged(self, subject_token: str) -> Delegation:
        task = self.delegations.get(subject_token)
        if task is None:
            raise TokenRefusedError("subject_token_invalid", "no delegation token", "send one")
        return self._of(task)

    def handed_on(self, subject_token: str) -> Delegation:
        minted = self.minted.get(subject_token)
        if minted is None:
            raise TokenRefusedError("subject_token_invalid", "no task token", "send one")
        bound = tuple(filter(None, (minted.bound, minted.certificate)))
        level = Level.BOUND if bound else Level.TASK
        return replace(self._of(minted.task), keys=tuple(dict.fromkeys((*minted.keys, *bound))), level=level)

    def _of(self, task: Task) -> Delegation:
        said = Delegation(
            user=task.user,
            agent=task.agent,
            task=task.id,
            use_case=task.use_case,
            expires_at=task.expires_at,
            chain=task.chain,
        )
        if self.stage.desk.clock.now() >= task.expires_at:
            raise TokenRefusedError("token_expired", "the token has expired", "open a new task", said)
        return said

    def mint(self, task: Task, *, keys: tuple[str, ...] = (), bound: str = "", certificate: str = "") -> str:
        token = f"token {len(self.minted) + 1}"
        self.minted[token] = Minted(task, keys, bound, certificate)
        return token

    async def user(self, presented: Presented, audience: str) -> UserToken:
        self.presented.append(presented)
        right, login = self.logins.get(presented.token, ("", None))
        if login is None:
            raise TokenRefusedError("token_invalid", "the token's signature does not hold", "log in again")
        if right != audience:
            raise TokenRefusedError("token_audience", "the token was issued for another audience", "log in again")
        return login

    async def assertion(self, token: str, audience: str, client_id: str) -> UserToken:
        right, client, login = self.assertions.get(token, ("", "", None))
        if login is None or token in self.used or (right, client) != (audience, client_id):
            raise TokenRefusedError("assertion_invalid", "the identity assertion does not count", "ask for another")
        self.used.add(token)
        return login

    def thumbprint(self, presented: Presented) -> str:
        self.presented.append(presented)
        key, _, nonce = presented.proof.partition(" with ")
        if not key.startswith("jkt-"):
            raise TokenRefusedError("dpop_proof_invalid", "the proof's signature does not hold", "sign a proof")
        if nonce != self.nonce:
            raise TokenRefusedError("dpop_nonce_required", "use the nonce", "repeat it", nonce=self.nonce)
        if presented.proof in self.used:
            raise TokenRefusedError("dpop_proof_replayed", "the proof was used before", "sign another one")
        return key


class Stage:
    """Two agents, `clerk` and `mate`, with one charter; `clerk` may hand on to `mate`. Both bear their tokens."""

    def __init__(self, *, bearer: bool = True, issuers: bool = True, ledger: Ledger | None = None) -> None:
        self.desk = Desk()
        self.live, self.store, self.clock = self.desk.live, self.desk.store, self.desk.clock
        self.live.swap(_two_agents(bearer=bearer), 1)
        self.tokens = PlainTokens(self)
        self.minted = self.tokens.minted
        self.opening = TaskDesk(
            live=self.live,
            store=self.store,
            clock=self.clock,
            random=seeded(2),
            life=timedelta(hours=1),
            open_max=10,
            refusals=Refusals(self.store, self.clock, "tasks"),
        )
        self.consents = ConsentDesk(live=self.live, store=self.store, clock=self.clock)
        self.ports = TokenPorts(
            exchange=self.tokens,
            logins=self.tokens,
            assertions=self.tokens if issuers else None,
            proofs=self.tokens,
            opening=self.opening,
            ending=self.desk.controls,
            registrations=self.registrations,
            task_of=self.live.task,
            revoked=self.live.revocation,
            issuer=ISSUER,
            audience=MCP,
            ledger=self.store if ledger is None else ledger,
            clock=self.clock,
        )
        self._number = 0
        self.rewire()

    def rewire(self) -> None:
        """Build the routes on the ports as they are now."""
        consents = ConsentsEndpoint(
            desk=self.consents,
            door=PeopleDoor(self.tokens, self.live, Refusals(self.store, self.clock, "consents")),
            clock=self.clock,
            audience=ISSUER,
            metadata_url=f"{ISSUER}/.well-known/oauth-protected-resource/mcp",
        )
        routes = {**oauth_routes(self.ports, Published(jwks={"keys": []})), **consents.routes()}
        self.plane = DataPlane(Door([HOST]), routes, dict)

    def registrations(self) -> Mapping[str, Registration]:
        return self.live.snapshot.registrations

    def login(self, user: str = "tom", *, audience: str = ENDPOINT, **said: Any) -> str:
        """Return a user's token of the issuer `corp`."""
        token = f"login {len(self.tokens.logins) + 1}"
        self.tokens.logins[token] = audience, _login(user, **said)
        return token

    def asserted(self, user: str = "tom", *, audience: str = ISSUER, client: str = "clerk", **said: Any) -> str:
        """Return an identity assertion of the issuer `corp` for a client."""
        token = f"assertion {len(self.tokens.assertions) + 1}"
        self.tokens.assertions[token] = audience, client, _login(user, **said)
        return token

    def delegation(self, task: Task | None = None) -> str:
        """Return the delegation token of a task, the desk's unless another is named."""
        token = f"delegation {len(self.tokens.delegations) + 1}"
        self.tokens.delegations[token] = desk_task() if task is None else task
        return token

    def proof(self, agent: str) -> dict[str, str]:
        """Return a new assertion of an agent's."""
        self._number += 1
        return {"client_assertion": f"{agent} no {self._number}", "client_assertion_type": JWT_BEARER}

    def exchange(
        self, agent: str, subject: str, /, *lines: tuple[bytes, bytes], kind: str = ACCESS_TOKEN, **more: Any
    ) -> Answer:
        """Exchange a subject token as `agent`, with changes to the form; `...` leaves something out."""
        said = {"grant_type": EXCHANGE, "subject_token": subject, "subject_token_type": kind, **self.proof(agent)}
        return self.post("/oauth/token", {**said, **more}, *lines)

    def assert_for(self, agent: str, assertion: str, /, *lines: tuple[bytes, bytes], **more: Any) -> Answer:
        """Send an identity assertion as `agent`."""
        said = {"grant_type": ASSERTION, "assertion": assertion, **self.proof(agent)}
        return self.post("/oauth/token", {**said, **more}, *lines)

    def post(self, path: str, form: Mapping[str, Any], *lines: tuple[bytes, bytes], certificate: bytes = b"") -> Answer:
        """Send a form."""
        body = urlencode({name: value for name, value in form.items() if value is not ...}).encode()
        return self.ask("POST", path, body, FORM, *lines, certificate=certificate)

    def consent(self, path: str, login: str, body: Any, **more: Any) -> Answer:
        """Send JSON with a user's token."""
        lines = ((b"content-type", b"application/json"), (b"authorization", f"Bearer {login}".encode()))
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", path, raw, *lines, **more)

    def ask(
        self, method: str, path: str, body: bytes = b"", *lines: tuple[bytes, bytes], certificate: bytes = b""
    ) -> Answer:
        """Send one request into the data plane."""
        sent: list[Any] = []
        headers = [(b"host", HOST.encode()), (b"content-length", b"%d" % len(body)), *lines]
        scope: dict[str, Any] = {"type": "http", "method": method, "path": path, "headers": headers}
        if certificate:
            scope["extensions"] = {"tls": {"client_cert": certificate}}

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.plane(scope, receive, send))
        start, end = sent
        said = {name.decode(): value.decode() for name, value in start["headers"]}
        return Answer(start["status"], said, json.loads(end["body"]))

    def leaves(self, kind: str) -> list[dict[str, Any]]:
        """Return what was recorded of one kind."""
        leaves = [json.loads(entry.leaf) for entry in self.store.log]
        return [leaf for leaf in leaves if leaf["kind"] == kind]

    def refusals(self) -> list[tuple[str, str, str, str]]:
        """Return user, agent, task and code of every refusal on record."""
        return [(leaf["user"], leaf["agent"], leaf["task"], leaf["code"]) for leaf in self.leaves("refused")]


def _login(user: str, **said: Any) -> UserToken:
    kept: dict[str, Any] = {"issuer": "corp", "client_id": "portal", "issued_at": NOON, **said}
    kept["may_act"] = frozenset(kept.get("may_act", ()))
    kept.setdefault("expires_at", NOON + timedelta(hours=8))
    return UserToken(person=Person(user, frozenset({"user"})), **kept)


def _two_agents(*, bearer: bool) -> Snapshot:
    snapshot = desk_snapshot()
    charter = snapshot.charters["clerk"]
    return replace(
        snapshot,
        charters={"clerk": charter, "mate": replace(charter, agent="mate")},
        registrations={
            "clerk": Registration(bearer=bearer, delegates_to=frozenset({"mate"}), spiffe=frozenset({SPIFFE})),
            "mate": Registration(bearer=bearer),
        },
    )
