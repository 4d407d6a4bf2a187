"""A refund agent: an unmodified MCP client whose tools are somewhere behind one URL.

It knows that URL and a bearer token (environment variable REMIT_TOKEN), and nothing of what stands between it and the
tools. Its model is a script, so that every run is the same: `next_move` sees what a model would see (the ticket, the
tool list, what came back so far) and chooses the next call or the answer. Each step is printed as one JSON line.

    export REMIT_TOKEN=...
    echo '{"ticket": "the lamp came broken", "order_id": "ord-1001", "amount_minor": 4000}' |
        python refund_agent.py --url http://127.0.0.1:8700/mcp --ticket -

Exit code: 0 the ticket was handled or properly refused, 1 transport trouble, 2 usage.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import httpx2
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, TextContent
from pydantic import BaseModel, ConfigDict, Field, ValidationError

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


def obey(order: Call, seen: Sequence[Outcome]) -> Move:
    """Be a model that does as it was told, whatever its tool list says: make that one call, then report."""
    if not seen:
        return order
    return Say(f"`{order.tool}` was refused: {seen[0].text}" if seen[0].refused else f"`{order.tool}` is done.")


# --- the loop --------------------------------------------------------------------------------------------------------


async def run(url: str, token: str | None, task: Ticket | Call) -> None:
    """Connect, then let the model choose and carry out its calls until it has an answer.

    Raises:
        ExceptionGroup: of MCPError, HTTPError and the like, when the server could not be reached or understood.
    """
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    # (trust_env=False: the bearer token is for that URL, not for a proxy that the environment happens to name.)
    async with (
        httpx2.AsyncClient(headers=headers, timeout=TIMEOUT, trust_env=False) as http,
        Client(streamable_http_client(url, http_client=http), mode="auto") as client,
    ):
        tools = frozenset(tool.name for tool in (await client.list_tools()).tools)
        show("tools", names=sorted(tools))
        seen: list[Outcome] = []
        while len(seen) < CALLS_MAX:
            move = next_move(task, tools, seen) if isinstance(task, Ticket) else obey(task, seen)
            if isinstance(move, Say):
                show("answer", text=move.text)
                return
            seen.append(await carry_out(client, move))
        show("answer", text=f"I stopped after {CALLS_MAX} calls.")


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
    show("result", tool=call.tool, refused=result.is_error, content=value or text)
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


def main(arguments: Sequence[str]) -> int:
    """Read the command line, work on the ticket, and return the exit code."""
    parser = argparse.ArgumentParser(description="work on one refund ticket with the tools behind a URL")
    parser.add_argument("--url", required=True, help="the MCP endpoint")
    task = parser.add_mutually_exclusive_group(required=True)
    task.add_argument("--ticket", type=read_ticket, metavar="FILE|-", help="the ticket, as JSON")
    task.add_argument("--obey", type=read_call, metavar="'TOOL JSON'", help="make this one call, listed or not")
    given = parser.parse_args(arguments)
    exit_code = 0
    try:
        asyncio.run(run(given.url, os.environ.get("REMIT_TOKEN"), given.ticket or given.obey))
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
