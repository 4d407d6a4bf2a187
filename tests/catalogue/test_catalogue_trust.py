"""The trust root: a root under which too few could sign as many does not exist as a value."""

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from remit.catalogue import DEVELOPMENT_ROLE, Signer, TrustRoot, keyid_of, read_trust, trust_json
from remit.core import InputRefusedError


def public(seed: int) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32).public_key().public_bytes_raw()


def text(seed: int) -> str:
    return base64.b64encode(public(seed)).decode()


def root(**changes: Any) -> bytes:
    value: dict[str, Any] = {
        "version": 1,
        "persons": {
            "ana": {"roles": ["security"], "keys": [text(1)]},
            "ben": {"roles": ["engineering", "security"], "keys": [text(2), text(3)]},
        },
        "thresholds": {"security": 1, "engineering": 1},
    }
    return json.dumps({**value, **changes}).encode()


def persons(**changes: Any) -> bytes:
    ana = {"roles": ["security"], "keys": [text(1)]}
    return root(persons={"ana": {**ana, **changes}, "ben": {"roles": ["engineering"], "keys": [text(2)]}})


@pytest.mark.requirement("R4.2")
def test_a_trust_root_says_who_may_sign_and_how_many_must() -> None:
    trust = read_trust(root())
    assert trust.persons["ben"] == Signer(frozenset({"engineering", "security"}), (public(2), public(3)))
    assert trust.owners == {keyid_of(public(1)): "ana", keyid_of(public(2)): "ben", keyid_of(public(3)): "ben"}
    assert trust.keys[keyid_of(public(3))] == public(3)
    assert trust.persons["ben"].keyids == (keyid_of(public(2)), keyid_of(public(3)))
    assert (trust.version, trust.signers_asked, trust.development) == (1, 2, False)
    assert read_trust(trust_json(trust)) == trust


def test_a_root_that_asks_for_one_signer_in_the_development_role_says_so() -> None:
    me = {"me": {"roles": [DEVELOPMENT_ROLE, "security"], "keys": [text(1)]}}
    assert read_trust(root(persons=me, thresholds={"development": 1})).development
    assert not read_trust(root(persons=me, thresholds={"security": 1})).development
    both = {**me, "ana": {"roles": ["security"], "keys": [text(2)]}}
    assert not read_trust(root(persons=both, thresholds={"development": 1, "security": 1})).development


@pytest.mark.requirement("R4.2")
@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b"[]", "expected an object"),
        (b'{"version": 1, "version": 2}', "twice"),
        (root(expires="never"), "`expires` is unknown"),
        (b'{"version": 1, "persons": {}}', "`thresholds` is missing"),
        (root(version=0), "version"),
        (root(version=True), "version"),
        (root(version="1"), "version"),
        (root(version=1.5), "version"),
        (root(thresholds={}), "at least one role"),
        (root(thresholds=[]), "thresholds"),
        (root(thresholds={"security": 0}), "thresholds.security"),
        (root(thresholds={"security": -1}), "thresholds.security"),
        (root(thresholds={"security": True}), "thresholds.security"),
        (root(thresholds={"Security": 1}), "lower case"),
        (root(thresholds={"security": 33}), "32 signers"),
        (root(thresholds={f"r{n}": 1 for n in range(17)}), "16 roles"),
        # ana and ben have three roles between them, and are two
        (root(thresholds={"security": 2, "engineering": 1}), "too few persons"),
        (root(thresholds={"security": 1, "engineering": 1, "law": 1}), "too few persons"),
        (root(persons={}), "too few persons"),
        (root(persons=[]), "persons"),
        (root(persons={f"p{n}": {} for n in range(257)}), "at most 256"),
        (root(persons={"Ana": {"roles": ["security"], "keys": [text(1)]}}), "lower case"),
        (persons(roles=[]), "persons.ana.roles"),
        (persons(roles="security"), "persons.ana.roles"),
        (persons(roles=["security", "security"]), "each role once"),
        (persons(roles=["security", 1]), "persons.ana.roles"),
        (persons(roles=["Security"]), "persons.ana.roles"),
        (persons(keys=[]), "persons.ana.keys"),
        (persons(keys=[text(1)] * 9), "persons.ana.keys"),
        (persons(keys=[text(1), text(1)]), "belongs to one person"),
        (persons(keys=[text(1), text(2)]), "belongs to one person"),
        (persons(keys=["x"]), "base64"),
        (persons(keys=["é" + text(1)]), "base64"),
        (persons(keys=[text(1).rstrip("=")]), "base64"),
        (persons(keys=[text(1)[:-2] + chr(ord(text(1)[-2]) + 1) + "="]), "base64"),
        (persons(keys=[base64.b64encode(public(1)[:31]).decode()]), "32 bytes"),
        (persons(keys=[base64.b64encode(b"").decode()]), "32 bytes"),
        (persons(name="Ana"), "`name` is unknown"),
        (root() + b" " * (1 << 18), "bytes"),
    ],
)
def test_a_root_that_could_not_hold_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(InputRefusedError) as caught:
        read_trust(body)
    assert caught.value.code == "trust_invalid"
    assert says in caught.value.message
    assert caught.value.fix
    assert caught.value.message.isprintable()


