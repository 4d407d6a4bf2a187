"""The small part of YAML that is taken, and how plain scalars are read."""

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from remit.adapters.project._emit import block, scalar
from remit.adapters.project._yaml import read_yaml
from remit.core import ProjectInvalidError


@pytest.mark.parametrize(
    "text",
    ["on", "off", "yes", "No", "y", "True", "NULL", "010", "0x1F", "0o7", "1_000", "12:30:00", "2026-11-22",
     "2026-11-22T10:00:00Z", ".inf", ".nan", "+1", "1.", ".5", "=", "1.0.0"],
)  # fmt: skip
def test_what_yaml_1_1_would_turn_into_something_else_stays_text(text: str) -> None:
    assert read_yaml("f", f"a: {text}".encode()).value == {"a": text}


def test_the_control_reader_does_turn_them_into_something_else() -> None:
    assert yaml.safe_load("a: on")["a"] is True
    assert yaml.safe_load("a: 12:30:00")["a"] == 45_000


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("false", False), ("null", None), ("~", None), ("", None), ("7", 7), ("-7", -7), ("0", 0),
     ("1.5", 1.5), ("2.0", 2), ("1e3", 1000), ("'7'", "7"), ('"true"', "true"), ("! 7", "7")],
)  # fmt: skip
def test_constants_and_json_numbers_are_typed(text: str, value: object) -> None:
    found = read_yaml("f", f"a: {text}".encode()).value
    assert found == {"a": value}
    assert isinstance(found, dict)
    assert type(found["a"]) is type(value)


def test_each_value_knows_its_line_and_a_missing_one_its_parents() -> None:
    document = read_yaml("f", b"# c\na: 1\nb:\n  - x\n  -\n    c: {d: 1,\n      e: 2}\n")
    assert document.line(("a",)) == 2
    assert document.line(("b", 0)) == 4
    assert document.line(("b", 1, "c", "e")) == 7
    assert document.line(("b", 1, "nothing")) == 6
    assert document.line(("nothing",)) == 2


def test_ten_thousand_brackets_are_too_deep_and_exhaust_nothing() -> None:
    with pytest.raises(ProjectInvalidError) as caught:
        read_yaml("f", b"[" * 10_000)
    assert caught.value.problems[0].code == "too_deep"


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: not x.is_integer())
    | st.text(max_size=12)
    | st.sampled_from(
        ["1e3", "on", "<<", "=", "~", "null", "010", "- a", "a: b", "#", "a\nb\n\n", " a", "a\n ", "!x", "*x"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(value=st.dictionaries(st.text(max_size=6), _JSON, max_size=4), indent=st.integers(0, 2))
def test_what_is_written_is_read_back_as_the_same_value(value: dict[str, Any], indent: int) -> None:
    body = "r:\n" + (block(value, 2 + indent) if value else "  {}\n")
    assert read_yaml("f", body.encode()).value == {"r": value}


@given(text=st.text(max_size=20))
def test_a_scalar_on_one_line_is_read_back_as_the_same_text(text: str) -> None:
    assert read_yaml("f", f"a: {scalar(text)}\n".encode()).value == {"a": text}
