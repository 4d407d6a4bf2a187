"""The endpoints of the Authorization API 1.0: who asks, what is decided, and the record of both.

1. A task's token says for whom and as which agent the caller may ask. What names anybody else is answered with no,
   unasked: nobody learns here what others may do.
2. The facts are gathered and decided on as a call's are.
3. The entry is durable before the answer is given: whoever probes is seen.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from remit import records
from remit.core import (
    Allow,
    Decision,
    Delegation,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    RemitError,
    ToolCall,
    canonical_bytes,
    is_name,
    new_id,
    parse_traceparent,
)
from remit.identity import Authenticator, TokenRefusedError
from remit.pipeline import AttachmentRefusedError, Clock, Facts, FactSource, Ledger, Outside, Refusals, decide
from remit.surfaces._http import (
    BodyRefusedError,
    Bounds,
    Headers,
    Receive,
    Send,
    challenge,
    document,
    presented,
    problem,
    read_body,
    refusal_status,
    reply,
)
from remit.surfaces.authzen._read import (
    DENY_ON_FIRST_DENY,
    PERMIT_ON_FIRST_PERMIT,
    Evaluation,
    Evaluations,
    read_evaluation,
    read_evaluations,
)

EVALUATION_PATH = "/access/v1/evaluation"
EVALUATIONS_PATH = "/access/v1/evaluations"
METADATA_PATH = "/.well-known/authzen-configuration"
OPERATION_CHARS_MAX = 64  # of what is asked for, in a record
SUBJECT_CHARS_MAX = 320

_BOUNDS = Bounds(body_bytes_max=256 << 10)
_REQUEST_ID = b"x-request-id"
_ECHOED = re.compile(r"[ -~]{1,256}", re.ASCII)
_NO_STORE = (b"cache-control", b"no-store")

_Serve = Callable[[str, Headers, Receive, Send], Awaitable[None]]
_Read = Callable[[bytes], Evaluation | Evaluations]
_Extra = tuple[tuple[bytes, bytes], ...]

_OTHER_SUBJECT = Deny(
    Reason(
        "subject_mismatch",
        "this token asks for the user of its task alone",
        "name that user as the subject, with the type `user`",
    )
)
_OTHER_RESOURCE = Deny(
    Reason(
        "resource_mismatch",
        "the action does not go to the resource named",
        "name the operation's tool, with the type `tool`, or the operation itself, with the type `operation`",
    )
)
_NO_OPERATION = Deny(Reason("operation_not_listed", "no operation has such a name", "use a name from tools/list"))


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthzenEndpoint:
    """The decision point, for those who hold a task's token. `url` is the data port's address.

    `outside` is the organisation's own decision point, where calls are asked of one. `metadata_url` says where a client
    learns at whom to log in (RFC 9728).
    """

    facts: FactSource
    ledger: Ledger
    authenticator: Authenticator
    clock: Clock
    random: records.Random
    url: str
    metadata_url: str = ""
    outside: Outside | None = None
    bounds: Bounds = _BOUNDS
    refusals: Refusals = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "refusals", Refusals(self.ledger, self.clock, "authzen"))

    def routes(self) -> dict[str, _Serve]:
        """Return the routes, for the data plane."""
        return {
            EVALUATION_PATH: self._route(EVALUATION_PATH, read_evaluation),
            EVALUATIONS_PATH: self._route(EVALUATIONS_PATH, read_evaluations),
            METADATA_PATH: document(self.metadata()),
        }

    def metadata(self) -> JsonObject:
        """Describe the decision point (section 9.1); what it does not offer, searches, is left out."""
        return {
            "policy_decision_point": self.url,
            "access_evaluation_endpoint": f"{self.url}{EVALUATION_PATH}",
            "access_evaluations_endpoint": f"{self.url}{EVALUATIONS_PATH}",
        }

    def _route(self, path: str, read: _Read) -> _Serve:
        async def serve(method: str, headers: Headers, receive: Receive, send: Send) -> None:
            extra = _echo(headers)
            if method != "POST":
                reason = Reason("method_not_allowed", "evaluations are asked for by POST", f"send POST {path}")
                return await problem(send, 405, reason, (b"allow", b"POST"), *extra)
            try:
                delegation = await self.authenticator.delegation(presented(headers, method, f"{self.url}{path}"))
            except RemitError as error:
                return await self._unknown(send, error, extra)
            try:
                _check_request_id(headers)
                asked = read(await read_body(headers, receive, self.bounds))
                said = await self._answer(asked, delegation, headers)
            except BodyRefusedError as error:
                await self.refusals.record(delegation, error.reason)
                # (Section 10.1.2 knows one status for whatever is wrong with the bytes.)
                status = 400 if error.status == 415 else error.status
                return await problem(send, status, error.reason, *extra, (b"connection", b"close"))
            except InputRefusedError as error:
                await self.refusals.record(delegation, _reason(error))
                return await problem(send, 400, _reason(error), *extra)
            except RemitError as error:  # nothing could be read or recorded, so nothing is said
                return await problem(send, 503, _reason(error), *extra)
            return await reply(send, 200, canonical_bytes(said), _NO_STORE, *extra)

        return serve

    async def _unknown(self, send: Send, error: RemitError, extra: _Extra) -> None:
        """Say 401 to who did not authenticate, 403 to who may not act; one that is known leaves a record."""
        reason = _reason(error)
        match error:
            case TokenRefusedError():
                await self.refusals.record(error.delegation, reason)
                status = refusal_status(error)
                await problem(send, status, reason, *challenge(error, self.metadata_url), *extra)
            case AttachmentRefusedError():
                await self.refusals.record(error.delegation, reason)
                await problem(send, 403, reason, *extra)
            case InputRefusedError():
                await problem(send, 403, reason, *extra)
            case _:
                await problem(send, 503, reason, *extra)

    async def _answer(self, asked: Evaluation | Evaluations, delegation: Delegation, headers: Headers) -> JsonObject:
        if isinstance(asked, Evaluation):
            return _said(await self._evaluate(asked, delegation, headers))
        answers: list[Json] = []
        for each in asked.asked:
            if isinstance(each, InputRefusedError):
                answer = _unread(each)
            else:
                answer = _said(await self._evaluate(each, delegation, headers))
            answers.append(answer)
            if _ends(asked.semantic, permitted=answer["decision"] is True):
                break
        return {"evaluations": answers}

    async def _evaluate(self, asked: Evaluation, delegation: Delegation, headers: Headers) -> Decision:
        """Decide one question, and record it before anybody hears."""
        random = self.random(36)
        call = ToolCall(
            id=new_id("c", random[24:]),
            trace=parse_traceparent(headers.text(b"traceparent"), random[:24]),
            delegation=delegation,
            operation=asked.operation[:OPERATION_CHARS_MAX],
            canonical=asked.arguments,
        )
        other = asked.subject != ("user", delegation.user)
        facts: Facts | None = None
        if other:
            decision: Decision = _OTHER_SUBJECT
        elif not is_name(asked.operation):
            decision = _NO_OPERATION
        else:
            facts, decision = await self._decided(call, asked.resource)
        asked_of = ":".join(asked.subject)[:SUBJECT_CHARS_MAX] if other else ""
        await self.ledger.append(records.evaluated(call, decision, self._basis(facts), self.random, asked_of))
        return decision

    async def _decided(self, call: ToolCall, resource: tuple[str, str]) -> tuple[Facts, Decision]:
        await self.facts.recall(call)
        facts = self.facts.gather(call)
        decision = decide(call, facts).decision
        if self.outside is not None and not isinstance(decision, Deny):
            facts = replace(facts, outside=await self.outside.opinion(call, facts))
            decision = decide(call, facts).decision
        # (Last: before it is permitted, nobody learns here which tool an operation has.)
        tool = "" if facts.descriptor is None else facts.descriptor.tool
        if not isinstance(decision, Deny) and resource not in (("tool", tool), ("operation", call.operation)):
            decision = _OTHER_RESOURCE
        return facts, decision

    def _basis(self, facts: Facts | None) -> records.Basis:
        if facts is None:
            return records.Basis(at=self.clock.now(), task=None, bundle="", tool="", observed=False)
        tool = "" if facts.tool is None else facts.tool.name
        return records.Basis(at=facts.now, task=facts.task, bundle=facts.bundle, tool=tool, observed=False)


def _said(decision: Decision) -> JsonObject:
    """Write a decision (section 5.5): what is held waits for persons, so it is no yes."""
    match decision:
        case Allow():
            return {"decision": True}
        case Hold(reason, requirements):
            needs: list[Json] = [
                {"kind": each.kind, "approvers": [*each.approvers], "quorum": each.quorum, "within_s": each.within_s}
                for each in requirements
            ]
            return _no(reason, needs, held=True)
        case Deny(reason):
            return _no(reason, [], held=False)


def _no(reason: Reason, requirements: list[Json], *, held: bool) -> JsonObject:
    context: JsonObject = {
        "code": reason.code,
        "reason": reason.message,
        "fix": reason.fix,
        "held": held,
        "requirements": requirements,
    }
    return {"decision": False, "context": context}


def _unread(error: InputRefusedError) -> JsonObject:
    """Answer one of several that cannot be read (section 7.2.1)."""
    context: JsonObject = {
        "code": error.code,
        "reason": error.message,
        "fix": error.fix,
        "error": {"status": 400, "message": error.message},
    }
    return {"decision": False, "context": context}


def _ends(semantic: str, *, permitted: bool) -> bool:
    """Whether no further question is looked at after this answer (section 7.1.2.1)."""
    return semantic == (PERMIT_ON_FIRST_PERMIT if permitted else DENY_ON_FIRST_DENY)


def _echo(headers: Headers) -> _Extra:
    """Return the header that echoes the request's own id (section 10.1.3), where it has one that can be."""
    found = headers.text(_REQUEST_ID)
    return ((_REQUEST_ID, found.encode("ascii")),) if found and _ECHOED.fullmatch(found) else ()


def _check_request_id(headers: Headers) -> None:
    if _REQUEST_ID in headers.values and not _echo(headers):
        fix = "send one of 1 to 256 printable ASCII characters, or none"
        raise InputRefusedError("request_id_invalid", "an X-Request-ID that cannot be echoed", fix)


def _reason(error: RemitError) -> Reason:
    return Reason(error.code, error.message, error.fix)
