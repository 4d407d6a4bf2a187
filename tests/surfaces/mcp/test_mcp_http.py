"""The data plane as an HTTP server under attack: framing, media types, methods, Host and Origin."""

from collections.abc import Callable

import pytest
from tests.conftest import JSON, Gateway, Opened, bearer, mirrors, tool_call
from tests.surfaces.mcp.test_mcp_edge import BASE

Raw = Callable[[Gateway, str], bytes]
"""(gateway, token) -> the bytes of a request."""

MIB = 1 << 20


def head(gateway: Gateway, token: str, *lines: str, line: str = "POST /mcp HTTP/1.1", host: str | None = "") -> bytes:
    """Write a request's head: Host, a good token and good mirrors, and `lines`."""
    named = [] if host is None else [f"Host: {host or f'127.0.0.1:{gateway.data_port}'}"]
    good = [f"{name}: {value}" for name, value in [bearer(token), *mirrors(tool_call())] if name != "Content-Type"]
    return "\r\n".join([line, *named, *good, *lines]).encode("latin-1") + b"\r\n\r\n"


def typed(*lines: str, body: bytes = BASE, line: str = "POST /mcp HTTP/1.1", host: str | None = "") -> Raw:
    """Send a JSON body with these lines added."""
    length = [f"Content-Length: {len(body)}"] if body else []
    return lambda gateway, token: (
        head(gateway, token, "Content-Type: application/json", *length, *lines, line=line, host=host) + body
    )


def media(*lines: str) -> Raw:
    """Send the well-formed call under another media type."""
    return lambda gateway, token: head(gateway, token, f"Content-Length: {len(BASE)}", *lines) + BASE


def framed(*lines: str, body: bytes) -> Raw:
    """Send a body framed by `lines` alone."""
    return lambda gateway, token: head(gateway, token, "Content-Type: application/json", *lines) + body


