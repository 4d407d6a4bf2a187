"""DPoP proofs: what another implementation makes is taken, once, for its own request; the rest is refused."""

import asyncio
import hashlib
import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import pydpop  # type: ignore[import-untyped]  # it ships no types
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from joserfc import jws
from joserfc.jwk import ECKey, OKPKey, RSAKey

from remit.adapters.oauth import SIGNED_WITH, DpopProofs, TaskTokens, _dpop
from remit.core import Delegation, Level, Task
from remit.identity import Presented, Proofs, TokenRefusedError
from remit.testing import NOON, ManualClock, seeded

ISSUER = "http://127.0.0.1:8700"
MCP = f"{ISSUER}/mcp"
TASK = Task(id="t_1", user="tom", agent="clerk", use_case="serve", opened_at=NOON, expires_at=NOON + timedelta(hours=1))
SECOND = timedelta(seconds=1)
Key = OKPKey | ECKey | RSAKey
KEYS: dict[str, Key] = {
    "Ed25519": OKPKey.generate_key("Ed25519"),
    "EdDSA": OKPKey.generate_key("Ed25519"),
    "ES256": ECKey.generate_key("P-256"),
    "RS256": RSAKey.generate_key(2048),
}
ED25519 = KEYS["Ed25519"]


def b64(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def digest(token: str) -> str:
    return b64(hashlib.sha256(token.encode()).digest())


def public(key: Key) -> dict[str, Any]:
    members = ("kty", "crv", "x", "y", "n", "e")
    return {name: value for name, value in key.as_dict(private=False).items() if name in members}


def signed(key: Key, alg: str, claims: Any, header: dict[str, Any] | None = None) -> str:
    """Sign, with a header that may say anything; `alg` is what is really done."""
    said = json.dumps(header or {"typ": "dpop+jwt", "alg": alg, "jwk": public(key)}).encode()
    body = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    text = f"{b64(said)}.{b64(body)}"
    model = jws.JWSRegistry.algorithms["Ed25519" if alg == "EdDSA" else alg]
    return f"{text}.{b64(model.sign(text.encode(), key))}"


class Door:
    """A gateway that started at noon, and a client with a task token bound to its key."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.settings = settings
        self.restart(1)

    def restart(self, seed: int) -> None:
        self.proofs = DpopProofs(self.clock, random=seeded(seed), **self.settings)

    def now_s(self) -> int:
        return int(self.clock.now().timestamp())

    def claims(self, jti: str = "a", **claims: Any) -> dict[str, Any]:
        said = {"jti": jti, "htm": "POST", "htu": MCP, "iat": self.now_s(), **claims}
        return {name: value for name, value in said.items() if value is not ...}

    def error(self, proof: str, token: str = "", url: str = MCP, method: str = "POST") -> TokenRefusedError | None:
        try:
            self.proofs.thumbprint(Presented(token, "dpop", proof, method, url))
        except TokenRefusedError as error:
            return error
        return None

    def code(self, proof: str, token: str = "", url: str = MCP, method: str = "POST") -> str:
        error = self.error(proof, token, url, method)
        return "" if error is None else error.code


@pytest.mark.requirement("R2.6")
def test_the_proofs_of_another_implementation_are_taken() -> None:
    door = Door()
    port: Proofs = door.proofs
    key = pydpop.generate_key()
    for token in ("", "a.b.c"):
        proof = pydpop.generate_proof(
            private_key=key, htm="post", htu=f"{MCP}?x=1#y", iat=door.now_s(), access_token=token or None
        )
        presented = Presented(token, "dpop", proof, "POST", f"{MCP}?other=2")
        assert port.thumbprint(presented) == pydpop.jwk_thumbprint(pydpop.public_jwk(key))


@pytest.mark.parametrize("alg", KEYS)
def test_each_algorithm_we_name_is_taken_with_the_thumbprint_of_its_key(alg: str) -> None:
    door = Door()
    assert alg in SIGNED_WITH
    proof = signed(KEYS[alg], alg, door.claims(ath=digest("t")))
    assert door.proofs.thumbprint(Presented("t", "dpop", proof, "POST", MCP)) == KEYS[alg].thumbprint()
    assert door.code(signed(KEYS[alg], alg, door.claims("b"))) == ""  # and again, by the key that is kept ready
    assert door.code(signed(KEYS[alg], alg, door.claims("c"))[:-8] + "AAAAAAAA") == "dpop_proof_invalid"


def by_rsa(bits: int, exponent: int = 65_537, alg: str = "RS256", **more: Any) -> str:
    """Sign rightly with an RSA key of any size."""
    key = rsa.generate_private_key(exponent, bits)
    numbers = key.public_key().public_numbers()
    n, e = b64(numbers.n.to_bytes(bits // 8)), b64(exponent.to_bytes((exponent.bit_length() + 7) // 8))
    header = {"typ": "dpop+jwt", "alg": alg, "jwk": {"kty": "RSA", "n": n, "e": e, **more}}
    text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(Door().claims()).encode())}"
    return f"{text}.{b64(key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


def by_nobody() -> str:
    """Sign without any key: where the public key is a point of small order, that holds for one message in a few."""
    point = "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"
    header = {
        "typ": "dpop+jwt",
        "alg": "Ed25519",
        "jwk": {"kty": "OKP", "crv": "Ed25519", "x": b64(bytes.fromhex(point))},
    }
    weak = Ed25519PublicKey.from_public_bytes(bytes.fromhex(point))
    for number in range(400):
        text = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(Door().claims(str(number))).encode())}"
        try:
            weak.verify(b"\1" + bytes(63), text.encode())
        except InvalidSignature:
            continue
        return f"{text}.{b64(bytes([1]) + bytes(63))}"
    raise AssertionError


@pytest.mark.requirement("R2.6")
def test_a_weak_key_proves_nothing_although_the_signature_holds() -> None:
    assert Door().code(by_rsa(2_048)) == ""  # the control
    assert Door().code(by_rsa(2_048, kid="x", use="sig")) == ""
    assert Door().code(by_rsa(1_024)) == "dpop_proof_invalid"
    assert Door().code(by_rsa(2_048, 3)) == "dpop_proof_invalid"
    assert Door().code(by_rsa(2_048, alg="RS384")) == "dpop_proof_invalid"
    assert Door().code(by_rsa(2_048, d="AQAB")) == "dpop_proof_invalid"
    assert Door().code(by_nobody()) == "dpop_proof_invalid"


@pytest.mark.parametrize(
    "change", [{"d": "AA"}, {"y": ...}, {"crv": "P-384"}, {"kty": "OKP"}, {"x": "A" * 43}, {"alg": "ES384"}]
)
def test_a_key_that_is_not_a_public_one_of_p256_proves_nothing(change: dict[str, Any]) -> None:
    door, key = Door(), KEYS["ES256"]
    jwk = {name: value for name, value in {**public(key), **change}.items() if value is not ...}
    header = {"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}
    assert door.code(signed(key, "ES256", door.claims(), header)) == "dpop_proof_invalid"


@pytest.mark.parametrize("curve", ["P-384", "P-521", "secp256k1"])
def test_another_curve_proves_nothing(curve: Any) -> None:
    door, key = Door(), ECKey.generate_key(curve)
    for alg in ("ES256", "ES384"):
        proof = signed(key, "ES256", door.claims(), {"typ": "dpop+jwt", "alg": alg, "jwk": public(key)})
        assert door.code(proof) == "dpop_proof_invalid"


def test_without_a_token_a_proof_of_a_token_is_refused() -> None:
    door = Door()
    assert door.code(signed(ED25519, "Ed25519", door.claims(ath=digest("t")))) == "dpop_proof_invalid"
    assert door.code(signed(ED25519, "Ed25519", door.claims())) == ""


def test_what_another_implementation_refuses_is_refused_here_and_the_other_way_round() -> None:
    """pydpop verifies ours, and both refuse the same changes."""
    door, key = Door(), KEYS["ES256"]
    changes: list[dict[str, Any]] = [
        {},
        {"htm": "GET"},
        {"htu": ISSUER},
        {"ath": digest("u")},
        {"jti": ...},
        {"ath": ...},
    ]
    for number, change in enumerate(changes):
        said = {"ath": digest("t"), "jti": f"j{number}", **change}
        proof = signed(key, "ES256", door.claims(**said))
        try:
            pydpop.verify_proof(proof=proof, htm="POST", htu=MCP, now=door.now_s(), access_token="t")
        except pydpop.DPoPError:
            theirs = "dpop_proof_invalid"
        else:
            theirs = ""
        assert door.code(proof, "t") == theirs, change


GOOD_URLS = [
    MCP,
    "HTTP://127.0.0.1:8700/mcp",
    f"{MCP}?a=b",
    f"{MCP}#c",
    f"{MCP}?",
]
OTHER_URLS = [
    ISSUER,
    f"{ISSUER}/",
    f"{MCP}/",
    f"{ISSUER}/MCP",
    f"{ISSUER}//mcp",
    f"{ISSUER}/mc%70",
    f"{ISSUER}/x/../mcp",
    "https://127.0.0.1:8700/mcp",
    "http://127.0.0.1/mcp",
    "http://127.0.0.1:8701/mcp",
    "http://127.0.0.1:99999/mcp",
    "http://localhost:8700/mcp",
    "http://a@127.0.0.1:8700/mcp",
    "http://127.0.0.1:8700\t/mcp",
    f"{ISSUER}/mc\np",
    f" {MCP}",
    "http://[::1:8700/mcp",
    "http://xn--\u00e9/mcp",
    "/mcp",
    "mcp",
    "",
    "ftp://127.0.0.1:8700/mcp",
    f"{MCP}?{'a' * 2_100}",
    5,
    None,
    [MCP],
]


@pytest.mark.parametrize("htu", GOOD_URLS)
def test_an_address_counts_however_it_is_written(htu: str) -> None:
    door = Door()
    assert door.code(signed(ED25519, "Ed25519", door.claims(htu=htu))) == ""


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("htu", OTHER_URLS, ids=repr)
def test_a_proof_for_another_address_is_refused(htu: Any) -> None:
    door = Door()
    assert door.code(signed(ED25519, "Ed25519", door.claims(htu=htu))) == "dpop_proof_invalid"


def test_the_usual_port_and_the_empty_path_are_left_out_or_not() -> None:
    for one, other in (
        ("https://gate.example.org:443/mcp", "https://gate.example.org/mcp"),
        ("http://gate.example.org:80", "http://GATE.example.org/"),
        ("http://[::1]:8700/mcp", "http://[::1]:8700/mcp"),
    ):
        door = Door()
        assert door.code(signed(ED25519, "Ed25519", door.claims(htu=one)), url=other) == ""
    door = Door()
    for nowhere in ("", "mcp"):  # two addresses that are none are not the same
        assert door.code(signed(ED25519, "Ed25519", door.claims(htu=nowhere)), url="") == "dpop_proof_invalid"


@pytest.mark.requirement("R2.6")
def test_a_proof_counts_once_while_it_could_come_again_and_then_not_at_all() -> None:
    door = Door()
    proof = signed(ED25519, "Ed25519", door.claims())
    assert door.code(proof) == ""
    for _ in range(61):
        assert door.code(proof) == "dpop_proof_replayed"
        door.clock.advance(SECOND)
    assert door.code(proof) == "dpop_proof_invalid"
    assert door.code(signed(ED25519, "Ed25519", door.claims())) == ""  # the same name in a later life


def test_a_proof_is_known_by_its_name_not_by_how_it_is_written() -> None:
    door = Door()
    assert door.code(signed(KEYS["ES256"], "ES256", door.claims())) == ""
    assert door.code(signed(KEYS["ES256"], "ES256", door.claims())) == "dpop_proof_replayed"  # signed anew
    assert door.code(signed(ED25519, "Ed25519", door.claims())) == ""  # another key may use the same name


def test_what_is_remembered_is_bounded_and_a_full_memory_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dpop, "REPLAYS_EACH_MAX", 2)
    monkeypatch.setattr(_dpop, "REPLAYS_MAX", 3)
    door = Door()

    def code(key: Key, alg: str, jti: str) -> str:
        return door.code(signed(key, alg, door.claims(jti)))

    assert [code(ED25519, "Ed25519", jti) for jti in "abc"] == ["", "", "dpop_proof_replayed"]
    assert [code(KEYS["ES256"], "ES256", jti) for jti in "ab"] == ["", "dpop_proof_replayed"]
    door.clock.advance(61 * SECOND)
    assert code(KEYS["ES256"], "ES256", "b") == ""
    assert code(ED25519, "Ed25519", "c") == ""


def test_the_keys_kept_ready_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dpop, "KEYS_MAX", 2)
    door = Door()
    for alg, key in KEYS.items():
        assert door.code(signed(key, alg, door.claims())) == ""
        assert len(door.proofs._keys) <= 2


def test_only_a_key_that_was_proven_is_kept_ready() -> None:
    door = Door()
    door.code(signed(ED25519, "Ed25519", door.claims())[:-8] + "AAAAAAAA")
    assert not door.proofs._keys
    door.code(signed(ED25519, "Ed25519", door.claims()))
    assert len(door.proofs._keys) == 1


@pytest.mark.parametrize(
    ("age_s", "code"), [(60, ""), (61, "dpop_proof_invalid"), (-1, ""), (-31, "dpop_proof_invalid")]
)
def test_a_proof_is_of_the_last_minute(age_s: int, code: str) -> None:
    door = Door()
    door.clock.advance(100 * SECOND)
    assert door.code(signed(ED25519, "Ed25519", door.claims(iat=door.now_s() - age_s))) == code


def test_how_old_a_proof_may_be_is_a_setting() -> None:
    door = Door(proof_age_max_s=5)
    door.clock.advance(100 * SECOND)
    codes = [door.code(signed(ED25519, "Ed25519", door.claims(f"{age}", iat=door.now_s() - age))) for age in (5, 6)]
    assert codes == ["", "dpop_proof_invalid"]


@pytest.mark.requirement("R2.6")
def test_a_proof_from_before_the_start_or_from_a_fast_clock_needs_a_nonce() -> None:
    """Nobody remembers whether it was used then."""
    door = Door()
    door.clock.advance(10 * SECOND)
    used = [
        signed(ED25519, "Ed25519", door.claims("a")),
        signed(ED25519, "Ed25519", door.claims("b", iat=door.now_s() + 1)),
    ]
    assert [door.code(proof) for proof in used] == ["", ""]
    door.clock.advance(2 * SECOND)
    door.restart(2)
    for proof in used:
        error = door.error(proof)
        assert error is not None
        assert error.code == "dpop_nonce_required"
        again = signed(ED25519, "Ed25519", door.claims(digest(proof), iat=door.now_s() - 5, nonce=error.nonce))
        assert door.code(again) == ""
    ahead = door.claims("c", iat=door.now_s() + 20)
    assert door.code(signed(ED25519, "Ed25519", ahead)) == "dpop_nonce_required"
    assert door.code(signed(ED25519, "Ed25519", {**ahead, "nonce": door.proofs.nonce()})) == ""


def test_where_a_nonce_is_asked_for_none_but_a_fresh_one_of_ours_counts() -> None:
    door = Door(nonce_required=True)
    error = door.error(signed(ED25519, "Ed25519", door.claims()))
    assert error is not None
    assert error.code == "dpop_nonce_required"
    ours = error.nonce
    assert ours.isprintable()
    assert door.code(signed(ED25519, "Ed25519", door.claims("b", nonce=ours))) == ""
    door.clock.advance(299 * SECOND)  # (noon is where a window begins)
    assert door.code(signed(ED25519, "Ed25519", door.claims("c", nonce=ours))) == ""
    door.clock.advance(SECOND)
    assert door.code(signed(ED25519, "Ed25519", door.claims("d", nonce=ours))) == "dpop_nonce_required"


@pytest.mark.parametrize(
    "nonce", ["", "x", None, 5, ["x"], "\u00e9", DpopProofs(ManualClock(), random=seeded(9)).nonce()]
)
def test_a_nonce_that_is_not_ours_is_answered_with_one_that_is(nonce: Any) -> None:
    door = Door()
    error = door.error(signed(ED25519, "Ed25519", door.claims(nonce=nonce)))
    assert error is not None
    assert error.code == "dpop_nonce_required"
    assert door.code(signed(ED25519, "Ed25519", door.claims(nonce=error.nonce))) == ""


class Gateway(Door):
    """The same, with task tokens."""

    def __init__(self) -> None:
        super().__init__()
        key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.tokens = TaskTokens(key, ISSUER, MCP, self.clock, proofs=self.proofs)

    def delegation(self, token: str, proof: str) -> Delegation:
        return asyncio.run(self.tokens.delegation(Presented(token, "dpop", proof, "POST", MCP)))

    def refusal(self, token: str, proof: str) -> TokenRefusedError:
        with pytest.raises(TokenRefusedError) as caught:
            self.delegation(token, proof)
        return caught.value


@pytest.mark.requirement("R2.6")
def test_a_bound_token_needs_a_new_proof_of_its_key_on_every_request() -> None:
    gate = Gateway()
    token = gate.tokens.mint(TASK, bound=ED25519.thumbprint())
    proof = signed(ED25519, "Ed25519", gate.claims(ath=digest(token)))
    found = gate.delegation(token, proof)
    assert (found.level, found.keys) == (Level.BOUND, (ED25519.thumbprint(),))
    assert gate.refusal(token, proof).code == "dpop_proof_replayed"  # although the token is remembered
    assert gate.refusal(token, "").code == "dpop_required"
    again = signed(ED25519, "Ed25519", gate.claims("b", ath=digest(token)))
    with pytest.raises(TokenRefusedError) as caught:
        asyncio.run(gate.tokens.delegation(Presented(token, "bearer", again, "POST", MCP)))
    assert caught.value.code == "dpop_required"  # (RFC 9449, section 7.1: never as a bearer token, proof or not)
    assert gate.delegation(token, again) == found


@pytest.mark.requirement("R2.6")
def test_a_thief_of_a_bound_token_gets_nowhere_and_leaves_no_trace_in_memory() -> None:
    gate, thief = Gateway(), KEYS["ES256"]
    token = gate.tokens.mint(TASK, bound=ED25519.thumbprint())
    error = gate.refusal(token, signed(thief, "ES256", gate.claims(ath=digest(token))))
    assert error.code == "dpop_proof_invalid"
    assert error.delegation is not None
    assert error.delegation.user == "tom"  # whose token was stolen
    assert not gate.proofs._once._ids


def test_the_nonce_comes_through_with_whose_token_it_is() -> None:
    gate = Gateway()
    token = gate.tokens.mint(TASK, bound=ED25519.thumbprint())
    error = gate.refusal(token, signed(ED25519, "Ed25519", gate.claims(ath=digest(token), nonce="x")))
    assert error.code == "dpop_nonce_required"
    assert error.delegation is not None
    proof = signed(ED25519, "Ed25519", gate.claims("b", ath=digest(token), nonce=error.nonce))
    assert gate.delegation(token, proof).task == "t_1"


def test_a_token_expires_before_its_proof_is_looked_at() -> None:
    gate = Gateway()
    token = gate.tokens.mint(TASK, bound=ED25519.thumbprint())
    gate.clock.advance(timedelta(hours=1))
    assert gate.refusal(token, "x").code == "token_expired"
