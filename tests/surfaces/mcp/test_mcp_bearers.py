"""Who may speak at `POST /mcp`: one good task token, and nothing that looks like one."""

import json
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.conftest import Gateway, Opened, bearer, free_ports, gateway, mirrors, order_desk, tool_call

Lines = list[tuple[str, str]]
NOW = int(time.time())

GOOD = {"typ": "at+jwt", "alg": "Ed25519"}


def part(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(urlsafe_b64decode(token.split(".")[1] + "=="))
    return claims


def signed(key: Ed25519PrivateKey, header: Any, claims: Any) -> str:
    said = f"{part(header)}.{part(claims)}"
    return f"{said}.{part(key.sign(said.encode()))}"


def task_key(gateway: Gateway, name: str = "tokens") -> Ed25519PrivateKey:
    """Return one of the gateway's own keys: what no attacker has, so that only the claims are at fault."""
    key = load_pem_private_key((gateway.project / f"var/keys/{name}.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    return key


def changed(**claims: Any) -> Callable[[Gateway, str], str]:
    """Sign the good token's claims with some changed, with the right key; `...` leaves one out."""

    def make(gateway: Gateway, token: str) -> str:
        kept = {name: value for name, value in {**claims_of(token), **claims}.items() if value is not ...}
        return signed(task_key(gateway), GOOD, kept)

    return make


def header(**fields: Any) -> Callable[[Gateway, str], str]:
    """Sign the good claims under another header, with the right key."""
    return lambda gateway, token: signed(task_key(gateway), {**GOOD, **fields}, claims_of(token))


def swap(old: int, new: str) -> Callable[[Gateway, str], str]:
    """Put another text in the place of one of the token's three parts."""
    return lambda _gateway, token: ".".join(new if at == old else each for at, each in enumerate(token.split(".")))


def resigned(key: Ed25519PrivateKey | None = None, name: str = "") -> Callable[[Gateway, str], str]:
    return lambda gateway, token: signed(key or task_key(gateway, name), GOOD, claims_of(token))


MUTANTS: list[tuple[str, Callable[[Gateway, str], str], str]] = [
    ("forged with another key", resigned(Ed25519PrivateKey.generate()), "token_invalid"),
    ("signed with the log's key", resigned(name="log"), "token_invalid"),
    ("signed with the development key", resigned(name="development"), "token_invalid"),
    ("alg none", swap(0, part({"alg": "none", "typ": "at+jwt"})), "token_invalid"),
    ("alg none, no signature", lambda _, token: f"{part({'alg': 'none'})}.{token.split('.')[1]}.", "token_invalid"),
    ("alg HS256", header(alg="HS256"), "token_invalid"),
    ("alg EdDSA", header(alg="EdDSA"), "token_invalid"),
    ("alg a list", header(alg=["Ed25519"]), "token_invalid"),
    ("alg none signed", header(alg="none"), "token_invalid"),
    ("typ JWT", header(typ="JWT"), "token_invalid"),
    ("typ missing", lambda gateway, token: signed(task_key(gateway), {"alg": "Ed25519"}, claims_of(token)),
     "token_invalid"),
    ("typ of a log entry", header(typ="note"), "token_invalid"),
    ("a key in the header", header(jwk={"kty": "OKP", "crv": "Ed25519", "x": "A" * 43}), "token_invalid"),
    ("a key address in the header", header(jku="http://attacker.example/jwks"), "token_invalid"),
    ("a key id that is a path", header(kid="../../log.pem"), "token_invalid"),
    ("a critical header", header(crit=["b64"], b64=False), "token_invalid"),
    ("a critical header that is a number", header(crit=5), "token_invalid"),
    ("a critical header that is a number, unsigned", swap(0, part({**GOOD, "crit": 5})), "token_invalid"),
    ("a compressed payload", header(zip="DEF"), "token_invalid"),
    ("a header that is a list", swap(0, part([])), "token_invalid"),
    ("a deep header", swap(0, part(b"[" * 2_000)), "token_invalid"),
    ("a header that is not UTF-8", swap(0, part(b"\xff")), "token_invalid"),
    ("a payload swapped", swap(1, part({"sub": "ana"})), "token_invalid"),
    ("no payload", swap(1, ""), "token_invalid"),
    ("a signature cut short", lambda _, token: token[:-4], "token_invalid"),
    ("no signature", swap(2, ""), "token_invalid"),
    ("a fourth part", lambda _, token: f"{token}.x", "token_invalid"),
    ("five parts", lambda _, token: f"{token}.x.y", "token_invalid"),
    ("two parts", lambda _, token: token.rpartition(".")[0], "token_invalid"),
    ("a word", lambda _gateway, _token: "canary", "token_invalid"),
    ("dots", lambda _gateway, _token: "..", "token_invalid"),
    ("5,000 characters", lambda _gateway, _token: "a" * 5_000, "token_invalid"),
    ("in quotes", lambda _, token: f'"{token}"', "token_invalid"),
    ("twice, with a comma", lambda _, token: f"{token}, {token}", "token_invalid"),
    ("another issuer", changed(iss="http://attacker.example"), "token_invalid"),
    ("no issuer", changed(iss=...), "token_invalid"),
    ("the audience of the channel", lambda gateway, token: changed(aud=gateway.data)(gateway, token), "token_audience"),
    ("the admin's audience", lambda gateway, token: changed(aud=gateway.admin)(gateway, token), "token_audience"),
    ("a list of audiences", lambda gateway, token: changed(aud=[f"{gateway.data}/mcp"])(gateway, token),
     "token_audience"),
    ("no audience", changed(aud=...), "token_audience"),
    ("no subject", changed(sub=...), "token_invalid"),
    ("an empty subject", changed(sub=""), "token_invalid"),
    ("a subject in capitals", changed(sub="Tom"), "token_invalid"),
    ("a subject that is a list", changed(sub=["tom"]), "token_invalid"),
    ("no actor", changed(act=...), "token_invalid"),
    ("an actor that is a string", changed(act="refunds"), "token_invalid"),
    ("an actor that is no name", changed(act={"sub": "\u0000"}), "token_invalid"),
    ("no task", changed(txn=...), "token_invalid"),
    ("an empty task", changed(txn=""), "token_invalid"),
    ("no use case", changed(use_case=...), "token_invalid"),
    ("no expiry", changed(exp=...), "token_invalid"),
    ("an expiry that is text", changed(exp=str(NOW + 900)), "token_invalid"),
    ("an expiry that is true", changed(exp=True), "token_invalid"),
    ("an expiry that is a fraction", changed(exp=NOW + 900.5), "token_invalid"),
    ("an expiry beyond the calendar", changed(exp=253_402_300_800), "token_invalid"),
    ("an expiry beyond any machine", changed(exp=10**30), "token_invalid"),
    ("an expiry before the calendar", changed(exp=-(10**15)), "token_invalid"),
    ("a login for the channel", lambda gateway, _: gateway.log_in("tom", gateway.data), "token_invalid"),
    ("a login for the admin port", lambda gateway, _: gateway.log_in("ana", gateway.admin), "token_invalid"),
]  # fmt: skip

ABSENT: list[tuple[str, Callable[[str], Lines]]] = [
    ("no Authorization", lambda _: []),
    ("two Authorization headers", lambda token: [bearer(token), bearer(token)]),
    ("a good one behind a bad one", lambda token: [bearer("canary"), bearer(token)]),
    ("Basic", lambda token: [("Authorization", f"Basic {token}")]),
    ("no scheme", lambda token: [("Authorization", token)]),
    ("a scheme alone", lambda _: [("Authorization", "Bearer")]),
    ("letters beyond ASCII", lambda _: [("Authorization", "Bearer caf\u00e9")]),
    ("in a cookie", lambda token: [("Cookie", f"access_token={token}")]),
    ("in another header", lambda token: [("X-Authorization", f"Bearer {token}")]),
    ("in the forwarded one", lambda token: [("Proxy-Authorization", f"Bearer {token}")]),
]


def post(gateway: Gateway, lines: Lines, path: str = "/mcp") -> Any:
    return gateway.post(path, json.dumps(tool_call()).encode(), [*lines, *mirrors(tool_call())])


def challenges(gateway: Gateway, error: str = "") -> str:
    """Return what a 401 says: both ways of presenting a token, and where to log in for one (RFC 9728)."""
    where = f', resource_metadata="{gateway.data}/.well-known/oauth-protected-resource/mcp"'
    return f'Bearer realm="remit"{error}{where}, DPoP algs="Ed25519 EdDSA ES256 RS256"{error}{where}'


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(("make", "code"), [case[1:] for case in MUTANTS], ids=[case[0] for case in MUTANTS])
def test_what_is_no_task_token_of_this_gateway_is_answered_401(
    desk: Gateway, opened: Opened, make: Callable[[Gateway, str], str], code: str
) -> None:
    reached = len(desk.received())
    mutant = make(desk, opened.token)
    answer = post(desk, [bearer(mutant)])
    assert (answer.status, answer.code) == (401, code), answer
    assert answer.headers["www-authenticate"] == challenges(
        desk, f', error="invalid_token", error_description="{code}"'
    )
    assert answer.json["id"] is None
    assert answer.fix
    assert mutant not in answer.body.decode() or mutant == ".."
    assert len(desk.received()) == reached
    # Nobody is named in the log on the word of a token that does not hold; one of ours in the wrong place is a finding.
    assert desk.refusals(opened.task) == ([code] if code == "token_audience" else [])


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize("lines", [case[1] for case in ABSENT], ids=[case[0] for case in ABSENT])
def test_a_token_counts_only_in_one_authorization_header(
    desk: Gateway, opened: Opened, lines: Callable[[str], Lines]
) -> None:
    reached = len(desk.received())
    answer = post(desk, lines(opened.token))
    assert (answer.status, answer.code) == (401, "token_missing"), answer
    assert answer.headers["www-authenticate"] == challenges(desk)
    assert len(desk.received()) == reached


@pytest.mark.requirement("R2.6")
@pytest.mark.parametrize(
    ("lines", "code"),
    [([], "dpop_proof_invalid"), ([("DPoP", "x.y.z")], "token_invalid"), ([("DPoP", "x")] * 2, "dpop_proof_invalid")],
    ids=["no proof", "a proof for a token bound to no key", "two proofs"],
)
def test_a_token_that_is_bound_to_no_key_is_not_presented_as_if_it_were(
    desk: Gateway, opened: Opened, lines: Lines, code: str
) -> None:
    answer = post(desk, [("Authorization", f"DPoP {opened.token}"), *lines])
    assert (answer.status, answer.code) == (401, code)


def test_a_token_in_the_address_is_no_token(desk: Gateway, opened: Opened) -> None:
    assert post(desk, [], f"/mcp?access_token={opened.token}").status == 401


@pytest.mark.requirement("R2.6", "R2.9")
def test_an_expired_token_is_refused_and_its_bearer_named_in_the_log(desk: Gateway, opened: Opened) -> None:
    reached = len(desk.received())
    answer = post(desk, [bearer(changed(exp=NOW - 1)(desk, opened.token))])
    assert (answer.status, answer.code) == (401, "token_expired")
    *_, leaf = desk.records(opened.task)
    assert (leaf["kind"], leaf["code"]) == ("refused", "token_expired")
    assert (leaf["user"], leaf["agent"], leaf["use_case"]) == ("tom", "refunds", "refund_request")
    for _ in range(5):  # a dead token must not fill the log: it is refused every time and told once a minute
        assert post(desk, [bearer(changed(exp=NOW - 1)(desk, opened.token))]).status == 401
    assert desk.refusals(opened.task) == ["token_expired"]
    assert len(desk.received()) == reached


@pytest.mark.requirement("R2.9")
@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"txn": "t_000000000000000000000000"}, "task_unknown"),
        ({"sub": "ana"}, "delegation_mismatch"),
        ({"act": {"sub": "billing"}, "client_id": "billing"}, "delegation_mismatch"),
        ({"use_case": "anything"}, "delegation_mismatch"),
    ],
)
def test_a_signed_token_that_disagrees_with_its_task_is_denied(
    desk: Gateway, opened: Opened, claims: dict[str, Any], code: str
) -> None:
    reached = len(desk.received())
    answer = post(desk, [bearer(changed(**claims)(desk, opened.token))])
    assert (answer.status, answer.code) == (200, code)
    assert answer.json["result"]["isError"] is True
    task = claims.get("txn", opened.task)
    assert desk.refusals(task)[-1] == code
    assert len(desk.received()) == reached


