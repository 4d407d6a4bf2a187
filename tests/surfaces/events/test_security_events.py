"""What an issuer tells of its users is on record and has come to pass before it hears that it was taken."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from remit.core import RemitError
from remit.identity import Cut
from remit.pipeline import ControlDesk, Done
from remit.surfaces._http import Headers
from remit.surfaces.events import EventsEndpoint
from remit.testing import NOON, Desk, FailingStore, desk_call, desk_delegation, desk_task

pytestmark = pytest.mark.requirement("R2.11")

SET = b"application/secevent+jwt"


@dataclass(frozen=True)
class Event:
    """One event, as the verifier reads it."""

    kind: str
    user: str | None = "tom"
    happened_at: datetime = NOON
    issuer: str = "corp"
    jti: str = "j_1"
    reason: str = ""


class EventRefusedError(RemitError):
    """What a verifier raises (RFC 8935, section 2.4)."""

    def __init__(self, err: str, *, again: bool = False) -> None:
        super().__init__(f"event_{err}", "it does not count", "mend the stream")
        self.err, self.description, self.again = err, "it does not count", again


@dataclass
class Verifier:
    """The `Events` port without cryptography: the token is the number of what it says. What was read is read once."""

    says: list[tuple[Event, ...]]
    refuses: RemitError | None = None
    read_before: set[bytes] = field(default_factory=set)

    async def read(self, body: bytes) -> tuple[Event, ...]:
        if self.refuses is not None:
            raise self.refuses
        if body in self.read_before:
            return ()
        self.read_before.add(body)
        return self.says[int(body)]

    def forget(self, events: tuple[Event, ...]) -> None:
        self.read_before -= {b"%d" % number for number, said in enumerate(self.says) if said == events}


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def err(self) -> str:
        return str(json.loads(self.body)["err"])


async def push(
    endpoint: EventsEndpoint[Event],
    body: bytes = b"0",
    *,
    media: bytes = SET,
    method: str = "POST",
    cut_off: bool = False,
) -> Answer:
    """Push a token; return the answer."""
    sent: list[Any] = []
    said = {"type": "http.disconnect"} if cut_off else {"type": "http.request", "body": body, "more_body": False}

    async def receive() -> Any:
        return said

    async def send(message: Any) -> None:
        sent.append(message)

    headers = Headers({b"content-type": media, b"content-length": b"%d" % len(body)})
    await endpoint.serve(method, headers, receive, send)
    head = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], head, sent[1]["body"])


def told(desk: Desk, *events: Event) -> tuple[Answer, list[Any]]:
    """Push one token with `events`; return the answer, and what is on record of it."""
    answer = asyncio.run(push(EventsEndpoint(Verifier([events]), desk.controls)))
    return answer, [json.loads(entry.leaf) for entry in desk.store.log if entry.kind == "control"]


@pytest.mark.parametrize("kind", ["session-revoked", "token-claims-change", "credential-change"])
def test_a_session_that_ended_ends_what_was_opened_in_it(kind: str) -> None:
    desk = Desk()
    desk.live.admit(replace(desk_task("t_since"), opened_at=NOON + timedelta(seconds=1)), b'{"input":null}')
    answer, entries = told(desk, Event(kind, reason="stolen"))
    assert (answer.status, answer.body, answer.headers["content-length"]) == (202, b"", "0")
    assert [task.id for task in desk.live.tasks()] == ["t_since"], "opened within that second, and since"
    heard, revoked, complete = entries
    assert [heard[name] for name in ("control", "word", "by", "jti", "user", "reason")] == [
        *("issuer/corp", kind, "issuer corp", "j_1", "tom", "stolen")
    ]
    assert (revoked["control"], revoked["word"], revoked["by"]) == ("user/tom", "revoked", "issuer corp")
    assert revoked["why"] == f"{kind}: stolen (event j_1)"
    assert revoked["before"] == "2026-11-22T12:00:01.000000Z"
    assert (complete["word"], complete["tasks"]) == ("revocation_complete", 1)
    assert desk.live.user_revocation("tom", "clerk", NOON + timedelta(seconds=1)) is None, (
        "a new login is as good as any"
    )


@pytest.mark.parametrize("kind", ["account-disabled", "account-purged"])
def test_an_account_that_is_closed_keeps_the_user_out_until_it_is_enabled(kind: str) -> None:
    desk, later = Desk(), NOON + timedelta(days=9)
    answer, entries = told(desk, Event(kind))
    assert (answer.status, entries[1]["why"], "before" in entries[1]) == (202, f"{kind} (event j_1)", False)
    assert desk.live.tasks() == ()
    assert desk.live.user_revocation("tom", "clerk", later) is not None
    told(desk, Event("account-enabled", jti="j_2"))
    assert desk.live.user_revocation("tom", "clerk", later) is None


def test_what_an_operator_cut_off_no_issuer_lets_in() -> None:
    desk = Desk()
    asyncio.run(desk.controls.cut(Cut(user="tom"), "otto", "odd"))
    for event in (Event("account-disabled"), Event("account-enabled", jti="j_2")):
        assert told(desk, event)[0].status == 202
    assert desk.live.user_revocation("tom", "clerk", NOON) is not None


@pytest.mark.parametrize(
    "event", [Event("verification", None), Event("session-revoked", None)], ids=["of the stream", "of nobody we know"]
)
def test_what_concerns_no_user_of_ours_is_on_record_and_nothing_else_happens(event: Event) -> None:
    desk = Desk()
    answer, entries = told(desk, event)
    assert answer.status == 202
    assert [(leaf["word"], leaf["jti"]) for leaf in entries] == [(event.kind, "j_1")]
    assert isinstance(asyncio.run(desk.gateway.handle(desk_call("look"))), Done)


def test_other_users_notice_nothing_and_all_events_of_a_token_count() -> None:
    desk = Desk()
    for user in ("corp:eve", "corp:ute"):
        desk.live.admit(replace(desk_task(f"t_{user[-3:]}"), user=user), b'{"input":null}')
    told(desk, Event("account-purged", "corp:eve"), Event("session-revoked", "tom"))
    assert [task.user for task in desk.live.tasks()] == ["corp:ute"]
    call = desk_call("look", delegation=desk_delegation("t_ute", user="corp:ute"))
    assert isinstance(asyncio.run(desk.gateway.handle(call)), Done)


def test_what_came_before_is_taken_and_nothing_happens_twice() -> None:
    async def scene() -> None:
        desk = Desk()
        endpoint = EventsEndpoint(Verifier([(Event("session-revoked"),)]), desk.controls)
        assert [(await push(endpoint)).status for _ in range(2)] == [202, 202]
        assert sum(entry.kind == "control" for entry in desk.store.log) == 3

    asyncio.run(scene())


@pytest.mark.parametrize("write", [1, 2], ids=["on record", "cut off"])
def test_what_could_not_be_done_is_refused_and_is_done_when_it_comes_again(write: int) -> None:
    async def scene() -> None:
        desk = Desk()
        verifier = Verifier([(Event("account-disabled"),)])
        failing: ControlDesk = replace(desk.controls, store=FailingStore(desk.store, at=[write], kept=False))
        assert (await push(EventsEndpoint(verifier, failing))).status == 503
        assert desk.live.user_revocation("tom", "clerk", NOON) is None
        assert (await push(EventsEndpoint(verifier, desk.controls))).status == 202
        assert desk.live.user_revocation("tom", "clerk", NOON) is not None

    asyncio.run(scene())


@pytest.mark.parametrize(
    "err", ["invalid_request", "invalid_key", "invalid_issuer", "invalid_audience", "access_denied"]
)
def test_what_does_not_count_is_refused_as_the_protocol_says(err: str) -> None:
    async def scene() -> None:
        desk = Desk()
        answer = await push(EventsEndpoint(Verifier([], EventRefusedError(err)), desk.controls))
        assert (answer.status, json.loads(answer.body)) == (400, {"err": err, "description": "it does not count"})
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-language"] == "en"
        assert "www-authenticate" not in answer.headers
        assert desk.store.log == []

    asyncio.run(scene())


def test_what_could_not_be_verified_yet_may_be_pushed_again() -> None:
    refuses = EventRefusedError("invalid_key", again=True)
    answer = asyncio.run(push(EventsEndpoint(Verifier([], refuses), Desk().controls)))
    assert answer.status == 503


@pytest.mark.parametrize(
    "media", [b"application/json", b"", b"application/jwt", b"text/plain; application/secevent+jwt"]
)
def test_a_body_of_another_type_is_not_read(media: bytes) -> None:
    answer = asyncio.run(push(EventsEndpoint(Verifier([()]), Desk().controls), media=media))
    assert (answer.status, answer.err) == (400, "invalid_request")


def test_a_type_with_a_parameter_is_the_same_type() -> None:
    endpoint = EventsEndpoint(Verifier([()]), Desk().controls)
    assert asyncio.run(push(endpoint, media=b"application/SecEvent+JWT; charset=utf-8")).status == 202


def test_a_body_is_bounded_and_whole() -> None:
    async def scene() -> None:
        endpoint = EventsEndpoint(Verifier([()]), Desk().controls)
        large = await push(endpoint, b"x" * (64 * 1024 + 1))
        assert (large.status, large.err, large.headers["connection"]) == (413, "invalid_request", "close")
        part = await push(endpoint, cut_off=True)
        assert (part.status, part.err) == (400, "invalid_request")

    asyncio.run(scene())


def test_events_are_only_pushed() -> None:
    answer = asyncio.run(push(EventsEndpoint(Verifier([()]), Desk().controls), method="GET"))
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
