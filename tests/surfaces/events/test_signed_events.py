"""Signed security event tokens from an issuer, pushed as they are, to the end: what the user had opened is over."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from tests.adapters.oidc.foreign import ISSUER, NOON, NOW_S, OTHER_RSA, RS, RSA, SERVICE, sign
from tests.adapters.oidc.foreign import Desk as Foreign

from remit.adapters.oidc import SecurityEvents
from remit.pipeline import Done
from remit.surfaces._http import Headers
from remit.surfaces.events import EventsEndpoint
from remit.testing import Desk, desk_call, desk_delegation, desk_task

pytestmark = pytest.mark.requirement("R2.11")

CAEP = "https://schemas.openid.net/secevent/caep/event-type"
RISC = "https://schemas.openid.net/secevent/risc/event-type"
ALICES = replace(desk_task("t_alice"), user="corp:alice")


def event(kind: str, key: Any = RSA, **changes: Any) -> bytes:
    said = {
        "iss": ISSUER,
        "aud": SERVICE,
        "iat": NOW_S,
        "jti": "one",
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": "alice"},
        "events": {kind: {"event_timestamp": NOW_S}},
    }
    return sign({**said, **changes}, {**RS, "typ": "secevent+jwt"}, key).encode()


async def push(endpoint: EventsEndpoint[Any], body: bytes) -> tuple[int, bytes]:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    length = b"%d" % len(body)
    headers = Headers({b"content-type": b"application/secevent+jwt", b"content-length": length})
    await endpoint.serve("POST", headers, receive, send)
    return int(sent[0]["status"]), bytes(sent[1]["body"])


async def stage() -> tuple[Desk, Foreign, EventsEndpoint[Any]]:
    desk, foreign = Desk(), Foreign()
    desk.live.admit(ALICES, b'{"input":null}')
    return desk, foreign, EventsEndpoint(SecurityEvents(foreign.issuers, foreign.clock, SERVICE), desk.controls)


@pytest.mark.parametrize("kind", [f"{CAEP}/session-revoked", f"{RISC}/account-disabled"])
def test_what_an_issuer_signed_comes_to_pass_for_its_user_and_for_no_other(kind: str) -> None:
    async def scene() -> None:
        desk, _, endpoint = await stage()
        delegation = desk_delegation("t_alice", user="corp:alice")
        assert isinstance(await desk.gateway.handle(desk_call("look", delegation=delegation)), Done)
        assert await push(endpoint, event(kind)) == (202, b"")
        after: Any = await desk.gateway.handle(desk_call("look", call="c_2", delegation=delegation))
        assert after.reason.code == "user_revoked"
        assert "issuer corp" in after.reason.message
        assert isinstance(await desk.gateway.handle(desk_call("look", call="c_3")), Done), "tom notices nothing"
        assert desk.live.user_revocation("corp:alice", "clerk", NOON) is not None

    asyncio.run(scene())


def test_what_the_issuer_did_not_sign_changes_nothing() -> None:
    async def scene() -> None:
        desk, _, endpoint = await stage()
        status, body = await push(endpoint, event(f"{CAEP}/session-revoked", OTHER_RSA))
        assert (status, b'"err":"invalid_key"' in body) == (400, True)
        assert desk.live.task("t_alice") is not None
        assert desk.store.log == []

    asyncio.run(scene())


def test_while_the_issuers_keys_cannot_be_had_it_is_asked_to_push_again() -> None:
    async def scene() -> None:
        desk, foreign, endpoint = await stage()
        foreign.published.down = True
        assert (await push(endpoint, event(f"{CAEP}/session-revoked")))[0] == 503
        assert desk.live.task("t_alice") is not None
        foreign.published.down = False
        foreign.clock.advance(seconds=60)
        assert (await push(endpoint, event(f"{CAEP}/session-revoked")))[0] == 202
        assert desk.live.task("t_alice") is None

    asyncio.run(scene())
