"""The agents' door: `POST /mcp`. It turns bytes into a call and an answer into bytes; every rule is elsewhere."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import assert_never

from remit import records
from remit.core import (
    Delegation,
    InputRefusedError,
    JsonObject,
    Reason,
    StoreUnavailableError,
    ToolCall,
    canonical_bytes,
    new_id,
    parse_traceparent,
)
from remit.identity import Authenticator, TokenRefusedError
from remit.pipeline import Clock, Done, Failed, Gateway, Ledger, Live, Refused
from remit.surfaces._http import (
    BodyRefusedError,
    Bounds,
    Headers,
    Receive,
    Send,
    bearer,
    challenge,
    problem,
    read_body,
    reply,
)
from remit.surfaces.mcp._listing import Listing
from remit.surfaces.mcp._wire import (
    INVALID_PARAMS,
    INVALID_REQUEST,
    META_SERVER,
    REVISION,
    Notification,
    Request,
    WireError,
    read_call,
    read_request,
    write_error,
    write_result,
    write_tool_error,
)

DEAD_TOKEN_PAUSE = timedelta(minutes=1)
DEAD_TOKENS_KEPT = 1_000
UNLISTED = frozenset({"operation_not_listed", "outside_use_case", "use_case_unknown", "no_charter"})
"""Refusals of operations that this agent does not have: the protocol's answer to those is `unknown tool`."""


class McpEndpoint:
    """Serves MCP 2026-07-28. One instance, no state between requests."""

    def __init__(
        self,
        gateway: Gateway,
        live: Live,
        authenticator: Authenticator,
        bounds: Bounds,
        version: str,
    ) -> None:
        self._gateway = gateway
        self._ledger: Ledger = gateway.ledger
        self._clock: Clock = gateway.clock
        self._random: Callable[[int], bytes] = gateway.random
        self._authenticator = authenticator
        self._bounds = bounds
        self._told: dict[str, datetime] = {}  # task of a dead token -> when its next refusal is recorded
        self._listing = Listing(live, observe=gateway.observe)
        self._mode: JsonObject = {"remit/mode": "observe"} if gateway.observe else {}
        self._discovery = canonical_bytes(
            {
                "resultType": "complete",
                "supportedVersions": [REVISION],
                "capabilities": {"tools": {}},
                "ttlMs": 60_000,
                "cacheScope": "private",
                "_meta": {META_SERVER: {"name": "remit", "version": version}, **self._mode},
            }
        )

    async def serve(self, method: str, headers: Headers, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if method != "POST":
            reason = Reason("method_not_allowed", "MCP requests are posted", "send POST /mcp")
            return await problem(send, 405, reason, (b"allow", b"POST"))
        try:
            delegation = self._authenticator.delegation(bearer(headers))
        except TokenRefusedError as error:
            return await self._unauthenticated(send, error)
        try:
            request = read_request(await read_body(headers, receive, self._bounds), headers)
            match request:
                case Notification():
                    await send({"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]})
                    await send({"type": "http.response.body", "body": b""})
                case Request():
                    await reply(send, 200, write_result(request.id, await self._answer(request, delegation)))
                case _ as never:
                    assert_never(never)
        except WireError as error:
            if error.rpc != INVALID_PARAMS or error.reason.code not in UNLISTED:  # those are rulings, recorded already
                await self._record_refusal(delegation, error.reason)
            await reply(send, error.status, write_error(error))
        except BodyRefusedError as error:
            await self._record_refusal(delegation, error.reason)
            await problem(send, error.status, error.reason, (b"connection", b"close"))

    async def _answer(self, request: Request, delegation: Delegation) -> bytes:
        match request.method:
            case "server/discover":
                return self._discovery
            case "tools/list":
                return self._listing.result(delegation)
            case _:
                return await self._call(request, delegation)

    async def _call(self, request: Request, delegation: Delegation) -> bytes:
        operation, arguments = read_call(request)
        try:
            canonical = canonical_bytes(arguments)
        except InputRefusedError as error:
            raise WireError(INVALID_PARAMS, Reason(error.code, error.message, error.fix), request.id) from error
        random = self._random(36)
        call = ToolCall(
            id=new_id("c", random[24:]),
            trace=parse_traceparent(request.meta.get("traceparent"), random[:24]),
            delegation=delegation,
            operation=operation,
            canonical=canonical,
        )
        match await self._gateway.handle(call):
            case Done(call=id_, result=result):
                return result[:-1] + b',"resultType":"complete","_meta":' + self._meta(id_) + b"}"
            case Refused(call=id_, reason=reason) if reason.code in UNLISTED:
                raise WireError(INVALID_PARAMS, reason, request.id, {"remit/call": id_})
            case Refused(call=id_, reason=reason, held=held):
                return write_tool_error(reason, {**self._mode, "remit/call": id_, "remit/held": held})
            case Failed(call=id_, reason=reason, effect_possible=effect):
                return write_tool_error(reason, {**self._mode, "remit/call": id_, "remit/effect_possible": effect})
            case _ as never:
                assert_never(never)

    def _meta(self, call: str) -> bytes:
        return canonical_bytes({**self._mode, "remit/call": call})

    async def _unauthenticated(self, send: Send, error: TokenRefusedError) -> None:
        """Say 401 (RFC 6750, section 3). A caller known by signature leaves a record."""
        reason = Reason(error.code, error.message, error.fix)
        if error.delegation is not None and self._is_news(error.delegation):
            await self._record_refusal(error.delegation, reason)
        body = write_error(WireError(INVALID_REQUEST, reason))  # the official SDKs show a JSON-RPC error at any status
        await reply(send, 401, body, challenge(reason), (b"connection", b"close"))

    def _is_news(self, delegation: Delegation) -> bool:
        """Whether a dead token's refusal goes on record: once a minute and task, or it could fill the log for ever."""
        now = self._clock.now()
        if now < self._told.get(delegation.task, now):
            return False
        if len(self._told) >= DEAD_TOKENS_KEPT:
            self._told.clear()
        self._told[delegation.task] = now + DEAD_TOKEN_PAUSE
        return True

    async def _record_refusal(self, delegation: Delegation, reason: Reason) -> None:
        entry = records.refused(
            delegation, at=self._clock.now(), surface="mcp", code=reason.code, message=reason.message
        )
        try:
            await self._ledger.append(entry)
        except StoreUnavailableError:
            return  # it is refused all the same, and the gateway's health says that the store is gone
