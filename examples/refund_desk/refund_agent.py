"""A refund agent: an unmodified MCP client whose tools are somewhere behind one URL.

It knows that URL and a bearer token (environment variable REMIT_TOKEN), and nothing of what stands between it and the
tools. Its model is a script, so that every run is the same: `next_move` sees what a model would see (the ticket, the
tool list, what came back so far) and chooses the next call or the answer. Each step is printed as one JSON line.

    export REMIT_TOKEN=...
    echo '{"ticket": "the lamp came broken", "order_id": "ord-1001", "amount_minor": 4000}' |
        python refund_agent.py --url http://127.0.0.1:8700/mcp --ticket -

With `--delegation` it is handed no bearer token but a delegation (environment variable REMIT_DELEGATION), which it
exchanges for a token (RFC 8693), proving with a key of its own (`--key`) that it is the agent it was delegated to. That
token is bound to a second key, made for this run: every request proves it (DPoP, RFC 9449), so a copy is of no use.

Exit code: 0 the ticket was handled or properly refused, 1 transport trouble, 2 usage.
"""

import argparse
import asyncio
import json
import os
import sys
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urljoin

import httpx2
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, TextContent
from pydantic import BaseModel, ConfigDict, Field, ValidationError

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TOKEN = "urn:ietf:params:oauth:token-type:jwt"  # noqa: S105 - the name of a kind of token
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_S = 60  # how long a proof of the agent's key is good for

CALLS_MAX = 10  # a ticket that needs more is not one for this agent
TIMEOUT = httpx2.Timeout(10.0, read=330.0)  # seconds; a call may wait minutes for a person's approval

# Codes with which the SDK says that no answer came; any other code is an answer, and it is no.
TROUBLE = frozenset({CONNECTION_CLOSED, INTERNAL_ERROR})


class Ticket(BaseModel):
    """What a customer asks. Without `amount_minor` all that is left of the order is to be refunded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ticket: str = Field(min_length=1)
    order_id: str
    amount_minor: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """The model wants a tool called."""

    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Say:
    """The model is done and tells the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came back from a call. When `refused`, `text` says why and `value` may be empty."""

    call: Call
    refused: bool
    text: str
    value: dict[str, Any]


Move: TypeAlias = Call | Say


# --- the model -------------------------------------------------------------------------------------------------------


def next_move(ticket: Ticket, tools: frozenset[str], seen: Sequence[Outcome]) -> Move:
    """Choose the next call, or the answer: look the order up, list its payments, refund, report."""
    if seen and seen[-1].refused:
        return Say(f"I could not refund order {ticket.order_id}: {seen[-1].text}")
    known = {outcome.call.tool: outcome.value for outcome in seen}
    for tool in ("get_order", "list_payments", "refund_order"):
        if tool not in tools:
            return Say(f"I could not refund order {ticket.order_id}: I have no tool `{tool}`")
        if tool == "refund_order" and _nothing_left(ticket, known):
            return Say(f"Nothing is left to refund of order {ticket.order_id}.")
        if tool not in known:
            return Call(tool, _arguments(tool, ticket, known))
    refund = known["refund_order"]
    return Say(f"I refunded {_money(refund)} of order {ticket.order_id}, reference {refund.get('refund_id')}.")


def _nothing_left(ticket: Ticket, known: dict[str, dict[str, Any]]) -> bool:
    return ticket.amount_minor is None and known["get_order"].get("refundable_minor") == 0


def _arguments(tool: str, ticket: Ticket, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if tool != "refund_order":
        return {"order_id": ticket.order_id}
    order = known["get_order"]
    amount_minor = order.get("refundable_minor") if ticket.amount_minor is None else ticket.amount_minor
    return {
        "order_id": ticket.order_id,
        "amount_minor": amount_minor,
        "currency": order.get("currency"),
        "reason": ticket.ticket[:200],
    }


def _money(refund: dict[str, Any]) -> str:
    units, cents = divmod(int(refund.get("amount_minor", 0)), 100)
    return f"{units}.{cents:02} {refund.get('currency')}"


# --- the token -------------------------------------------------------------------------------------------------------


class Proofs(httpx2.Auth):
    """Proves with each request that it comes from whoever the token was issued to (RFC 9449)."""

    requires_response_body = False

    def __init__(self, key: OKPKey) -> None:
        self._key = key
        self._nonce = ""
        self.token = ""

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """Send a proof along; once more with a nonce where the server asks for one (section 8)."""
        answer = yield self._proven(request)
        nonce = answer.headers.get("dpop-nonce", "")
        if answer.status_code in (400, 401) and nonce not in ("", self._nonce):
            self._nonce = nonce
            yield self._proven(request)

    def _proven(self, request: httpx2.Request) -> httpx2.Request:
        public = {"kty": "OKP", "crv": "Ed25519", "x": self._key.as_dict(private=False)["x"]}
        said: dict[str, Any] = {"htm": request.method, "htu": str(request.url), "iat": int(time.time())}
        said["jti"] = str(uuid.uuid4())
        if self._nonce:
            said["nonce"] = self._nonce
        if self.token:
            said["ath"] = urlsafe_b64encode(sha256(self.token.encode()).digest()).rstrip(b"=").decode()
            request.headers["Authorization"] = f"DPoP {self.token}"
        header = {"alg": "Ed25519", "typ": "dpop+jwt", "jwk": public}
        request.headers["DPoP"] = jwt.encode(header, said, self._key, algorithms=["Ed25519"])
        return request


async def exchange(http: httpx2.AsyncClient, url: str, delegation: str, key: OKPKey, agent: str) -> str:
    """Exchange a delegation for the token that opens the MCP endpoint at `url`.

    Raises:
        RuntimeError: it was refused; says why.
    """
    endpoint = urljoin(url, "/oauth/token")
    form = {
        "grant_type": GRANT,
        "subject_token": delegation,
        "subject_token_type": JWT_TOKEN,
        "client_assertion_type": JWT_BEARER,
        "client_assertion": _assertion(key, agent, endpoint),
    }
    answer = await http.post(endpoint, data=form)
    said = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
    token = said.get("access_token")
    if answer.status_code != 200 or not isinstance(token, str):
        why = said.get("error_description") or said.get("error") or f"http {answer.status_code}"
        raise RuntimeError(f"the delegation was not exchanged: {why}")
    return token


def _assertion(key: OKPKey, agent: str, endpoint: str) -> str:
    """Prove that this is the agent (RFC 7523, section 3); the key is named by its thumbprint (RFC 7638)."""
    now = int(time.time())
    header = {"alg": "Ed25519", "typ": "JWT", "kid": key.thumbprint()}
    times = {"iat": now, "exp": now + ASSERTION_S, "jti": str(uuid.uuid4())}
    return jwt.encode(header, {"iss": agent, "sub": agent, "aud": endpoint, **times}, key, algorithms=["Ed25519"])


# --- the loop --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the tools are and how to get in: with `token`, or with a `delegation` and the agent's own `key`."""

    url: str
    token: str | None = None
    delegation: str | None = None
    key: OKPKey | None = None
    agent: str = "refunds"
    legacy: bool = False  # speak MCP 2025-11-25, as older clients do


