"""Signatures of a review: what was signed, by whom, and everything that is no review."""

import base64
import json
from collections.abc import Callable
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.signer import Key, SSlibKey  # type: ignore[attr-defined]  # its public door, which marks no exports

from remit.catalogue import (
    Controls,
    Descriptor,
    Effect,
    Part,
    Review,
    Signer,
    TrustRoot,
    keyid_of,
    payload_type,
    public_key_of,
    review_of,
    sealed,
    sign,
    sign_parts,
    signatures_hold,
    statement,
)
from remit.core import Allow, Deny, InputRefusedError

pytestmark = pytest.mark.requirement("R4.2")

CONTROLS = Controls(
    effect=Effect.WRITE,
    confirm="amount",
    content=("reason",),
    sources={"to": ("user",)},
    results={"": "system_of_record"},
    carries_data_out=True,
)
DESCRIPTOR = sealed(
    Descriptor(
        operation="refund_order",
        tool="orders",
        upstream_name="refundOrder",
        version="1.0.0",
        title="Refund",
        description="Refund an order.",
        input_schema={"type": "object", "additionalProperties": False, "properties": {}},
        output_schema={"type": "object"},
        endpoint={"url": "https://orders.example/mcp"},
        served="sha256:00",
        author="cleo",
        controls=CONTROLS,
    )
)


@cache
def key(name: str) -> bytes:
    private = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def person(roles: str, *keys: str) -> Signer:
    return Signer(frozenset(roles.split()), tuple(public_key_of(key(name)) for name in keys))


TRUST = TrustRoot(
    version=1,
    persons={
        "ana": person("security", "ana", "ana-2"),
        "ben": person("engineering", "ben"),
        "both": person("security engineering", "both"),
        "cleo": person("security engineering", "cleo"),
        "dan": person("law", "dan"),
    },
    thresholds={"security": 1, "engineering": 1},
)
DEVELOPMENT = TrustRoot(version=1, persons={"me": person("development", "me")}, thresholds={"development": 1})


def signed(*names: str, of: Descriptor = DESCRIPTOR) -> bytes:
    made: bytes | None = None
    for name in names:
        made = sign_parts(of, made, key(name))
    assert made is not None
    return made


HONEST = signed("ana", "ben")
ACCEPTED = Review((("ana", "security"), ("ben", "engineering")), "")


def missing(file: bytes | None, of: Descriptor = DESCRIPTOR, trust: TrustRoot | None = TRUST) -> str:
    """Return what is missing. Nobody counts as a signer then, and gate 2 denies."""
    review = review_of(of, file, trust)
    assert review.signers == ()
    assert review.missing
    assert review.missing.isprintable()
    assert isinstance(signatures_hold(review, ""), Deny)
    return review.missing


# --- what is accepted: the controls of every test below -----------------------------------------------------------


def test_a_descriptor_signed_by_the_persons_asked_for_is_accepted() -> None:
    assert review_of(DESCRIPTOR, HONEST, TRUST) == ACCEPTED
    assert review_of(DESCRIPTOR, signed("ben", "ana"), TRUST) == ACCEPTED
    assert signatures_hold(ACCEPTED, "") == Allow()


def test_more_signatures_than_asked_for_do_no_harm() -> None:
    assert review_of(DESCRIPTOR, signed("stranger", "dan", "cleo", "ana", "ana-2", "ben"), TRUST) == ACCEPTED


def test_somebody_with_two_roles_takes_the_one_that_is_free() -> None:
    other = Review((("ana", "security"), ("both", "engineering")), "")
    assert review_of(DESCRIPTOR, signed("ana", "both"), TRUST) == other
    assert review_of(DESCRIPTOR, signed("both", "ben"), TRUST).missing == ""