def chunk(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


CHUNKED = "Transfer-Encoding: chunked"
LENGTH = f"Content-Length: {len(BASE)}"

# What is refused by code, and recorded where the caller is known.
REFUSED: list[tuple[str, Raw, int, str, bool]] = [
    ("Content-Length over the bound", framed(f"Content-Length: {MIB + 1}", body=b""), 413, "body_too_large", True),
    ("Content-Length of a terabyte", framed("Content-Length: 1099511627776", body=b"{}"), 413, "body_too_large", True),
    ("Content-Length of 19 digits", framed("Content-Length: 9" + "0" * 18, body=b"{}"), 413, "body_too_large", True),
    ("one huge chunk", framed(CHUNKED, body=b"%x\r\n" % (2 * MIB) + b" " * (MIB + 9)), 413, "body_too_large", True),
    ("chunks over the bound", framed(CHUNKED, body=chunk(b" " * 65_536) * 17), 413, "body_too_large", True),
    ("text/plain", media("Content-Type: text/plain"), 415, "content_type_refused", True),
    ("no media type", media(), 415, "content_type_refused", True),
    ("an empty media type", media("Content-Type:"), 415, "content_type_refused", True),
    ("JSON in Latin-1", media("Content-Type: application/json; charset=latin-1"), 415, "content_type_refused", True),
    ("JSON in UTF-16", media('Content-Type: application/json;charset="utf-16"'), 415, "content_type_refused", True),
    ("application/json-rpc", media("Content-Type: application/json-rpc"), 415, "content_type_refused", True),
    ("a form", media("Content-Type: application/x-www-form-urlencoded"), 415, "content_type_refused", True),
    ("multipart", media("Content-Type: multipart/form-data; boundary=x"), 415, "content_type_refused", True),
    ("two media types", media("Content-Type: application/json", "Content-Type: text/plain"), 415,
     "content_type_refused", True),
    ("two media types in one", media("Content-Type: application/json, text/plain"), 415, "content_type_refused", True),
    *[
        (f"{method}", typed(line=f"{method} /mcp HTTP/1.1"), 405, "method_not_allowed", False)
        for method in ("GET", "DELETE", "PUT", "PATCH", "OPTIONS")
    ],
    *[
        (f"the path {path}", typed(line=f"POST {path} HTTP/1.1"), 404, "path_unknown", False)
        for path in ("/MCP", "/mcp/", "//mcp", "/mcp/..", "/mcp%00", "/mcp;x", "/v1", "/", "/.well-known/x", "/admin")
    ],
    *[
        (f"the Host {host or 'missing'}", typed(host=host), 421, "host_refused", False)
        for host in ("attacker.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1.nip.io:80", None, "[::1]", "localhost")
    ],
    ("two Hosts", typed("Host: attacker.example"), 421, "host_refused", False),
    *[
        (f"the Origin {origin}", typed(f"Origin: {origin}"), 403, "origin_refused", False)
        for origin in ("http://attacker.example", "null", "https://127.0.0.1:8700", "http://127.0.0.1", "", "file://")
    ],
    ("two Origins", typed("Origin: null", "Origin: null"), 403, "origin_refused", False),
]  # fmt: skip

# What the HTTP parser itself turns away: no code, but a 400 and a closed connection.
BROKEN: list[tuple[str, Raw]] = [
    ("Content-Length and chunked", framed(LENGTH, CHUNKED, body=b"0\r\n\r\n")),
    ("chunked and Content-Length", framed(CHUNKED, LENGTH, body=b"0\r\n\r\n" + BASE)),
    ("two Content-Lengths", framed(LENGTH, f"Content-Length: {len(BASE) + 1}", body=BASE)),
    ("a negative Content-Length", framed("Content-Length: -1", body=BASE)),
    ("a Content-Length in words", framed("Content-Length: ten", body=BASE)),
    ("a Content-Length with a plus", framed(f"Content-Length: +{len(BASE)}", body=BASE)),
    ("a chunk of no size", framed(CHUNKED, body=b"zz\r\n{}\r\n0\r\n\r\n")),
    ("a chunk size beyond 64 bits", framed(CHUNKED, body=b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n")),
    ("a folded header", framed("X-A: 1\r\n b", LENGTH, body=BASE)),
    ("a space before the colon", framed("Content-Length : 5", body=BASE)),
    ("a null in a header", framed("X-A: \x00", LENGTH, body=BASE)),
    ("no HTTP at all", lambda _gateway, _token: b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"),
    ("HTTP/2's preface", lambda _gateway, _token: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("a version that is none", typed(line="POST /mcp HTTP/9.9")),
]


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_no_good_request_is_refused_before_it_is_read(
    desk: Gateway, opened: Opened, case: tuple[str, Raw, int, str, bool]
) -> None:
    _, raw, status, code, recorded = case
    reached = len(desk.received())
    answer = desk.raw(raw(desk, opened.token))
    assert (answer.status, answer.code) == (status, code), answer
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.fix
    assert answer.json["status"] == status
    assert len(desk.received()) == reached
    assert desk.refusals(opened.task) == ([code] if recorded else [])


@pytest.mark.parametrize("raw", [raw for _, raw in BROKEN], ids=[what for what, _ in BROKEN])
def test_bytes_on_which_two_servers_could_disagree_end_the_connection(desk: Gateway, opened: Opened, raw: Raw) -> None:
    reached = len(desk.received())
    answer = desk.raw(raw(desk, opened.token))
    assert answer.status == 400, answer
    assert answer.headers["connection"] == "close"
    assert len(desk.received()) == reached


def test_nothing_behind_a_smuggled_request_is_heard(desk: Gateway, opened: Opened) -> None:
    """A second request hides in a body whose end is ambiguous."""
    reached = len(desk.received())
    second = typed()(desk, opened.token)
    for first in ((LENGTH, CHUNKED), (CHUNKED, LENGTH), ("Transfer-Encoding: identity, chunked", LENGTH)):
        desk.raw(head(desk, opened.token, "Content-Type: application/json", *first) + b"0\r\n\r\n" + second)
    assert len(desk.received()) == reached


def test_whole_requests_pass_in_every_framing_that_is_sound(desk: Gateway, opened: Opened) -> None:
    """The control: the same request with sound framing, media type, Host and Origin."""
    own = f"127.0.0.1:{desk.data_port}"
    good: list[Raw] = [
        typed(),
        typed(f"Origin: http://{own}"),
        typed(host=f"localhost:{desk.data_port}"),
        typed("Accept: text/html"),
        framed(CHUNKED, body=chunk(BASE[:50]) + chunk(BASE[50:]) + b"0\r\n\r\n"),
        media('Content-Type: Application/JSON; charset="UTF-8"'),
        lambda gateway, token: head(gateway, token, *(f"{n}: {v}" for n, v in [JSON]), LENGTH) + BASE,
    ]
    for raw in good:
        answer = desk.raw(raw(desk, opened.token))
        assert (answer.status, answer.code) == (200, ""), answer


def test_health_is_told_to_anybody_and_nothing_else_is(desk: Gateway) -> None:
    assert desk.raw(desk.request("GET", "/healthz", b"")).json == {"status": "alive"}
    ready = desk.raw(desk.request("GET", "/readyz", b"")).json
    assert (ready["ready"], ready["mode"]) == (True, "enforce")
    assert ready.keys() == {"ready", "mode", "version"}
    assert desk.raw(desk.request("GET", "/metrics", b"")).status == 404


def test_a_websocket_is_not_opened(desk: Gateway) -> None:
    lines = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    lines.append(("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="))
    assert desk.raw(desk.request("GET", "/mcp", b"", lines)).status == 405
    assert desk.raw(desk.request("GET", "/v1/status", b"", lines, admin=True), admin=True).status == 401
