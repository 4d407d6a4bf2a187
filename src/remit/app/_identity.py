"""The composition of identity: keys, issuers and tokens of one gateway."""

import hmac
import os
import secrets
from datetime import timedelta
from pathlib import Path

from remit.adapters.credentials import Secrets, ToolCredentials, form_post
from remit.adapters.http1 import Pool
from remit.adapters.keys import load_or_create, private_text
from remit.adapters.oauth import (
    AgentAuthentication,
    AgentKeys,
    DevelopmentIssuer,
    DpopProofs,
    TaskTokens,
    Tokens,
    TokenService,
    ToolTokens,
    TrustBundles,
)
from remit.adapters.oidc import HttpFetch, Issuers, IssuerUsers, SecurityEvents
from remit.adapters.project import Settings
from remit.adapters.system import SystemClock, random
from remit.core import RemitError, utc_text
from remit.identity import RESOURCE_PATH, token_endpoint
from remit.pipeline import (
    Attachments,
    Clock,
    ConsentDesk,
    ControlDesk,
    Live,
    Outside,
    Refusals,
    Store,
    TaskDesk,
    keys_control,
)
from remit.surfaces._http import Bounds
from remit.surfaces._people import PeopleDoor
from remit.surfaces.authzen import AuthzenEndpoint
from remit.surfaces.consents import ConsentsEndpoint
from remit.surfaces.data import Endpoint
from remit.surfaces.events import EventsEndpoint
from remit.surfaces.oauth import Published, TokenPorts, oauth_routes
from remit.surfaces.tasks import TasksEndpoint

SECRET_FILE = "var/development.secret"  # noqa: S105 - a file's name; whoever can read the file may log in
TASKS_OPEN_MAX = 1_000  # tasks of one user with one agent at once


