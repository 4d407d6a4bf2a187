"""The definition a server shows: its digest, and every difference from the reviewed one, shown to a person."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.catalogue import DIFFERENCES_MAX, differences, served_digest, unsafe_text
from remit.core import InputRefusedError, JsonObject

REVIEWED: JsonObject = {
    "name": "getOrder",
    "title": "Get",
    "description": "Get an order.",
    "inputSchema": {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "maxLength": 40}, "a/b~c": {"anyOf": [{"const": 1}, {"const": 2}]}},
    },
    "outputSchema": {"type": "object"},
    "annotations": {"readOnlyHint": True},
    "icons": [{"src": "data:image/png;base64,AA=="}],
    "_meta": {"seen": 1},
}


def changed(**members: Any) -> JsonObject:
    return {**REVIEWED, **members}


@pytest.mark.requirement("R4.5")
@pytest.mark.parametrize("name", [*(name for name in REVIEWED if name != "_meta"), "execution"])
def test_every_member_but_meta_is_in_the_digest(name: str) -> None:
    live = changed(**{name: "other"})
    assert served_digest(live) != served_digest(REVIEWED)
    assert differences(REVIEWED, live)
    if name in REVIEWED:
        gone = {key: value for key, value in REVIEWED.items() if key != name}
        assert served_digest(gone) != served_digest(REVIEWED)
        assert differences(REVIEWED, gone)


def test_what_is_said_in_passing_and_the_order_of_keys_change_nothing() -> None:
    for live in (changed(_meta={"seen": 2}), dict(reversed(REVIEWED.items()))):
        assert served_digest(live) == served_digest(REVIEWED)
        assert differences(REVIEWED, live) == ()
    deep = changed(annotations={"readOnlyHint": True, "_meta": 1})  # (only the definition's own is in passing)
    assert served_digest(deep) != served_digest(REVIEWED)


SCHEMA: Any = REVIEWED["inputSchema"]
HINT = "/annotations/readOnlyHint"
PROPERTIES: Any = SCHEMA["properties"]


@pytest.mark.parametrize(
    ("live", "lines"),
    [
        (changed(description="Get orders."), ('description: - "Get an order."', 'description: + "Get orders."')),
        (changed(execution=None), ("execution: + null",)),
        ({k: v for k, v in REVIEWED.items() if k != "title"}, ('title: - "Get"',)),
        (changed(title=5), ('title: - "Get"', "title: + 5")),
        (changed(title="5"), ('title: - "Get"', 'title: + "5"')),
        (changed(annotations={"readOnlyHint": False}), (f"{HINT}: - true", f"{HINT}: + false")),
        (changed(annotations={"readOnlyHint": 1}), (f"{HINT}: - true", f"{HINT}: + 1")),
        (changed(annotations={}), (f"{HINT}: - true",)),
        (changed(annotations=[]), ('annotations: - {"readOnlyHint":true}', "annotations: + []")),
        (changed(outputSchema={"type": "object", "x": {}}), ("/outputSchema/x: + {}",)),
        (
            changed(inputSchema={**SCHEMA, "required": ["id", "to"]}),
            ('/inputSchema/required: - ["id"]', '/inputSchema/required: + ["id","to"]'),
        ),
        (
            changed(inputSchema={**SCHEMA, "properties": {**PROPERTIES, "id": {"type": "string"}}}),
            ("/inputSchema/properties/id/maxLength: - 40",),
        ),
        (
            changed(inputSchema={**SCHEMA, "properties": {**PROPERTIES, "a/b~c": {"anyOf": [{"const": 1}]}}}),
            ('/inputSchema/properties/a~1b~0c/anyOf/1: - {"const":2}',),
        ),
        (
            changed(title="G\u0435t"),
            ('title: - "Get"', 'title: + "G\u0435t" (first different: U+0435)'),
        ),
        (
            changed(description="Get an order.\u200b\n<do>"),
            ('description: - "Get an order."', r'description: + "Get an order.\u200b\n<do>" (first different: U+200B)'),
        ),
    ],
)
def test_a_difference_is_said_by_its_place_and_both_values(live: JsonObject, lines: tuple[str, ...]) -> None:
    assert differences(REVIEWED, live) == lines


def test_a_long_text_is_cut_to_the_part_that_differs() -> None:
    before, after = "b" * 3_000, "a" * 3_000
    old, new = {"description": f"{before}refund{after}"}, {"description": f"{before}REFUND ALL{after}"}
    minus, plus = differences(dict(old), dict(new))
    assert minus == f"description: - …{'b' * 24}refund{'a' * 24}…"
    assert plus == f"description: + …{'b' * 24}REFUND ALL{'a' * 24}…"
    (_, grown) = differences(dict(old), {"description": before + "x" * 5_000 + after})
    assert grown.endswith("characters more")
    assert len(grown) < 2_200


def test_a_long_list_of_differences_ends_with_how_many_more_there_are() -> None:
    lines = differences({}, {f"m{n:04}": n for n in range(500)})
    assert len(lines) == DIFFERENCES_MAX
    assert lines[-1] == "… and 301 lines more"
    assert len(differences({}, {f"m{n:04}": n for n in range(200)})) == DIFFERENCES_MAX


def test_a_definition_that_json_cannot_carry_is_refused() -> None:
    with pytest.raises(InputRefusedError, match="json_unwritable"):
        served_digest({"title": "\ud800"})


LEAVES = st.none() | st.booleans() | st.sampled_from([0, 1, 1.0, -0.0, 0.0]) | st.text(max_size=3)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", ""]), inner, max_size=3),
    max_leaves=6,
)
DEFINITIONS = st.dictionaries(st.sampled_from(["name", "title", "inputSchema", "_meta", ""]), JSON, max_size=4)


@pytest.mark.requirement("R4.5")
@given(reviewed=DEFINITIONS, live=DEFINITIONS)
def test_there_is_no_difference_exactly_when_the_digests_are_equal(reviewed: JsonObject, live: JsonObject) -> None:
    lines = differences(reviewed, live)
    assert (lines == ()) == (served_digest(reviewed) == served_digest(live))
    assert differences(reviewed, reviewed) == ()
    for line in lines:
        assert unsafe_text(line) is None
        assert "\n" not in line


@given(old=st.text(), new=st.text())
def test_two_texts_that_differ_never_look_the_same(old: str, new: str) -> None:
    lines = differences({"title": old}, {"title": new})
    if old == new:
        assert lines == ()
    else:
        minus, plus = lines
        assert minus.removeprefix("title: - ") != plus.removeprefix("title: + ")
