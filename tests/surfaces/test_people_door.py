"""The door for people: no agent comes through it with its user's login, and nobody who is cut off."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from remit.core import RemitError
from remit.identity import Cut, Person, Presented, RegisteredClient, Registration, TokenRefusedError, UserToken
from remit.pipeline import Refusals
from remit.surfaces._people import PeopleDoor
from remit.testing import NOON, Desk

LOGIN = UserToken(
    person=Person("corp:tom", frozenset({"user", "operator"})),
    issuer="corp",
    client_id="tickets",
    issued_at=NOON,
    expires_at=NOON + timedelta(hours=1),
)


class OneLogin:
    """Knows one login."""

    def __init__(self, login: UserToken) -> None:
        self._login = login

    async def user(self, presented: Presented, audience: str) -> UserToken:
        if presented.token != "good":
            raise TokenRefusedError("token_invalid", f"no login for {audience}", "log in")
        return self._login


def come(login: UserToken, desk: Desk | None = None, *, right: bool = True) -> tuple[str, Desk]:
    """Let somebody come; return why they were turned away, or nothing."""
    here = desk or Desk()
    client = RegisteredClient(issuer="corp", client_id="desk-app", use_case="serve")
    snapshot = replace(here.live.snapshot, registrations={"clerk": Registration(clients=(client,))})
    here.live.swap(snapshot, 0)
    door = PeopleDoor(OneLogin(login), here.live, Refusals(here.store, here.clock, "admin"))
    try:
        found = asyncio.run(door.login(Presented("good" if right else "bad"), "http://here"))
    except RemitError as refused:
        return refused.code, here
    assert found == login
    return "", here


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(
    "login",
    [
        replace(LOGIN, client_id="desk-app"),
        replace(LOGIN, client_id="clerk"),
        replace(LOGIN, client_id=""),
        replace(LOGIN, may_act=frozenset({"clerk"})),
        replace(LOGIN, may_act=frozenset({""})),
    ],
    ids=[
        "a client that is an agent",
        "an agent's name",
        "no client",
        "one that lets an agent act",
        "some that we do not know",
    ],
)
def test_an_agent_with_its_users_login_is_no_user_and_no_operator(login: UserToken) -> None:
    why, desk = come(login)
    assert why == "login_of_agent"
    [entry] = desk.store.log
    said = json.loads(entry.leaf)
    assert (said["kind"], said["surface"], said["user"], said["code"]) == ("refused", "admin", "corp:tom", why)
    assert come(LOGIN)[0] == "", "the control"
    assert come(replace(LOGIN, issuer="", client_id=""))[0] == "", "people of the development issuer have no client"


@pytest.mark.requirement("R2.11")
def test_whoever_is_cut_off_comes_through_no_door_and_lets_nobody_in() -> None:
    desk = Desk()
    assert come(LOGIN, desk)[0] == ""
    asyncio.run(desk.controls.cut(Cut(user="corp:tom"), "olga", "left the company"))
    assert come(LOGIN, desk)[0] == "user_revoked"
    asyncio.run(desk.controls.restore(Cut(user="corp:tom"), "olga", "came back"))
    assert come(LOGIN, desk)[0] == ""
    later = NOON + timedelta(seconds=1)
    asyncio.run(desk.controls.cut(Cut(user="corp:tom"), "issuer corp", "session-revoked", before=later))
    assert come(LOGIN, desk)[0] == "user_revoked"
    assert come(replace(LOGIN, issued_at=later), desk)[0] == "", "who logs in again is welcome"


def test_a_token_that_does_not_authenticate_is_refused_as_such() -> None:
    why, desk = come(LOGIN, right=False)
    assert (why, desk.store.log) == ("token_invalid", [])
