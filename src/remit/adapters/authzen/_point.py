"""One question over HTTP: the Access Evaluation API of the Authorization API 1.0, as its client (section 6)."""

import asyncio
from ipaddress import ip_address
from urllib.parse import urlsplit

from remit.adapters.http1 import Bounds, Pool, Response, Target, header_block, prepare_target
from remit.core import InputRefusedError, Json, JsonObject, RemitError, ToolCall, canonical_bytes, parse_strict
from remit.permissions import Opinion
from remit.pipeline import Facts, UpstreamFailure

EVALUATION_PATH = "/access/v1/evaluation"
ANSWER_BYTES_MAX = 16_384  # one answer
WHY_CHARS_MAX = 200  # of what it says for a reason

_FIX = "mend `authzen.url` in remit.yaml"


class DecisionPoint:
    """Implements `pipeline.Outside`. `url` is the decision point's address.

    The path of the API is added to it, where it does not end with it.

    `timeout_ms` covers everything, from asking to the answer's last byte.

    Raises:
        RemitError: `url_invalid`; `address_insecure`, unless it is https or http on this machine.
    """

    def __init__(self, url: str, pool: Pool, *, timeout_ms: int) -> None:
        self._asked = _endpoint(url)
        self._target = _target(self._asked)
        self._pool = pool
        self._timeout_s = timeout_ms / 1_000

    async def opinion(self, call: ToolCall, facts: Facts) -> Opinion:
        """See `Outside.opinion`."""
        try:
            headers = _headers(call.id)
            body = canonical_bytes(question(call, facts))
            # (Of our own as well: what opens a connection need not keep to bounds of time.)
            async with asyncio.timeout(self._timeout_s):
                bounds = Bounds(self._timeout_s, ANSWER_BYTES_MAX)
                answer = await self._pool.post(self._target, headers, body, bounds)
        except TimeoutError:
            return _failed("no answer in time")
        except RemitError as error:
            return _failed(error.message)
        if isinstance(answer, UpstreamFailure):
            return _failed(answer.detail)
        return _failed(f"http 404 at {self._asked}") if answer.status == 404 else read_opinion(answer)


def _headers(request_id: str) -> bytes:
    return header_block(
        (
            ("content-type", "application/json"),
            ("accept", "application/json"),
            ("accept-encoding", "identity"),
            ("x-request-id", request_id),
        )
    )


def question(call: ToolCall, facts: Facts) -> JsonObject:
    """Write what is asked (section 6.1): may this user, through this agent, do this with that tool?"""
    by = call.delegation
    groups = () if facts.task is None else facts.task.groups
    attributes = () if facts.task is None else facts.task.attributes
    return {
        "subject": {
            "type": "user",
            "id": by.user,
            "properties": {"groups": [*groups], "attributes": dict(attributes)},
        },
        "action": {"name": call.operation},
        "resource": {"type": "tool", "id": "" if facts.descriptor is None else facts.descriptor.tool},
        "context": {
            "agent": by.agent,
            "task": by.task,
            "use_case": by.use_case,
            "arguments": call.arguments,
            "chain": [*by.chain],
        },
    }


def read_opinion(answer: Response) -> Opinion:
    """Read an answer (section 6.2). Only `true` is a yes, and only one that obliges us to nothing."""
    if answer.status != 200:
        return _failed(f"http {answer.status}")
    if (answer.header(b"content-type") or b"").split(b";", 1)[0].strip().lower() != b"application/json":
        return _failed("an answer that is not JSON")
    try:
        said = parse_strict(answer.body)
    except InputRefusedError as error:
        return _failed(f"an answer that cannot be read: {error.code}")
    decision = said.get("decision") if isinstance(said, dict) else None
    if not isinstance(said, dict) or not isinstance(decision, bool):
        return _failed("an answer that is neither yes nor no")
    context = said.get("context")
    if decision and isinstance(context, dict) and context.get("obligations"):
        return _failed("a yes with obligations, none of which can be met here")
    return Opinion(decision, "" if decision else _why(context))


def _why(context: Json) -> str:
    """Return the reason in one line: it is a stranger's text, and goes on record."""
    reason = context.get("reason") if isinstance(context, dict) else None
    if not isinstance(reason, str):
        return ""
    return "".join(each if each.isprintable() else " " for each in reason[:WHY_CHARS_MAX]).strip()


def _failed(why: str) -> Opinion:
    return Opinion(permits=False, failed=why)


def _endpoint(url: str) -> str:
    """Return where to ask: organisations write down the point's base, or the endpoint (section 10.1) as it is."""
    base = url.rstrip("/")
    return base if base.endswith(EVALUATION_PATH) else f"{base}{EVALUATION_PATH}"


def _target(url: str) -> Target:
    target = prepare_target(url)
    if "?" in url:
        raise RemitError("url_invalid", "the decision point's url has a query", _FIX)
    scheme, host, _ = target.origin
    if scheme != "https" and not _is_loopback(host):
        said = f"http to `{urlsplit(url).hostname}`, which is not this machine: anyone on the way could say yes"
        raise RemitError("address_insecure", said, _FIX)
    return target


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
