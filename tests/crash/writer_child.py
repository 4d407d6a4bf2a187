"""The victim: writes to a store as fast as it can, and says what was acknowledged, until it is killed.

A fork server, so that a thousand deaths do not cost a thousand imports. For each line it reads (JSON: `path`,
`hasty`, `prefix`, `early`, `wait_us`) it forks a child that works on the store at `path`, kills it with SIGKILL
`wait_us` after its first acknowledgement (or, `early`, after its start), and prints what it had acknowledged by then:
`begun` and `done`, as [call, index] pairs.

Every call adds to what its lane has begun, having seen it, marks its own name, and adds to DONE once it has an outcome:
what is counted must go with what is in the log, in every life.

`hasty` is the control: a writer that acknowledges before it commits.
"""

import asyncio
import json
import os
import select
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any
from zlib import crc32

from remit.adapters.sqlite import SqliteStore, _store
from remit.adapters.sqlite._writer import Transaction, Writer
from remit.core import Add, Mark, canonical_bytes
from remit.pipeline import Committed
from remit.records import Draft, Payload

LANES = 8  # calls at once
LEAVES_OPEN = 5  # every so manieth call never gets its outcome
DONE = "#done/lane@"


class HastyWriter(Writer):
    """A control: what is done is acknowledged, and committed a moment later."""

    def _transact(self, batch: list[Any]) -> list[object]:
        transaction = Transaction(self._connection, self._kept)
        self._connection.execute("BEGIN IMMEDIATE")
        results = [command.run(transaction) for command in batch]
        self._tell((command, result, None) for command, result in zip(batch, results, strict=True))
        transaction.write()
        self._connection.execute("COMMIT")
        transaction.merge()
        return results


def draft(kind: str, call: str) -> Draft:
    payload = Payload(name="body", salt=call.encode(), body=b"x" * (crc32(call.encode()) % 3_000))
    leaf = canonical_bytes({"kind": kind, "call": call, "task": "t_1"})
    return Draft(kind=kind, task="t_1", call=call, leaf=leaf, payloads=(payload,))


def mark_of(call: str) -> bytes:
    return sha256(call.encode()).digest()


async def work(path: Path, prefix: str, acks: int) -> None:
    """Begin and finish calls in every lane, for ever; write each acknowledgement when its future has resolved."""
    store = await SqliteStore.open(path)

    async def lane(at: int) -> None:
        number, key = 0, f"#begun/{at}@"
        before = (await store.tallies((key,))).get(key, 0)
        while True:
            number += 1
            call = f"{prefix}-{at}-{number}"
            adds = Add(key, 1, before + number - 1, None)
            begun = await store.begin(draft("intent", call), (), (adds, Mark((mark_of(call),))))
            assert isinstance(begun, Committed)
            os.write(acks, f"begun {call} {begun.index}\n".encode())
            if number % LEAVES_OPEN:
                done = await store.finish(draft("outcome", call), adds=(Add(DONE, 1, 0, None),))
                os.write(acks, f"done {call} {done.index}\n".encode())
            if number % 50 == 0:
                await store.checkpoint(lambda size, root: f"{size} {root.hex()}")

    await asyncio.gather(*map(lane, range(LANES)))


def sacrifice(order: dict[str, Any]) -> dict[str, list[tuple[str, int]]]:
    """Fork a child, let it work, kill it; return what it had acknowledged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        if order["hasty"]:
            vars(_store)["Writer"] = HastyWriter
        try:
            asyncio.run(work(Path(order["path"]), order["prefix"], writing))
        finally:
            os._exit(1)  # only a kill ends the work; anything else is a failure that the parent will see
    os.close(writing)
    heard = b"" if order["early"] else os.read(reading, 1 << 16)
    deadline = time.monotonic() + order["wait_us"] / 1e6
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reading], [], [], left)[0]:
            heard += os.read(reading, 1 << 16)
    os.kill(child, signal.SIGKILL)
    while more := os.read(reading, 1 << 16):
        heard += more
    os.close(reading)
    _, status = os.waitpid(child, 0)
    return {"ended": [("by signal", os.WTERMSIG(status))], **_acknowledged(heard)}


def _acknowledged(heard: bytes) -> dict[str, list[tuple[str, int]]]:
    said: dict[str, list[tuple[str, int]]] = {"begun": [], "done": []}
    for line in heard.decode().splitlines():
        kind, call, index = line.split()
        said[kind].append((call, int(index)))
    return said


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(json.dumps(sacrifice(json.loads(line))) + "\n")
        sys.stdout.flush()
