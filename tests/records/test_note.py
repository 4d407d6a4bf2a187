"""Signed notes and checkpoints: published examples, round trips, and everything that is refused."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.core import RemitError
from remit.records._note import (
    SIGNATURES_MAX,
    Checkpoint,
    checkpoint_text,
    open_note,
    parse_checkpoint,
    sign_note,
    verifier_key,
)

pytestmark = pytest.mark.requirement("R5.6")

# The example of C2SP signed-note, section "Example".
C2SP_KEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP_NOTE = (
    "This is an example message.\n"
    "\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
)
# The keys and signatures of golang.org/x/mod, sumdb/note/note_test.go (TestSign, TestOpen).
PETER_PRIVATE = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"  # base64(0x01 || seed)
PETER_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH_KEY = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
PETER_TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
PETER_LINE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
ENOCH_LINE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33WWd1RvMc+QQ=\n"
)
# Keys with adjusted ids from the same file (TestNewVerifier): a key of another length, another algorithm.
BAD_KEYS = [
    "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
    "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
]

NAME = "logs.example/refunds"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = verifier_key(NAME, PRIVATE.public_key())
TEXT = checkpoint_text(Checkpoint(NAME, 7, bytes(32)))
NOTE = sign_note(TEXT, NAME, PRIVATE)


def refusal(note: str, key: str = KEY) -> str:
    with pytest.raises(RemitError) as refused:
        open_note(note, key)
    assert refused.value.message
    assert refused.value.fix
    return refused.value.code


def test_the_published_c2sp_example_opens() -> None:
    assert open_note(C2SP_NOTE, C2SP_KEY) == "This is an example message.\n"


def test_the_published_go_key_and_signature_are_reproduced() -> None:
    private = Ed25519PrivateKey.from_private_bytes(base64.b64decode(PETER_PRIVATE)[1:])
    assert verifier_key("PeterNeumann", private.public_key()) == PETER_KEY
    assert sign_note(PETER_TEXT, "PeterNeumann", private) == f"{PETER_TEXT}\n{PETER_LINE}"


@pytest.mark.parametrize("key", [PETER_KEY, ENOCH_KEY])
@pytest.mark.parametrize("lines", [PETER_LINE + ENOCH_LINE, ENOCH_LINE + PETER_LINE])
def test_another_keys_signature_beside_ours_is_ignored(key: str, lines: str) -> None:
    assert open_note(f"{PETER_TEXT}\n{lines}", key) == PETER_TEXT


def test_a_bad_signature_by_another_key_is_ignored() -> None:
    assert open_note(f"{PETER_TEXT}\n{PETER_LINE}{ENOCH_LINE.replace('rwz+eBz', 'rwz+eBy')}", PETER_KEY) == PETER_TEXT


def test_a_signature_that_shares_only_the_name_or_only_the_id_is_another_keys() -> None:
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    same_name = sign_note(TEXT, NAME, other).rpartition("\n\n")[2]
    same_id = NOTE.rpartition("\n\n")[2].replace(NAME, "logs.example/other")
    assert open_note(NOTE + same_name + same_id, KEY) == TEXT
    assert refusal(f"{TEXT}\n{same_name}{same_id}") == "note_invalid"


def test_a_bad_signature_by_the_known_key_refuses_the_note_even_beside_a_good_one() -> None:
    bad = sign_note("another text\n", NAME, PRIVATE).rpartition("\n\n")[2]
    assert refusal(NOTE + bad) == "note_invalid"
    assert refusal(f"{TEXT}\n{bad}") == "note_invalid"


def test_every_changed_character_of_a_note_is_refused() -> None:
    assert open_note(NOTE, KEY) == TEXT  # the control
    for at, was in enumerate(NOTE):
        for becomes in {chr(ord(was) ^ 1), chr(ord(was) ^ 2), "A", "\n"} - {was}:
            assert refusal(NOTE[:at] + becomes + NOTE[at + 1 :]) == "note_invalid"
        assert refusal(NOTE[:at] + NOTE[at + 1 :]) == "note_invalid"
        assert refusal(NOTE[:at]) == "note_invalid"


@pytest.mark.parametrize(
    "note",
    ["", "\n", "\n\n", TEXT, f"{TEXT}\n", f"\n{NOTE}", f"{NOTE}\n", NOTE.replace("\n", "\r\n"), NOTE + "— x AAAA\n"],
)
def test_what_is_no_note_is_refused(note: str) -> None:
    assert refusal(note) == "note_invalid"


def test_more_signatures_than_the_limit_are_refused_and_as_many_are_not() -> None:
    line = ENOCH_LINE
    assert open_note(NOTE + line * (SIGNATURES_MAX - 1), KEY) == TEXT
    assert refusal(NOTE + line * SIGNATURES_MAX) == "note_invalid"


def test_a_lone_surrogate_is_refused_and_not_a_crash() -> None:
    assert refusal("\ud800" + NOTE) == "note_invalid"


def test_every_cut_or_changed_verifier_key_is_refused() -> None:
    assert open_note(f"{PETER_TEXT}\n{PETER_LINE}", PETER_KEY) == PETER_TEXT  # the control
    for at in range(len(PETER_KEY)):
        changed = PETER_KEY[:at] + chr(ord(PETER_KEY[at]) + 1) + PETER_KEY[at + 1 :]
        for bad in (PETER_KEY[:at], PETER_KEY[at + 1 :], changed):
            assert refusal(NOTE, bad) == "key_invalid"
    for bad in BAD_KEYS:
        assert refusal(NOTE, bad) == "key_invalid"


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\nb", "a\tb", "\ud800"])
def test_a_name_that_no_note_may_carry_is_refused(name: str) -> None:
    with pytest.raises(RemitError) as refused:
        sign_note(TEXT, name, PRIVATE)
    assert refused.value.code == "note_invalid"
    with pytest.raises(RemitError) as refused:
        verifier_key(name, PRIVATE.public_key())
    assert refused.value.code == "note_invalid"


@pytest.mark.parametrize("text", ["", "no line feed", "tab\there\n", "\ud800\n"])
def test_a_text_that_no_note_may_carry_is_not_signed(text: str) -> None:
    with pytest.raises(RemitError) as refused:
        sign_note(text, NAME, PRIVATE)
    assert refused.value.code == "note_invalid"


@given(
    origin=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=40),
    size=st.integers(0, 10**18),
    root=st.binary(min_size=32, max_size=32),
)
@settings(deadline=None, max_examples=50)
def test_a_checkpoint_signed_and_opened_is_the_same(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)
    note = sign_note(checkpoint_text(checkpoint), NAME, PRIVATE)
    assert parse_checkpoint(open_note(note, KEY)) == checkpoint


def test_a_checkpoint_is_written_as_c2sp_says() -> None:
    root = base64.b64decode("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=")  # the example of C2SP tlog-checkpoint
    text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
    assert checkpoint_text(Checkpoint("example.com/behind-the-sofa", 20852163, root)) == text


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{NAME}\n7\n{ROOT}",
        f"{NAME}\n07\n{ROOT}\n",
        f"{NAME}\n-7\n{ROOT}\n",
        f"{NAME}\n7.0\n{ROOT}\n",
        f"{NAME}\n\u0667\n{ROOT}\n",
        f"{NAME}\n \n{ROOT}\n",
        f"{NAME}\n{'9' * 20}\n{ROOT}\n",
        f"\n7\n{ROOT}\n",
        f"{NAME}\n7\n{ROOT[:-4]}\n",
        f"{NAME}\n7\n{ROOT[:-2]}B=\n",  # other padding bits, the same bytes
        f"{NAME}\n7\n{ROOT} \n",
        f"{NAME}\n7\n{ROOT}\nextension\n",
        f"{NAME}\r\n7\r\n{ROOT}\r\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(RemitError) as refused:
        parse_checkpoint(text)
    assert refused.value.code == "note_invalid"


@pytest.mark.parametrize(
    "checkpoint",
    [
        Checkpoint("", 1, bytes(32)),
        Checkpoint("a\nb", 1, bytes(32)),
        Checkpoint(NAME, -1, bytes(32)),
        Checkpoint(NAME, 10**19, bytes(32)),
        Checkpoint(NAME, 1, bytes(31)),
    ],
)
def test_a_checkpoint_that_cannot_be_read_back_is_not_written(checkpoint: Checkpoint) -> None:
    with pytest.raises(RemitError) as refused:
        checkpoint_text(checkpoint)
    assert refused.value.code == "note_invalid"
