"""`POST /oauth/token`: token exchange (RFC 8693) by agents that prove who they are (RFC 7523).

1. The request asks for what there is.
2. The agent is authenticated.
3. The delegation is ours, and to this very agent.
4. Its task is open, and the agent may act.

Only then a token is minted. A refusal of a task that is known by our own signature goes on record.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from remit import records
from remit.core import (
    Allow,
    Delegation,
    Deny,
    Hold,
    InputRefusedError,
    JsonObject,
    Reason,
    RemitError,
    StoreUnavailableError,
    Task,
    canonical_bytes,
)
from remit.identity import Exchange, TokenRefusedError, delegation_is_live
from remit.pipeline import Clock, Ledger
from remit.surfaces._http import BodyRefusedError, Bounds, Headers, Receive, Send, problem, reply
from remit.surfaces.oauth._form import ACCESS_TOKEN, Form, assertion_of, check_exchange, read_form

FORM_BOUNDS = Bounds(body_bytes_max=16 << 10)
TOLD_PAUSE = timedelta(minutes=1)
TOLD_KEPT = 1_000

_ERRORS = {
    "assertion_missing": "invalid_client",
    "assertion_invalid": "invalid_client",
    "grant_type_unsupported": "unsupported_grant_type",
    "audience_unknown": "invalid_target",  # RFC 8693, section 2.2.2
    "scope_unsupported": "invalid_scope",
}
"""Our codes by RFC 6749, section 5.2. Any other, about the request or the subject token, is `invalid_request`, as
RFC 8693, section 2.2.2 demands."""

_NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenEndpoint:
    """Exchanges delegation tokens for task tokens. `audience` is that of task tokens.

    `task_of` returns an open task; `revoked` says why an agent may not act, and is empty while it may.
    """

    exchange: Exchange
    task_of: Callable[[str], Task | None]
    revoked: Callable[[str], str]
    audience: str
    ledger: Ledger
    clock: Clock
    bounds: Bounds = FORM_BOUNDS
    told: dict[tuple[str, str], datetime] = field(default_factory=dict)  # task, code -> when it may be recorded again

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "tokens are exchanged by POST", "send POST /oauth/token")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            form = await read_form(headers, receive, self.bounds)
        except BodyRefusedError as error:
            return await _refuse(send, error.reason, error.status, (b"connection", b"close"))
        except InputRefusedError as error:
            return await _refuse(send, _reason(error))
        subject = self._subject(form)
        try:
            answer = self._answer(form, headers, subject)
        except (TokenRefusedError, InputRefusedError) as error:
            await self._record(subject, _reason(error))
            return await _refuse(send, _reason(error))
        return await reply(send, 200, canonical_bytes(answer), *_NO_STORE)

    def _subject(self, form: Form) -> Delegation | TokenRefusedError:
        try:
            return self.exchange.exchanged(form.get("subject_token", ""))
        except TokenRefusedError as error:
            return error

    def _answer(self, form: Form, headers: Headers, subject: Delegation | TokenRefusedError) -> JsonObject:
        check_exchange(form, self.audience)  # (1)
        agent = self.exchange.agent(assertion_of(form, headers))  # (2)
        if form.get("client_id", agent) != agent:
            fix = "send the agent's own name as client_id, or none"
            raise TokenRefusedError("assertion_invalid", "`client_id` is not whom the assertion speaks of", fix)
        if isinstance(subject, TokenRefusedError):  # (3)
            raise subject
        if subject.agent != agent:
            fix = "let the agent exchange it that the task was opened for"
            raise TokenRefusedError("delegation_other_agent", "the delegation is to another agent", fix)
        now, task = self.clock.now(), self.task_of(subject.task)
        match delegation_is_live(subject, task, self.revoked(agent), now):  # (4)
            case Allow() if task is not None:
                return {
                    "access_token": self.exchange.mint(task),
                    "issued_token_type": ACCESS_TOKEN,
                    "token_type": "Bearer",
                    "expires_in": int((subject.expires_at - now).total_seconds()),
                }
            case Deny(reason) | Hold(reason):
                raise TokenRefusedError(reason.code, reason.message, reason.fix)
            case Allow():  # (the gate denies it; said again for whoever changes that)
                raise TokenRefusedError("task_unknown", "the delegation names a task that is not open", "open a task")

    async def _record(self, subject: Delegation | TokenRefusedError, reason: Reason) -> None:
        """Leave a record where our signature names the task: once a minute for each code, or it could fill the log."""
        known = subject.delegation if isinstance(subject, TokenRefusedError) else subject
        if known is None or not self._is_news(known.task, reason.code):
            return
        entry = records.refused(known, at=self.clock.now(), surface="oauth", code=reason.code, message=reason.message)
        try:
            await self.ledger.append(entry)
        except StoreUnavailableError:
            return  # it is refused all the same, and the gateway's health says that the store is gone

    def _is_news(self, task: str, code: str) -> bool:
        now = self.clock.now()
        if now < self.told.get((task, code), now):
            return False
        if len(self.told) >= TOLD_KEPT:
            self.told.clear()
        self.told[task, code] = now + TOLD_PAUSE
        return True


def _reason(error: RemitError) -> Reason:
    return Reason(error.code, error.message, error.fix)


async def _refuse(send: Send, reason: Reason, status: int = 400, *extra: tuple[bytes, bytes]) -> None:
    """Say no (RFC 6749, section 5.2)."""
    error = _ERRORS.get(reason.code, "invalid_request")
    if error == "invalid_client":
        status, extra = 401, ((b"www-authenticate", b'private_key_jwt realm="remit"'),)
    # (A description is ASCII without quotes and backslashes, and an operator's reason for a revocation need not be.)
    said = reason.message.encode("ascii", "replace").decode("ascii").replace('"', "'").replace("\\", "/")
    body = {"error": error, "error_description": said, "code": reason.code, "fix": reason.fix}
    await reply(send, status, canonical_bytes(body), *_NO_STORE, *extra)
