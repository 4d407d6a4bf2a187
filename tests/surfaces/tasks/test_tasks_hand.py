"""What a channel is given for the agent: a delegation where the agent has a key of its own, else the bearer's token."""

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from remit.adapters.oauth import AgentAuthentication, AgentKeys, DevelopmentIssuer, TaskTokens, Tokens, TokenService
from remit.identity import Person, Presented, Registration, with_key
from remit.pipeline import Refusals, TaskDesk
from remit.surfaces._http import Bounds, Door
from remit.surfaces._people import PeopleDoor
from remit.surfaces.data import DataPlane
from remit.surfaces.tasks import TasksEndpoint
from remit.testing import Desk, seeded

HOST = "127.0.0.1:8700"
ISSUER = f"http://{HOST}"
KEYS = with_key("", {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ASKED = {"agent": "clerk", "use_case": "serve", "input": None}


class Channel:
    """The user's channel in front of a whole desk. `clerk` has a key if `keys` says so."""

    def __init__(self, keys: str, *, bearer: bool = True) -> None:
        self.desk = Desk()
        clock = self.desk.clock
        self.tokens = TaskTokens(KEY, ISSUER, f"{ISSUER}/mcp", clock)
        people = DevelopmentIssuer(KEY, f"{ISSUER}/development", clock)
        self.login = people.mint(Person("tom", frozenset({"user"})), ISSUER)
        kept = AgentKeys(lambda agent: keys if agent == "clerk" else "")
        hands = TokenService(self.tokens, AgentAuthentication(kept, ISSUER, clock))
        desk = TaskDesk(
            live=self.desk.live,
            store=self.desk.store,
            clock=clock,
            random=seeded(2),
            life=timedelta(hours=1),
            open_max=10,
            refusals=Refusals(self.desk.store, clock, "tasks"),
        )
        endpoint = TasksEndpoint(
            desk,
            PeopleDoor(
                Tokens(self.tokens, people, {"tom": Person("tom", frozenset({"user"}))}),
                self.desk.live,
                Refusals(self.desk.store, clock, "tasks"),
            ),
            hands,
            ISSUER,
            Bounds(),
            registrations=lambda: {"clerk": Registration(bearer=bearer)},
        )
        self.plane = DataPlane(Door([HOST]), {"/v1/tasks": endpoint.serve}, dict)

    def open(self, **wanted: Any) -> tuple[int, Any]:
        body = json.dumps({**ASKED, **wanted}).encode()
        sent: list[Any] = []
        headers = [
            (b"host", HOST.encode()),
            (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {self.login}".encode()),
        ]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": "POST", "path": "/v1/tasks", "headers": headers}
        asyncio.run(self.plane(scope, receive, send))
        return sent[0]["status"], json.loads(sent[1]["body"])

    def bears(self, status: int, said: Any) -> bool:
        """Whether the answer hands out the task token itself."""
        assert (status, said.keys()) == (201, {"task", "token", "expires_at"})
        return asyncio.run(self.tokens.delegation(Presented(said["token"]))).task == str(said["task"])

    def delegates(self, status: int, said: Any) -> bool:
        """Whether the answer hands out a delegation, of use to the agent alone."""
        assert (status, said.keys()) == (201, {"task", "delegation", "expires_at"})
        known = self.tokens.exchanged(said["delegation"])
        return (known.task, known.agent, known.user) == (said["task"], "clerk", "tom")


def test_an_agent_without_a_key_is_handed_the_token() -> None:
    channel = Channel("")
    assert channel.bears(*channel.open())
    assert channel.bears(*channel.open(hand="bearer"))


@pytest.mark.requirement("R2.2", "R2.4")
def test_an_agent_with_a_key_is_handed_a_delegation_unless_the_channel_says_otherwise() -> None:
    channel = Channel(KEYS)
    assert channel.delegates(*channel.open())
    assert channel.delegates(*channel.open(hand="delegation"))
    assert channel.bears(*channel.open(hand="bearer"))


@pytest.mark.requirement("R2.2")
def test_an_agent_is_handed_a_token_that_counts_for_anybody_only_where_its_file_says_so() -> None:
    for keys, hand in (("", None), ("", "bearer"), (KEYS, "bearer")):
        wanted = {} if hand is None else {"hand": hand}
        strict, lax = Channel(keys, bearer=False), Channel(keys)
        status, said = strict.open(**wanted)
        assert (status, said["code"]) == (403, "bearer_refused")
        assert "bearer: true" in said["fix"]
        assert strict.desk.store.log == []
        assert lax.bears(*lax.open(**wanted)), "the control"
    strict = Channel(KEYS, bearer=False)
    assert strict.delegates(*strict.open())


@pytest.mark.requirement("R2.5")
def test_a_task_is_narrowed_by_authorization_details_and_bad_ones_are_refused() -> None:
    channel = Channel("")
    status, said = channel.open(authorization_details=[{"type": "agent_task", "operations": ["look"]}])
    task = channel.desk.live.task(said["task"])
    assert status == 201
    assert task is not None
    assert task.authority.operations == frozenset({"look"})
    status, said = channel.open(authorization_details=[{"type": "agent_task", "actions": ["look"]}])
    assert (status, said["code"]) == (400, "authorization_details_invalid")


@pytest.mark.requirement("R2.2")
def test_a_delegation_that_nobody_could_exchange_opens_no_task() -> None:
    channel = Channel("")
    for agent in ("clerk", "nobody"):
        status, said = channel.open(agent=agent, hand="delegation")
        assert (status, said["code"]) == (403, "agent_has_no_key")
        assert said["fix"]
    assert channel.desk.store.log == []


@pytest.mark.parametrize("hand", ["", "Bearer", "token", None, 1, True, ["bearer"], {"hand": "bearer"}], ids=repr)
def test_any_other_hand_is_refused(hand: Any) -> None:
    channel = Channel(KEYS)
    status, said = channel.open(hand=hand)
    assert (status, said["code"]) == (400, "task_request_invalid")
    assert channel.desk.store.log == []
