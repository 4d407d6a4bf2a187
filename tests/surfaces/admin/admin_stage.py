"""The admin API in front of the desk of `remit.testing`: real rooms, real pipeline, a store in memory.

A person's token is their name. What tool servers would show is what `Stage.checked` says.
"""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509 import CertificateBuilder, Name, NameAttribute
from cryptography.x509.oid import NameOID
from starlette.testclient import TestClient

from remit.core import Delegation, JsonObject, ToolCall
from remit.identity import Person, Presented, TokenRefusedError, UserToken
from remit.pipeline import Answer as CallAnswer
from remit.pipeline import Refusals
from remit.records import Checkpoint, checkpoint_text
from remit.surfaces._http import Door
from remit.surfaces._people import PeopleDoor
from remit.surfaces.admin import Control, admin_app
from remit.testing import NOON, POLICY, Desk, desk_call

HOST = "127.0.0.1:8701"
ROLES = {
    "ana": {"operator", "user"},  # owns the agent
    "tom": {"user"},  # for whom it acts
    "oli": {"user", "ops"},
    "pam": {"ops"},
    "fay": {"finance"},
    "gus": set[str](),
    "omar": {"operator"},
}
# The desk's policy, but that an account may be wiped once it is confirmed.
WIPING = POLICY.replace('@id("desk.keep")\nforbid', '@id("desk.wipe")\npermit')


class KnownPeople:
    """The `Authenticator` port, for people only: a token is a name."""

    def __init__(self, audience: str) -> None:
        self._audience = audience

    async def user(self, presented: Presented, audience: str) -> UserToken:
        if presented.token not in ROLES or audience != self._audience:
            raise TokenRefusedError("token_invalid", "nobody has this token", "log in")
        person = Person(presented.token, frozenset(ROLES[presented.token]))
        return UserToken(person=person, issuer="", client_id="", issued_at=NOON, expires_at=NOON + timedelta(days=1))

    async def person(self, token: str, audience: str) -> Person:
        return (await self.user(Presented(token), audience)).person

    async def delegation(self, presented: Presented) -> Delegation:
        raise TokenRefusedError("token_invalid", f"`{presented.token}` is no task's token", "open a task")


@dataclass
class Stage:
    """The desk with its admin API. `rolled` has what somebody wanted to go back to."""

    desk: Desk
    base: str = f"http://{HOST}"
    checked: list[dict[str, Any]] = field(default_factory=list)
    rolled: list[tuple[str, str]] = field(default_factory=list)

    def control(self) -> Control:
        desk = self.desk
        return Control(
            store=desk.store,
            clock=desk.clock,
            live=desk.live,
            approvals=desk.approvals,
            controls=desk.controls,
            door=PeopleDoor(KnownPeople(self.base), desk.live, Refusals(desk.store, desk.clock, "admin")),
            audience=self.base,
            log_in=lambda person, _secret, _audience: (person, "2026-11-22T13:00:00.000000Z"),
            status=self._status,
            deploy=self._deploy,
            rollback=self._rollback,
            checkpoint=self._checkpoint,
            replayed=self._replayed,
            check_tools=self._check,
            origin="desk.remit.local",
            issuers=frozenset({"corp"}),
        )

    @cached_property
    def app(self) -> Callable[..., Any]:
        return admin_app(self.control(), Door([self.base.removeprefix("http://")]))

    def ask(self, method: str, path: str, person: str = "", body: Any = None) -> Any:
        """Ask as `person`, or as nobody; return the answer."""
        headers = {"authorization": f"Bearer {person}"} if person else {}
        with TestClient(self.app, base_url=self.base) as client:
            return client.request(method, path, json=body, headers=headers)

    def call(self, operation: str, arguments: JsonObject, call: str = "c_1", rationale: str = "") -> CallAnswer:
        """Let the desk's agent make a call."""
        made: ToolCall = replace(desk_call(operation, arguments, call=call), rationale=rationale)
        return asyncio.run(self.desk.gateway.handle(made))

    def held(self, operation: str = "pay", **arguments: Any) -> str:
        """Let the desk's agent make a call that is held; return the approval it waits for."""
        answer: Any = self.call(operation, arguments or {"amount": 60})
        assert answer.approval, answer
        return str(answer.approval)

    def shown(self, approval: str, person: str = "ana") -> Any:
        answer = self.ask("GET", f"/v1/approvals/{approval}", person)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def kinds(self) -> list[str]:
        return [entry.kind for entry in self.desk.store.log]

    def said(self, kind: str) -> Any:
        """Return the newest entry of `kind`."""
        return next(json.loads(each.leaf) for each in reversed(self.desk.store.log) if each.kind == kind)

    async def _status(self) -> dict[str, Any]:
        return {"ready": True, "bundle": self.desk.live.snapshot.digest}

    async def _deploy(self, _by: Person) -> dict[str, Any]:
        digest = self.desk.live.snapshot.digest
        return {"bundle": digest, "before": digest, "warnings": []}

    async def _rollback(self, by: Person, to: str) -> dict[str, Any]:
        self.rolled.append((by.name, to))
        return {"bundle": to or "sha256:" + "0" * 64, "before": self.desk.live.snapshot.digest, "elapsed_ms": 0.1}

    async def _checkpoint(self) -> str:
        return await self.desk.store.checkpoint(
            lambda size, root: f"{checkpoint_text(Checkpoint('desk.remit.local', size, root))}\nsigned by nobody\n"
        )

    async def _replayed(self, _entries: object) -> dict[int, str]:
        return {}

    async def _check(self) -> list[dict[str, Any]]:
        return self.checked


def compared(operation: str, state: str, *differences: str) -> dict[str, Any]:
    """Return what a comparison of one operation found."""
    return {"operation": operation, "tool": "desk", "state": state, "differences": [*differences]}


def certificate() -> tuple[str, str, str]:
    """Make a certificate that its own key signed; return it, its thumbprint, and the private key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = Name([NameAttribute(NameOID.COMMON_NAME, "clerk")])
    made = (
        CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOON)
        .not_valid_after(NOON + timedelta(days=1))
        .sign(key, SHA256())
    )
    sha256 = urlsafe_b64encode(made.fingerprint(SHA256())).rstrip(b"=").decode("ascii")
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")
    return made.public_bytes(Encoding.PEM).decode("ascii"), sha256, private
