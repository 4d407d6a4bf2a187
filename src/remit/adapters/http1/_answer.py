"""One HTTP answer, read from bytes as they come: strict, bounded, without any I/O.

Framing follows RFC 9112, sections 6.3 and 11.2: an answer says its length or is chunked, never both, and an answer that
lasts until the connection closes is refused because it cannot be told from a cut one.
"""

from collections.abc import Callable

import httptools

from remit.adapters.http1._codes import Code, failure
from remit.adapters.http1._response import Response
from remit.pipeline import Sent, UpstreamFailure

Watch = Callable[[bytes], bool]
"""Sees each piece of an event stream; True says that what was waited for has come."""

_BODILESS = frozenset({204, 304})
_HEADER_EXTRA_BYTES = 4  # colon, space and line end
_VERSIONS = frozenset({"1.0", "1.1"})
# A body in chunks of one byte carries five bytes of framing for each byte; denser framing only keeps us busy.
_FRAMING_BYTES_MAX = 6


class Answer:
    """Reads the answers of one connection, one after the other. Owned by its connection."""

    __slots__ = (
        "_body", "_body_bytes", "_body_bytes_max", "_events", "_header_bytes", "_header_bytes_max", "_headers",
        "_parser", "_status", "_watch", "_wire_bytes", "enough", "fault", "keep_alive", "whole",
    )  # fmt: skip

    def __init__(self, header_bytes_max: int) -> None:
        self._header_bytes_max = header_bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self.begin(0, None)

    def begin(self, body_bytes_max: int, watch: Watch | None) -> None:
        """Get ready for the next answer on the same connection."""
        self._body_bytes_max = body_bytes_max
        self._watch = watch
        self._events = False
        self._wire_bytes = self._header_bytes = self._body_bytes = self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self.fault: UpstreamFailure | None = None
        self.whole = self.enough = self.keep_alive = False

    def feed(self, data: bytes) -> None:
        """Read on. Afterwards one of `whole`, `fault` and `enough` may be set; bytes after a whole answer end reuse."""
        self._wire_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._fail(Code.MALFORMED, "a switch of protocols nobody asked for")
        except httptools.HttpParserError as error:
            self._fail(Code.MALFORMED, f"not http: {str(error).lower()[:100]}")
        framing = self._wire_bytes - self._body_bytes
        if not self.whole and framing > self._header_bytes_max + _FRAMING_BYTES_MAX * self._body_bytes:
            self._fail(Code.TOO_LARGE, f"headers or chunk framing over {self._header_bytes_max} bytes")

    def result(self) -> Response | UpstreamFailure:
        """Return what was read; to be asked once `whole`, `fault` or `enough` is set."""
        if self.fault is not None:
            return self.fault
        return Response(self._status, tuple(self._headers), b"".join(self._body))

    def _fail(self, code: Code, detail: str) -> None:
        self.keep_alive = False
        if self.whole or self.fault is not None:
            return  # garbage behind a whole answer costs the connection, not the answer
        # Too large: we stopped reading, so no whole answer came and nothing is known about the effect.
        self.fault = failure(code, Sent.UNKNOWN if code is Code.TOO_LARGE else Sent.ANSWERED, detail)

    # The parser's callbacks.

    def on_message_begin(self) -> None:
        """See the first byte of an answer; a second one behind a whole answer is one too many."""
        if self.whole:
            self.keep_alive = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; trailers count against the same bound and are dropped."""
        self._header_bytes += len(name) + len(value) + _HEADER_EXTRA_BYTES
        if self._header_bytes > self._header_bytes_max:
            self._fail(Code.TOO_LARGE, f"headers over {self._header_bytes_max} bytes")
        elif self._status < 200:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Judge status and framing before any byte of body is kept."""
        if self.whole or self.fault is not None:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200:
            # Informational answers come before the real one (RFC 9110, section 15.2); their headers mean nothing.
            self._headers.clear()
        elif not 200 <= status <= 599 or self._parser.get_http_version() not in _VERSIONS:
            self._fail(Code.MALFORMED, "a status or version that http/1.1 does not have")
        else:
            self._status = status
            self._judge_framing()

    def _judge_framing(self) -> None:
        said: dict[bytes, bytes] = {}
        for name, value in self._headers:
            said[name] = said[name] + b", " + value if name in said else value
        length, coding = said.get(b"content-length"), said.get(b"transfer-encoding")
        if length is None and coding is None and self._status not in _BODILESS:
            self._fail(Code.MALFORMED, "an answer that does not say its length")
        elif coding is not None and coding.strip().lower() != b"chunked":
            self._fail(Code.MALFORMED, "a transfer coding nobody asked for")
        elif said.get(b"content-encoding", b"identity").lower() != b"identity":
            self._fail(Code.MALFORMED, "a content coding nobody asked for")
        elif length is not None and self._status not in _BODILESS and int(length) > self._body_bytes_max:
            self._fail(Code.TOO_LARGE, f"a body over {self._body_bytes_max} bytes")
        elif self._watch is not None and self._status == 200:
            self._events = said.get(b"content-type", b"").lower().startswith(b"text/event-stream")

    def on_body(self, data: bytes) -> None:
        """Keep a piece of the body, within its bound."""
        if self.whole or self.fault is not None:
            return
        self._body_bytes += len(data)
        if self._body_bytes > self._body_bytes_max:
            self._fail(Code.TOO_LARGE, f"a body over {self._body_bytes_max} bytes")
            return
        self._body.append(data)
        if self._events and not self.enough and self._watch is not None:
            self.enough = self._watch(data)

    def on_message_complete(self) -> None:
        """The answer is whole, unless it was an informational one."""
        if self.whole or self.fault is not None or self._status < 200:
            return
        self.whole = True
        self.keep_alive = self._parser.should_keep_alive()
