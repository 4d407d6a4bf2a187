"""Users' tokens: a good one says who its person is; whatever is changed in it is refused, and why is a stable code."""

import asyncio
import json
from base64 import urlsafe_b64decode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tests.adapters.oidc.foreign import (
    ADMIN,
    CERTIFICATE,
    CORP,
    EC,
    ED,
    ED_HEADER,
    ES,
    ISSUER,
    KEYS,
    MCP,
    NOON,
    NOW_S,
    OTHER_ED,
    OTHER_RSA,
    RS,
    RSA,
    THUMBPRINT,
    Desk,
    Published,
    b64,
    claims,
    good,
    jwk,
    part,
    sign,
    signature,
)

from remit.core import Delegation, Level
from remit.identity import ClaimsMap, Person, Presented, TokenRefusedError, UserToken

ALICE = Person(
    "corp:alice",
    frozenset({"user"}),
    frozenset({"staff", "payments"}),
    (("clearance", 3), ("contractor", False), ("department", "refunds")),
)
RSA_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def swapped(token: str, at: int, with_: str) -> str:
    parts = token.split(".")
    parts[at] = with_
    return ".".join(parts)


def raw(text: str, header: Any = RS) -> str:
    """Sign claims that are written by hand."""
    return sign(text.encode(), header, RSA)


def headed(**changes: Any) -> str:
    header = {name: value for name, value in {**RS, **changes}.items() if value is not None}
    return sign(claims(), header, RSA)


NO_TYP = {"alg": "RS256", "kid": "r"}


def old(**changes: Any) -> str:
    """Sign a token of a type that says only that it is one (`JWT`), as id tokens are."""
    return sign(claims(**changes), {**RS, "typ": "JWT"}, RSA)


def twice(member: str) -> str:
    said = json.dumps(claims())
    return raw(said[:-1] + f', "{member}": {json.dumps(claims()[member])}}}')


