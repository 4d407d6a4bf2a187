"""Answers as bytes, in the form of the revision that was asked in.

2026-07-28 wants `resultType` on every result; older revisions do not know it, and take structured content only as an
object (2025-11-25, server/tools, "Structured Content").
"""

from dataclasses import dataclass

from remit.core import JsonObject, Reason, canonical_bytes, read_canonical
from remit.pipeline import Done, Failed, Refused
from remit.surfaces.mcp._errors import WireError

META_SERVER = "io.modelcontextprotocol/serverInfo"

UNLISTED = frozenset({"operation_not_listed", "outside_use_case", "use_case_unknown", "no_charter"})
"""Refusals of operations that this agent does not have: the protocol's answer to those is `unknown tool`."""


@dataclass(frozen=True, slots=True)
class Result:
    """A result, canonical, and in how many seconds the same request may succeed; 0 where waiting does not help."""

    body: bytes
    retry_after_s: int = 0


def write_result(id_: bytes, result: bytes) -> bytes:
    """Frame a result that is already JSON."""
    return b'{"jsonrpc":"2.0","id":' + id_ + b',"result":' + result + b"}"


def write_error(error: WireError) -> bytes:
    """Frame a refusal."""
    return b'{"jsonrpc":"2.0","id":' + error.id + b',"error":' + canonical_bytes(error_json(error)) + b"}"


def error_json(error: WireError) -> JsonObject:
    """Write a refusal as JSON-RPC's error object."""
    data: JsonObject = {"code": error.reason.code, "fix": error.reason.fix, **error.extra}
    # (Clients show the message and drop the data, so the stable code stands in both.)
    return {"code": error.rpc, "message": f"{error.reason.code}: {error.reason.message}", "data": data}


def write_done(answer: Done, mode: JsonObject, *, older: bool) -> Result:
    """Write what the tool answered, with the call that it answered: when repeated, the one that was carried out.

    Where a person changed the call, the agent is told what was done in its place (`remit/edited`).
    """
    meta: JsonObject = {**mode, "remit/call": answer.call}
    if answer.repeated:
        meta["remit/repeated"] = True
    if answer.edited:
        meta["remit/edited"] = read_canonical(answer.edited.encode())
    if not older:
        return Result(answer.result[:-1] + b',"resultType":"complete","_meta":' + canonical_bytes(meta) + b"}")
    return Result(_in_older_form(answer.result)[:-1] + b',"_meta":' + canonical_bytes(meta) + b"}")


def write_refused(answer: Refused, mode: JsonObject, *, older: bool) -> Result:
    """Write a denial, or a hold for a client that cannot show its user an address."""
    meta: JsonObject = {**mode, "remit/call": answer.call, "remit/held": answer.held}
    waits = ""
    if answer.approval:
        meta["remit/approval"] = answer.approval
    if answer.approval and answer.held:
        waits = f"; it waits as {answer.approval}, which people see with `remit approvals show {answer.approval}`"
    return _tool_error(answer.reason, meta, waits, older=older)


def write_failed(answer: Failed, mode: JsonObject, *, older: bool) -> Result:
    """Write what became of a call that was allowed and did not end well."""
    meta: JsonObject = {**mode, "remit/call": answer.call, "remit/effect_possible": answer.effect_possible}
    return _tool_error(answer.reason, meta, "", older=older)


def write_input_required(answer: Refused, mode: JsonObject, url: str) -> Result:
    """Write a hold as a request to open `url`, where people approve (2026-07-28, client/elicitation, "URL Mode").

    The address names the approval and nobody: whoever opens it proves there who they are. The state is the approval's
    id and not protected, because nothing is ever decided on it.
    """
    reason, approval = answer.reason, answer.approval
    result: JsonObject = {
        "resultType": "input_required",
        "inputRequests": {approval: ask_to_open(reason.message, f"{url}/{approval}")},
        "requestState": approval,
        "_meta": held_meta(answer, mode),
    }
    return Result(canonical_bytes(result), reason.retry_after_s)


def ask_to_open(message: str, url: str) -> JsonObject:
    """Write the request to open an address (2026-07-28, client/elicitation, "URL Mode")."""
    return {"method": "elicitation/create", "params": {"mode": "url", "message": message, "url": url}}


def held_meta(answer: Refused, mode: JsonObject) -> JsonObject:
    """Say of a call that it is held, and as what."""
    return {
        **mode,
        "remit/call": answer.call,
        "remit/code": answer.reason.code,
        "remit/held": True,
        "remit/approval": answer.approval,
        **_wait(answer.reason),
    }


def _tool_error(reason: Reason, meta: JsonObject, waits: str, *, older: bool) -> Result:
    """Write a refusal as a tool's result: the model reads it and can choose otherwise (server/tools, "Errors")."""
    text = f"{reason.code}: {reason.message}{waits}"
    text += f"; it may succeed in {reason.retry_after_s} s" if reason.retry_after_s > 0 else ""
    text += f"; to mend it: {reason.fix}" if reason.fix else ""
    result: JsonObject = {
        "isError": True,
        "content": [{"type": "text", "text": text}],
        "_meta": {**meta, "remit/code": reason.code, **_wait(reason)},
    }
    if not older:
        result["resultType"] = "complete"
    return Result(canonical_bytes(result), reason.retry_after_s)


def _wait(reason: Reason) -> JsonObject:
    return {"remit/retry_after_s": reason.retry_after_s} if reason.retry_after_s > 0 else {}


def _in_older_form(result: bytes) -> bytes:
    """Leave out structured content that is no object; the text that the tool sends beside it stays."""
    if b'"structuredContent":' not in result:
        return result
    read = read_canonical(result)
    if not isinstance(read, dict) or isinstance(read.get("structuredContent", {}), dict):
        return result
    return canonical_bytes({key: value for key, value in read.items() if key != "structuredContent"})
