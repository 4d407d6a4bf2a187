"""A held call as a task of the extension `io.modelcontextprotocol/tasks` (SEP-2663), in 2026-07-28.

What that extension calls a task is a call that waits for persons; Remit's own task is the authority it was made under.

1. A task's id is its approval's: 96 random bits, and good only for the user, the agent and the task of Remit whose
   call it is. Whoever else asks is told what is told of an id that does not exist.
2. Nothing that a client sends approves anything: `tasks/update` is acknowledged and passed over.
3. Once persons are done, `tasks/get` makes the call again, by `Gateway.handle`: it is decided afresh and carried out
   once, and a later `tasks/get` tells the recorded outcome.
4. `tasks/cancel` ends the waiting and decides nothing: no later `tasks/get` makes the call. Another `tools/call` may.

Nothing is kept but which waits were cancelled. The call's arguments are read back from the entry of its hold.

    result = await WaitingCalls(gateway, live, "https://remit.example/approvals", {}).answer(request, delegation)
"""

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from remit import permissions
from remit.core import (
    Delegation,
    Json,
    JsonObject,
    Reason,
    RemitError,
    ToolCall,
    canonical_bytes,
    new_id,
    parse_traceparent,
    utc_text,
)
from remit.permissions import Approval, State
from remit.pipeline import Answer, Done, Failed, Gateway, Live, Refused
from remit.surfaces.mcp._answers import (
    UNLISTED,
    Result,
    ask_to_open,
    error_json,
    held_meta,
    write_done,
    write_failed,
    write_refused,
)
from remit.surfaces.mcp._errors import APPROVAL_OVER, INVALID_PARAMS, WireError
from remit.surfaces.mcp._params import read_task_id, shows_urls
from remit.surfaces.mcp._wire import Request

POLL_MS = 5_000  # how often a client should ask
CANCELLED_MAX = 10_000  # waits remembered as cancelled; the oldest is forgotten first

_MILLISECOND = timedelta(milliseconds=1)
_ACKNOWLEDGED = Result(b'{"resultType":"complete"}')


@dataclass(frozen=True, slots=True)
class _Told:
    """What a task is at a moment: one of the extension's statuses, a word for people, and what the status brings."""

    status: str
    message: str = ""
    more: tuple[tuple[str, Json], ...] = ()
    poll_ms: int = POLL_MS


