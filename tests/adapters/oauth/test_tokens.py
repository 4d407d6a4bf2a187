"""The token service: what it mints it takes back, until the expiry; what differs anywhere it refuses."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.adapters.oauth import DevelopmentIssuer, TaskTokens, Tokens
from remit.core import Delegation, Task
from remit.identity import Person, TokenRefusedError

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
ISSUER, AUDIENCE, ADMIN = "http://127.0.0.1:8700", "http://127.0.0.1:8700/mcp", "http://127.0.0.1:8701"
TASK = Task(
    id="t_1",
    user="tom",
    agent="refunds",
    use_case="refund_request",
    opened_at=NOON,
    expires_at=NOON + timedelta(hours=1),
)
ANA = Person("ana", frozenset({"operator", "user"}))
GOOD = {"typ": "at+jwt", "alg": "Ed25519"}


@dataclass
class Clock:
    moment: datetime = NOON

    def now(self) -> datetime:
        return self.moment

    def elapsed_us(self) -> int:
        return 0


def tasks(clock: Clock | None = None, key: Ed25519PrivateKey = KEY) -> TaskTokens:
    return TaskTokens(key, ISSUER, AUDIENCE, clock or Clock())


def people(clock: Clock | None = None) -> DevelopmentIssuer:
    return DevelopmentIssuer(KEY, f"{ADMIN}/development", clock or Clock())


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def sign(claims: Any, header: Any = GOOD, key: Ed25519PrivateKey = KEY) -> str:
    said = f"{part(header)}.{part(claims)}"
    return f"{said}.{part(key.sign(said.encode()))}"


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


TASK_CLAIMS = claims_of(tasks().mint(TASK))
PERSON_CLAIMS = claims_of(people().mint(ANA, ADMIN))


def changes(kept: dict[str, Any], **claims: Any) -> dict[str, Any]:
    return {name: value for name, value in {**kept, **claims}.items() if value is not ...}


BAD_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"iss": "http://attacker.example"}, "token_invalid"),
    ({"iss": f"{ISSUER}/"}, "token_invalid"),
    ({"iss": [ISSUER]}, "token_invalid"),
    ({"iss": None}, "token_invalid"),
    ({"iss": ...}, "token_invalid"),
    ({"aud": "http://attacker.example"}, "token_audience"),
    ({"aud": f"{AUDIENCE}/"}, "token_audience"),
    ({"aud": [AUDIENCE]}, "token_audience"),
    ({"aud": None}, "token_audience"),
    ({"aud": ...}, "token_audience"),
    ({"sub": ""}, "token_invalid"),
    ({"sub": "Tom"}, "token_invalid"),
    ({"sub": "tom\n"}, "token_invalid"),
    ({"sub": 5}, "token_invalid"),
    ({"sub": ["tom"]}, "token_invalid"),
    ({"sub": ...}, "token_invalid"),
    ({"exp": "2999"}, "token_invalid"),
    ({"exp": True}, "token_invalid"),
    ({"exp": None}, "token_invalid"),
    ({"exp": 2.5e9 + 0.5}, "token_invalid"),
    ({"exp": -1}, "token_invalid"),
    ({"exp": 253_402_300_800}, "token_invalid"),
    ({"exp": 10**30}, "token_invalid"),
    ({"exp": ...}, "token_invalid"),
    ({"exp": 0}, "token_expired"),
]
BAD_TASK_CLAIMS: list[dict[str, Any]] = [
    {"act": ...},
    {"act": None},
    {"act": "refunds"},
    {"act": ["refunds"]},
    {"act": {}},
    {"act": {"sub": ""}},
    {"act": {"sub": "\u0000"}},
    {"act": {"sub": "Refunds"}},
    {"act": {"sub": ["refunds"]}},
    {"txn": ...},
    {"txn": ""},
    {"txn": 5},
    {"use_case": ...},
    {"use_case": ""},
    {"use_case": "\u0430"},
    {"use_case": ["refund_request"]},
]
BAD_HEADERS: list[Any] = [
    {"alg": "Ed25519"},
    {"typ": "at+jwt"},
    {**GOOD, "typ": "JWT"},
    {**GOOD, "typ": "AT+JWT"},
    {**GOOD, "alg": "none"},
    {**GOOD, "alg": "EdDSA"},
    {**GOOD, "alg": "HS256"},
    {**GOOD, "alg": ["Ed25519"]},
    {**GOOD, "alg": {}},
    {**GOOD, "kid": "x"},
    {**GOOD, "jwk": {}},
    {**GOOD, "jku": "http://attacker.example"},
    {**GOOD, "x5u": "http://attacker.example"},
    {**GOOD, "crit": 5},
    {**GOOD, "crit": ["exp"], "exp": 1},
    {**GOOD, "b64": False, "crit": ["b64"]},
    {**GOOD, "zip": "DEF"},
    [],
    None,
    5,
    "x",
    b"",
    b"\xff",
    b"[" * 2_000,
    b'{"typ":"at+jwt","alg":"none","alg":"Ed25519"}',
]


def refused(verify: Callable[[str], object], token: str) -> TokenRefusedError:
    with pytest.raises(TokenRefusedError) as caught:
        verify(token)
    assert caught.value.fix
    assert len(token) < 20 or token not in str(caught.value)
    return caught.value


def test_a_minted_task_token_says_who_asks_who_acts_and_what_for() -> None:
    assert tasks().delegation(tasks().mint(TASK)) == Delegation(
        user="tom", agent="refunds", task="t_1", use_case="refund_request", expires_at=TASK.expires_at
    )
    assert TASK_CLAIMS["act"] == {"sub": "refunds"}
    assert "roles" not in TASK_CLAIMS


def test_a_minted_login_names_the_person_and_their_roles() -> None:
    assert people().person(people().mint(ANA, ADMIN), ADMIN) == ANA


def test_both_kinds_stand_behind_one_port() -> None:
    both = Tokens(tasks(), people(), {"ana": ANA})
    assert both.delegation(tasks().mint(TASK)).task == "t_1"
    assert both.person(people().mint(ANA, ADMIN), ADMIN) == ANA


def test_a_login_has_the_roles_of_today_and_ends_with_the_person() -> None:
    token = people().mint(ANA, ADMIN)
    fewer = Person("ana", frozenset({"user"}))
    assert Tokens(tasks(), people(), {"ana": fewer}).person(token, ADMIN) == fewer
    assert refused(lambda given: Tokens(tasks(), people(), {}).person(given, ADMIN), token).code == "token_invalid"


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(("claims", "code"), BAD_CLAIMS, ids=str)
def test_wrong_claims_are_refused_in_both_kinds_of_token(claims: dict[str, Any], code: str) -> None:
    for_admin = {name: ADMIN if value == AUDIENCE else value for name, value in claims.items()}
    assert refused(tasks().delegation, sign(changes(TASK_CLAIMS, **claims))).code == code
    assert (
        refused(lambda token: people().person(token, ADMIN), sign(changes(PERSON_CLAIMS, **for_admin))).code == code
        or for_admin != claims
    )


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("claims", BAD_TASK_CLAIMS, ids=str)
def test_a_task_token_names_an_agent_a_task_and_a_use_case(claims: dict[str, Any]) -> None:
    assert refused(tasks().delegation, sign(changes(TASK_CLAIMS, **claims))).code == "token_invalid"


@pytest.mark.parametrize("roles", [..., None, "operator", [5], {"operator": 1}], ids=str)
def test_a_login_names_roles(roles: Any) -> None:
    token = sign(changes(PERSON_CLAIMS, roles=roles))
    assert refused(lambda given: people().person(given, ADMIN), token).code == "token_invalid"


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("header", BAD_HEADERS, ids=str)
def test_only_the_header_we_write_is_read(header: Any) -> None:
    assert refused(tasks().delegation, sign(TASK_CLAIMS, header)).code == "token_invalid"


@pytest.mark.parametrize("claims", [[], None, 5, "x", b"", b"\xff", b"{", b"[" * 2_000, {"exp": [1]}], ids=str)
def test_signed_claims_that_are_no_object_are_refused(claims: Any) -> None:
    assert refused(tasks().delegation, sign(claims)).code == "token_invalid"


def test_a_header_in_another_order_is_the_same_header() -> None:
    """The control of the table above: a signed good token of our own making is taken."""
    assert tasks().delegation(sign(TASK_CLAIMS, dict(reversed(GOOD.items())))).user == "tom"


@pytest.mark.requirement("R2.6")
def test_another_key_and_the_other_kind_of_token_are_refused() -> None:
    assert refused(tasks().delegation, sign(TASK_CLAIMS, key=OTHER)).code == "token_invalid"
    assert refused(tasks(key=OTHER).delegation, tasks().mint(TASK)).code == "token_invalid"
    # (Even under one key: issuer and audience keep the kinds apart.)
    assert refused(tasks().delegation, people().mint(ANA, AUDIENCE)).code == "token_invalid"
    assert refused(lambda given: people().person(given, AUDIENCE), tasks().mint(TASK)).code == "token_invalid"
    assert refused(lambda given: people().person(given, ISSUER), people().mint(ANA, ADMIN)).code == "token_audience"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "\u00e9", "\ud800", "a" * 5_000, " ", "a.b.c.d.e"], ids=range(10)
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refused(tasks().delegation, token).code == "token_invalid"


@settings(max_examples=300, deadline=None, database=None)
@given(st.data())
def test_a_token_with_one_letter_changed_is_refused(data: st.DataObject) -> None:
    token = tasks().mint(TASK)
    at = data.draw(st.integers(0, len(token) - 2))  # the last letter carries bits that mean nothing
    letter = data.draw(st.sampled_from("ABCxyz019-_.=").filter(lambda one: one != token[at]))
    refused(tasks().delegation, token[:at] + letter + token[at + 1 :])


@pytest.mark.requirement("R2.9")
def test_a_token_expires_to_the_second_also_when_it_is_remembered() -> None:
    clock = Clock()
    service = tasks(clock)
    token = service.mint(TASK)
    clock.moment = TASK.expires_at - timedelta(microseconds=1)
    assert service.delegation(token).user == "tom"
    clock.moment = TASK.expires_at
    error = refused(service.delegation, token)
    assert error.code == "token_expired"
    assert error.delegation is not None  # its signature held: the log may name who it was
    assert error.delegation.task == "t_1"


def test_a_login_expires_after_its_life() -> None:
    clock = Clock()
    issuer = people(clock)
    token = issuer.mint(ANA, ADMIN)
    clock.moment = NOON + DevelopmentIssuer.LIFE
    assert refused(lambda given: issuer.person(given, ADMIN), token).code == "token_expired"


def test_no_caller_is_named_by_a_token_that_does_not_hold() -> None:
    assert refused(tasks().delegation, sign(TASK_CLAIMS, key=OTHER)).delegation is None
