"""The agents' door: `POST /mcp`. It turns bytes into a call and an answer into bytes; every rule is elsewhere."""

from collections.abc import Callable
from typing import assert_never

from remit import records
from remit.core import (
    Delegation,
    InputRefusedError,
    JsonObject,
    Reason,
    RemitError,
    StoreUnavailableError,
    ToolCall,
    canonical_bytes,
    new_id,
    parse_traceparent,
)
from remit.identity import Authenticator, TokenRefusedError
from remit.pipeline import AttachmentRefusedError, Clock, Done, Failed, Gateway, Ledger, Live, Refusals, Refused
from remit.surfaces._http import (
    BodyRefusedError,
    Bounds,
    Headers,
    Receive,
    Send,
    challenge,
    presented,
    problem,
    read_body,
    refusal_status,
    reply,
)
from remit.surfaces.mcp._answers import (
    META_SERVER,
    UNLISTED,
    Result,
    write_done,
    write_error,
    write_failed,
    write_input_required,
    write_refused,
    write_result,
)
from remit.surfaces.mcp._eras import SUPPORTED, TASKS
from remit.surfaces.mcp._errors import INVALID_PARAMS, INVALID_REQUEST, WireError
from remit.surfaces.mcp._listing import Listing
from remit.surfaces.mcp._params import Asked, handshake_revision, read_call
from remit.surfaces.mcp._waiting import WaitingCalls
from remit.surfaces.mcp._wire import Notification, Request, read_request


