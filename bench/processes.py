"""Processes that a run starts, and what the kernel says of them. Whatever is started here is ended here, by its id."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

READY_WAIT_S = 60.0
ROOT = Path(__file__).resolve().parents[1]

_TICK_US = 1_000_000 // os.sysconf("SC_CLK_TCK")


@contextmanager
def running(*command: str) -> Iterator[tuple[int, float]]:
    """Run `python COMMAND` while the context lasts; yield its id and how many seconds it took to say `ready`.

    Raises:
        RuntimeError: it ended before it was ready.
    """
    started = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if not any(line.startswith("ready") for line in process.stdout):
                raise RuntimeError(f"`{' '.join(command)}` ended before it was ready")
            yield process.pid, time.perf_counter() - started
        finally:
            process.terminate()
            try:
                process.wait(READY_WAIT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface that nobody has now."""
    with ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in taken:
            listener.bind(("127.0.0.1", 0))
        return [int(listener.getsockname()[1]) for listener in taken]


def cpu_us(root: int) -> int:
    """Return the processor time of a process and its descendants, all threads, user and system, in microseconds."""
    children: dict[int, list[int]] = {}
    times: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it ended while we looked
            children.setdefault(int(fields[1]), []).append(int(folder.name))
            times[int(folder.name)] = int(fields[11]) + int(fields[12])
    total, todo = 0, [root]
    while todo:
        process = todo.pop()
        total += times.get(process, 0)
        todo += children.get(process, [])
    return total * _TICK_US


def rss_mb(process: int) -> float:
    """Return how much memory a process holds now, in MB."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError("no VmRSS")