def test_a_value_made_without_a_file_keeps_the_same_rules() -> None:
    ana = Signer(frozenset({"security"}), (public(1),))
    TrustRoot(version=1, persons={"ana": ana}, thresholds={"security": 1})
    wrong: tuple[dict[str, Any], ...] = (
        {"persons": {"ana": ana, "ben": ana}},
        {"persons": {"ana": Signer(frozenset({"security"}), ())}},
        {"thresholds": {}},
        {"thresholds": {"security": 2}},
        {"version": 0},
    )
    for changed in wrong:
        with pytest.raises(InputRefusedError, match="trust_invalid"):
            TrustRoot(**{"version": 1, "persons": {"ana": ana}, "thresholds": {"security": 1}, **changed})


def test_who_has_two_roles_takes_the_one_that_leaves_room_for_others() -> None:
    trust = read_trust(root())
    assert trust.seated({"ana", "ben"}) == (("ana", "security"), ("ben", "engineering"))
    assert trust.lacking({"ana", "ben"}) == {}
    assert trust.lacking({"ben"}) != {}
    assert len(trust.seated({"ben"})) == 1
    assert trust.lacking({"ana"}) == {"engineering": 1}
    assert trust.lacking({"stranger"}) == {"security": 1, "engineering": 1}


ROLES = ("a", "b", "c")
SEEDS = [public(seed) for seed in range(6)]


@given(
    roles=st.lists(st.frozensets(st.sampled_from(ROLES), min_size=1), min_size=1, max_size=5),
    thresholds=st.dictionaries(st.sampled_from(ROLES), st.integers(1, 2), min_size=1),
)
def test_a_root_exists_exactly_when_its_thresholds_can_be_reached(
    roles: list[frozenset[str]], thresholds: dict[str, int]
) -> None:
    people = {f"p{n}": Signer(having, (SEEDS[n],)) for n, having in enumerate(roles)}
    places = [role for role, count in thresholds.items() for _ in range(count)]
    if _reachable(places, roles):
        trust = TrustRoot(version=1, persons=people, thresholds=thresholds)
        assert read_trust(trust_json(trust)) == trust
        seated = trust.seated(people)
        assert sorted(role for _, role in seated) == sorted(places)
        assert len({person for person, _ in seated}) == len(places)
        assert all(role in people[person].roles for person, role in seated)
    else:
        with pytest.raises(InputRefusedError, match="too few persons"):
            TrustRoot(version=1, persons=people, thresholds=thresholds)


def _reachable(places: list[str], roles: list[frozenset[str]]) -> bool:
    """Try every way, as a plain reader of the rule would."""
    if not places:
        return True
    return any(
        places[0] in having and _reachable(places[1:], roles[:index] + roles[index + 1 :])
        for index, having in enumerate(roles)
    )
