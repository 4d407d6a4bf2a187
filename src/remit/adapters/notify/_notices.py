"""The queues of the targets, and who sends what is in them."""

import asyncio
import contextlib
import json
import logging
import sys
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from remit.adapters.credentials import Secrets
from remit.adapters.notify._message import title_and_text
from remit.catalogue import Secret
from remit.permissions import Approval
from remit.pipeline import Clock, CredentialUnavailableError

SENDER = (sys.executable, "-I", str(Path(__file__).with_name("_sender.py")))

_log = logging.getLogger("remit")
_SAID = {3: "it refused them, or could not be reached", 4: "its address is no target of Apprise"}  # by exit code
_LATE = "it did not take them in time"
_FAILED = "the program that sends failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What telling people may cost."""

    waiting_max: int = 100  # messages of one target
    at_once_max: int = 20  # messages that are handed to one program
    send_s: float = 30.0  # seconds that a program has
    report_s: float = 60.0  # seconds between two reports of what was not told


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to tell: `to` is where its address is kept. Of calls of `agents` that `roles` may approve; empty: of all."""

    name: str
    to: Secret
    roles: frozenset[str] = frozenset()
    agents: frozenset[str] = frozenset()

    def hears_of(self, approval: Approval) -> bool:
        """Whether it is told of this approval."""
        asked = {role for need in approval.requirements for role in need.approvers}
        return (not self.agents or approval.agent in self.agents) and (not self.roles or bool(self.roles & asked))


@dataclass(slots=True)
class _Queue:
    target: Target
    waiting: deque[tuple[str, str]] = field(default_factory=deque)
    more: asyncio.Event = field(default_factory=asyncio.Event)


class Notices:
    """Tells targets how approvals change. For one event loop.

    `changed` is for whoever keeps approvals; `run` sends until it is cancelled. `sender` is the program that sends.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - each is a part of its own, joined once in app
        self,
        targets: Iterable[Target],
        secrets: Secrets,
        clock: Clock,
        admin_url: str,
        limits: Limits | None = None,
        sender: Sequence[str] = SENDER,
    ) -> None:
        self._queues = [_Queue(target) for target in targets]
        self._secrets = secrets
        self._clock = clock
        self._admin_url = admin_url
        self._limits = limits or Limits()
        self._sender = tuple(sender)
        self._untold: Counter[tuple[str, str]] = Counter()  # messages, by target and why

    def changed(self, before: Approval | None, after: Approval) -> None:
        """Take in that an approval is new or changed. Never waits and never raises; what is too much is dropped."""
        said = title_and_text(before, after, self._admin_url) if self._queues else None
        if said is None:
            return
        for queue in self._queues:
            if not queue.target.hears_of(after):
                continue
            if len(queue.waiting) >= self._limits.waiting_max:
                self._untold[queue.target.name, "too many waited"] += 1
            else:
                queue.waiting.append(said)
                queue.more.set()

    async def run(self) -> None:
        """Send, and say once in a while what was not told, until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for queue in self._queues:
                group.create_task(self._serve(queue))
            group.create_task(self._report())

    def report(self) -> None:
        """Say how many messages did not reach whom, and why, since the last time."""
        untold, self._untold = self._untold, Counter()
        for (name, why), count in sorted(untold.items()):
            _log.warning("%d messages for the target `%s` were not sent: %s", count, name, why)

    async def close(self) -> None:
        """Say the last of it; what still waits is not sent."""
        for queue in self._queues:
            if queue.waiting:
                self._untold[queue.target.name, "the gateway stopped"] += len(queue.waiting)
                queue.waiting.clear()
        self.report()
        await self._secrets.close()

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._limits.report_s)
            self.report()

    async def _serve(self, queue: _Queue) -> None:
        while True:
            await queue.more.wait()
            queue.more.clear()
            while queue.waiting:
                count = min(len(queue.waiting), self._limits.at_once_max)
                messages = [queue.waiting.popleft() for _ in range(count)]
                why = "the gateway stopped"
                try:
                    why = await self._send(queue.target, messages)
                finally:
                    if why:
                        self._untold[queue.target.name, why] += len(messages)

    async def _send(self, target: Target, messages: list[tuple[str, str]]) -> str:
        """Hand messages to a program of its own; return why they were not sent, or nothing."""
        try:
            url = await self._secrets.value(target.to, self._clock.now())
        except CredentialUnavailableError as error:
            return f"its address cannot be read ({error.code})"
        said = json.dumps({"url": url, "messages": messages}).encode()
        try:
            code = await self._program(said)
        except TimeoutError:
            return _LATE
        except OSError:
            return _FAILED
        return "" if code == 0 else _SAID.get(code, _FAILED)

    async def _program(self, said: bytes) -> int:
        nowhere = asyncio.subprocess.DEVNULL
        program = await asyncio.create_subprocess_exec(
            *self._sender, stdin=asyncio.subprocess.PIPE, stdout=nowhere, stderr=nowhere
        )
        try:
            async with asyncio.timeout(self._limits.send_s):
                await program.communicate(said)
                return await program.wait()
        finally:
            if program.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    program.kill()
                await program.wait()
