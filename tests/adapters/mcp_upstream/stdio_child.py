"""A tool server over stdio that behaves as its words tell it: `stdio_child.py [older] [FAULT]`. Standard library only.

A fault shows in answers to `tools/call`; the word in the arguments' `do` does the same for one call.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

OLDER = "older" in sys.argv
FAULT = sys.argv[-1]
STATE = Path("starts")  # one line for each start, in the working directory


def send(**message: Any) -> None:
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def greet(request: dict[str, Any]) -> None:
    if request["method"] == "initialize":
        wanted = request["params"]["protocolVersion"]
        version = next((word for word in sys.argv if word.startswith("20")), wanted)
        info = {"name": "child", "version": "0"}
        send(id=request["id"], result={"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
    elif OLDER:
        send(id=request["id"], error={"code": -32601, "message": "no such method"})
    else:
        meta = {"io.modelcontextprotocol/serverInfo": {"name": "child", "version": "1"}}
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "_meta": meta}
        send(id=request["id"], result=result)


def result_of(request: dict[str, Any], said: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": json.dumps(said)}], "structuredContent": {"said": said}}


def call(request: dict[str, Any]) -> None:
    params = request["params"]
    do = params["arguments"].get("do") or FAULT
    said: Any = params["arguments"]
    match do:
        case "environment":
            said = dict(os.environ) | {
                "cwd": os.getcwd(),
                "home": os.listdir(os.environ["HOME"]),
                "session": os.getsid(0) == os.getpid(),
                "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else [],
            }
        case "meta" | "params":
            said = params
        case "die":
            print(f"first line\nfatal: \x1b[31mno disk; token was {params['_meta']}", file=sys.stderr, flush=True)
            os._exit(3)
        case "die talking":
            print("x" * 100_000 + "\nlast", file=sys.stderr, flush=True)
            os._exit(3)
        case "close output":
            os.close(1)
            time.sleep(60)
        case "hang":
            return
        case "flood":
            sys.stdout.write("x" * 10_000_000)
            sys.stdout.flush()
        case "chatter":
            while True:
                send(method="notifications/message", params={"data": "x" * 1000})
        case "another id":
            send(id="r_999", result=result_of(request, "for somebody else"))
            return
        case "null id":
            send(id=None, error={"code": -32700, "message": "what?"})
            return
        case "junk":
            print("listening on port 80", flush=True)
            return
        case "batch":
            print(json.dumps([{"jsonrpc": "2.0", "id": request["id"], "result": {}}]), flush=True)
            return
        case "key twice":
            print('{"jsonrpc":"2.0","id":"%s","id":"%s","result":{}}' % (request["id"], request["id"]), flush=True)
            return
        case "both":
            send(id=request["id"], result={}, error={"code": 1, "message": "x"})
            return
        case "no content":
            send(id=request["id"], result={})
            return
        case "wants input":
            send(id=request["id"], result={"resultType": "input_required"})
            return
        case "error":
            send(id=request["id"], error={"code": -32602, "message": f"no: {params['_meta']}"})
            return
        case "asks":
            asked = ["sampling/createMessage", "elicitation/create", "roots/list", "ping"]
            answers = []
            for number, method in enumerate(asked):
                send(id=number, method=method, params={})
                answers.append(json.loads(sys.stdin.readline()))
            said = answers
        case "asks for ever":
            while True:
                send(id=1, method="ping")
        case "late":  # answers only once it was told that nobody waits any more
            cancelled = json.loads(sys.stdin.readline())
            said = cancelled["params"]
        case "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        case "offspring":
            child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
            said = [os.getpid(), child.pid]
        case "pid":
            said = os.getpid()
        case "swap":  # answers two calls in the other order
            other = json.loads(sys.stdin.readline())
            send(id=other["id"], result=result_of(other, other["params"]["arguments"]))
    send(id=request["id"], result=result_of(request, said))


def main() -> None:
    with STATE.open("a") as file:
        print(os.getpid(), file=file)
    match FAULT:
        case "exit at once":
            print("cannot start", file=sys.stderr)
            sys.exit(1)
        case "hang at once":
            time.sleep(600)
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("method"):
            case "server/discover" | "initialize":
                greet(request)
            case "tools/list":
                send(id=request["id"], result={"tools": [{"name": "look", "inputSchema": {"type": "object"}}]})
            case "tools/call":
                call(request)


main()