@pytest.mark.requirement("R2.6")
def test_the_same_token_unspoiled_is_heard(desk: Gateway, opened: Opened) -> None:
    """The control of this file."""
    reached = len(desk.received())
    for given in (opened.token, changed()(desk, opened.token)):
        assert post(desk, [("authorization", f"bEARER  {given} ")]).code == ""
    assert len(desk.received()) == reached + 2


@pytest.mark.requirement("R2.6")
def test_a_token_of_ours_for_another_audience_is_refused_and_recorded(desk: Gateway, opened: Opened) -> None:
    reached = len(desk.received())
    refused = desk.call(changed(aud=desk.data)(desk, opened.token), tool_call())
    assert (refused.status, refused.code) == (401, "token_audience")
    assert desk.refusals(opened.task) == ["token_audience"]
    assert len(desk.received()) == reached


@pytest.mark.requirement("R2.3", "R2.10")
def test_the_tool_gets_a_token_of_its_own_and_verifies_it(tmp_path: Path) -> None:
    ports = free_ports(2)
    issuer = ("--issuer", f"http://127.0.0.1:{ports[0]}")
    with order_desk(tmp_path, *issuer) as (url, calls), gateway(tmp_path, url, calls, served=True, ports=ports) as one:
        opened = one.open()
        assert one.call(opened.token, tool_call()).code == ""
        [seen] = one.received()
        assert (seen["user"], seen["agent"], seen["task"]) == ("tom", "refunds", opened.task)
        message = json.dumps({"jsonrpc": "2.0", **tool_call()}).encode()
        for token in (None, opened.token):  # the control: neither nobody nor the agent with its own token gets in
            lines = [("Authorization", f"Bearer {token}")] if token else []
            refused = _straight(url, message, [*mirrors(tool_call()), *lines])
            assert "isError" in refused or "error" in refused, refused
        assert [seen] == [line for line in one.received() if "refused" not in line]


def _straight(url: str, body: bytes, lines: Sequence[tuple[str, str]]) -> str:
    """Call the order desk past the gateway."""
    request = Request(url, body, dict(lines), method="POST")  # noqa: S310 - a loopback address of this test's
    try:
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
            return str(answer.read().decode())
    except HTTPError as error:
        return f"error {error.code}"
