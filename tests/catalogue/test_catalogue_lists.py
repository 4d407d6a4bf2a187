"""Signed lists and what approvers add to them: what was signed, by whom, and everything that counts for nothing."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remit.catalogue import (
    Controls,
    Descriptor,
    Effect,
    Extension,
    LookUp,
    Review,
    Signer,
    Tier,
    TrustRoot,
    extension_signer,
    public_key_of,
    review_list,
    sealed,
    sign_extension,
    sign_list,
    sign_parts,
)
from remit.core import InputRefusedError

BODY = b"directory: payees\nkind: values\nentries: [GB33BUKB20201555555555]\n"
UNTIL = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)
ADDED = Extension(directory="payees", value="GB33BUKB20201555555555", until=UNTIL, approval="apr-7")


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
        "fay": person("finance", "fay"),
    },
    thresholds={"security": 1, "engineering": 1},
)


def signed(*names: str, kind: str = "directory", name: str = "payees", body: bytes = BODY) -> bytes:
    made: bytes | None = None
    for each in names:
        made = sign_list(kind, name, body, made, key(each))
    assert made is not None
    return made


def review(envelope: bytes | None, body: bytes = BODY, trust: TrustRoot | None = TRUST) -> Review:
    return review_list("directory", "payees", body, envelope, trust)


def changed(envelope: bytes, change: Callable[[Any], object]) -> bytes:
    value = json.loads(envelope)
    change(value)
    return json.dumps(value).encode()


# --- lists -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.9")
def test_a_list_signed_by_the_persons_asked_for_counts() -> None:
    assert review(signed("ana", "ben")) == Review((("ana", "security"), ("ben", "engineering")), "")


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    ("envelope", "says"),
    [
        (None, "not signed"),
        (signed("ana"), "lacks 1 of `engineering`"),
        (signed("ana", "ana-2"), "lacks 1 of `engineering`"),
        (signed("ana", "fay"), "lacks 1 of `engineering`"),
        (signed("ana", "stranger"), "does not know the key"),
        (signed("ana", "ben", body=BODY + b"# more\n"), "changed after it was signed"),
        (signed("ana", "ben", name="contacts"), "another name, `contacts`"),
        (signed("ana", "ben", kind="entitlements"), "another kind, `entitlements`"),
    ],
)
def test_a_list_that_lacks_a_signature_counts_for_nothing(envelope: bytes | None, says: str) -> None:
    found = review(envelope)
    assert found.signers == ()
    assert says in found.missing


def test_without_a_trust_root_no_list_counts() -> None:
    assert "no trust root" in review(signed("ana", "ben"), trust=None).missing


def test_a_signature_that_was_altered_refuses_the_whole_list() -> None:
    def alter(value: Any) -> None:
        value["signatures"][0]["sig"] = base64.b64encode(b"\0" * 64).decode()

    assert "does not hold" in review(changed(signed("ana", "ben"), alter)).missing


def test_the_signatures_of_a_descriptor_are_none_of_a_list() -> None:
    parts = json.loads(sign_parts(DESCRIPTOR, None, key("ana")))
    found = review(json.dumps(parts["controls"]).encode())
    assert "another type of statement" in found.missing


def test_what_is_no_envelope_is_refused() -> None:
    for envelope in (b"{}", b"[]", b"nothing", changed(signed("ana"), lambda value: value.pop("payload"))):
        with pytest.raises(InputRefusedError) as refused:
            review(envelope)
        assert refused.value.code == "signatures_invalid"


def test_signing_again_changes_nothing_and_signing_what_changed_begins_anew() -> None:
    once = signed("ana", "ben")
    assert sign_list("directory", "payees", BODY, once, key("ana")) == once
    after = sign_list("directory", "payees", BODY + b"#\n", once, key("ana"))
    assert len(json.loads(after)["signatures"]) == 1


def test_there_are_two_kinds_of_lists() -> None:
    with pytest.raises(ValueError, match="no kind"):
        sign_list("trust", "payees", BODY, None, key("ana"))


# --- extensions ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R3.9")
def test_an_extension_names_the_person_who_signed_it_whatever_their_role() -> None:
    assert extension_signer(ADDED, sign_extension(ADDED, key("fay")), TRUST) == "fay"


@pytest.mark.requirement("R3.9")
@pytest.mark.parametrize(
    "other",
    [
        replace(ADDED, directory="contacts"),
        replace(ADDED, value="GB33BUKB20201555555556"),
        replace(ADDED, until=UNTIL + timedelta(microseconds=1)),
        replace(ADDED, approval="apr-8"),
    ],
    ids=["directory", "value", "until", "approval"],
)
def test_a_signature_on_one_extension_fits_no_other(other: Extension) -> None:
    with pytest.raises(InputRefusedError) as refused:
        extension_signer(other, sign_extension(ADDED, key("fay")), TRUST)
    assert refused.value.code == "extension_invalid"


def _two(value: Any) -> None:
    value["signatures"] += json.loads(sign_extension(ADDED, key("ana")))["signatures"]


@pytest.mark.parametrize(
    ("envelope", "trust", "says"),
    [
        (sign_extension(ADDED, key("stranger")), TRUST, "one person"),
        (sign_extension(ADDED, key("fay")), None, "no trust root"),
        (changed(sign_extension(ADDED, key("fay")), _two), TRUST, "one person"),
        (changed(sign_extension(ADDED, key("fay")), lambda value: value.update(signatures=[])), TRUST, "one person"),
        (signed("ana", "ben"), TRUST, "another type"),
        (b"{}", TRUST, "payload"),
    ],
    ids=["stranger", "no root", "two", "none", "a list", "no envelope"],
)
def test_an_extension_is_signed_by_exactly_one_person_that_the_trust_root_knows(
    envelope: bytes, trust: TrustRoot | None, says: str
) -> None:
    with pytest.raises(InputRefusedError, match=says) as refused:
        extension_signer(ADDED, envelope, trust)
    assert refused.value.code == "extension_invalid"


# --- what else a descriptor's signatures cover -----------------------------------------------------------------------

DESCRIPTOR = sealed(
    Descriptor(
        operation="r",
        tool="o",
        upstream_name="R",
        version="1",
        title="T",
        description="D",
        input_schema={"type": "object"},
        output_schema=None,
        endpoint={"url": "https://a"},
        served="",
        author="c",
        controls=Controls(
            effect=Effect.WRITE,
            confirm="amount",
            content=("reason",),
            sources={"to": ("user",)},
            results={"": "system_of_record"},
            carries_data_out=True,
        ),
    )
)


def test_the_digest_of_a_descriptor_that_says_nothing_new_is_what_it_was() -> None:
    assert DESCRIPTOR.digest == "sha256:9d6ec3dd15c72c7ba05487eb0e9c6ae4631ae681934a94c0a67ae6c68bbe7472"


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize(
    "controls",
    [
        {"tier": Tier.MEDIUM},  # also where the effect's own tier is the same
        {"links": ()},
        {"links": ("user", "records")},
        {"receivers": ("to",)},
        {"classes": {"/ssn": "personal"}},
        {"facts": {"order": LookUp(operation="get_order", arguments={"order_id": "/order_id"})}},
        {"facts": {"order": LookUp(operation="get_order", arguments={"order_id": "/order_id"}, max_age_s=1)}},
        {"facts": {"order": LookUp(operation="get_order", arguments={}, values={"a": ("/a", "value")})}},
        {"facts": {"order": LookUp(operation="get_order", arguments={}, values={"a": ("/a", "days_since")})}},
        {"before": LookUp(operation="get_order", arguments={"order_id": "/order_id"})},
        {"before": LookUp(operation="get_order", arguments={"order_id": "/other"})},
    ],
)
def test_every_later_control_is_covered_by_the_digest(controls: dict[str, Any]) -> None:
    other = sealed(replace(DESCRIPTOR, controls=replace(DESCRIPTOR.controls, **controls)))
    assert (other.interface, len({other.digest, DESCRIPTOR.digest})) == (DESCRIPTOR.interface, 2)
    assert len({other.controls_digest, DESCRIPTOR.controls_digest}) == 2
