"""Assertions over time: once each, remembered while they could come again, in bounded room, across rotation."""

import asyncio
import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey

from remit.adapters.oauth import JWT_BEARER, JWT_SPIFFE, AgentAuthentication, AgentKeys, _assertions
from remit.identity import AuthenticatedAgent, ClientProof, TokenRefusedError, token_endpoint, with_key, without_key
from remit.testing import ManualClock

ISSUER = "http://127.0.0.1:8700"
AUDIENCE = token_endpoint(ISSUER)
SECOND = timedelta(seconds=1)


class Agent:
    """An agent with a key of its own."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
        x = urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode()
        self.jwk: dict[str, Any] = {"kty": "OKP", "crv": "Ed25519", "x": x}
        self.key = OKPKey.import_key(key)
        self.kid = self.key.thumbprint()

    def sign(self, clock: ManualClock, jti: str, life_s: int = 60, aud: Any = AUDIENCE) -> str:
        now = int(clock.now().timestamp())
        claims = {"iss": self.name, "sub": self.name, "aud": aud, "jti": jti, "iat": now, "exp": now + life_s}
        return jwt.encode({"alg": "Ed25519", "kid": self.kid}, claims, self.key, algorithms=["Ed25519"])


CLERK, NEW, OTHER = Agent("clerk", 1), Agent("clerk", 2), Agent("other", 3)


class Door:
    """Where agents prove who they are."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.kept = {each.name: with_key("", each.jwk) for each in (CLERK, OTHER)}
        self.keys = AgentKeys(lambda agent: self.kept.get(agent, ""))
        self.restart()

    def restart(self) -> None:
        self.agents = AgentAuthentication(self.keys, ISSUER, self.clock)

    def agent(self, assertion: str, client_id: str = "", form: str = JWT_BEARER) -> AuthenticatedAgent:
        shown = ClientProof(assertion=assertion, assertion_type=form, client_id=client_id)
        return asyncio.run(self.agents.agent(shown))

    def code(self, assertion: str, client_id: str = "", form: str = JWT_BEARER) -> str:
        try:
            self.agent(assertion, client_id, form)
        except TokenRefusedError as error:
            return error.code
        return ""


@pytest.mark.requirement("R2.2")
def test_an_assertion_counts_once_until_it_has_expired_and_then_not_at_all() -> None:
    door = Door()
    assertion = CLERK.sign(door.clock, "a")
    assert door.code(assertion) == ""
    for _ in range(60):
        assert door.code(assertion) == "assertion_invalid"
        door.clock.advance(SECOND)
    assert door.code(assertion) == "assertion_invalid"
    assert door.code(CLERK.sign(door.clock, "a")) == ""  # the same name in a later life is another assertion


def test_an_assertion_is_made_out_to_our_issuer_or_to_our_token_endpoint_and_to_nobody_else() -> None:
    door = Door()
    good: tuple[Any, ...] = (ISSUER, [ISSUER], AUDIENCE, [AUDIENCE])
    bad: tuple[Any, ...] = ([ISSUER, AUDIENCE], f"{ISSUER}/", "", [], None)
    for number, aud in enumerate(good):
        assert door.code(CLERK.sign(door.clock, f"good {number}", aud=aud)) == ""
    for number, aud in enumerate(bad):
        assert door.code(CLERK.sign(door.clock, f"bad {number}", aud=aud)) == "assertion_invalid"


def test_two_agents_may_name_their_assertions_alike() -> None:
    door = Door()
    assert [door.code(each.sign(door.clock, "a")) for each in (CLERK, OTHER)] == ["", ""]


