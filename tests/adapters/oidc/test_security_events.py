"""Security event tokens: what an issuer tells is read once; what is not for us, not of now or forged is refused."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.adapters.oidc.foreign import (
    CORP,
    ISSUER,
    MCP,
    NOON,
    NOW_S,
    OTHER,
    OTHER_RSA,
    RS,
    RSA,
    SERVICE,
    Desk,
    good,
    sign,
)

from remit.adapters.oidc import EventKind, EventRefusedError, SecurityEvent, SecurityEvents
from remit.identity import ClaimsMap

CAEP = "https://schemas.openid.net/secevent/caep/event-type"
RISC = "https://schemas.openid.net/secevent/risc/event-type"
SSF = "https://schemas.openid.net/secevent/ssf/event-type"
HEADER = {**RS, "typ": "secevent+jwt"}
ALICE = {"format": "iss_sub", "iss": ISSUER, "sub": "alice"}
REVOKED: dict[str, Any] = {f"{CAEP}/session-revoked": {"event_timestamp": NOW_S - 60}}


def event(header: Any = HEADER, key: Any = RSA, **changes: Any) -> bytes:
    said = {"iss": ISSUER, "aud": SERVICE, "iat": NOW_S, "jti": "one", "sub_id": ALICE, "events": REVOKED, **changes}
    return sign({name: value for name, value in said.items() if value is not None}, header, key).encode()


def desk_of(**changes: Any) -> tuple[Desk, SecurityEvents]:
    desk = Desk(issuer=replace(CORP, **changes), also=(OTHER,))
    return desk, SecurityEvents(desk.issuers, desk.clock, SERVICE)


async def err(events: SecurityEvents, body: bytes) -> str:
    try:
        await events.read(body)
    except EventRefusedError as error:
        return error.err
    return ""


def read(body: bytes, **changes: Any) -> tuple[SecurityEvent, ...]:
    return asyncio.run(desk_of(**changes)[1].read(body))


GOOD = event()
MUTANTS: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "invalid_request"),
    "no ascii": (b"\xff" + GOOD, "invalid_request"),
    "json": (b'{"events": {}}', "invalid_request"),
    "an access token": (good(aud=SERVICE).encode(), "invalid_request"),
    "no typ": (event(header={"alg": "RS256", "kid": "r"}), "invalid_request"),
    "typ jwt": (event(header={**RS, "typ": "JWT"}), "invalid_request"),
    "alg none": (event(header={**HEADER, "alg": "none"}), "invalid_request"),
    "another key": (event(key=OTHER_RSA), "invalid_key"),
    "an unknown key": (event(header={**HEADER, "kid": "unknown"}), "invalid_key"),
    "another issuer": (event(iss="https://evil.example"), "invalid_issuer"),
    "no issuer": (event(iss=None), "invalid_issuer"),
    "another audience": (event(aud="https://other.example"), "invalid_audience"),
    "no audience": (event(aud=None), "invalid_audience"),
    "no iat": (event(iat=None), "invalid_request"),
    "iat as text": (event(iat=str(NOW_S)), "invalid_request"),
    "too old": (event(iat=NOW_S - 600), "invalid_request"),
    "from the future": (event(iat=NOW_S + 31), "invalid_request"),
    "expired": (event(exp=NOW_S - 30), "invalid_request"),
    "exp as text": (event(exp="never"), "invalid_request"),
    "no jti": (event(jti=None), "invalid_request"),
    "jti a list": (event(jti=["one"]), "invalid_request"),
    "no events": (event(events=None), "invalid_request"),
    "events empty": (event(events={}), "invalid_request"),
    "events a list": (event(events=[REVOKED]), "invalid_request"),
    "too many events": (event(events={f"https://example.org/{n}": {} for n in range(21)}), "invalid_request"),
    "an event that is no object": (event(events={f"{CAEP}/session-revoked": True}), "invalid_request"),
    "a time that is none": (event(events={f"{CAEP}/session-revoked": {"event_timestamp": "x"}}), "invalid_request"),
}


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_event_token_is_refused_and_uses_up_nothing(name: str) -> None:
    body, code = MUTANTS[name]

    async def scenario() -> None:
        _, events = desk_of()
        with pytest.raises(EventRefusedError) as refused:
            await events.read(body)
        assert refused.value.err == code
        assert refused.value.description
        assert len(await events.read(GOOD)) == 1

    asyncio.run(scenario())


@pytest.mark.requirement("R2.11")
def test_a_revoked_session_says_whose_it_was_since_when_and_why() -> None:
    said = {"event_timestamp": NOW_S - 60, "reason_admin": {"de": "weg", "en": "lost\nlaptop"}}
    assert read(event(events={f"{CAEP}/session-revoked": said})) == (
        SecurityEvent(
            issuer="corp",
            jti="one",
            kind=EventKind.SESSION_REVOKED,
            user="corp:alice",
            issued_at=NOON,
            happened_at=NOON - timedelta(seconds=60),
            reason="lost laptop",
        ),
    )


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        (f"{CAEP}/session-revoked", EventKind.SESSION_REVOKED),
        (f"{CAEP}/token-claims-change", EventKind.CLAIMS_CHANGED),
        (f"{CAEP}/credential-change", EventKind.CREDENTIAL_CHANGED),
        (f"{RISC}/account-disabled", EventKind.ACCOUNT_DISABLED),
        (f"{RISC}/account-enabled", EventKind.ACCOUNT_ENABLED),
        (f"{RISC}/account-purged", EventKind.ACCOUNT_PURGED),
    ],
)
def test_every_kind_that_is_known_is_read_and_others_beside_it_are_left_out(address: str, kind: EventKind) -> None:
    (found,) = read(event(events={f"{CAEP}/device-compliance-change": {}, address: {}}))
    assert (found.kind, found.user, found.happened_at) == (kind, "corp:alice", NOON)


def test_events_of_unknown_kinds_alone_are_none_and_no_fault() -> None:
    assert read(event(events={"https://example.org/else": {}})) == ()


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize(("change", "events"), [("create", 0), ("revoke", 1), ("update", 1), ("delete", 1), (None, 1)])
def test_a_credential_more_is_no_event_and_any_other_change_of_one_is(change: str | None, events: int) -> None:
    found = read(event(events={f"{CAEP}/credential-change": {"change_type": change}}))
    assert [each.kind for each in found] == [EventKind.CREDENTIAL_CHANGED] * events


DISABLED: dict[str, Any] = {f"{RISC}/account-disabled": {}}
UNKNOWN: dict[str, Any] = {"https://example.org/else": {}}


@pytest.mark.requirement("R2.11")
def test_tokens_without_an_event_that_is_known_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.adapters.oidc._seen.SEEN_MAX", 2)

    async def scenario() -> None:
        _, events = desk_of()
        for jti in range(5):
            assert await events.read(event(jti=f"u{jti}", events=UNKNOWN)) == ()
            assert await events.read(event(jti=f"u{jti}", events=UNKNOWN)) == (), "nor does it the second time"
        assert [await err(events, event(jti=jti)) for jti in ("one", "two")] == ["", ""]
        assert await err(events, event(jti="three")) == "invalid_request", "(known ones do take room)"

    asyncio.run(scenario())


@pytest.mark.requirement("R2.11")
@pytest.mark.parametrize("told", [UNKNOWN, REVOKED])
def test_what_one_issuer_tells_stops_no_event_of_another(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("remit.adapters.oidc._seen.SEEN_MAX", 2)

    async def scenario() -> None:
        _, events = desk_of()
        others = [await err(events, event(iss=OTHER.issuer, jti=f"o{jti}", events=told)) for jti in range(5)]
        assert others == ["", "", *(["invalid_request" if told is REVOKED else ""] * 3)]
        (found,) = await events.read(event(jti="o0", events=DISABLED))
        assert (found.kind, found.user) == (EventKind.ACCOUNT_DISABLED, "corp:alice")
        assert await events.read(event(jti="o0", events=DISABLED)) == ()

    asyncio.run(scenario())


@pytest.mark.requirement("R2.11")
def test_only_the_issuer_whose_event_could_not_be_acted_on_may_send_it_again() -> None:
    async def scenario() -> None:
        _, events = desk_of()
        first, others = await events.read(GOOD), await events.read(event(iss=OTHER.issuer))
        assert (len(first), len(others)) == (1, 1)
        events.forget(others)
        assert await events.read(GOOD) == ()
        assert await events.read(event(iss=OTHER.issuer)) == others

    asyncio.run(scenario())


def test_a_verification_is_about_nobody_and_brings_its_state_back() -> None:
    body = event(events={f"{SSF}/verification": {"state": "abc"}}, sub_id={"format": "opaque", "id": "stream"})
    (found,) = read(body)
    assert (found.kind, found.user, found.state) == (EventKind.VERIFICATION, None, "abc")


BY_EMAIL = ClaimsMap(subject="email")
MAIL = {"format": "email", "email": "alice@example.org"}


@pytest.mark.parametrize(
    ("subject", "claims", "user"),
    [
        (ALICE, CORP.claims, "corp:alice"),
        ({"format": "opaque", "id": "alice"}, CORP.claims, "corp:alice"),
        ({"format": "complex", "user": ALICE, "session": {"format": "opaque", "id": "s"}}, CORP.claims, "corp:alice"),
        ({"format": "aliases", "identifiers": [MAIL, ALICE]}, CORP.claims, "corp:alice"),
        (MAIL, BY_EMAIL, "corp:alice@example.org"),
        (MAIL, CORP.claims, None),
        (ALICE, BY_EMAIL, None),
        ({**ALICE, "iss": "https://other.example"}, CORP.claims, None),
        ({**ALICE, "sub": 7}, CORP.claims, None),
        ({**ALICE, "sub": "alice smith"}, CORP.claims, None),
        ({"format": "complex", "session": {"format": "opaque", "id": "s"}}, CORP.claims, None),
        ({"format": "aliases", "identifiers": "alice"}, CORP.claims, None),
        ({"format": "phone_number", "phone_number": "+1"}, CORP.claims, None),
        ({"format": ["iss_sub"]}, CORP.claims, None),
        ("alice", CORP.claims, None),
        (None, CORP.claims, None),
    ],
)
@pytest.mark.requirement("R2.11")
def test_a_subject_is_whom_the_issuer_may_speak_of_and_we_know_by_that_name(
    subject: Any, claims: ClaimsMap, user: str | None
) -> None:
    (found,) = read(event(sub_id=subject), claims=claims)
    assert found.user == user
    (older,) = read(event(sub_id=None, events={f"{CAEP}/session-revoked": {"subject": subject}}), claims=claims)
    assert older.user == user


def test_nothing_happened_later_than_it_was_told() -> None:
    (found,) = read(event(events={f"{CAEP}/session-revoked": {"event_timestamp": NOW_S + 9_999}}))
    assert found.happened_at == NOON


@pytest.mark.requirement("R2.11")
def test_a_token_that_came_before_is_acknowledged_and_nothing_happens_twice() -> None:
    async def scenario() -> None:
        desk, events = desk_of()
        first = await events.read(GOOD)
        assert len(first) == 1
        assert await events.read(GOOD) == ()
        assert len(await events.read(event(jti="two"))) == 1
        events.forget(first)
        assert await events.read(GOOD) == first, "it could not be acted on, and may come again"
        desk.clock.advance(seconds=599)
        assert await events.read(GOOD) == ()
        desk.clock.advance(seconds=1)
        assert await err(events, GOOD) == "invalid_request", "it is too old"

    asyncio.run(scenario())


def test_an_issuer_whose_events_are_not_believed_is_denied() -> None:
    async def scenario() -> None:
        assert await err(desk_of(events=False)[1], GOOD) == "access_denied"

    asyncio.run(scenario())


def test_what_we_cannot_verify_now_may_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        desk, events = desk_of()
        desk.published.down = True
        with pytest.raises(EventRefusedError) as refused:
            await events.read(GOOD)
        assert (refused.value.err, refused.value.again) == ("invalid_key", True)
        desk.published.down = False
        desk.clock.advance(seconds=5)
        assert len(await events.read(GOOD)) == 1
        monkeypatch.setattr("remit.adapters.oidc._seen.SEEN_MAX", 1)
        with pytest.raises(EventRefusedError) as crowded:
            await events.read(event(jti="two"))
        assert crowded.value.again

    asyncio.run(scenario())


def test_an_event_token_opens_nothing() -> None:
    async def scenario() -> None:
        desk, _ = desk_of()
        assert await desk.code(event(aud=MCP, sub="alice", exp=NOW_S + 60).decode()) == "token_invalid"

    asyncio.run(scenario())
