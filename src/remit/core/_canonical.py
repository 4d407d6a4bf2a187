"""Canonical JSON: strict in, one form out. What is decided on is what is forwarded and what is recorded.

In: UTF-8 without byte-order mark, no duplicate key at any depth, depth at most 32, numbers finite and integers within
±(2^53-1), no lone surrogate. Out: keys sorted by code point, no white space, integral numbers as integers. The result
equals RFC 8785 wherever keys stay in the basic plane and floats are neither huge nor tiny; hashes are always taken
over the exact bytes stored, so nothing depends on the rest.

    value = parse_strict(b'{"b": 1, "a": 2.0}')
    canonical_bytes(value)            # b'{"a":2,"b":1}'
"""

import itertools
import json
import math
from collections.abc import Mapping
from typing import NoReturn, TypeAlias

import orjson

from remit.core._errors import InputRefusedError

# (A recursive alias; `list` and `dict` are invariant, so readers take `Mapping` and `Sequence` where they can.)
Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]

DEPTH_MAX = 32  # nested objects and arrays
KEYS_MAX = 10_000  # keys in all objects together
ITEMS_MAX = 50_000  # items in all arrays together
STRING_BYTES_MAX = 1 << 20  # one string, UTF-8
INTEGER_MAX = (1 << 53) - 1  # beyond it two readers may see two numbers (RFC 8259, section 6)

_OPENERS = frozenset(b"[{")


def canonical_bytes(value: "Mapping[str, object] | Json") -> bytes:
    """Write `value` in the one form we hash, decide on and forward.

    Raises:
        InputRefusedError: a value that JSON cannot carry.
    """
    try:
        written = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise InputRefusedError("json_unwritable", "a value that JSON cannot carry", "send text as UTF-8") from error
    if b"null" in written and not _is_finite(value):  # orjson writes what is not finite as null
        raise InputRefusedError("json_unwritable", "a number that is not finite", "send a finite number")
    return written


def parse_strict(body: bytes) -> Json:
    """Read one JSON value, refusing everything on which two readers could disagree.

    Raises:
        InputRefusedError: with the code `encoding_invalid`, `duplicate_key`, `number_invalid`, `too_deep`,
            `too_many_keys`, `too_many_items`, `string_too_long` or `json_invalid`.
    """
    text = _decode(body)
    openers = body.count(b"{") + body.count(b"[")
    if openers > DEPTH_MAX:
        _check_depth(body)
    if openers and body.count(b":") > KEYS_MAX:
        _check_keys(text)
    if openers and body.count(b",") >= ITEMS_MAX:
        _check_items(body)
    try:
        value: Json = _DECODER.decode(text)
    except InputRefusedError:
        raise
    except RecursionError as error:
        raise InputRefusedError("too_deep", f"nesting deeper than {DEPTH_MAX}", "flatten the value") from error
    except ValueError as error:
        raise InputRefusedError("json_invalid", f"not JSON: {_said(error)}", "send one JSON value") from error
    if b"\\u" in body or len(body) > STRING_BYTES_MAX:
        _check_strings(value)
    return value


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))


def read_canonical(body: bytes) -> Json:
    """Read back what `canonical_bytes` wrote. Only for bytes that it wrote: nothing is checked again."""
    value: Json = orjson.loads(body)
    return value


def _decode(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        raise InputRefusedError("encoding_invalid", "a byte-order mark", "send UTF-8 without one")
    try:
        return body.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        raise InputRefusedError("encoding_invalid", "not UTF-8", "send UTF-8") from error


def _check_depth(body: bytes) -> None:
    """Count brackets outside strings; cheap, and before any parser recurses."""
    depth = 0
    in_string = escaped = False
    for byte in body:
        if in_string:
            if escaped:
                escaped = False
            elif byte == 0x5C:
                escaped = True
            elif byte == 0x22:
                in_string = False
        elif byte == 0x22:
            in_string = True
        elif byte in _OPENERS:
            depth += 1
            if depth > DEPTH_MAX:
                raise InputRefusedError("too_deep", f"nesting deeper than {DEPTH_MAX}", "flatten the value")
        elif byte in (0x5D, 0x7D):
            depth -= 1


def _check_keys(text: str) -> None:
    keys = 0

    def count(pairs: list[tuple[str, Json]]) -> None:
        nonlocal keys
        keys += len(pairs)
        if keys > KEYS_MAX:
            raise InputRefusedError("too_many_keys", f"more than {KEYS_MAX} keys", "send fewer")

    try:
        json.loads(text, object_pairs_hook=count)
    except ValueError:
        return  # not JSON at all: the parser proper says so


def _check_items(body: bytes) -> None:
    """Count what arrays hold, and stop at the bound: a megabyte of `[],` would keep everybody waiting."""
    try:
        waiting: list[Json] = [orjson.loads(body)]
    except orjson.JSONDecodeError:
        return  # the parser proper says what is wrong
    items = 0
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            items += len(value)
            if items > ITEMS_MAX:
                raise InputRefusedError("too_many_items", f"more than {ITEMS_MAX} array items", "send fewer")
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()


def _check_strings(value: Json) -> None:
    """Refuse lone surrogates, which have no UTF-8 form, and strings of more than STRING_BYTES_MAX."""
    if isinstance(value, str):
        try:
            size = len(value.encode("utf-8"))
        except UnicodeEncodeError as error:
            raise InputRefusedError(
                "encoding_invalid", "a lone surrogate in a string", "send whole characters"
            ) from error
        if size > STRING_BYTES_MAX:
            raise InputRefusedError("string_too_long", f"a string over {STRING_BYTES_MAX} bytes", "send it in parts")
    elif isinstance(value, list):
        for item in value:
            _check_strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_strings(key)
            _check_strings(item)


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = sorted(key for key, _ in pairs)
        twice = next(key for key, after in itertools.pairwise(keys) if key == after)
        raise InputRefusedError("duplicate_key", f"the key {twice[:64]!r} appears twice", "send each key once")
    return value


def _integer(digits: str) -> int:
    number = int(digits) if len(digits) <= 17 else INTEGER_MAX + 1
    if not -INTEGER_MAX <= number <= INTEGER_MAX:
        raise InputRefusedError("number_invalid", "an integer beyond ±(2^53-1)", "send large numbers as strings")
    return number


def _number(digits: str) -> int | float:
    number = float(digits)
    if not math.isfinite(number):
        raise InputRefusedError("number_invalid", "a number that is not finite", "send a finite number")
    if number.is_integer():
        if abs(number) > INTEGER_MAX:
            raise InputRefusedError("number_invalid", "a number beyond ±(2^53-1)", "send large numbers as strings")
        return int(number)
    return number


def _constant(name: str) -> NoReturn:
    raise InputRefusedError("number_invalid", f"{name} is not a JSON number", "send a finite number")


def _said(error: ValueError) -> str:
    return str(error).lower()[:120]


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_number, parse_constant=_constant, strict=True
)