@pytest.mark.requirement("R4.8")
def test_new_controls_may_be_signed_by_others_than_the_interface() -> None:
    interface, controls = json.loads(HONEST)["interface"], json.loads(signed("both", "ben"))["controls"]
    review = review_of(DESCRIPTOR, json.dumps({"interface": interface, "controls": controls}).encode(), TRUST)
    assert review.missing == ""
    assert review.signers == (("ana", "security"), ("ben", "engineering"), ("both", "security"))


def test_one_signer_is_enough_where_one_is_asked_for_and_no_author_need_be_named() -> None:
    alone = sealed(replace(DESCRIPTOR, author=""))
    assert review_of(alone, signed("me", of=alone), DEVELOPMENT) == Review((("me", "development"),), "")


def test_an_envelope_is_one_that_other_readers_of_dsse_verify() -> None:
    for part in Part:
        envelope = Envelope.from_dict(json.loads(HONEST)[part.value])
        keys: list[Key] = [SSlibKey(i, "ed25519", "ed25519", {"public": raw.hex()}) for i, raw in TRUST.keys.items()]
        assert len(envelope.verify(keys, 2)) == 2
        assert envelope.payload_type == f"application/vnd.remit.{part.value}+json" == payload_type(part)
        digest = DESCRIPTOR.interface if part is Part.INTERFACE else DESCRIPTOR.controls_digest
        assert json.loads(envelope.payload) == {
            "operation": "refund_order",
            "part": part.value,
            "version": "1.0.0",
            "digest": digest,
        }


def test_one_part_is_signed_as_both_are() -> None:
    made = {}
    for part in Part:
        first = sign(DESCRIPTOR, part, None, key("ana"))
        made[part.value] = json.loads(sign(DESCRIPTOR, part, first, key("ben")))
    assert made == json.loads(HONEST)


def test_signing_again_changes_nothing() -> None:
    assert sign_parts(DESCRIPTOR, HONEST, key("ana")) in {HONEST, signed("ben", "ana")}


def test_signing_what_changed_drops_the_signatures_on_what_it_was() -> None:
    changed = sealed(replace(DESCRIPTOR, title="Other"))
    again = json.loads(sign_parts(changed, HONEST, key("ana")))
    assert [len(again[part]["signatures"]) for part in ("interface", "controls")] == [1, 2]
    assert "lacks 1 of `engineering`" in missing(json.dumps(again).encode(), changed)


# --- every change of what was signed -------------------------------------------------------------------------------

OTHER: dict[str, Any] = {
    "input_schema": {"type": "object", "additionalProperties": False, "properties": {"x": {}}},
    "output_schema": None,
    "endpoint": {"url": "https://orders.example/mcp", "x": 1},
    "controls": replace(CONTROLS, carries_data_out=False),
    "effect": Effect.READ,
    "content": (),
    "sources": {"to": ("user", "directory")},
    "results": {},
    "carries_data_out": False,
}


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("seal", [sealed, lambda changed: changed], ids=["sealed_again", "as_it_is"])
@pytest.mark.parametrize("name", [field.name for field in fields(Descriptor)])
def test_a_change_of_any_field_is_refused(name: str, seal: Callable[[Descriptor], Descriptor]) -> None:
    changed = replace(DESCRIPTOR, **{name: OTHER.get(name, "other")})
    if seal(changed) == DESCRIPTOR:
        assert name in {"interface", "controls_digest", "digest"}  # (sealing put back what was altered)
        return
    missing(HONEST, seal(changed))


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("seal", [sealed, lambda changed: changed], ids=["sealed_again", "as_it_is"])
@pytest.mark.parametrize("name", [field.name for field in fields(Controls)])
def test_a_change_of_any_control_is_refused(name: str, seal: Callable[[Descriptor], Descriptor]) -> None:
    changed = replace(DESCRIPTOR, controls=replace(CONTROLS, **{name: OTHER.get(name, "other")}))
    assert changed != DESCRIPTOR
    missing(HONEST, seal(changed))


