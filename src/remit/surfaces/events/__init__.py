"""`POST /ssf/events`: what the organisation's issuers tell of their users, pushed as it happens (RFC 8935).

A session that ended, changed claims and a changed credential end what the user had opened before; an account that is
disabled or gone keeps the user out until it is enabled again. Every event is recorded before it is acted on.

events = EventsEndpoint(security_events, control_desk)
await events.serve("POST", headers, receive, send)      # 202, and it is on record
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Generic, Protocol, TypeVar, runtime_checkable

from remit.core import JsonObject, Reason, RemitError, StoreUnavailableError, canonical_bytes
from remit.identity import ISSUER, Cut
from remit.pipeline import ControlDesk
from remit.surfaces._http import BodyRefusedError, Bounds, Headers, Receive, Send, problem, read_body, reply

__all__ = ["EVENTS_PATH", "EventsEndpoint"]

EVENTS_PATH = "/ssf/events"

_BOUNDS = Bounds(body_bytes_max=64 << 10)
_MEDIA = "application/secevent+jwt"
_JSON = {b"content-type": b"application/json"}
_SECOND = timedelta(seconds=1)
_LANGUAGE = (b"content-language", b"en")  # of the description (RFC 8935, section 2.3)

_ENDS_SESSIONS = frozenset({"session-revoked", "token-claims-change", "credential-change"})
_KEEPS_OUT = frozenset({"account-disabled", "account-purged"})
_LETS_IN = frozenset({"account-enabled"})


class SecurityEvent(Protocol):
    """One thing that an issuer told: of CAEP 1.0, RISC 1.0 or SSF 1.0, by the last part of its event type's address.

    `issuer` is its name in the settings; `user` the user's name here, None where the subject is nobody we could know.
    `happened_at` is in whole seconds, and never later than when it was told.
    """

    @property
    def issuer(self) -> str: ...
    @property
    def jti(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def happened_at(self) -> datetime: ...
    @property
    def reason(self) -> str: ...


E = TypeVar("E", bound=SecurityEvent)


class Events(Protocol[E]):
    """Verifies security event tokens (RFC 8417)."""

    async def read(self, body: bytes) -> tuple[E, ...]:
        """Return the events of a token; none where they are of no kind known here, or were read before.

        Raises:
            RemitError: it does not count; a `Refusal`, too.
        """
        ...

    def forget(self, events: tuple[E, ...]) -> None:
        """Let events come again that could not be acted on."""
        ...


@runtime_checkable
class Refusal(Protocol):
    """Why a token does not count, as RFC 8935, section 2.3 says it. `again`: the sender should send it once more."""

    err: str
    description: str
    again: bool


class EventsEndpoint(Generic[E]):
    """Takes security event tokens from issuers that the settings believe, and from nobody else."""

    def __init__(self, events: Events[E], controls: ControlDesk, bounds: Bounds = _BOUNDS) -> None:
        self._events = events
        self._controls = controls
        self._bounds = bounds

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request: 202 without a body once everything it says has come to pass."""
        if method != "POST":
            reason = Reason("method_not_allowed", "events are pushed by POST", f"send POST {EVENTS_PATH}")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            events = await self._events.read(await self._body(headers, receive))
        except BodyRefusedError as error:
            said = {"err": "invalid_request", "description": error.reason.message}
            status = error.status if error.status in (408, 413) else 400
            return await reply(send, status, canonical_bytes(said), _LANGUAGE, (b"connection", b"close"))
        except RemitError as error:
            return await _refuse(send, error)
        try:
            for event in events:
                await self._act(event)
        except StoreUnavailableError as error:  # it has not come to pass: let it be pushed again
            self._events.forget(events)
            return await problem(send, 503, Reason(error.code, error.message, error.fix))
        await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})
        return None

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        media = (headers.text(b"content-type") or "").partition(";")[0].strip().lower()
        if media != _MEDIA:
            raise BodyRefusedError(400, Reason("content_type_refused", f"the body must be {_MEDIA}", "send that"))
        return await read_body(replace(headers, values={**headers.values, **_JSON}), receive, self._bounds)

    async def _act(self, event: E) -> None:
        by, user = f"{ISSUER}{event.issuer}", event.user
        await self._controls.heard(event.issuer, event.kind, by, _told(event))
        if user is None:
            return
        why = f"{event.kind}{f': {event.reason}' if event.reason else ''} (event {event.jti})"
        if event.kind in _ENDS_SESSIONS:
            # Times are in whole seconds: what was opened within that second may have been opened before.
            await self._controls.cut(Cut(user=user), by, why, before=event.happened_at + _SECOND)
        elif event.kind in _KEEPS_OUT:
            await self._controls.cut(Cut(user=user), by, why)
        elif event.kind in _LETS_IN:
            await self._controls.restore(Cut(user=user), by, why, own=True)


def _told(event: SecurityEvent) -> JsonObject:
    said: Mapping[str, str | None] = {"jti": event.jti, "user": event.user, "reason": event.reason or None}
    return {name: value for name, value in said.items() if value is not None}


async def _refuse(send: Send, error: RemitError) -> None:
    if isinstance(error, Refusal) and not error.again:
        said = {"err": error.err, "description": error.description}
        return await reply(send, 400, canonical_bytes(said), _LANGUAGE)
    return await problem(send, 503, Reason(error.code, error.message, error.fix))
