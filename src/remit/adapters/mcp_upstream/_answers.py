"""What tool servers answer, read strictly: JSON-RPC 2.0, then the result of MCP 2026-07-28."""

import re

from remit.adapters.http1 import Code, Response, refusal
from remit.adapters.mcp_upstream._events import EventReader
from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, parse_strict
from remit.pipeline import Sent, UpstreamAnswer, UpstreamFailure

ERROR = "upstream_error"
"""The server answered with a JSON-RPC error."""

UNSUPPORTED = "upstream_unsupported"
"""The server asks for something this gateway does not give: input, another revision, an extension."""

_MESSAGE_CHARS_MAX = 200
_PIECE_CHARS = 12  # of a credential; shorter pieces turn up by chance and give nothing away
_UNSAFE = re.compile(r"[^\x20-\x7e]+")
_RESULT = ("content", "isError", "structuredContent")


def read_result(response: Response, events: EventReader, request_id: str) -> JsonObject | UpstreamFailure:
    """Return the result that `response` carries for `request_id`. `events` has seen the body if it is a stream."""
    refused = refusal(response)
    if refused is not None:
        return _error_in(response, request_id) or refused
    if response.status != 200:
        return malformed(f"http {response.status} where an answer belongs")
    kind = (response.header(b"content-type") or b"").split(b";", 1)[0].strip().lower()
    if kind == b"text/event-stream":
        return _from_events(events, request_id)
    if kind != b"application/json":
        return malformed("a content type other than json and event stream")
    return read_message(_parsed(response.body), request_id)


def read_message(message: "Json | UpstreamFailure", request_id: str) -> JsonObject | UpstreamFailure:
    """Return the result in a JSON-RPC answer to `request_id`, whichever way it came."""
    if isinstance(message, UpstreamFailure):
        return message
    if (
        not isinstance(message, dict)
        or message.get("jsonrpc") != "2.0"
        or ("result" in message) == ("error" in message)
    ):
        return malformed("not one json-rpc answer")
    if message.get("id") != request_id:
        return malformed("an answer to another request")
    if "error" in message:
        return _said(message["error"])
    result = message["result"]
    return result if isinstance(result, dict) else malformed("a result that is not an object")


def read_answer(result: JsonObject) -> UpstreamAnswer | UpstreamFailure:
    """Return the CallToolResult in `result`, canonical, with the members that the revision names and no other."""
    if result.get("resultType", "complete") != "complete":
        kind = ascii_line(str(result["resultType"]), 40)
        return UpstreamFailure(code=UNSUPPORTED, sent=Sent.ANSWERED, detail=f"a result of type `{kind}`")
    content, is_error = result.get("content"), result.get("isError", False)
    if not isinstance(content, list) or not all(_is_block(item) for item in content):
        return malformed("a result without a list of typed content")
    if not isinstance(is_error, bool):
        return malformed("a result whose `isError` is not a boolean")
    kept = {key: result[key] for key in _RESULT if key in result}
    kept["content"] = [_without_meta(item) for item in content]
    try:
        return UpstreamAnswer(result=canonical_bytes(kept), is_error=is_error)
    except InputRefusedError as error:
        return malformed(error.message)


def malformed(detail: str) -> UpstreamFailure:
    """Say that the answer breaks its protocol."""
    return UpstreamFailure(code=Code.MALFORMED.value, sent=Sent.ANSWERED, detail=detail)


def ascii_line(text: str, chars_max: int = _MESSAGE_CHARS_MAX) -> str:
    """Return `text` as one short line of printable ASCII, safe in any log or terminal."""
    return _UNSAFE.sub("?", text[:chars_max])


def without_credential(ending: UpstreamFailure, secret: str) -> UpstreamFailure:
    """Return `ending` without what the tool server repeats of the secret it was sent, even a cut piece of it."""
    pieces = (secret[at : at + _PIECE_CHARS] for at in range(max(1, len(secret) - _PIECE_CHARS + 1)))
    if not secret or not any(piece in ending.detail for piece in pieces):
        return ending
    return UpstreamFailure(code=ending.code, sent=ending.sent, detail="withheld: it repeats the credential")


def repeats_credential(answer: UpstreamAnswer, secret: str) -> bool:
    """Say whether `answer` holds the secret that was sent, or its signature (RFC 7515, section 7.1), by itself."""
    signature = secret.rpartition(".")[2]
    told = signature if len(signature) >= _PIECE_CHARS else secret  # who repeats all repeats its end
    return bool(told) and canonical_bytes(told)[1:-1] in answer.result


def _parsed(body: bytes) -> "Json | UpstreamFailure":
    try:
        return parse_strict(body)
    except InputRefusedError as error:
        return malformed(f"not strict json: {ascii_line(error.message)}")


def _from_events(events: EventReader, request_id: str) -> JsonObject | UpstreamFailure:
    if events.fault is not None:
        return malformed(events.fault)
    if events.message is None:
        return UpstreamFailure(
            code=Code.CLOSED.value, sent=Sent.UNKNOWN, detail="the event stream ended without the answer"
        )
    return read_message(events.message, request_id)


def _said(error: Json) -> UpstreamFailure:
    match error:
        case {"code": int(code), "message": str(message)} if not isinstance(code, bool):
            return UpstreamFailure(code=ERROR, sent=Sent.ANSWERED, detail=f"{code}: {ascii_line(message)}")
        case _:
            return malformed("an error without code and message")


def _error_in(response: Response, request_id: str) -> UpstreamFailure | None:
    """Return the JSON-RPC error that a 4xx or 5xx answer carries, if it does.

    Its id may be null: a server that could not read the request cannot name it (JSON-RPC 2.0, section 5).
    """
    if response.status < 400:
        return None
    message = _parsed(response.body)
    if not isinstance(message, dict) or message.get("id") not in (request_id, None):
        return None
    failure = _said(message.get("error"))
    return failure if failure.code == ERROR else None


def _without_meta(item: Json) -> Json:
    """Drop what a content block, and a resource in it, say to the client's machinery rather than to the agent."""
    if not isinstance(item, dict):
        return item
    return {key: _without_meta(value) if key == "resource" else value for key, value in item.items() if key != "_meta"}


def _is_block(item: Json) -> bool:
    return isinstance(item, dict) and isinstance(item.get("type"), str)