class WaitingCalls:
    """Answers the extension's requests. `approvals_url` is where people see what is held; `mode` stands in `_meta`."""

    def __init__(self, gateway: Gateway, live: Live, approvals_url: str, mode: JsonObject) -> None:
        self._gateway = gateway
        self._live = live
        self._approvals_url = approvals_url
        self._mode = mode
        self._cancelled: dict[str, None] = {}

    def created(self, held: Refused, *, urls: bool) -> Result | None:
        """Return the task for a call that is held just now; None where what it waits for is gone already."""
        approval = self._live.approval(held.approval)
        if approval is None:
            return None
        self._cancelled.pop(approval.id, None)
        # (The requests themselves come with `tasks/get`: tasks, "Task Creation".)
        told = _Told("input_required" if urls else "working", self._where(approval))
        said = {**_task(approval, approval, told), "resultType": "task", "_meta": held_meta(held, self._mode)}
        return Result(canonical_bytes(said))

    async def answer(self, request: Request, delegation: Delegation) -> Result:
        """Answer a `tasks/get`, `tasks/update` or `tasks/cancel`.

        Raises:
            WireError: the request has not the extension's form, or there is no such task for this caller.
        """
        approval = self._mine(read_task_id(request), request, delegation)
        match request.method:
            case "tasks/get":
                current = self._current(approval)
                told = await self._told(approval, current, request, delegation)
                return self._result(approval, self._live.approval(current.id) or current, told)
            case "tasks/cancel" if approval.state is State.WAITING:
                self._cancel(approval.id)
        return _ACKNOWLEDGED

    def _mine(self, id_: str, request: Request, delegation: Delegation) -> Approval:
        found = self._live.approval(id_)
        whose = (delegation.user, delegation.agent, delegation.task)
        if found is None or (found.user, found.agent, found.task) != whose:
            raise request.refused(Reason("task_unknown", "there is no such task", "make the call again"))
        return found

    def _current(self, approval: Approval) -> Approval:
        """Return what the call waits for now: where a person changed it, the approval of the changed one."""
        if approval.state is not State.VOID or not approval.instead_of:
            return approval
        edits = [
            each
            for each in self._live.approvals()
            if each.edited and each.task == approval.task and each.instead_of == approval.instead_of
        ]
        return max(edits, key=lambda each: (each.opened_at, each.id), default=approval)

    async def _told(self, approval: Approval, current: Approval, request: Request, delegation: Delegation) -> _Told:
        if approval.id in self._cancelled:
            return _Told("cancelled", "the client stopped waiting; nothing was decided by it")
        match current.state:
            case State.WAITING if self._gateway.clock.now() >= current.expires_at:
                return _over("approval_expired", f"nobody decided on `{current.operation}` in time")
            case State.WAITING if permissions.still_needed(current):
                return self._waits(current, urls=shows_urls(request))
            case State.VOID:
                return _over("approval_void", f"`{current.operation}` waits no longer: {current.by}")
            case State.WAITING | State.DENIED | State.USED:
                return await self._made_again(approval, current, request, delegation)
            case _ as never:
                assert_never(never)

    def _waits(self, current: Approval, *, urls: bool) -> _Told:
        """Say that persons are awaited. Who cannot be shown an address is sent no request that needs one."""
        if not urls:
            return _Told("working", self._where(current))
        ask = ask_to_open(current.message, f"{self._approvals_url}/{current.id}")
        return _Told("input_required", self._where(current), (("inputRequests", {current.id: ask}),))

    def _where(self, approval: Approval) -> str:
        return f"{approval.code}: it waits for people, who see it at {self._approvals_url}/{approval.id}"

    async def _made_again(
        self, approval: Approval, current: Approval, request: Request, delegation: Delegation
    ) -> _Told:
        """Make the call once more, and say what came of it."""
        try:
            call = await self._call(approval, request, delegation)
        except RemitError as error:
            return _Told("working", f"{error.code}: {error.message}")  # (until its time is over)
        if call is None:
            return _over("arguments_erased", "what the call said is kept no more")
        answer = await self._gateway.handle(call)
        if isinstance(answer, Refused) and answer.held and answer.approval == current.id:
            return self._waits(current, urls=shows_urls(request))
        return self._not_yet(answer, current) or self._ended(answer)

    def _not_yet(self, answer: Answer, current: Approval) -> _Told | None:
        """Tell where asking later may bring another answer: nothing came of the approval yet, or its call is under way.

        (A status that says the end is never taken back: tasks, "Task Status".)
        """
        match answer:
            case Refused(held=False, reason=reason) if reason.retry_after_s > 0:
                return _Told("working", f"{reason.code}: {reason.message}", poll_ms=reason.retry_after_s * 1_000)
            case Failed(effect_possible=False, reason=reason) if self._may_still(current):
                return _Told("working", f"{reason.code}: {reason.message}")
            case _:
                return None

    def _ended(self, answer: Answer) -> _Told:
        """Give what `tools/call` would answer; only what is an error of the protocol there fails here."""
        match answer:
            case Done() as done:
                return _completed(write_done(done, self._mode, older=False))
            case Refused(call=id_, reason=reason) if reason.code in UNLISTED:
                return _failed(WireError(INVALID_PARAMS, reason, extra={"remit/call": id_}))
            case Refused() as refused:
                return _completed(write_refused(refused, self._mode, older=False))
            case Failed() as failed:
                return _completed(write_failed(failed, self._mode, older=False))
            case _ as never:
                assert_never(never)

    def _may_still(self, current: Approval) -> bool:
        """Tell whether an approval is still good for the call: nothing came of it yet."""
        found = self._live.approval(current.id)
        return found is not None and found.state is State.WAITING

    async def _call(self, approval: Approval, request: Request, delegation: Delegation) -> ToolCall | None:
        """Return the call that is held, as the agent made it; None where its arguments were erased."""
        entries = await self._gateway.ledger.entries_of(approval.task)
        held = next((entry for entry in entries if entry.index == approval.entry and entry.kind == "held"), None)
        payloads = () if held is None else held.payloads
        canonical = next((payload.body for payload in payloads if payload.name == "arguments"), None)
        if held is None or canonical is None:
            return None
        confidence = json.loads(held.leaf).get("confidence")
        random = self._gateway.random(36)
        return ToolCall(
            id=new_id("c", random[24:]),
            trace=parse_traceparent(request.meta.get("traceparent"), random[:24]),
            delegation=delegation,
            operation=approval.operation,
            canonical=canonical,
            rationale=approval.rationale,
            confidence=confidence if isinstance(confidence, int) else None,
        )

    def _cancel(self, id_: str) -> None:
        if len(self._cancelled) >= CANCELLED_MAX:
            self._cancelled.pop(next(iter(self._cancelled)))
        self._cancelled[id_] = None

    def _result(self, approval: Approval, current: Approval, told: _Told) -> Result:
        meta: JsonObject = {**self._mode, "remit/approval": current.id}
        said = {**_task(approval, current, told), **dict(told.more), "resultType": "complete", "_meta": meta}
        return Result(canonical_bytes(said))


def _task(approval: Approval, current: Approval, told: _Told) -> JsonObject:
    times = (approval.opened_at, current.opened_at, *(grant.at for grant in current.grants))
    return {
        "taskId": approval.id,
        "status": told.status,
        "statusMessage": told.message or told.status,
        "createdAt": utc_text(approval.opened_at),
        "lastUpdatedAt": utc_text(max(times)),
        "ttlMs": max((current.expires_at - approval.opened_at) // _MILLISECOND, 0),
        "pollIntervalMs": told.poll_ms,
    }


def _completed(result: Result) -> _Told:
    return _Told("completed", more=(("result", json.loads(result.body)),))


def _failed(error: WireError) -> _Told:
    return _Told("failed", f"{error.reason.code}: {error.reason.message}", (("error", error_json(error)),))


def _over(code: str, message: str) -> _Told:
    """Say that a task's time is over (tasks, "Task Polling": one may fail when its time is)."""
    return _failed(WireError(APPROVAL_OVER, Reason(code, message, "make the call again")))
