"""One governed call by hand: open a task as the person logged in, then call as the task's agent."""

from dataclasses import dataclass

import httpx2

from remit.core import Json, JsonObject, RemitError
from remit.records import printable
from remit.surfaces.cli._client import Client

REVISION = "2026-07-28"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How the call ended. `answer` is the JSON-RPC message, `text` the same for people."""

    ok: bool
    task: str
    answer: JsonObject
    text: str
    observed: bool  # the gateway runs in observe mode


def try_call(client: Client, agent: str, use_case: str, operation: str, arguments: JsonObject) -> Tried:
    """Make the call through the same doors as everybody.

    Raises:
        RemitError: the task was not opened.
    """
    # (What a person types here is the user's own input, so the call's arguments come from the user.)
    task = _borne_task(client, agent, use_case, {"tried": operation, "arguments": arguments})
    meta: JsonObject = {
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "remit-try", "version": "1"},
    }
    message: JsonObject = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": operation, "arguments": arguments, "_meta": meta},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": REVISION,
        "mcp-method": "tools/call",
        "mcp-name": operation,
    }
    said = _json(client.post_data("/mcp", message, str(task["token"]), **headers))
    result = said.get("result")
    ok = isinstance(result, dict) and result.get("isError") is not True
    meta_said = result.get("_meta") if isinstance(result, dict) else None
    observed = isinstance(meta_said, dict) and meta_said.get("remit/mode") == "observe"
    return Tried(ok=ok, task=str(task["task"]), answer=said, text=_text(said), observed=observed)


def _borne_task(client: Client, agent: str, use_case: str, given: Json) -> JsonObject:
    """Open a task whose token counts for whoever bears it: the agent's key is not here to prove anything with."""
    try:
        return open_task(client, agent, use_case, given, "bearer")
    except RemitError as error:
        if error.code != "bearer_refused":
            raise
        fix = (
            f"set `identity: {{bearer: true}}` in agents/{agent}/agent.yaml while trying, or open a task with "
            f"`remit tasks open {agent} {use_case}` and let the agent exchange it"
        )
        raise RemitError(error.code, f"`remit try` uses a bearer token: {error.message}", fix) from error


def open_task(client: Client, agent: str, use_case: str, given: Json, hand: str = "") -> JsonObject:
    """Open a task as the person logged in; return its id, its end, and its `token` or its `delegation`.

    `hand` is what the agent is to be handed: a `bearer` token that lets it act, or a `delegation` to exchange for one;
    empty: a delegation where the agent has a key, else a token.

    Raises:
        RemitError: with the gateway's own reason.
    """
    wanted: JsonObject = {"agent": agent, "use_case": use_case, "input": given, **({"hand": hand} if hand else {})}
    answer = client.post_data("/v1/tasks", wanted)
    said = _json(answer)
    if answer.status_code != 201:
        raise RemitError(str(said.get("code")), str(said.get("title")), str(said.get("fix")))
    return said


def _json(answer: httpx2.Response) -> JsonObject:
    try:
        said: Json = answer.json()
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise RemitError("gateway_fault", f"the gateway answered {answer.status_code} without JSON", "see its output")
    return said


def _text(said: JsonObject) -> str:
    error, result = said.get("error"), said.get("result")
    if isinstance(error, dict):
        return printable(f"refused: {error.get('message')}")
    content = result.get("content") if isinstance(result, dict) else None
    parts = content if isinstance(content, list) else []
    text = "\n".join(str(part.get("text", part)) for part in parts if isinstance(part, dict)) or str(said)
    return "\n".join(map(printable, text.split("\n")))  # a tool's words must not steer a terminal
