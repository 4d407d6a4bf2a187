"""The token service: what it mints it takes back, until the expiry; what differs anywhere it refuses."""

import asyncio
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.adapters.oauth import DevelopmentIssuer, TaskTokens, Tokens
from remit.core import Authority, Delegation, InputRefusedError, Level, Task
from remit.identity import CHAIN_MAX, Authenticator, Person, Presented, TokenRefusedError, UserToken

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


def delegation(token: str, service: TaskTokens | None = None) -> Delegation:
    return asyncio.run((service or tasks()).delegation(Presented(token)))


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


def nest(agent: str, *others: str) -> dict[str, Any]:
    return {"sub": agent, "act": nest(*others)} if others else {"sub": agent}


THUMBPRINTS = [part(bytes([number]) * 32) for number in range(4)]


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
    ({"sub": "corp:"}, "token_invalid"),
    ({"sub": "corp:a b"}, "token_invalid"),
    ({"sub": f"corp:{'a' * 256}"}, "token_invalid"),
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
    {"act": {"sub": "other"}},  # not the client it was issued to
    {"act": {"sub": "refunds", "name": "x"}},
    {"act": {"sub": "refunds", "act": None}},
    {"act": {"sub": "refunds", "act": {}}},
    {"act": {"sub": "refunds", "act": {"sub": "Tracker"}}},
    {"act": {"sub": "refunds", "act": "tracker"}},
    {"act": nest("refunds", "a", "b", "c", "d", "e")},
    {"client_id": ...},
    {"client_id": "other"},
    {"may_act": {"sub": "refunds"}},
    {"cnf": None},
    {"cnf": {}},
    {"cnf": []},
    {"cnf": {"jkt": ""}},
    {"cnf": {"jkt": "x" * 43}},  # 43 letters, yet not 32 bytes written in the one way
    {"cnf": {"jkt": None}},
    {"cnf": {"jwk": {}}},
    {"cnf": {"jkt": THUMBPRINTS[0], "x5t": THUMBPRINTS[1]}},  # a binding that nobody here could ask proof of
    {"remit_keys": "x"},
    {"remit_keys": [5]},
    {"remit_keys": ["x"]},
    {"remit_keys": [THUMBPRINTS[0]] * 17},
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
    assert delegation(tasks().mint(TASK)) == Delegation(
        user="tom", agent="refunds", task="t_1", use_case="refund_request", expires_at=TASK.expires_at
    )
    said = claims_of(tasks().mint(TASK))
    assert said["jti"] != claims_of(tasks().mint(TASK))["jti"]
    assert said == {
        "jti": said["jti"],
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "tom",
        "client_id": "refunds",
        "act": {"sub": "refunds"},
        "txn": "t_1",
        "use_case": "refund_request",
        "authorization_details": [
            {"type": "agent_task", "use_case": "refund_request", "expires_at": "2026-11-22T13:00:00.000000Z"}
        ],
        "iat": int(NOON.timestamp()),
        "exp": int(NOON.timestamp()) + 3_600,
    }


def test_whoever_sends_a_delegation_to_tools_is_told_to_exchange_it() -> None:
    error = refused(delegation, tasks().delegate(TASK))
    assert (error.code, error.fix) == ("token_audience", "exchange it: POST /oauth/token")


def test_a_minted_login_names_the_person_and_their_roles() -> None:
    assert people().person(people().mint(ANA, ADMIN), ADMIN) == ANA


def test_both_kinds_stand_behind_one_port() -> None:
    both = Tokens(tasks(), people(), {"ana": ANA})
    port: Authenticator = both
    assert asyncio.run(port.delegation(Presented(tasks().mint(TASK)))).task == "t_1"
    assert asyncio.run(port.person(people().mint(ANA, ADMIN), ADMIN)) == ANA


def test_a_login_has_the_roles_of_today_and_ends_with_the_person() -> None:
    token = people().mint(ANA, ADMIN)
    fewer = Person("ana", frozenset({"user"}), frozenset({"support"}), (("clearance", 2),))
    assert asyncio.run(Tokens(tasks(), people(), {"ana": fewer}).person(token, ADMIN)) == fewer
    gone = Tokens(tasks(), people(), {})
    assert refused(lambda given: asyncio.run(gone.person(given, ADMIN)), token).code == "token_invalid"


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(("claims", "code"), BAD_CLAIMS, ids=str)
def test_wrong_claims_are_refused_in_both_kinds_of_token(claims: dict[str, Any], code: str) -> None:
    for_admin = {name: ADMIN if value == AUDIENCE else value for name, value in claims.items()}
    assert refused(delegation, sign(changes(TASK_CLAIMS, **claims))).code == code
    assert (
        refused(lambda token: people().person(token, ADMIN), sign(changes(PERSON_CLAIMS, **for_admin))).code == code
        or for_admin != claims
    )


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("claims", BAD_TASK_CLAIMS, ids=str)
def test_a_task_token_names_an_agent_a_task_and_a_use_case(claims: dict[str, Any]) -> None:
    assert refused(delegation, sign(changes(TASK_CLAIMS, **claims))).code == "token_invalid"