async def run(where: Connection, task: Ticket | Sequence[Call], parallel: int = 1) -> None:
    """Connect, then work on a ticket, or make the calls given, in order, each `parallel` times at once.

    Raises:
        ExceptionGroup: of MCPError, HTTPError and the like, when the server could not be reached or understood.
    """
    # (trust_env=False: the bearer token is for that URL, not for a proxy that the environment happens to name.)
    async with httpx2.AsyncClient(timeout=TIMEOUT, trust_env=False) as http:
        token = where.token
        if where.delegation is not None and where.key is not None:
            http.auth = proofs = Proofs(OKPKey.generate_key("Ed25519"))
            proofs.token = await exchange(http, where.url, where.delegation, where.key, where.agent)
        elif token is not None:
            http.headers["Authorization"] = f"Bearer {token}"
        transport = streamable_http_client(where.url, http_client=http)
        async with Client(transport, mode="legacy" if where.legacy else "auto") as client:
            tools = frozenset(tool.name for tool in (await client.list_tools()).tools)
            show("tools", names=sorted(tools))
            said = await (work(client, task, tools) if isinstance(task, Ticket) else obey(client, task, parallel))
            show("answer", text=said)


async def work(client: Client, ticket: Ticket, tools: frozenset[str]) -> str:
    """Let the model choose and carry out its calls until it has an answer."""
    seen: list[Outcome] = []
    while len(seen) < CALLS_MAX:
        move = next_move(ticket, tools, seen)
        if isinstance(move, Say):
            return move.text
        seen.append(await carry_out(client, move))
    return f"I stopped after {CALLS_MAX} calls."


async def obey(client: Client, orders: Sequence[Call], parallel: int) -> str:
    """Be a model that does as it was told, whatever its tool list says: make those calls, then report."""
    said = []
    for order in orders:
        outcomes = await asyncio.gather(*(carry_out(client, order) for _ in range(parallel)))
        refused = [outcome for outcome in outcomes if outcome.refused]
        if parallel > 1:
            said.append(f"`{order.tool}`: {parallel - len(refused)} done, {len(refused)} refused.")
        else:
            said.append(f"`{order.tool}` was refused: {refused[0].text}" if refused else f"`{order.tool}` is done.")
    return " ".join(said)


