"""Agents' keys: only public keys and certificates are registered, named by their thumbprints; two overlap."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc.jwk import ECKey, OKPKey

from remit.core import InputRefusedError, JsonObject
from remit.identity import KEYS_MAX, X509, agent_keys, read_agent_key, with_key, without_key


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def public(seed: int = 1) -> dict[str, Any]:
    key = Ed25519PrivateKey.from_private_bytes(bytes([seed]) * 32)
    return {"kty": "OKP", "crv": "Ed25519", "x": b64(key.public_key().public_bytes_raw())}


GOOD = public()
SECRET = b64(bytes([1]) * 32)
WEAK = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
]


def refused(jwk: Any) -> InputRefusedError:
    with pytest.raises(InputRefusedError) as caught:
        read_agent_key(jwk)
    assert caught.value.fix
    with pytest.raises(InputRefusedError) as again:
        with_key("", jwk)  # there is no way round the check
    assert again.value.code == caught.value.code
    return caught.value


@pytest.mark.requirement("R2.2")
def test_a_key_is_kept_under_its_thumbprint() -> None:
    kept = read_agent_key(GOOD)
    assert kept == {**GOOD, "use": "sig", "kid": OKPKey.import_key(GOOD).thumbprint()}
    assert read_agent_key(kept) == kept
    assert read_agent_key({**GOOD, "alg": "Ed25519", "use": "sig", "key_ops": ["verify"]}) == kept
    assert read_agent_key({**GOOD, "alg": "EdDSA"}) == kept


def test_the_thumbprint_is_that_of_the_standards_own_example() -> None:
    """RFC 8037, appendix A.3."""
    example: JsonObject = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert read_agent_key(example)["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    "extra",
    [{"d": SECRET}, {"d": ""}, {"d": None}, {"k": SECRET}, {"kty": "RSA", "p": SECRET}, {"kid": 1, "d": SECRET}],
)
def test_a_private_key_is_refused_and_nothing_of_it_is_repeated(extra: dict[str, Any]) -> None:
    error = refused({**GOOD, **extra})
    assert error.code == "key_private"
    for said in (str(error), error.message, error.fix):
        assert SECRET not in said
        assert GOOD["x"] not in said


BAD: list[dict[str, Any]] = [
    {},
    {"kty": ...},
    {"crv": ...},
    {"x": ...},
    {"kty": "EC"},
    {"kty": "oct"},
    {"kty": ["OKP"]},
    {"crv": "Ed448"},
    {"crv": "X25519"},
    {"crv": None},
    {"x": ""},
    {"x": 5},
    {"x": None},
    {"x": GOOD["x"] + "="},
    {"x": GOOD["x"][:-1]},
    {"x": GOOD["x"] + "A"},
    {"x": "+" + GOOD["x"][1:]},
    {"x": GOOD["x"][:-1] + ("B" if GOOD["x"][-1] != "B" else "C")},  # the same bytes, written another way
    {"x": "é" * 43},
    {"alg": "HS256"},
    {"alg": "none"},
    {"use": "enc"},
    {"key_ops": ["sign"]},
    {"key_ops": "verify"},
    {"kid": "mine"},
    {"kid": None},
    {"kid": read_agent_key(public(2))["kid"]},
    {"x5u": "http://attacker.example"},
    {"y": GOOD["x"]},
]


@pytest.mark.parametrize("change", BAD[1:], ids=str)
def test_any_other_kind_of_key_is_refused(change: dict[str, Any]) -> None:
    jwk = {name: value for name, value in {**GOOD, **change}.items() if value is not ...}
    assert refused(jwk).code == "key_invalid"


def test_no_members_are_no_key() -> None:
    assert refused({}).code == "key_invalid"


@pytest.mark.parametrize("point", WEAK)
def test_a_key_that_anybody_can_sign_for_is_refused(point: str) -> None:
    raw = bytes.fromhex(point)
    assert any(_verifies(raw, str(message).encode()) for message in range(400))  # nobody has a key, yet it is signed
    assert refused({**GOOD, "x": b64(raw)}).code == "key_invalid"


def _verifies(point: bytes, message: bytes) -> bool:
    """Whether the signature that takes no key at all, R the neutral point and S nought, counts."""
    try:
        Ed25519PublicKey.from_public_bytes(point).verify(b"\1" + bytes(63), message)
    except InvalidSignature:
        return False
    return True


def test_an_honest_key_does_not_verify_what_nobody_signed() -> None:
    assert not any(_verifies(urlsafe_b64decode(GOOD["x"] + "="), str(message).encode()) for message in range(400))


# RFC 7515, appendix A.3.1.
P256: JsonObject = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
CERTIFICATE: JsonObject = {"kty": X509, "x5t#S256": b64(bytes(32))}


@pytest.mark.requirement("R2.2")
def test_a_key_for_es256_and_a_certificate_are_kept_too() -> None:
    assert read_agent_key(P256) == {**P256, "use": "sig", "kid": ECKey.import_key(dict(P256)).thumbprint()}  # type: ignore[arg-type] # a JsonObject is wider than joserfc's own
    assert read_agent_key({**P256, "alg": "ES256", "use": "sig"}) == read_agent_key(P256)
    assert read_agent_key(CERTIFICATE) == {**CERTIFICATE, "kid": CERTIFICATE["x5t#S256"]}
    both = with_key(with_key(with_key("", P256), CERTIFICATE), GOOD)
    assert [key["kty"] for key in agent_keys(both).values()] == ["EC", X509, "OKP"]
    assert agent_keys(both)[str(CERTIFICATE["x5t#S256"])] == read_agent_key(CERTIFICATE)


ZERO = b64(bytes(32))
OTHER_KINDS: list[tuple[JsonObject, dict[str, Any]]] = [
    (P256, {"y": ...}),
    (P256, {"crv": ...}),
    (P256, {"crv": "P-384"}),
    (P256, {"crv": "secp256k1"}),
    (P256, {"alg": "ES384"}),
    (P256, {"alg": "EdDSA"}),
    (P256, {"use": "enc"}),
    (P256, {"kid": "mine"}),
    (P256, {"x": P256["y"], "y": P256["x"]}),  # no point of the curve
    (P256, {"x": ZERO, "y": ZERO}),
    (P256, {"x": b64(b"\xff" * 32)}),
    (P256, {"y": b64((2**256 - 2**224 + 2**192 + 2**96 - 1).to_bytes(32))}),
    (P256, {"y": None}),
    (P256, {"x5c": ["x"]}),
    (P256, {"kty": "OKP"}),
    (P256, {"kty": X509}),
    (CERTIFICATE, {"x5t#S256": ...}),
    (CERTIFICATE, {"x5t#S256": "x"}),
    (CERTIFICATE, {"x5t#S256": 5}),
    (CERTIFICATE, {"kid": "mine"}),
    (CERTIFICATE, {"use": "sig"}),
    (CERTIFICATE, {"x5c": ["x"]}),
    (CERTIFICATE, {"kty": "OKP"}),
]


@pytest.mark.parametrize(("kept", "change"), OTHER_KINDS, ids=str)
def test_another_curve_a_point_beside_it_and_a_certificate_otherwise_are_refused(
    kept: JsonObject, change: dict[str, Any]
) -> None:
    jwk = {name: value for name, value in {**kept, **change}.items() if value is not ...}
    assert refused(jwk).code == "key_invalid"


@pytest.mark.parametrize("kept", [P256, CERTIFICATE], ids=["EC", "X509"])
def test_a_private_part_is_refused_in_every_kind(kept: JsonObject) -> None:
    assert refused({**kept, "d": SECRET}).code == "key_private"


def test_an_agent_has_few_keys_and_certificates_together() -> None:
    text = with_key(with_key(with_key("", P256), CERTIFICATE), GOOD)
    text = with_key(text, {"kty": X509, "x5t#S256": b64(bytes([1]) * 32)})
    assert code_of(text, 9) == "keys_too_many"
    assert list(agent_keys(without_key(text, str(CERTIFICATE["x5t#S256"]))))[1] == read_agent_key(GOOD)["kid"]


@pytest.mark.requirement("R2.2")
def test_a_new_key_is_added_before_the_old_one_goes() -> None:
    first = with_key("", GOOD)
    both = with_key(first, public(2))
    kids = [str(read_agent_key(public(seed))["kid"]) for seed in (1, 2)]
    assert list(agent_keys(both)) == kids
    assert list(agent_keys(without_key(both, kids[0]))) == kids[1:]
    assert without_key(without_key(both, kids[0]), kids[1]) == ""
    assert agent_keys("") == {}


def code_of(text: str, seed: int) -> str:
    with pytest.raises(InputRefusedError) as caught:
        with_key(text, public(seed))
    assert caught.value.fix
    return caught.value.code


def test_a_key_is_registered_once_and_an_agent_has_few() -> None:
    text = ""
    for seed in range(1, KEYS_MAX + 1):
        text = with_key(text, public(seed))
        assert code_of(text, seed) == "key_registered"
    assert len(json.loads(text)["keys"]) == KEYS_MAX
    assert code_of(text, 9) == "keys_too_many"


def test_a_key_that_is_not_there_cannot_be_taken_away() -> None:
    with pytest.raises(InputRefusedError) as caught:
        without_key(with_key("", GOOD), "nobody")
    assert caught.value.code == "key_unknown"


@pytest.mark.parametrize(
    "text", ["x", "[]", "{}", '{"keys":[]}', '{"keys":[5]}', '{"keys":{}}', json.dumps({"keys": [GOOD] * 5}), "\ud800"]
)
def test_a_set_of_keys_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InputRefusedError):
        agent_keys(text)