@pytest.mark.parametrize("roles", [..., None, "operator", [5], {"operator": 1}], ids=str)
def test_a_login_names_roles(roles: Any) -> None:
    token = sign(changes(PERSON_CLAIMS, roles=roles))
    assert refused(lambda given: people().person(given, ADMIN), token).code == "token_invalid"


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("header", BAD_HEADERS, ids=str)
def test_only_the_header_we_write_is_read(header: Any) -> None:
    assert refused(delegation, sign(TASK_CLAIMS, header)).code == "token_invalid"


@pytest.mark.parametrize("claims", [[], None, 5, "x", b"", b"\xff", b"{", b"[" * 2_000, {"exp": [1]}], ids=str)
def test_signed_claims_that_are_no_object_are_refused(claims: Any) -> None:
    assert refused(delegation, sign(claims)).code == "token_invalid"


def test_a_header_in_another_order_is_the_same_header() -> None:
    """The control of the table above: a signed good token of our own making is taken."""
    assert delegation(sign(TASK_CLAIMS, dict(reversed(GOOD.items())))).user == "tom"


@pytest.mark.requirement("R2.6")
def test_another_key_and_the_other_kind_of_token_are_refused() -> None:
    assert refused(delegation, sign(TASK_CLAIMS, key=OTHER)).code == "token_invalid"
    assert refused(lambda given: delegation(given, tasks(key=OTHER)), tasks().mint(TASK)).code == "token_invalid"
    # (Even under one key: issuer and audience keep the kinds apart.)
    assert refused(delegation, people().mint(ANA, AUDIENCE)).code == "token_invalid"
    assert refused(lambda given: people().person(given, AUDIENCE), tasks().mint(TASK)).code == "token_invalid"
    assert refused(lambda given: people().person(given, ISSUER), people().mint(ANA, ADMIN)).code == "token_audience"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "\u00e9", "\ud800", "a" * 5_000, " ", "a.b.c.d.e"], ids=range(10)
)
def test_what_is_no_token_is_refused(token: str) -> None:
    assert refused(delegation, token).code == "token_invalid"


@settings(max_examples=300, deadline=None, database=None)
@given(st.data())
def test_a_token_with_one_letter_changed_is_refused(data: st.DataObject) -> None:
    token = tasks().mint(TASK)
    at = data.draw(st.integers(0, len(token) - 2))  # the last letter carries bits that mean nothing
    letter = data.draw(st.sampled_from("ABCxyz019-_.=").filter(lambda one: one != token[at]))
    refused(delegation, token[:at] + letter + token[at + 1 :])


@pytest.mark.requirement("R2.9")
def test_a_token_expires_to_the_second_also_when_it_is_remembered() -> None:
    clock = Clock()
    service = tasks(clock)
    token = service.mint(TASK)
    clock.moment = TASK.expires_at - timedelta(microseconds=1)
    assert delegation(token, service).user == "tom"
    clock.moment = TASK.expires_at
    error = refused(lambda given: delegation(given, service), token)
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
    assert refused(delegation, sign(TASK_CLAIMS, key=OTHER)).delegation is None


@pytest.mark.requirement("R2.4", "R2.5")
def test_a_token_says_what_the_task_may_do_and_who_handed_it_on() -> None:
    authority = Authority(operations=frozenset({"pay", "look"}), calls_max=5)
    task = replace(TASK, user="corp:alice", chain=("tracker", "desk"), parent="t_0", authority=authority)
    token = tasks().mint(task, keys=(THUMBPRINTS[0], THUMBPRINTS[1]))
    claims = claims_of(token)
    assert claims["act"] == {"sub": "refunds", "act": {"sub": "tracker", "act": {"sub": "desk"}}}
    [details] = claims["authorization_details"]
    assert (details["operations"], details["limits"]) == (["look", "pay"], {"calls": 5})
    assert delegation(token) == Delegation(
        user="corp:alice",
        agent="refunds",
        task="t_1",
        use_case="refund_request",
        expires_at=TASK.expires_at,
        chain=("tracker", "desk"),
        keys=(THUMBPRINTS[0], THUMBPRINTS[1]),
    )


def test_the_longest_chain_is_taken_and_one_longer_is_not() -> None:
    longest = replace(TASK, chain=tuple(f"a{number}" for number in range(CHAIN_MAX)))
    assert delegation(tasks().mint(longest)).chain == longest.chain
    assert refused(delegation, tasks().mint(replace(longest, chain=("x", *longest.chain)))).code == "token_invalid"


def test_an_authority_too_long_for_a_token_is_refused_when_it_is_minted() -> None:
    many = frozenset(f"{'o' * 50}{number}" for number in range(200))
    for make in (tasks().mint, tasks().delegate):
        with pytest.raises(InputRefusedError) as caught:
            make(replace(TASK, authority=Authority(operations=many)))
        assert caught.value.code == "authority_too_long"