def test_what_is_remembered_is_bounded_and_a_full_memory_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_assertions, "REPLAYS_EACH_MAX", 3)
    door = Door()
    lives = {"a": 30, "b": 300, "c": 300}
    assert [door.code(CLERK.sign(door.clock, jti, life_s)) for jti, life_s in lives.items()] == ["", "", ""]
    assert door.code(CLERK.sign(door.clock, "d")) == "assertion_invalid"
    assert door.code(OTHER.sign(door.clock, "d")) == ""  # one agent shuts no other out
    door.clock.advance(30 * SECOND)
    assert door.code(CLERK.sign(door.clock, "e")) == ""  # in the room of the one that has expired
    assert door.code(CLERK.sign(door.clock, "f")) == "assertion_invalid"
    assert [door.code(CLERK.sign(door.clock, jti)) for jti in "bc"] == ["assertion_invalid"] * 2


def test_an_assertion_from_before_the_start_does_not_count() -> None:
    door = Door()
    used = CLERK.sign(door.clock, "a")
    assert door.code(used) == ""
    door.clock.advance(SECOND)
    door.restart()
    assert door.code(used) == "assertion_invalid"
    assert door.code(CLERK.sign(door.clock, "a")) == ""


@pytest.mark.requirement("R2.2")
def test_while_keys_overlap_both_count_and_one_taken_away_is_gone_at_once() -> None:
    door = Door()
    assert door.code(NEW.sign(door.clock, "a")) == "assertion_invalid"
    door.kept["clerk"] = with_key(door.kept["clerk"], NEW.jwk)
    assert [door.code(CLERK.sign(door.clock, "b")), door.code(NEW.sign(door.clock, "c"))] == ["", ""]
    door.kept["clerk"] = without_key(door.kept["clerk"], CLERK.kid)
    assert [door.code(CLERK.sign(door.clock, "d")), door.code(NEW.sign(door.clock, "e"))] == ["assertion_invalid", ""]
    assert door.agents.has_key("clerk")
    door.kept["clerk"] = without_key(door.kept["clerk"], NEW.kid)
    assert door.code(NEW.sign(door.clock, "f")) == "assertion_invalid"
    assert not door.agents.has_key("clerk")


def test_damaged_keys_authenticate_nobody() -> None:
    door = Door()
    door.kept["clerk"] = '{"keys":[{"kty":"oct"}]}'
    assert door.code(CLERK.sign(door.clock, "a")) == "assertion_invalid"
    assert door.code(OTHER.sign(door.clock, "a")) == ""


@pytest.mark.requirement("R2.2")
def test_who_authenticated_is_said_with_the_key_it_was_done_with() -> None:
    door = Door()
    assert door.agent(CLERK.sign(door.clock, "a"), "clerk") == AuthenticatedAgent("clerk", CLERK.kid, "private_key_jwt")
    assert door.code(CLERK.sign(door.clock, "b"), "other") == "assertion_invalid"
    assert door.code(CLERK.sign(door.clock, "c"), form="") == "assertion_invalid"
    assert door.code(CLERK.sign(door.clock, "d"), form=JWT_SPIFFE) == "assertion_invalid"
    assert door.code("") == "assertion_missing"


def test_an_agent_signs_with_es256_too() -> None:
    door = Door()
    key = ECKey.generate_key("P-256", private=True)
    public = {name: value for name, value in key.as_dict(private=False).items() if name in ("kty", "crv", "x", "y")}
    door.kept["clerk"] = with_key(door.kept["clerk"], json.loads(json.dumps(public)))
    now = int(door.clock.now().timestamp())
    claims = {"iss": "clerk", "sub": "clerk", "aud": AUDIENCE, "jti": "a", "iat": now, "exp": now + 60}
    good = jwt.encode({"alg": "ES256", "kid": key.thumbprint()}, claims, key, algorithms=["ES256"])
    crossed = jwt.encode({"alg": "ES256", "kid": CLERK.kid}, claims, key, algorithms=["ES256"])
    assert door.code(crossed) == "assertion_invalid"
    assert door.agent(good).key == key.thumbprint()


def test_a_certificate_among_the_keys_signs_no_assertion() -> None:
    door = Door()
    door.kept["clerk"] = with_key("", {"kty": "X509", "x5t#S256": CLERK.kid})
    assert door.agents.has_key("clerk")
    assert door.code(CLERK.sign(door.clock, "a")) == "assertion_invalid"