async def carry_out(client: Client, call: Call) -> Outcome:
    """Make one call. A refusal, as a result with `isError` or as an MCP error, is an outcome like any other."""
    show("call", tool=call.tool, arguments=call.arguments)
    try:
        result = await client.call_tool(call.tool, call.arguments)
    except MCPError as error:
        if error.code in TROUBLE:
            raise
        show("result", tool=call.tool, refused=True, code=error.code, content=error.message)
        return Outcome(call, refused=True, text=error.message, value={})
    text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
    value: dict[str, Any] = result.structured_content or {}
    wait_s = (result.meta or {}).get("remit/retry_after_s")
    hint = {} if wait_s is None else {"retry_after_s": wait_s}
    show("result", tool=call.tool, refused=result.is_error, **hint, content=value or text)
    return Outcome(call, refused=result.is_error, text=text, value=value)


def show(step: str, **fields: object) -> None:
    """Print one step as a JSON line."""
    print(json.dumps({"step": step, **fields}), flush=True)


# --- the command -----------------------------------------------------------------------------------------------------


def read_ticket(where: str) -> Ticket:
    """Read a ticket from a file, or from standard input for `-`."""
    try:
        return Ticket.model_validate_json(sys.stdin.read() if where == "-" else Path(where).read_bytes())
    except (OSError, ValidationError) as error:
        raise argparse.ArgumentTypeError(f"no ticket in `{where}`: {error}") from error


def read_call(text: str) -> Call:
    """Read `TOOL JSON`, such as `close_account {"customer_id": "cus-001"}`."""
    tool, _, arguments = text.partition(" ")
    try:
        value = json.loads(arguments or "{}")
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"the arguments of `{tool}` are not JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"the arguments of `{tool}` are not a JSON object")
    return Call(tool, value)


def read_key(where: str) -> OKPKey:
    """Read an Ed25519 private key from a PEM file."""
    try:
        key = OKPKey.import_key(Path(where).read_bytes())
    except (OSError, ValueError, JoseError) as error:
        raise argparse.ArgumentTypeError(f"no key in `{where}`") from error
    if key.curve_name != "Ed25519" or not key.is_private:
        raise argparse.ArgumentTypeError(f"`{where}` is not an Ed25519 private key")
    return key


def read_arguments(arguments: Sequence[str]) -> tuple[Connection, Ticket | list[Call], int]:
    """Read the command line and the environment: where to connect, what to do, and how often at once."""
    parser = argparse.ArgumentParser(description="work on one refund ticket with the tools behind a URL")
    parser.add_argument("--url", required=True, help="the MCP endpoint")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--ticket", type=read_ticket, metavar="FILE|-", help="the ticket, as JSON")
    obeyed = "make this call, listed or not; may be given several times"
    task.add_argument("--obey", type=read_call, action="append", metavar="'TOOL JSON'", help=obeyed)
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="make each call to obey N times at once")
    parser.add_argument("--legacy", action="store_true", help="speak MCP 2025-11-25")
    parser.add_argument("--delegation", action="store_true", help="exchange REMIT_DELEGATION for a token")
    parser.add_argument("--key", type=read_key, metavar="FILE", help="the agent's own Ed25519 private key, PEM")
    parser.add_argument("--agent", default="refunds", metavar="NAME", help="who the agent is, for --delegation")
    given = parser.parse_args(arguments)
    delegation = os.environ.get("REMIT_DELEGATION") if given.delegation else None
    if given.delegation and (given.key is None or not delegation):
        parser.error("--delegation needs --key and the environment variable REMIT_DELEGATION")
    where = Connection(
        url=given.url,
        token=None if given.delegation else os.environ.get("REMIT_TOKEN"),
        delegation=delegation,
        key=given.key,
        agent=given.agent,
        legacy=given.legacy,
    )
    return where, given.ticket or given.obey, given.parallel


def main(arguments: Sequence[str]) -> int:
    """Read the command line, work on the ticket, and return the exit code."""
    where, task, parallel = read_arguments(arguments)
    exit_code = 0
    try:
        asyncio.run(run(where, task, parallel))
    # The SDK works in task groups, so what goes wrong on the wire arrives in (nested) groups. RuntimeError and
    # ValidationError are how the SDK says that an answer fits neither the protocol nor the tool's own schema.
    except* (MCPError, httpx2.HTTPError, OSError, RuntimeError, ValidationError) as trouble:
        show("trouble", text="; ".join(_leaves(trouble)))
        exit_code = 1
    return exit_code


def _leaves(trouble: BaseException) -> list[str]:
    if isinstance(trouble, BaseExceptionGroup):
        return [text for inner in trouble.exceptions for text in _leaves(inner)]
    return [f"{type(trouble).__name__}: {trouble}"]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