@pytest.mark.requirement("R2.4")
def test_a_delegation_token_carries_the_chain_and_counts_at_the_exchange_alone() -> None:
    task = replace(TASK, chain=("tracker",), parent="t_0")
    token = tasks().delegate(task)
    assert tasks().exchanged(token) == replace(delegation(tasks().mint(task)))
    assert refused(delegation, token).code == "token_audience"
    assert refused(tasks().exchanged, tasks().mint(task)).code == "subject_token_invalid"
    assert refused(tasks().handed_on, token).code == "subject_token_invalid"


def test_work_is_handed_on_by_a_task_token_until_it_has_expired_and_without_its_proof() -> None:
    clock = Clock()
    service = tasks(clock)
    token = service.mint(TASK, bound=THUMBPRINTS[0])
    assert service.handed_on(token).level is Level.BOUND
    clock.moment = TASK.expires_at
    assert refused(service.handed_on, token).code == "token_expired"
    assert refused(service.exchanged, service.delegate(TASK)).code == "token_expired"


def test_what_is_remembered_is_forgotten_when_the_epoch_rises() -> None:
    epochs = [1]
    service = TaskTokens(KEY, ISSUER, AUDIENCE, Clock(), epoch=lambda: epochs[0])
    tokens = [service.mint(TASK), service.mint(replace(TASK, id="t_2"))]
    for token in tokens:
        delegation(token, service)
    assert len(service._verified) == 2
    epochs[0] = 2
    delegation(tokens[0], service)
    assert len(service._verified) == 1


@pytest.mark.requirement("R2.6")
def test_a_token_bound_to_a_certificate_counts_only_on_its_connection() -> None:
    service = tasks()
    token = service.mint(TASK, keys=(THUMBPRINTS[0],), certificate=THUMBPRINTS[1])

    def code(presented: Presented) -> str:
        return refused(lambda _: asyncio.run(service.delegation(presented)), "").code

    found = asyncio.run(service.delegation(Presented(token, certificate=THUMBPRINTS[1])))
    assert (found.level, found.keys) == (Level.BOUND, (THUMBPRINTS[0], THUMBPRINTS[1]))
    assert code(Presented(token)) == "certificate_required"
    assert code(Presented(token, certificate=THUMBPRINTS[2])) == "certificate_required"
    assert code(Presented(token, "dpop", "x", certificate=THUMBPRINTS[1])) == "token_invalid"
    both = service.mint(TASK, bound=THUMBPRINTS[2], certificate=THUMBPRINTS[1])
    assert code(Presented(both, certificate=THUMBPRINTS[1])) == "dpop_required"
    assert code(Presented(both, "dpop", "x")) == "certificate_required"


@pytest.mark.requirement("R2.6")
def test_without_proofs_no_bound_token_counts_and_no_unbound_one_as_a_bound_one() -> None:
    service = tasks()
    bound = service.mint(TASK, bound=THUMBPRINTS[0])
    shown: list[Presented] = [Presented(bound), Presented(bound, "dpop"), Presented(bound, "dpop", "x")]
    for each in shown:
        with pytest.raises(TokenRefusedError) as caught:
            asyncio.run(service.delegation(each))
        error = caught.value
        assert error.code == "dpop_required"
        assert error.delegation is not None  # whose token it is may be recorded
    presented = Presented(service.mint(TASK), "dpop", "x")
    assert refused(lambda _: asyncio.run(service.delegation(presented)), "").code == "token_invalid"


class Corp:
    """An issuer of the organisation: what begins with its name is its token."""

    def knows(self, token: str) -> bool:
        return token.startswith("corp.")

    async def user(self, presented: Presented, audience: str) -> UserToken:
        named = Person(f"corp:{presented.token[5:]}", frozenset({"user"}))
        return UserToken(person=named, issuer="corp", client_id=audience, issued_at=NOON, expires_at=NOON)

    async def assertion(self, token: str, audience: str, client_id: str) -> UserToken:
        return await self.user(Presented(token), f"{audience} {client_id}")


@pytest.mark.requirement("R2.1")
def test_a_token_of_the_organisations_issuer_goes_there_and_is_none_of_ours() -> None:
    both = Tokens(tasks(), people(), {"ana": ANA}, Corp())
    assert not both.is_own("corp.alice")
    assert asyncio.run(both.user(Presented("corp.alice"), "there")).client_id == "there"
    assert asyncio.run(both.person("corp.alice", ADMIN)).name == "corp:alice"
    error = refused(lambda given: asyncio.run(both.delegation(Presented(given))), "corp.alice")
    assert (error.code, error.delegation) == ("token_foreign", None)
    login = people().mint(ANA, ADMIN)
    assert both.is_own(login)
    said = asyncio.run(both.user(Presented(login), ADMIN))
    assert said == UserToken(
        person=ANA, issuer="", client_id="", issued_at=NOON, expires_at=NOON + DevelopmentIssuer.LIFE
    )
    assert refused(lambda given: asyncio.run(both.delegation(Presented(given))), login).code == "token_invalid"
    assert refused(lambda given: asyncio.run(both.user(Presented(given, "dpop", "x"), ADMIN)), login).code == (
        "token_invalid"
    )
