"""The edge by itself: which requests may be looked at, and how long a body may take."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest

from remit.surfaces._http import BodyRefusedError, Bounds, Door, Headers, read_body

HOST = (b"host", b"127.0.0.1:8700")
JSON = (b"content-type", b"application/json")


def refusal(*headers: tuple[bytes, bytes]) -> str:
    found = Door(["127.0.0.1:8700"]).refusal(Headers.of({"headers": list(headers)}))
    return "" if found is None else found[1].code


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([HOST, HOST], "host_refused"),
        ([], "host_refused"),
        ([(b"host", b"evil.example")], "host_refused"),
        ([HOST, (b"origin", b"http://127.0.0.1:8700"), (b"origin", b"http://127.0.0.1:8700")], "origin_refused"),
        ([HOST, (b"origin", b"null")], "origin_refused"),
        ([HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")], "length_ambiguous"),
        ([HOST, (b"content-length", b"1"), (b"content-length", b"1")], "length_ambiguous"),
        ([HOST], ""),
        ([HOST, (b"origin", b"http://127.0.0.1:8700"), (b"content-length", b"1")], ""),
    ],
)
def test_the_door_lets_in_what_names_it_once(headers: list[tuple[bytes, bytes]], code: str) -> None:
    assert refusal(*headers) == code


def test_a_body_that_never_comes_is_not_waited_for_for_ever() -> None:
    async def nothing() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("nothing sets that event")

    async def whole() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def scenario() -> None:
        headers = Headers.of({"headers": [HOST, JSON]})
        with pytest.raises(BodyRefusedError) as caught:
            await read_body(headers, nothing, Bounds(body_wait_s=0.01))
        assert (caught.value.status, caught.value.reason.code) == (408, "body_too_slow")
        assert await read_body(headers, whole, Bounds(body_wait_s=10)) == b"{}"

    asyncio.run(asyncio.wait_for(scenario(), 30))
