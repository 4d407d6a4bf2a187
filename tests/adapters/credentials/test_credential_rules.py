"""What a credential may be sent in, and that a review is bound to it."""

from dataclasses import replace

import pytest

from remit.catalogue import (
    Exchanged,
    Minted,
    Secret,
    Tool,
    ToolCredential,
    credential_header_wrong,
    credential_scheme_wrong,
)
from remit.core import canonical_bytes

DESK = Tool(name="desk", url="http://127.0.0.1:9301/mcp", timeout_s=1, response_bytes_max=1_000)
CHILD = Tool(name="child", url="", timeout_s=1, response_bytes_max=1_000, command=("child",), artefacts=(("a", "b"),))
EXCHANGED = Exchanged(token_endpoint="https://as.example.org/token", client_id="remit", audience="orders")
SECRET = Secret(source="env", name="DESK_KEY")
NO_NAMES = ("", "a b", "x:y", "é", "a\r\nb", "authorization\n", "x" * 65)
TAKEN = (
    "host", "Host", "content-length", "Content-Type", "transfer-encoding", "connection", "te", "upgrade", "expect",
    "accept", "accept-encoding", "user-agent", "traceparent", "mcp-name", "MCP-Protocol-Version", "mcp-param-x",
    "proxy-authorization", "x-forwarded-for", "sec-fetch-site", "if-match", "dpop", "origin",
)  # fmt: skip


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize("name", ["authorization", "Authorization", "x-api-key", "PRIVATE-TOKEN", "api_key", "cookie"])
def test_a_credential_goes_in_a_header_of_its_own(name: str) -> None:
    assert not credential_header_wrong(name)


@pytest.mark.requirement("R2.3")
@pytest.mark.parametrize("name", [*NO_NAMES, *TAKEN])
def test_a_credential_takes_the_place_of_nothing_else_that_a_request_says(name: str) -> None:
    assert credential_header_wrong(name)


def test_a_scheme_is_one_word_or_none() -> None:
    assert not any(map(credential_scheme_wrong, ("", "Bearer", "Basic", "AWS4-HMAC-SHA256")))
    assert all(map(credential_scheme_wrong, ("a b", " ", "Bearer ", "é", "a:b", "Bearer\n")))


@pytest.mark.requirement("R4.2")
def test_a_review_is_bound_to_the_credential_and_a_plain_one_changes_nothing() -> None:
    assert DESK.endpoint == {"url": DESK.url}
    assert CHILD.endpoint == {"command": ["child"], "artefacts": [["a", "b"]]}
    asked: list[ToolCredential] = [
        Minted(),
        Minted(sequence=True),
        EXCHANGED,
        replace(EXCHANGED, token_endpoint="https://other.example.org/token"),
        replace(EXCHANGED, client_id="other"),
        replace(EXCHANGED, audience="other"),
        replace(EXCHANGED, scopes=("other",)),
        SECRET,
        replace(SECRET, source="file"),
        replace(SECRET, name="OTHER"),
        replace(SECRET, header="x-api-key"),
        replace(SECRET, scheme=""),
    ]
    for tool in (DESK, CHILD):
        said = {canonical_bytes(replace(tool, credential=each).endpoint) for each in asked}
        assert len(said) == len(asked)
    assert replace(DESK, credential=EXCHANGED).endpoint == {
        "url": DESK.url,
        "credential": {
            "exchanged": {
                "token_endpoint": "https://as.example.org/token",
                "client_id": "remit",
                "audience": "orders",
                "scopes": [],
            }
        },
    }