# --- who signed ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "says"),
    [
        (("ana",), "lacks 1 of `engineering`"),
        (("ben",), "lacks 1 of `security`"),
        (("both",), "lacks 1 of"),
        (("ana", "ana-2"), "lacks 1 of `engineering`"),  # one person, two keys
        (("ana", "dan"), "lacks 1 of `engineering`"),
        (("dan",), "lacks 1 of `engineering` and 1 of `security`"),
        (("stranger", "other"), "does not know the key"),
        (("ana", "stranger"), "does not know the key"),
        (("ana", "cleo"), "`cleo` is its author and does not count"),
        (("cleo", "ben"), "`cleo` is its author and does not count"),
    ],
)
def test_fewer_than_the_persons_asked_for_are_refused(names: tuple[str, ...], says: str) -> None:
    assert says in missing(signed(*names))


def test_the_author_counts_only_as_long_as_somebody_else_is_named_as_author() -> None:
    other = sealed(replace(DESCRIPTOR, author="ana"))
    assert review_of(other, signed("cleo", "ben", of=other), TRUST).missing == ""
    missing(signed("ana", "ben", of=other), other)


def test_an_author_who_signed_beside_the_persons_asked_for_is_not_named_as_a_signer() -> None:
    other = sealed(replace(DESCRIPTOR, author="ana"))
    review = review_of(other, signed("ana", "both", "ben", of=other), TRUST)
    assert review == Review((("ben", "engineering"), ("both", "security")), "")


@pytest.mark.parametrize(("author", "says"), [("", "not named"), ("Ana", "lower case"), ("ana ", "lower case")])
def test_an_author_who_is_nobody_keeps_all_from_signing(author: str, says: str) -> None:
    other = sealed(replace(DESCRIPTOR, author=author))
    assert says in missing(signed("ana", "ben", of=other), other)


def test_the_one_signer_of_a_new_project_is_not_the_named_author() -> None:
    mine = sealed(replace(DESCRIPTOR, author="me"))
    assert "does not count" in missing(signed("me", of=mine), mine, DEVELOPMENT)


def test_without_signatures_or_without_a_trust_root_nothing_is_reviewed() -> None:
    assert "not signed" in missing(None)
    assert "no trust root" in missing(HONEST, trust=None)
    assert "lacks" in missing(HONEST, sealed(DESCRIPTOR), DEVELOPMENT)


NAMES = ["ana", "ana-2", "ben", "both", "cleo", "dan", "stranger"]
WHO = {"ana": "ana", "ana-2": "ana", "ben": "ben", "both": "both", "dan": "dan"}  # (cleo is the author)


@given(
    interface=st.lists(st.sampled_from(NAMES), max_size=5),
    controls=st.lists(st.sampled_from(NAMES), max_size=5),
    security=st.integers(0, 2),
    engineering=st.integers(0, 2),
)
def test_no_set_of_signatures_by_fewer_distinct_persons_than_asked_for_is_accepted(
    interface: list[str], controls: list[str], security: int, engineering: int
) -> None:
    asked = {role: count for role, count in (("security", security), ("engineering", engineering)) if count}
    if not asked:
        return
    trust = TrustRoot(version=1, persons=TRUST.persons, thresholds=asked)
    file: dict[str, Any] = {}
    for part, names in ((Part.INTERFACE, interface), (Part.CONTROLS, controls)):
        for name in names:
            file[part.value] = json.loads(envelope_of(part, tuple(dict.fromkeys(names))))
            assert name
    review = review_of(DESCRIPTOR, json.dumps(file).encode(), trust)
    # The same, counted as a plain reader would: enough persons for each role, and enough for both together.
    enough = True
    for names in (interface, controls):
        who = {WHO[name] for name in names if name in WHO}
        able = {role: {one for one in who if role in TRUST.persons[one].roles} for role in asked}
        enough &= all(len(able[role]) >= count for role, count in asked.items())
        enough &= len(set[str]().union(*able.values())) >= sum(asked.values())
    assert (review.missing == "") == enough


@cache
def envelope_of(part: Part, names: tuple[str, ...]) -> bytes:
    made: bytes | None = None
    for name in names:
        made = sign(DESCRIPTOR, part, made, key(name))
    assert made is not None
    return made


