"""Bounds on what a connection can cost before anybody is known: the size of a head, waits for bytes, and how many.

uvicorn reads a head of any size for any time. These rules hold on every connection, kept or new:

1. A head, or the trailers of a chunked body, above `HEAD_BYTES_MAX` is answered 431 (RFC 6585 section 5).
2. A head or a body that is late is answered 408 (RFC 9110 section 15.5.9).
3. Where a response is under way already, there is no answer, only the close.
4. A connection above `CONNECTIONS_MAX` is closed at once.

A connection starts one timer, for its first head; after that a request that arrives in one read starts none.

Over TLS the application also learns which certificate the client showed (`TlsProtocol`).

    uvicorn.Config(app, http=BoundedProtocol)
"""

import asyncio
import enum
import ssl

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle


class _Reading(enum.Enum):
    NOTHING = enum.auto()
    HEAD = enum.auto()
    BODY = enum.auto()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds. The wait between two requests stays uvicorn's `timeout_keep_alive`.

    A head that begins in the middle of a read is counted from the next read on, so one can pass its bound by one read.
    """

    HEAD_BYTES_MAX = 32 * 1024  # bytes, of a request line and its header fields
    HEAD_WAIT_S: float = 10  # seconds, from the connection or a head's first byte to the head's end
    BODY_WAIT_S: float = 30  # seconds, from a head's end to its body's end
    CONNECTIONS_MAX = 512  # connections of one server at a time

    _reading = _Reading.NOTHING
    _field_bytes = 0  # of this message, in what the parser has handed over
    _held_bytes = 0  # of this message, received since the parser last handed over the start of a head or body bytes
    _read_is_held = False  # nothing of the read under way belongs elsewhere
    _head_is_too_large = False
    _timer: asyncio.TimerHandle | None = None
    _running: RequestResponseCycle | None = None  # `cycle` is the newest, which may be queued behind this one

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the parent has it
        """Begin the wait for a head, or close at once when there are too many connections."""
        if len(self.connections) >= self.CONNECTIONS_MAX:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the timer, and tell every request under way that its caller has gone."""
        self._stop_timer()
        self._unset_keepalive_if_required()
        self._abandon()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, then see what is still owed by the caller."""
        self._read_is_held = True
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_timer()
            return
        if self._reading is not _Reading.NOTHING and self._read_is_held:
            self._held_bytes += len(data)
            if self._held_bytes > self.HEAD_BYTES_MAX:
                self._refuse(b"431 Request Header Fields Too Large")
                return
        if self._timer is None and self._is_owed_bytes():
            self._start_timer()

    def on_message_begin(self) -> None:
        """Count from nothing."""
        super().on_message_begin()
        self._reading = _Reading.HEAD
        self._field_bytes = self._held_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Count, then keep."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count, then keep: a field of the head, or of the trailers. Blanks behind a value are no part of it.

        (RFC 9110, section 5.5; the parser takes away only those before it.)
        """
        self._count(len(name) + len(value) + 4)  # with ": " and the line's end
        super().on_header(name, value.rstrip(b" \t"))

    def on_headers_complete(self) -> None:
        """From here on it is the body that is awaited."""
        self._stop_timer()
        self._reading = _Reading.BODY
        self._held_bytes = 0
        self._read_is_held = False
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Body bytes are the app's to bound: only what the parser holds back is counted here."""
        self._held_bytes = 0
        self._read_is_held = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Nothing more is owed for this request."""
        self._stop_timer()
        self._reading = _Reading.NOTHING
        self._read_is_held = False
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what the parser refused; it also reports the refusals of `on_url` and `on_header` here."""
        if self._head_is_too_large:
            self._refuse(b"431 Request Header Fields Too Large")
        else:
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def _count(self, size: int) -> None:
        self._field_bytes += size
        if self._field_bytes > self.HEAD_BYTES_MAX:
            self._head_is_too_large = True
            raise ValueError("the head is too large")  # stops the parser, which then calls `send_400_response`

    def _is_owed_bytes(self) -> bool:
        if self._reading is not _Reading.NOTHING:
            return True
        # Empty lines before a head begin no message, yet they have ended uvicorn's keep-alive wait.
        return self.timeout_keep_alive_task is None and self._is_answered()

    def _is_answered(self) -> bool:
        return self._running is None or self.cycle.response_complete

    def _start_timer(self) -> None:
        wait_s = self.BODY_WAIT_S if self._reading is _Reading.BODY else self.HEAD_WAIT_S
        self._timer = self.loop.call_later(wait_s, self._on_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_late(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:
            self._start_timer()  # bytes may wait in the socket while we do not read: that is not the caller's delay
        else:
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        self._stop_timer()
        if self._may_answer():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        self._abandon()
        self.transport.close()

    def _may_answer(self) -> bool:
        if self._reading is _Reading.BODY:
            return self.cycle is self._running and not self.cycle.response_started
        return self._is_answered()

    def _abandon(self) -> None:
        # uvicorn tells only the newest of pipelined requests; the one that runs would wait for its caller for ever.
        for cycle in (self._running, self.cycle):
            if cycle is not None and not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()
        self.pipeline.clear()


class TlsProtocol(BoundedProtocol):
    """The same over TLS: `scope["extensions"]["tls"]["client_cert"]` is the client's certificate, in DER.

    The handshake verified it against the authorities that are trusted here (RFC 8705, section 2); empty where the
    client showed none. The bounds count from the end of the handshake, which has its own.
    """

    _certificate = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as the parent has it
        """Keep what the handshake proved; it holds for the whole connection."""
        self._certificate = _verified_certificate(transport.get_extra_info("ssl_object"))
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Tell the application of the certificate."""
        super().on_message_begin()
        self.scope["extensions"] = {"tls": {"client_cert": self._certificate}}


def _verified_certificate(tls: ssl.SSLObject | None) -> bytes:
    """Return the certificate that the handshake asked for and verified; without authorities none is asked for."""
    return b"" if tls is None else tls.getpeercert(binary_form=True) or b""
