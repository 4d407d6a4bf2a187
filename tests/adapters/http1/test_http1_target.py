"""Targets and headers: read once, strictly, so that nothing in them can become another request."""

import pytest

from remit.adapters.http1 import header_block, prepare_target
from remit.core import RemitError


@pytest.mark.parametrize(
    ("url", "origin", "head"),
    [
        ("http://Desk.Example/mcp", ("http", "desk.example", 80), b"POST /mcp HTTP/1.1\r\nhost: desk.example\r\n"),
        ("https://a:443", ("https", "a", 443), b"POST / HTTP/1.1\r\nhost: a\r\n"),
        ("https://a:8443/x?y=1", ("https", "a", 8443), b"POST /x?y=1 HTTP/1.1\r\nhost: a:8443\r\n"),
        ("http://[::1]:9000/mcp", ("http", "::1", 9000), b"POST /mcp HTTP/1.1\r\nhost: [::1]:9000\r\n"),
    ],
)
def test_a_url_is_read_into_origin_and_head(url: str, origin: tuple[str, str, int], head: bytes) -> None:
    target = prepare_target(url)
    assert (target.origin, target.head) == (origin, head)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/", "file:///etc/passwd", "a/mcp", "http://", "http://a b/", "http://a/\r\nx: y", "http://a/x y",
        "http://user:secret@a/", "http://a/#part", "http://a:99999/", "http://a:x/", "http://exämple/", "http://a..b/",
        "http://[::1/", "http://-a/", "http://a/" + "x" * 3000, "http://a/\x00", "http://%41/",
    ],
)  # fmt: skip
def test_any_other_url_is_refused(url: str) -> None:
    with pytest.raises(RemitError) as caught:
        prepare_target(url)
    assert caught.value.code == "url_invalid"
    assert "secret" not in str(caught.value)


def test_headers_are_written_as_lines() -> None:
    assert header_block([("accept", "a, b"), ("x-y", "")]) == b"accept: a, b\r\nx-y: \r\n"


@pytest.mark.parametrize(("name", "value"), [("a", "b\r\nc: d"), ("a b", "c"), ("", "c"), ("a", "é"), ("a:", "c")])
def test_a_header_cannot_start_another_line(name: str, value: str) -> None:
    with pytest.raises(RemitError) as caught:
        header_block([(name, value)])
    assert caught.value.code == "header_invalid"