class Identities:
    """Who is who at one gateway, and what it hands out. `data_url` and `admin_url` are its two addresses."""

    def __init__(  # noqa: PLR0913, PLR0917 - what a gateway has when it is put together
        self,
        root: Path,
        settings: Settings,
        live: Live,
        store: Store,
        clock: SystemClock,
        data_url: str,
        admin_url: str,
    ) -> None:
        self._settings = settings
        self._live = live
        self._store = store
        self._clock: Clock = clock
        self._data_url = data_url
        self._admin_url = admin_url
        self.mcp_url = f"{data_url}/mcp"
        self.metadata_url = f"{data_url}{RESOURCE_PATH}/mcp"
        keys = root / "var/keys"
        self._proofs = DpopProofs(
            clock,
            proof_age_max_s=settings.tokens.proof_age_max_s,
            nonce_required=settings.tokens.dpop_nonce,
        )
        tasks = TaskTokens(
            load_or_create(keys / "tokens.pem"),
            data_url,
            self.mcp_url,
            clock,
            proofs=self._proofs,
            epoch=self._epoch,
        )
        self._people = DevelopmentIssuer(load_or_create(keys / "development.pem"), f"{admin_url}/development", clock)
        self._issuers = Issuers(settings.issuers.values(), HttpFetch(), clock)
        self._users = IssuerUsers(
            self._issuers,
            clock,
            self._proofs,
            self._epoch,
            resources=frozenset({self.mcp_url, data_url}),
            strict=frozenset({admin_url}),
        )
        self._events = SecurityEvents(self._issuers, clock, audience=data_url)
        self.authenticator = Tokens(tasks, self._people, settings.development.people, self._users)
        agents = AgentAuthentication(
            AgentKeys(lambda agent: live.says(keys_control(agent))),
            data_url,
            clock,
            registrations=lambda: live.snapshot.registrations,
            trust=TrustBundles({domain: root / file for domain, file in settings.spiffe.items()}),
        )
        self._service = TokenService(tasks, agents)
        self._tool_tokens = ToolTokens(load_or_create(keys / "tools.pem"), data_url, clock=clock)
        self.number_calls = self._tool_tokens.begin
        self.desk = TaskDesk(
            live=live,
            store=store,
            clock=clock,
            random=random,
            life=timedelta(seconds=settings.tasks.life_s),
            open_max=TASKS_OPEN_MAX,
            refusals=Refusals(store, clock, "tasks"),
        )
        self.attachments = Attachments(self.authenticator, self._users, self.desk, self.mcp_url)
        self.secret = _secret(root)

    def credentials(self, root: Path, pool: Pool) -> ToolCredentials:
        """Return what gives tools their credentials."""
        return ToolCredentials(self._tool_tokens, form_post(pool), self.secrets(root), self._clock)

    def secrets(self, root: Path) -> Secrets:
        """Return what reads secrets where they are kept; the environment is looked at here, and nowhere else."""
        return Secrets(os.environ, root, self._clock)

    def routes(self, bounds: Bounds, controls: ControlDesk, outside: Outside | None) -> dict[str, Endpoint]:
        """Return what the data plane serves of identity: tasks, tokens, consents, security events, documents."""
        tasks = TasksEndpoint(
            self.desk,
            self.door("tasks"),
            self._service,
            self._data_url,
            bounds,
            registrations=lambda: self._live.snapshot.registrations,
            metadata_url=self.metadata_url,
        )
        consents = ConsentsEndpoint(
            desk=ConsentDesk(live=self._live, store=self._store, clock=self._clock),
            door=self.door("consents"),
            clock=self._clock,
            audience=self._data_url,
            metadata_url=self.metadata_url,
        )
        events = EventsEndpoint(self._events, controls)
        ports = TokenPorts(
            exchange=self._service,
            logins=self.authenticator,
            assertions=self._users if self._settings.issuers else None,
            proofs=self._proofs,
            opening=self.desk,
            ending=controls,
            registrations=lambda: self._live.snapshot.registrations,
            task_of=self._live.task,
            revoked=self._live.revocation,
            issuer=self._data_url,
            audience=self.mcp_url,
            ledger=self._store,
            clock=self._clock,
        )
        published = Published(
            jwks=self._tool_tokens.jwks(),
            issuers=[each.issuer for each in self._settings.issuers.values()],
            certificates=self._settings.data_tls is not None and bool(self._settings.data_tls.client_authorities),
            workloads=bool(self._settings.spiffe),
            name=self._settings.name,
        )
        authzen = AuthzenEndpoint(
            facts=self._live,
            ledger=self._store,
            authenticator=self.authenticator,  # (task tokens alone: a question opens no implicit task)
            clock=self._clock,
            random=random,
            url=self._data_url,
            metadata_url=self.metadata_url,
            outside=outside,
        )
        return {
            "/v1/tasks": tasks.serve,
            **authzen.routes(),
            **consents.routes(),
            "/ssf/events": events.serve,
            **oauth_routes(ports, published),
        }

    def door(self, surface: str) -> PeopleDoor:
        """Return the door through which people come to a surface."""
        return PeopleDoor(self.authenticator, self._live, Refusals(self._store, self._clock, surface))

    def log_in(self, person: str, secret: str, audience: str) -> tuple[str, str]:
        """Vouch for a person of the development profile who can read the secret file.

        Raises:
            RemitError: `login_refused`, without saying which part was wrong.
        """
        known = self._settings.development.people.get(person)
        right = hmac.compare_digest(secret.encode("utf-8", "replace"), self.secret.encode("ascii"))
        if (
            known is None
            or not right
            or audience not in (self._data_url, self._admin_url, token_endpoint(self._data_url))
        ):
            fix = f"name one of development.people in remit.yaml, on the machine that has {SECRET_FILE}"
            raise RemitError("login_refused", "no such login", fix)
        expires = self._clock.now() + DevelopmentIssuer.LIFE
        return self._people.mint(known, audience), utc_text(expires)

    async def close(self) -> None:
        """End what is under way with the issuers."""
        await self._issuers.close()

    def _epoch(self) -> int:
        return self._live.epoch


def _secret(root: Path) -> str:
    path = root / SECRET_FILE
    if not path.exists():
        private_text(path, secrets.token_urlsafe(32))
    return path.read_text("ascii").strip()