# --- forged, replayed, stripped, malformed ---------------------------------------------------------------------------


def tampered(change: Callable[[Any], object], part: str = "interface", file: bytes = HONEST) -> bytes:
    value = json.loads(file)
    change(value[part])
    return json.dumps(value).encode()


def payload(**changes: Any) -> str:
    value = {**json.loads(statement(DESCRIPTOR, Part.INTERFACE)), **changes}
    return base64.b64encode(json.dumps(value).encode()).decode()


TEXT = base64.b64encode(b"hello").decode()
FORGED = base64.b64encode(bytes(64)).decode()


@pytest.mark.parametrize("part", ["interface", "controls"])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda e: e["signatures"].clear(), "lacks"),
        (lambda e: e["signatures"].pop(), "lacks 1 of"),
        (lambda e: e["signatures"][0].update(sig=FORGED), "does not hold"),
        (lambda e: e["signatures"][0].update(sig=""), "does not hold"),
        (lambda e: e["signatures"][0].update(sig=e["signatures"][1]["sig"]), "does not hold"),
        (lambda e: e["signatures"][0].update(sig="%%%"), "not in base64"),
        (lambda e: e["signatures"][0].update(sig="é"), "not in base64"),
        (lambda e: e.update(payload="%%%"), "not in base64"),
        (lambda e: e.update(payload=TEXT), "cannot be read"),
        (lambda e: e.update(payload=base64.b64encode(b"[]").decode()), "another form"),
        (lambda e: e.update(payload=payload(more=1)), "another form"),
        (lambda e: e.update(payload=payload(operation="get_order")), "another operation, `get_order`"),
        (lambda e: e.update(payload=payload(operation="a\u202eb")), "another operation, `a\\u202eb`"),
        (lambda e: e.update(payloadType="application/json"), "another type"),
        (lambda e: e["signatures"].append(dict(e["signatures"][0])), "under one key"),
        (lambda e: e["signatures"].append({**e["signatures"][0], "sig": FORGED}), "under one key"),
        (lambda e: e["signatures"][0].update(keyid=keyid_of(public_key_of(key("dan")))), "`dan`"),
        (lambda e: e["signatures"][0].update(keyid=""), "does not know the key"),
        (lambda e: e["signatures"][0].update(keyid=e["signatures"][0]["keyid"].upper()), "does not know the key"),
    ],
)
def test_a_signature_file_that_was_tampered_with_is_refused(
    part: str, change: Callable[[Any], object], says: str
) -> None:
    assert says in missing(tampered(change, part))


def test_a_signature_that_does_not_hold_is_refused_though_enough_others_do() -> None:
    file = signed("ana", "ben", "both")
    assert review_of(DESCRIPTOR, file, TRUST).missing == ""
    for index in range(3):
        broken = tampered(lambda e, at=index: e["signatures"][at].update(sig=FORGED), file=file)  # type: ignore[misc]  # mypy does not type a default
        assert "does not hold" in missing(broken)


def test_the_same_statement_written_otherwise_is_refused() -> None:
    spaced = json.dumps(json.loads(statement(DESCRIPTOR, Part.INTERFACE)), indent=1).encode()
    assert "another form" in missing(tampered(lambda e: e.update(payload=base64.b64encode(spaced).decode())))


def test_a_part_that_is_missing_or_stands_in_the_others_place_is_refused() -> None:
    value = json.loads(HONEST)
    for part in ("interface", "controls"):
        assert "is not signed" in missing(json.dumps({part: value[part]}).encode())
    assert "is not signed" in missing(b"{}")
    turned = {"interface": value["controls"], "controls": value["interface"]}
    assert "another type" in missing(json.dumps(turned).encode())
    for envelope in turned.values():
        envelope["payloadType"] = payload_type(Part.INTERFACE)
    assert "another part, `controls`" in missing(json.dumps(turned).encode())


