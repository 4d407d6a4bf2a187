"""One governed call by hand: open a task as the person logged in, then call as the task's agent."""

from dataclasses import dataclass

from remit.core import Json, JsonObject, RemitError
from remit.surfaces.cli._client import Client

REVISION = "2026-07-28"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How the call ended. `answer` is the JSON-RPC message, `text` the same for people."""

    ok: bool
    task: str
    answer: JsonObject
    text: str


def try_call(client: Client, agent: str, use_case: str, operation: str, arguments: JsonObject) -> Tried:
    """Make the call through the same doors as everybody.

    Raises:
        RemitError: the task was not opened.
    """
    wanted: JsonObject = {"agent": agent, "use_case": use_case, "input": "tried by hand"}
    opened = client.post_data("/v1/tasks", wanted)
    task: Json = opened.json()
    if opened.status_code != 201 or not isinstance(task, dict):
        said = task if isinstance(task, dict) else {}
        raise RemitError(str(said.get("code")), str(said.get("title")), str(said.get("fix")))
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
    answer: Json = client.post_data("/mcp", message, str(task["token"]), **headers).json()
    said = answer if isinstance(answer, dict) else {}
    result = said.get("result")
    ok = isinstance(result, dict) and result.get("isError") is not True
    return Tried(ok=ok, task=str(task["task"]), answer=said, text=_text(said))


def _text(said: JsonObject) -> str:
    error, result = said.get("error"), said.get("result")
    if isinstance(error, dict):
        data = error.get("data")
        code = data.get("code") if isinstance(data, dict) else error.get("code")
        return f"refused: {code}: {error.get('message')}"
    content = result.get("content") if isinstance(result, dict) else None
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.get("text", part)) for part in parts if isinstance(part, dict)) or str(said)
