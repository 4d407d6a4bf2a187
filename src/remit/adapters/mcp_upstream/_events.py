"""The answer in an event stream (WHATWG HTML, section 9.2.6), read as it comes and in linear time."""

import re
from typing import TypeGuard

from remit.core import InputRefusedError, Json, JsonObject, parse_strict

_LINE_END = re.compile(rb"\r\n|\n|\r(?!\Z)")  # a CR at the very end may be half of CR LF: wait for more


class EventReader:
    """Looks for the answer to `request_id`. Sets `message` when it came, or `fault` when it cannot come any more.

    Notifications are passed over. A server of this revision may send nothing else before the answer.
    """

    __slots__ = ("_buffer", "_data", "_looked", "_request_id", "fault", "message")

    def __init__(self, request_id: str) -> None:
        self._request_id = request_id
        self._buffer = bytearray()
        self._looked = 0  # how much of the buffer is known to hold no line end
        self._data: list[bytes] = []
        self.message: JsonObject | None = None
        self.fault: str | None = None

    def feed(self, piece: bytes) -> bool:
        """Read on; True when the rest of the stream is not needed."""
        self._buffer += piece
        start = 0
        while self.message is None and self.fault is None:
            end = _LINE_END.search(self._buffer, max(start, self._looked))
            if end is None:
                break
            self._line(bytes(self._buffer[start : end.start()]))
            start = end.end()
            self._looked = start
        del self._buffer[:start]
        self._looked = max(0, len(self._buffer) - 1)
        return self.message is not None or self.fault is not None

    def _line(self, line: bytes) -> None:
        if line.startswith(b"data:"):
            self._data.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            self._data.append(b"")
        elif not line and self._data:
            event = b"\n".join(self._data)
            self._data.clear()
            if event:
                self._event(event)

    def _event(self, event: bytes) -> None:
        try:
            message = parse_strict(event)
        except InputRefusedError as error:
            self.fault = f"an event that is not strict json: {error.code}"
            return
        if self._is_answer(message):
            self.message = message
        elif not self._is_notification(message):
            self.fault = "an event that is neither the answer nor a notification"

    def _is_answer(self, message: Json) -> TypeGuard[JsonObject]:
        return isinstance(message, dict) and message.get("id") == self._request_id and "method" not in message

    def _is_notification(self, message: Json) -> bool:
        return isinstance(message, dict) and isinstance(message.get("method"), str) and "id" not in message