class McpEndpoint:
    """Serves MCP 2026-07-28 and the older revisions with a handshake. One instance.

    Between requests nothing is kept but which waits their clients cancelled.

    `version` is the gateway's own, `url` this endpoint's. `metadata_url` tells a client where its user logs in
    (RFC 9728). `approvals_url` is where people see what is held: `{approvals_url}/{approval}`.
    """

    def __init__(  # noqa: PLR0913 - each is a part of its own, joined once in app
        self,
        gateway: Gateway,
        live: Live,
        authenticator: Authenticator,
        bounds: Bounds,
        version: str,
        *,
        url: str,
        approvals_url: str,
        metadata_url: str = "",
    ) -> None:
        self._gateway = gateway
        self._ledger: Ledger = gateway.ledger
        self._clock: Clock = gateway.clock
        self._random: Callable[[int], bytes] = gateway.random
        self._authenticator = authenticator
        self._bounds = bounds
        self._refusals = Refusals(gateway.ledger, gateway.clock, "mcp")
        self._listing = Listing(live, observe=gateway.observe)
        self._url = url
        self._metadata_url = metadata_url
        self._approvals_url = approvals_url.rstrip("/")
        self._mode: JsonObject = {"remit/mode": "observe"} if gateway.observe else {}
        self._waiting = WaitingCalls(gateway, live, self._approvals_url, self._mode)
        self._server: JsonObject = {"name": "remit", "version": version}
        self._discovery = canonical_bytes(
            {
                "resultType": "complete",
                "supportedVersions": list(SUPPORTED),
                "capabilities": {"extensions": {TASKS: {}}, "tools": {}},
                "ttlMs": 60_000,
                "cacheScope": "private",
                "_meta": {META_SERVER: self._server, **self._mode},
            }
        )

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "MCP requests are posted", "send POST /mcp")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            delegation = await self._authenticator.delegation(presented(headers, method, self._url))
        except TokenRefusedError as error:
            return await self._unauthenticated(send, error)
        except (AttachmentRefusedError, InputRefusedError, StoreUnavailableError) as error:
            return await self._not_attached(send, error)
        try:
            request = read_request(await read_body(headers, receive, self._bounds), headers)
            match request:
                case Notification():
                    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
                    await send({"type": "http.response.body", "body": b""})
                case Request():
                    result = await self._answer(request, delegation)
                    await reply(send, 200, write_result(request.id, result.body), *_retry_after(result))
                case _ as never:
                    assert_never(never)
        except WireError as error:
            if error.rpc != INVALID_PARAMS or error.reason.code not in UNLISTED:  # those are rulings, recorded already
                await self._record_refusal(delegation, error.reason)
            await reply(send, error.status, write_error(error))
        except BodyRefusedError as error:
            await self._record_refusal(delegation, error.reason)
            await problem(send, error.status, error.reason, (b"connection", b"close"))

    async def _answer(self, request: Request, delegation: Delegation) -> Result:
        match request.method:
            case "server/discover":
                return Result(self._discovery)
            case "initialize":
                return Result(self._handshake(request))
            case "ping":
                return Result(b"{}")
            case "tools/list":
                return Result(self._listing.result(delegation, older=request.older))
            case "tools/call":
                return await self._call(request, delegation)
            case _:
                return await self._waiting.answer(request, delegation)

    def _handshake(self, request: Request) -> bytes:
        """Answer `initialize`. Nothing of it is kept: every later request is read for itself."""
        said: JsonObject = {
            "protocolVersion": handshake_revision(request),
            "capabilities": {"tools": {}},
            "serverInfo": self._server,
        }
        return canonical_bytes({**said, "_meta": self._mode} if self._mode else said)

    async def _call(self, request: Request, delegation: Delegation) -> Result:
        asked = read_call(request)
        try:
            canonical = canonical_bytes(asked.arguments)
        except InputRefusedError as error:
            raise request.refused(Reason(error.code, error.message, error.fix)) from error
        random = self._random(36)
        call = ToolCall(
            id=new_id("c", random[24:]),
            trace=parse_traceparent(request.meta.get("traceparent"), random[:24]),
            delegation=delegation,
            operation=asked.operation,
            canonical=canonical,
            rationale=asked.rationale,
            confidence=asked.confidence,
        )
        match await self._gateway.handle(call):
            case Done() as done:
                return write_done(done, self._mode, older=request.older)
            case Refused(call=id_, reason=reason) if reason.code in UNLISTED:
                raise request.refused(reason, {"remit/call": id_})
            case Refused(held=True, approval=str(approval)) as held if approval:
                return self._held(held, asked, older=request.older)
            case Refused() as refused:
                return write_refused(refused, self._mode, older=request.older)
            case Failed() as failed:
                return write_failed(failed, self._mode, older=request.older)
            case _ as never:
                assert_never(never)

    def _held(self, held: Refused, asked: Asked, *, older: bool) -> Result:
        """Say that a call waits for persons, in the best form that the client declares."""
        task = self._waiting.created(held, urls=asked.shows_urls) if asked.polls else None
        if task is not None:
            return task
        if asked.shows_urls:
            return write_input_required(held, self._mode, self._approvals_url)
        return write_refused(held, self._mode, older=older)

    async def _unauthenticated(self, send: Send, error: TokenRefusedError) -> None:
        """Say 401 (RFC 6750, section 3). A caller known by signature leaves a record."""
        reason = Reason(error.code, error.message, error.fix)
        await self._refusals.record(error.delegation, reason)
        body = write_error(WireError(INVALID_REQUEST, reason))  # the official SDKs show a JSON-RPC error at any status
        await reply(send, refusal_status(error), body, *challenge(error, self._metadata_url), (b"connection", b"close"))

    async def _not_attached(self, send: Send, error: RemitError) -> None:
        """Say 403 to a client that is known and may not act, 503 where its task could not be kept."""
        status = 503 if isinstance(error, StoreUnavailableError) else 403
        if isinstance(error, AttachmentRefusedError):
            await self._refusals.record(error.delegation, Reason(error.code, error.message, error.fix))
        body = write_error(WireError(INVALID_REQUEST, Reason(error.code, error.message, error.fix)))
        await reply(send, status, body, (b"connection", b"close"))

    async def _record_refusal(self, delegation: Delegation, reason: Reason) -> None:
        entry = records.refused(
            delegation, at=self._clock.now(), surface="mcp", code=reason.code, message=reason.message
        )
        try:
            await self._ledger.append(entry)
        except StoreUnavailableError:
            return  # it is refused all the same, and the gateway's health says that the store is gone


def _retry_after(result: Result) -> tuple[tuple[bytes, bytes], ...]:
    """Return the header that says when to come back (RFC 9110, section 10.2.3), where waiting helps."""
    return ((b"retry-after", b"%d" % result.retry_after_s),) if result.retry_after_s > 0 else ()
