"""A tool server over stdio that behaves as it is told: `stdio_child.py [older [REVISION]]`, or one of two bad starts.

Each call names in its arguments what the program is to do (`do`). Standard library only, so that it starts quickly.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

OLDER = "older" in sys.argv
STARTS = Path("starts")  # one line for each start, in the working directory
SERVER = {"name": "child", "version": "1"}


def write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def send(**message: Any) -> None:
    write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")


def answer(request: Any, said: Any) -> None:
    text = {"type": "text", "text": json.dumps(said)}
    send(id=request["id"], result={"content": [text], "structuredContent": {"said": said}})


def heard() -> Any:
    return json.loads(sys.stdin.readline())


def credential(request: Any) -> Any:
    return request["params"]["_meta"].get("remit/credential")


def die(_: Any, last_words: str) -> None:
    sys.stderr.write(last_words)
    sys.stderr.flush()
    os._exit(3)


def environment(request: Any) -> None:
    files = Path("/proc/self/fd")
    found = {
        "cwd": str(Path.cwd()),
        "home": [each.name for each in Path(os.environ["HOME"]).iterdir()],
        "session": os.getsid(0) == os.getpid(),
        "files": sorted(int(each.name) for each in files.iterdir()) if files.exists() else [],
    }
    answer(request, dict(os.environ) | found)


def close_output(_: Any) -> None:
    os.close(1)
    time.sleep(600)


def flood(_: Any) -> None:
    write("x" * 10_000_000)


def overlong(request: Any) -> None:
    """Answer with more than a line may hold."""
    answer(request, "x" * 200_000)


def overlong_between(request: Any) -> None:
    """Answer this call with too much once there is another one, then that one."""
    other = heard()
    while "id" not in other:  # that nobody waits any more
        other = heard()
    overlong(request)
    answer(other, other["params"]["arguments"])


def overlong_note(request: Any) -> None:
    """Say something unasked that no line may hold, then answer."""
    send(method="notifications/message", params={"data": "x" * 200_000})
    answer(request, "late")


def overlong_for_ever(_: Any) -> None:
    while True:
        write("x" * 200_000 + "\n")


def metadata(request: Any) -> None:
    """Answer with the metadata, but with the credential backwards: no answer may repeat it."""
    meta = request["params"]["_meta"]
    answer(request, {key: value[::-1] if key == "remit/credential" else value for key, value in meta.items()})


def chatter(_: Any) -> None:
    for number in count():
        send(method="notifications/message", params={"data": f"{number:01000}"})


def asks_for_ever(_: Any) -> None:
    for number in count():
        send(id=number, method="ping")


def asks(request: Any) -> None:
    answers = []
    for number, method in enumerate(["sampling/createMessage", "elicitation/create", "roots/list", "ping"]):
        send(id=number, method=method, params={})
        answers.append(heard())
    answer(request, answers)


def late(request: Any) -> None:
    """Answer only once told that nobody waits any more."""
    answer(request, heard()["params"])


def stubborn(request: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    answer(request, "no")


def offspring(request: Any) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    answer(request, [os.getpid(), child.pid])


def swap(request: Any) -> None:
    """Answer two calls in the other order."""
    other = heard()
    answer(other, other["params"]["arguments"])
    answer(request, request["params"]["arguments"])


def key_twice(request: Any) -> None:
    ours = json.dumps(request["id"])
    write(f'{{"jsonrpc":"2.0","id":{ours},"id":{ours},"result":{{}}}}\n')


def error(request: Any) -> None:
    send(id=request["id"], error={"code": -32602, "message": f"no: {credential(request)}"})


DOINGS: dict[str, Callable[[Any], None]] = {
    "meta": metadata,
    "repeat": lambda request: answer(request, f"you said {credential(request)}"),
    "repeat signature": lambda request: answer(request, {"a": [credential(request).rpartition(".")[2]]}),
    "repeat claims": lambda request: answer(request, credential(request).split(".")[1]),
    "environment": environment,
    "die": lambda request: die(request, f"first line\n\nfatal: \x1b[31mno disk; token was {credential(request)}\n"),
    "die talking": lambda request: die(request, f"token was {credential(request)}" * 1000 + "\nlast"),
    "close output": close_output,
    "hang": lambda _: None,
    "deaf": lambda _: time.sleep(600),
    "flood": flood,
    "overlong": overlong,
    "overlong between": overlong_between,
    "overlong note": overlong_note,
    "overlong for ever": overlong_for_ever,
    "chatter": chatter,
    "another id": lambda request: answer(request | {"id": "r_999"}, "for somebody else"),
    "null id": lambda _: send(id=None, error={"code": -32700, "message": "what?"}),
    "junk": lambda _: write("listening on port 80\n"),
    "batch": lambda request: write(json.dumps([{"jsonrpc": "2.0", "id": request["id"], "result": {}}]) + "\n"),
    "key twice": key_twice,
    "both": lambda request: send(id=request["id"], result={}, error={"code": 1, "message": "x"}),
    "no content": lambda request: send(id=request["id"], result={}),
    "wants input": lambda request: send(id=request["id"], result={"resultType": "input_required"}),
    "error": error,
    "asks": asks,
    "asks for ever": asks_for_ever,
    "late": late,
    "stubborn": stubborn,
    "offspring": offspring,
    "pid": lambda request: answer(request, os.getpid()),
    "swap": swap,
}


def call(request: Any) -> None:
    arguments = request["params"]["arguments"]
    doing = DOINGS.get(arguments.get("do", ""))
    if doing is None:
        answer(request, arguments)
    else:
        doing(request)


def discover(request: Any) -> None:
    if OLDER:
        send(id=request["id"], error={"code": -32601, "message": "no such method"})
        return
    meta = {"io.modelcontextprotocol/serverInfo": SERVER}
    result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "_meta": meta}
    send(id=request["id"], result=result)


def initialize(request: Any) -> None:
    version = next((word for word in sys.argv if word.startswith("20")), request["params"]["protocolVersion"])
    result: dict[str, Any] = {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": SERVER}
    send(id=request["id"], result=result)


def list_tools(request: Any) -> None:
    send(id=request["id"], result={"tools": [{"name": "look", "inputSchema": {"type": "object"}}]})


METHODS = {
    "server/discover": discover,
    "initialize": initialize,
    "tools/list": list_tools,
    "tools/call": call,
}

with STARTS.open("a") as file:
    file.write(f"{os.getpid()}\n")
if "exit at once" in sys.argv:
    sys.exit("cannot start")
if "hang at once" in sys.argv:
    time.sleep(600)
for line in sys.stdin:
    message = json.loads(line)
    method = METHODS.get(message.get("method"))
    if method is not None:
        method(message)