def test_the_signatures_of_another_operation_or_version_are_refused() -> None:
    other = sealed(replace(DESCRIPTOR, operation="get_order"))
    older = sealed(replace(DESCRIPTOR, version="0.9.0"))
    assert "another operation, `get_order`" in missing(signed("ana", "ben", of=other))
    assert "another version, `0.9.0`" in missing(signed("ana", "ben", of=older))
    assert "changed after it was signed" in missing(signed("ana", "ben", of=sealed(replace(DESCRIPTOR, title="x"))))


def test_a_payload_signed_under_another_type_is_refused() -> None:
    # The type is under the signature: the same bytes signed as something else are not a review.
    envelope = Envelope(statement(DESCRIPTOR, Part.INTERFACE), "application/octet-stream", {})
    for name in ("ana", "ben"):
        private = Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"."))
        keyid = keyid_of(private.public_key().public_bytes_raw())
        raw = {"keyid": keyid, "sig": base64.b64encode(private.sign(envelope.pae())).decode()}
        made = Envelope.from_dict({**envelope.to_dict(), "signatures": [raw]})
        envelope.signatures.update(made.signatures)
    value = json.loads(HONEST)
    value["interface"] = {**envelope.to_dict(), "payloadType": payload_type(Part.INTERFACE)}
    assert "does not hold" in missing(json.dumps(value).encode())


def of_shape(change: Callable[[Any], object]) -> bytes:
    value = json.loads(HONEST)
    change(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"no",
        b"[]",
        b"null",
        b'{"interface": 1, "interface": 2}',
        b'{"interface": null}',
        HONEST + b" " * (1 << 17),
        of_shape(lambda v: v.update(more={})),
        of_shape(lambda v: v["interface"].update(more=1)),
        of_shape(lambda v: v["interface"].pop("payload")),
        of_shape(lambda v: v["controls"].update(payload=1)),
        of_shape(lambda v: v["controls"].update(payloadType=None)),
        of_shape(lambda v: v["controls"].update(signatures={})),
        of_shape(lambda v: v["controls"].update(signatures=["x"])),
        of_shape(lambda v: v["controls"].update(signatures=[{"keyid": "x"}])),
        of_shape(lambda v: v["controls"].update(signatures=[{"keyid": "x", "sig": 1}])),
        of_shape(lambda v: v["controls"].update(signatures=[{"keyid": ["x"], "sig": ""}])),
        of_shape(lambda v: v["controls"].update(signatures=[{"keyid": "x", "sig": "", "more": 1}])),
        of_shape(lambda v: v["controls"].update(signatures=[{"keyid": str(n), "sig": ""} for n in range(65)])),
    ],
)
def test_a_file_that_is_not_two_envelopes_is_a_fault(file: bytes) -> None:
    for trust in (TRUST, None):
        with pytest.raises(InputRefusedError) as caught:
            review_of(DESCRIPTOR, file, trust)
        assert caught.value.code == "signatures_invalid"
        assert caught.value.fix
    with pytest.raises(InputRefusedError, match="signatures_invalid"):
        sign_parts(DESCRIPTOR, file, key("ana"))


@pytest.mark.parametrize("envelope", [b"", b"[]", HONEST])
def test_nothing_is_added_to_what_is_no_envelope(envelope: bytes) -> None:
    with pytest.raises(InputRefusedError, match="signatures_invalid"):
        sign(DESCRIPTOR, Part.INTERFACE, envelope, key("ana"))


def test_only_an_open_ed25519_key_signs() -> None:
    mine = Ed25519PrivateKey.from_private_bytes(bytes(32))
    locked = mine.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    curve = ec.derive_private_key(7, ec.SECP256R1())
    other = curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for bad in (b"", b"no key", locked, other):
        with pytest.raises(InputRefusedError, match="signing_key_invalid"):
            sign_parts(DESCRIPTOR, None, bad)
        with pytest.raises(InputRefusedError, match="signing_key_invalid"):
            public_key_of(bad)