def lazy_bits(token: str) -> str:
    """Write the same signature with other bits in its last character, which no byte has."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    changed = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]
    last = [urlsafe_b64decode(each.split(".")[2] + "==") for each in (token, changed)]
    assert last[0] == last[1]
    return changed


def der_signed() -> str:
    said = f"{part(ES)}.{part(claims())}"
    return f"{said}.{b64(EC.sign(said.encode(), ec.ECDSA(SHA256())))}"


def pss_signed() -> str:
    said = f"{part(RS)}.{part(claims())}"
    made = RSA.sign(said.encode(), padding.PSS(padding.MGF1(SHA256()), 32), SHA256())
    return f"{said}.{b64(made)}"


def zero_signed() -> str:
    said = f"{part(ES)}.{part(claims())}"
    return f"{said}.{b64(bytes(64))}"


GOOD = good()
OWN_JWK = jwk(OTHER_RSA, "r")

MUTANTS: dict[str, tuple[str, str]] = {
    # Form.
    "nothing": ("", "token_invalid"),
    "two parts": (GOOD.rsplit(".", 1)[0], "token_invalid"),
    "no signature": (swapped(GOOD, 2, ""), "token_invalid"),
    "four parts": (f"{GOOD}.AAAA", "token_invalid"),
    "a space in front": (f" {GOOD}", "token_invalid"),
    "a line behind": (f"{GOOD}\n", "token_invalid"),
    "padding": (f"{GOOD}==", "token_invalid"),
    "bits that no byte has": (lazy_bits(GOOD), "token_invalid"),
    "too long": (good(more="x" * 20_000), "token_invalid"),
    "a lone surrogate": (f"{GOOD}\udc80", "token_invalid"),
    "a header that is a list": (sign(claims(), [RS], RSA), "token_invalid"),
    "claims that are a list": (sign([claims()], RS, RSA), "token_invalid"),
    "claims that are no json": (raw("{"), "token_invalid"),
    "claims that are no utf-8": (sign(b'{"iss": "\xff"}', RS, RSA), "token_invalid"),
    "sub twice": (twice("sub"), "token_invalid"),
    "aud twice": (twice("aud"), "token_invalid"),
    "alg twice": (raw(json.dumps(claims()), b'{"alg": "none", "alg": "RS256", "kid": "r"}'), "token_invalid"),
    # Algorithm and key.
    "alg none": (swapped(sign(claims(), {**RS, "alg": "none"}, RSA), 2, ""), "token_invalid"),
    "alg none with a signature": (headed(alg="none"), "token_invalid"),
    "alg None": (headed(alg="None"), "token_invalid"),
    "no alg": (headed(alg=None), "token_invalid"),
    "alg a list": (headed(alg=["RS256"]), "token_invalid"),
    "hs256 with the public key": (sign(claims(), {**RS, "alg": "HS256"}, RSA_PEM), "token_invalid"),
    "hs256 signed, rs256 said": (sign(claims(), RS, RSA_PEM), "token_invalid"),
    "rs384 said": (headed(alg="RS384"), "token_invalid"),
    "ps256": (swapped(pss_signed(), 0, part({**RS, "alg": "PS256"})), "token_invalid"),
    "pss signature, rs256 said": (pss_signed(), "token_invalid"),
    "es256 signature, rs256 said": (sign(claims(), RS, EC), "token_invalid"),
    "rs256 signature, es256 said": (sign(claims(), ES, RSA), "token_invalid"),
    "es256 said of the rsa key": (sign(claims(), {**ES, "kid": "r"}, EC), "token_invalid"),
    "eddsa said of the ec key": (sign(claims(), {**ED_HEADER, "kid": "e"}, ED), "token_invalid"),
    "the rsa key's signature, es256 said of it": (sign(claims(), {**ES, "kid": "r"}, RSA), "token_invalid"),
    "es256 in der": (der_signed(), "token_invalid"),
    "es256 all zero": (zero_signed(), "token_invalid"),
    "another key, kid as known": (sign(claims(), RS, OTHER_RSA), "token_invalid"),
    "another ed25519 key": (sign(claims(), ED_HEADER, OTHER_ED), "token_invalid"),
    "kid unknown": (headed(kid="unknown"), "token_invalid"),
    "kid of another key": (headed(kid="e"), "token_invalid"),
    "no kid, several keys": (headed(kid=None), "token_invalid"),
    "kid null": (raw(json.dumps(claims()), {**RS, "kid": None}), "token_invalid"),
    "kid a path": (headed(kid="../../dev/null"), "token_invalid"),
    "kid sql": (headed(kid="r' or '1'='1"), "token_invalid"),
    "kid a number": (headed(kid=1), "token_invalid"),
    "kid too long": (headed(kid="r" * 300), "token_invalid"),
    "a key of its own": (sign(claims(), {**RS, "jwk": OWN_JWK}, OTHER_RSA), "token_invalid"),
    "its own key, well signed": (headed(jwk=jwk(RSA, "r")), "token_invalid"),
    "jku": (headed(jku="https://evil.example/jwks"), "token_invalid"),
    "x5u": (headed(x5u="https://evil.example/x5u"), "token_invalid"),
    "x5c": (headed(x5c=["MII"]), "token_invalid"),
    "crit": (headed(crit=["exp"]), "token_invalid"),
    "b64 false": (headed(b64=False, crit=["b64"]), "token_invalid"),
    "zip": (headed(zip="DEF"), "token_invalid"),
    # Type.
    "typ of an id token hint": (headed(typ="logout+jwt"), "token_invalid"),
    "typ of a security event": (headed(typ="secevent+jwt"), "token_invalid"),
    "typ of an assertion": (headed(typ="oauth-id-jag+jwt"), "token_invalid"),
    "typ of a proof": (headed(typ="dpop+jwt"), "token_invalid"),
    "typ a number": (headed(typ=1), "token_invalid"),
    "an id token": (good(at_hash="x"), "token_invalid"),
    "an id token with a code": (good(c_hash="x"), "token_invalid"),
    "an id token with a nonce": (good(nonce="x"), "token_invalid"),
    "an id token with a state": (good(s_hash="x"), "token_invalid"),
    "for its own client too": (old(aud=[MCP, "desk-app"]), "token_invalid"),
    "for its own client too, no typ": (sign(claims(aud=[MCP, "desk-app"]), NO_TYP, RSA), "token_invalid"),
    "for its own azp too": (old(aud=[MCP, "desk-app"], client_id=None, azp="desk-app"), "token_invalid"),
    "somebody acts with it": (good(act={"sub": "refunds"}), "token_invalid"),
    "somebody acts with it, nobody said": (good(act={}), "token_invalid"),
    "a logout token": (good(events={"http://schemas.openid.net/event/backchannel-logout": {}}), "token_invalid"),
    # Issuer and audience.
    "another issuer": (good(iss="https://evil.example"), "token_issuer"),
    "the issuer with a slash": (good(iss=f"{ISSUER}/"), "token_issuer"),
    "the issuer in capitals": (good(iss=ISSUER.upper()), "token_issuer"),
    "no issuer": (good(iss=None), "token_issuer"),
    "the issuer a number": (good(iss=1), "token_issuer"),
    "the issuer in a list": (good(iss=[ISSUER]), "token_issuer"),
    "another audience": (good(aud="https://other.example"), "token_audience"),
    "the other port's audience": (good(aud=ADMIN), "token_audience"),
    "the audience with more behind": (good(aud=f"{MCP}/x"), "token_audience"),
    "an id token's audience": (good(aud="desk-app"), "token_audience"),
    "no audience": (good(aud=None), "token_invalid"),
    "an empty audience": (good(aud=""), "token_invalid"),
    "audiences empty": (good(aud=[]), "token_invalid"),
    "audiences of numbers": (good(aud=[MCP, 1]), "token_invalid"),
    # Time.
    "expired": (good(iat=NOW_S - 600, exp=NOW_S - 31), "token_expired"),
    "expired at the edge": (good(iat=NOW_S - 600, exp=NOW_S - 30), "token_expired"),
    "no exp": (good(exp=None), "token_invalid"),
    "exp as text": (good(exp=str(NOW_S + 600)), "token_invalid"),
    "exp a fraction": (good(exp=NOW_S + 600.5), "token_invalid"),
    "exp true": (good(iat=0, exp=True), "token_invalid"),
    "exp beyond time": (good(exp=10**15), "token_invalid"),
    "exp before iat": (good(iat=NOW_S + 10, exp=NOW_S + 5), "token_invalid"),
    "no iat": (good(iat=None), "token_invalid"),
    "iat in the future": (good(iat=NOW_S + 31), "token_invalid"),
    "iat negative": (good(iat=-1), "token_invalid"),
    "nbf in the future": (good(nbf=NOW_S + 31), "token_invalid"),
    "nbf as text": (good(nbf="0"), "token_invalid"),
    # Who.
    "no sub": (good(sub=None), "token_invalid"),
    "sub a number": (good(sub=7), "token_invalid"),
    "sub a list": (good(sub=["alice"]), "token_invalid"),
    "sub empty": (good(sub=""), "token_invalid"),
    "sub with a space": (good(sub="alice smith"), "token_invalid"),
    "sub with a line": (good(sub="alice\n"), "token_invalid"),
    "sub that looks alike": (good(sub="аlice"), "token_invalid"),  # noqa: RUF001 - a Cyrillic letter, on purpose
    "sub too long": (good(sub="a" * 256), "token_invalid"),
    "a client's own": (good(sub="desk-app"), "token_invalid"),
    "two clients": (good(azp="other-app"), "token_invalid"),
    "client a list": (good(client_id=["desk-app"]), "token_invalid"),
    "azp empty": (good(client_id=None, azp=""), "token_invalid"),
    "groups as text": (good(groups="staff"), "token_invalid"),
    "groups of numbers": (good(groups=["staff", 1]), "token_invalid"),
    "too many groups": (good(groups=[f"g{n}" for n in range(501)]), "token_invalid"),
    "groups elsewhere": (good(groups=None, _claim_names={"groups": "src1"}), "token_invalid"),
    "an attribute elsewhere": (good(dept=None, _claim_names={"dept": "src1"}), "token_invalid"),
    "an attribute of another kind": (good(dept=["refunds"]), "token_invalid"),
    "an attribute that is no whole number": (good(level=1.5), "token_invalid"),
    # Bound.
    "bound, as bearer": (good(cnf={"jkt": THUMBPRINT}), "dpop_required"),
    "bound to a certificate, none shown": (good(cnf={"x5t#S256": CERTIFICATE}), "certificate_required"),
    "bound to both": (good(cnf={"jkt": THUMBPRINT, "x5t#S256": CERTIFICATE}), "certificate_required"),
    "bound in an unknown way": (good(cnf={"kid": "x"}), "token_invalid"),
    "bound in one way more": (good(cnf={"jkt": THUMBPRINT, "jwk": {}}), "token_invalid"),
    "bound by one thumbprint more": (good(cnf={"jkt": THUMBPRINT, "x5t#S512": CERTIFICATE}), "token_invalid"),
    "bound to nothing": (good(cnf={}), "token_invalid"),
    "bound to an empty key": (good(cnf={"jkt": ""}), "token_invalid"),
    "cnf a list": (good(cnf=[THUMBPRINT]), "token_invalid"),
    # Changed after it was signed.
    "another person": (swapped(GOOD, 1, part(claims(sub="mallory"))), "token_invalid"),
    "another header": (swapped(GOOD, 0, part({**RS, "typ": "JWT"})), "token_invalid"),
    "another token's signature": (swapped(GOOD, 2, good(sub="mallory").split(".")[2]), "token_invalid"),
}


@pytest.mark.requirement("R2.1", "R2.6")
@pytest.mark.parametrize("name", MUTANTS)
def test_a_changed_token_is_refused_and_the_untouched_one_counts(name: str) -> None:
    token, code = MUTANTS[name]

    async def scenario() -> None:
        desk = Desk()
        assert await desk.code(token) == code
        assert await desk.code(token) == code, "nor does it the second time"
        assert not await desk.code(GOOD)

    asyncio.run(scenario())


def test_there_are_enough_mutants_and_no_two_are_the_same() -> None:
    assert len({token for token, _ in MUTANTS.values()}) == len(MUTANTS) >= 80
    assert GOOD not in {token for token, _ in MUTANTS.values()}


async def read(token: str, audience: str = MCP, **presented: Any) -> UserToken:
    return await Desk().users.user(Presented(token, **presented), audience)


@pytest.mark.requirement("R2.1")
def test_a_good_token_says_who_its_person_is() -> None:
    found = asyncio.run(read(GOOD))
    assert found == UserToken(
        person=ALICE,
        issuer="corp",
        client_id="desk-app",
        issued_at=NOON - timedelta(seconds=5),
        expires_at=datetime.fromtimestamp(NOW_S + 600, UTC),
    )


@pytest.mark.parametrize(
    "token",
    [
        sign(claims(), ES, EC),
        sign(claims(), ED_HEADER, ED),
        sign(claims(), {**ED_HEADER, "alg": "Ed25519"}, ED),
        headed(typ="JWT"),
        headed(typ="application/at+jwt"),
        headed(typ="AT+JWT"),
        headed(typ=None),
        headed(x5t="abc", nonce="n"),
        good(aud=["https://other.example", MCP]),
        good(aud=[MCP, "desk-app"]),
        sign(claims(aud=[MCP, "desk-app"]), {**RS, "typ": "application/at+jwt"}, RSA),
        old(aud=[MCP, "other-app"]),
        good(aud="api://tools"),
        good(client_id=None, azp="desk-app"),
        good(azp="desk-app"),
        good(iat=NOW_S + 30, exp=NOW_S + 600),
        good(nbf=NOW_S + 30),
        good(iat=NOW_S - 600, exp=NOW_S - 29),
        good(exp=float(NOW_S + 600)),
        good(_claim_names={"address": "src1"}),
        good(scope="openid profile", jti="j"),
    ],
)
def test_what_issuers_may_write_differently_counts_all_the_same(token: str) -> None:
    found = asyncio.run(read(token))
    assert (found.person, found.client_id) == (ALICE, "desk-app")


def test_a_token_without_groups_and_attributes_is_of_somebody_without_any() -> None:
    found = asyncio.run(read(good(groups=None, dept=None, level=None, external=None)))
    assert found.person == Person("corp:alice", frozenset())


@pytest.mark.parametrize(
    ("may_act", "agents"),
    [
        ({"sub": "refunds"}, {"refunds"}),
        ({"client_id": "refunds"}, {"refunds"}),
        ({"sub": "refunds", "client_id": "refunds"}, {"refunds"}),
        ({"sub": "refunds", "iss": ISSUER}, {"refunds"}),
        ({"sub": "refunds", "iss": "https://other.example"}, {""}),
        ({"sub": "refunds", "iss": None}, {""}),
        ({"sub": "refunds", "client_id": "tracker"}, {""}),
        ({"sub": "refunds", "client_id": 7}, {""}),
        ({"sub": "refunds", "email": "agent@example.org"}, {""}),
        ({"email": "agent@example.org"}, {""}),
        ({"iss": ISSUER}, {""}),
        ({"sub": ["refunds"]}, {""}),
        ({"sub": 7}, {""}),
        ({"sub": "Refunds!"}, {""}),
        ({"sub": ""}, {""}),
        ({}, {""}),
        ([{"sub": "refunds"}], {""}),
        ("refunds", {""}),
        (False, {""}),
    ],
)
@pytest.mark.requirement("R2.4")
def test_may_act_permits_the_agent_that_it_names_and_else_no_agent_but_somebody(may_act: Any, agents: set[str]) -> None:
    assert asyncio.run(read(good(may_act=may_act))).may_act == agents


@pytest.mark.requirement("R2.4")
def test_an_actor_that_is_nobody_is_no_login_of_the_person_alone() -> None:
    said = {name: value for name, value in claims().items() if name != "may_act"}
    assert asyncio.run(read(sign(said, RS, RSA))).may_act == frozenset()
    assert asyncio.run(read(sign({**said, "may_act": None}, RS, RSA))).may_act == {""}


@pytest.mark.requirement("R2.1")
def test_an_id_token_does_not_count_where_its_client_is_an_audience() -> None:
    async def scenario() -> None:
        desk = Desk(issuer=replace(CORP, audiences=("desk-app",)))
        assert await desk.code(old(aud="desk-app")) == "token_invalid"
        assert await desk.code(old(aud="desk-app", client_id=None, azp="desk-app")) == "token_invalid"
        assert not await desk.code(old(aud="desk-app", client_id="other-app"))
        assert not await desk.code(good(aud="desk-app"))

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1")
@pytest.mark.parametrize(
    ("token", "client"),
    [
        (good(aud=ADMIN), "corp:desk-app"),
        (good(aud=ADMIN, client_id=None, azp="desk-app"), "corp:desk-app"),
        (good(aud=ADMIN, client_id=None), ""),
        (good(aud=ADMIN, cnf={"jkt": THUMBPRINT}), "corp:desk-app"),
    ],
)
def test_a_token_for_another_audience_says_whose_it_was(token: str, client: str) -> None:
    async def scenario() -> None:
        desk = Desk()
        for _ in ("first", "remembered"):
            with pytest.raises(TokenRefusedError, match="token_audience") as refused:
                await desk.users.user(Presented(token), MCP)
            assert refused.value.delegation == Delegation(
                user="corp:alice",
                agent="",
                task="",
                use_case="",
                expires_at=datetime.fromtimestamp(NOW_S + 600, UTC),
                level=Level.CLIENT,
                client=client,
            )

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1")
@pytest.mark.parametrize("key", [OTHER_RSA, OTHER_ED, EC])
def test_a_token_that_its_issuer_did_not_sign_says_nothing_of_anybody(key: Any) -> None:
    async def scenario() -> None:
        with pytest.raises(TokenRefusedError, match="token_invalid") as refused:
            await Desk().users.user(Presented(sign(claims(aud=ADMIN), RS, key)), MCP)
        assert refused.value.delegation is None

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1")
def test_further_audiences_of_an_issuer_do_not_count_where_that_is_strict() -> None:
    async def code(desk: Desk, token: str, audience: str) -> str:
        try:
            await desk.users.user(Presented(token), audience)
        except TokenRefusedError as error:
            return error.code
        return ""

    async def scenario() -> None:
        issuer = replace(CORP, audiences=("api",))
        desk = Desk(issuer=issuer, strict=frozenset({ADMIN}))
        assert not await code(desk, good(aud="api"), MCP)
        assert await code(desk, good(aud="api"), ADMIN) == "token_audience"
        assert not await code(desk, good(aud=["api", ADMIN]), ADMIN), "it is for that one, too"
        assert not await code(Desk(issuer=issuer), good(aud="api"), ADMIN), "(where nothing is strict)"

    asyncio.run(scenario())


@pytest.mark.requirement("R2.1")
@pytest.mark.parametrize("groups", [None, [], ["staff"]])
def test_a_role_that_goes_with_a_star_is_everybodys_of_the_issuer(groups: list[str] | None) -> None:
    roles = {"user": frozenset({"*"}), "operator": frozenset({"platform"})}

    async def scenario() -> None:
        desk = Desk(issuer=replace(CORP, claims=ClaimsMap(roles=roles)))
        found = await desk.users.user(Presented(good(groups=groups)), MCP)
        assert found.person.roles == {"user"}
        named = await Desk().users.user(Presented(good(groups=["*"])), MCP)
        assert not named.person.roles, "a group of that name is none of those that a role goes with"

    asyncio.run(scenario())


def test_authorization_details_are_handed_on_as_they_are() -> None:
    details = [{"type": "agent_task", "operations": ["look"]}]
    assert asyncio.run(read(good(authorization_details=details))).details == details


@pytest.mark.requirement("R2.6")
def test_a_bound_token_counts_with_the_proof_of_its_key_alone() -> None:
    token = good(cnf={"jkt": THUMBPRINT})

    async def scenario() -> None:
        desk = Desk()
        assert await desk.code(token, scheme="dpop", proof="another key") == "dpop_proof_invalid"
        assert await desk.code(token, scheme="dpop") == "dpop_proof_invalid"
        assert await desk.code(token, proof=THUMBPRINT) == "dpop_required"
        found = await desk.users.user(Presented(token, scheme="dpop", proof=THUMBPRINT), MCP)
        assert found.key == THUMBPRINT
        assert await desk.code(token, scheme="dpop", proof=THUMBPRINT) == "dpop_proof_invalid", "one proof counts once"
        assert await desk.code(GOOD, scheme="dpop", proof="p") == "token_invalid", "bound to no key"

    asyncio.run(scenario())


@pytest.mark.requirement("R2.6")
def test_a_token_bound_to_a_certificate_counts_with_that_certificate_alone() -> None:
    token = good(cnf={"x5t#S256": CERTIFICATE})

    async def scenario() -> None:
        desk = Desk()
        assert not await desk.code(token, certificate=CERTIFICATE)
        assert await desk.code(token, certificate=THUMBPRINT) == "certificate_required"
        assert await desk.code(token) == "certificate_required"
        both = good(cnf={"jkt": THUMBPRINT, "x5t#S256": CERTIFICATE})
        assert await desk.code(both, certificate=CERTIFICATE) == "dpop_required"
        assert not await desk.code(both, certificate=CERTIFICATE, scheme="dpop", proof=THUMBPRINT)

    asyncio.run(scenario())


@pytest.mark.requirement("R2.6")
def test_a_remembered_token_is_asked_again_for_audience_time_and_proof() -> None:
    async def scenario() -> None:
        desk = Desk()
        assert not await desk.code(GOOD)
        assert (await desk.users.user(Presented(good(aud=[MCP, ADMIN])), ADMIN)).person == ALICE
        with pytest.raises(Exception, match="token_audience"):
            await desk.users.user(Presented(GOOD), ADMIN)
        desk.clock.advance(seconds=629)
        assert not await desk.code(GOOD)
        desk.clock.advance(seconds=1)
        assert await desk.code(GOOD) == "token_expired"

    asyncio.run(scenario())


def test_tokens_are_verified_again_after_a_revocation_and_after_the_keys_changed() -> None:
    verified: list[str] = []

    async def scenario() -> None:
        desk = Desk()
        proven = desk.issuers.proven

        async def watched(token: str, kinds: Any) -> Any:
            verified.append(token)
            return await proven(token, kinds)

        desk.issuers.proven = watched  # type: ignore[method-assign] # to see when it is asked
        for _ in range(3):
            assert not await desk.code(GOOD)
        assert len(verified) == 1
        desk.epoch += 1
        assert not await desk.code(GOOD)
        assert len(verified) == 2
        desk.published.keys = {"keys": [jwk(OTHER_RSA, "r")]}
        assert await desk.code(headed(kid="unknown")) == "token_invalid"
        desk.clock.advance(seconds=31)
        assert await desk.code(headed(kid="unknown")) == "token_invalid"
        assert await desk.code(GOOD) == "token_invalid", "its key is no longer the issuer's"

    asyncio.run(scenario())


def test_a_token_without_a_kid_counts_where_the_issuer_has_one_key() -> None:
    async def scenario() -> None:
        desk = Desk(published=Published(keys={"keys": [jwk(RSA), jwk(EC, use="enc")]}))
        assert not await desk.code(headed(kid=None))
        assert await desk.code(sign(claims(), {"alg": "ES256"}, EC)) == "token_invalid"
        assert await desk.code(sign(claims(), {"alg": "ES256"}, RSA)) == "token_invalid", "not what the key is for"
        for kid in (None, 1, "r" * 257):
            assert await desk.code(sign(claims(), {"alg": "RS256", "kid": kid}, RSA)) == "token_invalid"

    asyncio.run(scenario())


SMALL = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - to be skipped
P384 = ec.generate_private_key(ec.SECP384R1())
JUNK: list[Any] = [
    None,
    [],
    "key",
    {},
    {"kty": "oct", "k": "c2VjcmV0", "kid": "r"},
    {"kty": ["RSA"], "kid": "r"},
    jwk(OTHER_RSA, "r", use="enc"),
    jwk(OTHER_RSA, "r", alg="RS512"),
    jwk(OTHER_RSA, "r", alg="ES256"),
    jwk(OTHER_RSA, "r", alg=["RS256"]),
    jwk(OTHER_RSA, "r", key_ops=["encrypt"]),
    jwk(OTHER_RSA, "r", key_ops="verify"),
    {**jwk(OTHER_RSA, "r"), "d": "AQAB"},
    {**jwk(OTHER_RSA, "r"), "n": "!!"},
    {**jwk(OTHER_RSA, "r"), "n": ""},
    {**jwk(OTHER_RSA, "r"), "n": "A"},
    {**jwk(OTHER_RSA, "r"), "e": "AQ"},
    {**jwk(OTHER_RSA, "r"), "e": "AQAAAAAAAQ"},
    {"kty": "RSA", "kid": "r", "e": "AQAB"},
    jwk(SMALL, "r"),
    {**jwk(OTHER_RSA, "r"), "kid": 1},
    {**jwk(EC, "e"), "crv": "P-384"},
    {**jwk(EC, "e"), "y": jwk(EC)["x"]},
    {**jwk(ED, "d"), "x": b64(bytes(32))},
    {**jwk(ED, "d"), "crv": "Ed448"},
    {**jwk(ED, "d"), "x": "AAAA"},
]


def test_keys_that_are_none_are_skipped_and_the_good_ones_among_them_count() -> None:
    async def scenario() -> None:
        desk = Desk(published=Published(keys={"keys": [*JUNK, *KEYS["keys"]]}))
        for token in (GOOD, sign(claims(), ES, EC), sign(claims(), ED_HEADER, ED)):
            assert not await desk.code(token)
        assert await desk.code(sign(claims(), RS, OTHER_RSA)) == "token_invalid"
        assert await desk.code(sign(claims(), RS, SMALL)) == "token_invalid"

    asyncio.run(scenario())


@pytest.mark.parametrize("junk", JUNK, ids=range(len(JUNK)))
def test_a_set_of_junk_alone_is_no_key_set(junk: Any) -> None:
    async def scenario() -> None:
        assert await Desk(published=Published(keys={"keys": [junk]})).code(GOOD) == "issuer_unreachable"

    asyncio.run(scenario())


def test_only_tokens_that_say_they_are_of_an_issuer_are_known() -> None:
    users = Desk().users
    assert users.knows(GOOD)
    asyncio.run(users.user(Presented(GOOD), MCP))
    assert users.knows(GOOD), "once it is remembered, too"
    assert users.knows(good(aud="elsewhere"))
    assert not users.knows(good(iss="https://evil.example"))
    assert not users.knows(good(iss=[ISSUER]))
    assert not users.knows("t_1.rubbish")


def test_a_person_is_named_by_the_claim_that_the_settings_name() -> None:
    issuer = type(CORP)(name="hr", issuer=ISSUER, claims=type(CORP.claims)(subject="email", groups="teams"))

    async def scenario() -> None:
        desk = Desk(issuer=issuer)
        token = good(email="alice@example.org", teams=["a"])
        found = await desk.users.user(Presented(token), MCP)
        assert (found.person.name, found.person.groups) == ("hr:alice@example.org", frozenset({"a"}))
        assert await desk.code(GOOD) == "token_invalid", "it has no email"

    asyncio.run(scenario())


def test_a_signature_of_r_and_s_is_what_es256_is() -> None:
    made = signature(EC, b"message")
    assert len(made) == 64  # (the control of `es256 in der`)
    assert decode_dss_signature(EC.sign(b"message", ec.ECDSA(SHA256())))
