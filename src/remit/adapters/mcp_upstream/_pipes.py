"""The two ends of pipes that a program is spoken to through. Each owns its descriptor and closes it exactly once.

(uvloop's own pipe transports close it twice; by the second time the number may be another file's, opened by a thread.)
"""

import asyncio
import os
from collections.abc import Callable
from typing import IO

_READ_BYTES = 1 << 16


class ReadEnd:
    """Tells `on_data` what comes, and `on_end`, once, when no more can come."""

    def __init__(self, pipe: IO[bytes], on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe = pipe
        self._on_data = on_data
        self._on_end = on_end
        os.set_blocking(pipe.fileno(), False)
        self._loop.add_reader(pipe.fileno(), self._ready)

    def close(self) -> None:
        """Stop listening. May be called again."""
        if not self._pipe.closed:
            self._loop.remove_reader(self._pipe.fileno())
            self._pipe.close()

    def _ready(self) -> None:
        try:
            data = os.read(self._pipe.fileno(), _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self.close()
            self._on_end()


class WriteEnd:
    """Writes in order, as fast as the other side reads; `on_end` hears, once, that it reads no more."""

    def __init__(self, pipe: IO[bytes], on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._pipe = pipe
        self._on_end = on_end
        self._unread = bytearray()
        os.set_blocking(pipe.fileno(), False)

    @property
    def unread_bytes(self) -> int:
        """How much is written here and not yet taken by the pipe."""
        return len(self._unread)

    def write(self, data: bytes) -> None:
        """Write `data`, at once as far as possible. After the end it is dropped."""
        if self._pipe.closed:
            return
        waits = bool(self._unread)
        self._unread += data
        if not waits:
            self._ready()
            if self._unread and not self._pipe.closed:
                self._loop.add_writer(self._pipe.fileno(), self._ready)

    def close(self) -> None:
        """End the other side's input; what it has not read is dropped. May be called again."""
        if not self._pipe.closed:
            self._loop.remove_writer(self._pipe.fileno())
            self._pipe.close()
            self._unread.clear()

    def _ready(self) -> None:
        try:
            del self._unread[: os.write(self._pipe.fileno(), self._unread)]
        except BlockingIOError:
            return
        except OSError:
            self.close()
            self._on_end()
            return
        if not self._unread:
            self._loop.remove_writer(self._pipe.fileno())
