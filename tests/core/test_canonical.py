"""Canonical JSON: one form out, strict in; RFC 8785 and the standard reader are the oracles."""

import json
import math
from dataclasses import dataclass
from typing import Any

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remit.core import (
    DEPTH_MAX,
    INTEGER_MAX,
    KEYS_MAX,
    STRING_BYTES_MAX,
    InputRefusedError,
    canonical_bytes,
    parse_strict,
)

quick = settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))

basic_plane = st.text(st.characters(max_codepoint=0xFFFF, codec="utf-8"), max_size=12)
integers = st.integers(-INTEGER_MAX, INTEGER_MAX)
ordinary = st.floats(1e-5, 1e15) | st.floats(-1e15, -1e-5)
everyday = st.recursive(
    st.none() | st.booleans() | integers | ordinary | basic_plane,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(basic_plane, inner, max_size=4),
    max_leaves=20,
)
any_text = st.text(st.characters(codec="utf-8"), max_size=12)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(any_text, inner, max_size=4),
    max_leaves=20,
)


def whole(value: Any) -> Any:
    """Write integral floats as integers, as the strict reader does."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [whole(item) for item in value]
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return value


@dataclass(frozen=True)
class Refusal:
    code: str


def read_or_code(body: bytes) -> Any:
    try:
        return parse_strict(body)
    except InputRefusedError as refused:
        return Refusal(refused.code)


@quick
@given(everyday)
def test_everyday_values_are_written_as_rfc_8785_writes_them(value: Any) -> None:
    assert canonical_bytes(whole(value)) == rfc8785.dumps(whole(value))


@pytest.mark.parametrize(
    ("value", "ours", "theirs"),
    [
        ({"\U0001f600": 1, "\ufb33": 2}, b'{"\xef\xac\xb3":2,"\xf0\x9f\x98\x80":1}', None),  # UTF-16 order differs
        (1e-6, b"1e-6", b"0.000001"),
        (-0.0, b"-0.0", b"0"),
        (1e16, b"1e+16", b"10000000000000000"),
    ],
)
def test_where_we_differ_from_rfc_8785_is_known(value: Any, ours: bytes, theirs: bytes | None) -> None:
    """Hashes are taken over the bytes stored; the strict reader lets neither -0.0 nor 1e16 through as a float."""
    assert canonical_bytes(value) == ours
    assert rfc8785.dumps(value) == (theirs or rfc8785.dumps(value))
    assert rfc8785.dumps(value) != ours


@quick
@given(anything)
def test_what_is_read_is_what_the_standard_reader_reads(value: Any) -> None:
    body = json.dumps(value).encode()
    read = read_or_code(body)
    if isinstance(read, Refusal):
        assert read.code in ("number_invalid", "too_deep")  # nothing else is wrong with what `json.dumps` wrote
        return
    assert read == json.loads(body)
    assert json.dumps(read, sort_keys=True) == json.dumps(whole(json.loads(body)), sort_keys=True)
    once = canonical_bytes(read)
    assert canonical_bytes(parse_strict(once)) == once


@quick
@given(st.binary(max_size=60) | anything.map(lambda value: json.dumps(value).encode()[:-1]))
def test_any_bytes_are_read_as_the_standard_reader_does_or_refused(body: bytes) -> None:
    read = read_or_code(body)
    assert isinstance(read, Refusal) or read == json.loads(body)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"", "json_invalid"),
        (b"{} {}", "json_invalid"),
        (b"[1,]", "json_invalid"),
        (b"'a'", "json_invalid"),
        (b'"\t"', "json_invalid"),
        (b"\xef\xbb\xbf{}", "encoding_invalid"),
        (b'"\xff"', "encoding_invalid"),
        (b'"\xed\xa0\x80"', "encoding_invalid"),
        (b'"\\ud800"', "encoding_invalid"),
        (b'{"\\udfff":1}', "encoding_invalid"),
        (b'{"a":1,"a":1}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b'[[{"b":{"":1,"":2}}]]', "duplicate_key"),
        (b"NaN", "number_invalid"),
        (b"-Infinity", "number_invalid"),
        (b"1e309", "number_invalid"),
        (b"9007199254740992", "number_invalid"),
        (b"-9007199254740992", "number_invalid"),
        (b"9007199254740992.0", "number_invalid"),
        (b"9" * 5_000, "number_invalid"),
        (b"[" * (DEPTH_MAX + 1) + b"]" * (DEPTH_MAX + 1), "too_deep"),
        (b"[" * 1_000_000, "too_deep"),
        (b'"' + b"\xc3\xa9" * (STRING_BYTES_MAX // 2) + b'a"', "string_too_long"),
        (json.dumps({str(n): n for n in range(KEYS_MAX + 1)}).encode(), "too_many_keys"),
    ],
    ids=range(24),
)
def test_what_two_readers_could_read_differently_is_refused(body: bytes, refused: str) -> None:
    assert read_or_code(body) == Refusal(refused)


@pytest.mark.parametrize(
    ("body", "read"),
    [
        (b" [1 , 2.0 , -0 , -0.0 , 1e2] ", [1, 2, 0, 0, 100]),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"9007199254740991", INTEGER_MAX),
        (b"-9007199254740991.0", -INTEGER_MAX),
        (b"0.5", 0.5),
        (b"[" * DEPTH_MAX + b"]" * DEPTH_MAX, None),
        (b'"' + b"[{" * 500 + b'"', "[{" * 500),
        (b'"' + b"a" * STRING_BYTES_MAX + b'"', "a" * STRING_BYTES_MAX),
        (json.dumps({str(n): n for n in range(KEYS_MAX)}).encode(), {str(n): n for n in range(KEYS_MAX)}),
    ],
    ids=range(9),
)
def test_what_is_within_the_bounds_is_read(body: bytes, read: Any) -> None:
    found = parse_strict(body)
    assert read is None or found == read
    assert json.dumps(found) == json.dumps(read) or read is None  # types as well: 2.0 is read as 2


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.inf], {"a": [-math.inf, None]}, "\ud800", {1: 2}, 1 << 64, object(), {"a": b""}],
    ids=range(8),
)
def test_what_json_cannot_carry_is_not_written(value: Any) -> None:
    with pytest.raises(InputRefusedError, match="json_unwritable"):
        canonical_bytes(value)
