from pathlib import Path

from tests.docs.tags import Tag, coverage_problems, ledger_problems, tags_in
from tests.requirements import PLAN, REQUIREMENTS, Requirement

TESTS = Path(__file__).parents[1]
ROOMS = {1: 8, 2: 11, 3: 9, 4: 8, 5: 7, 6: 7, 7: 6, 8: 7, 9: 10, 10: 7}  # rows by room


def all_tags() -> tuple[list[Tag], list[str]]:
    tags: list[Tag] = []
    problems: list[str] = []
    for file in sorted(TESTS.rglob("*.py")):
        found, wrong = tags_in(file.read_text("utf-8"), str(file.relative_to(TESTS.parent)))
        tags += found
        problems += wrong
    return tags, problems


def test_every_kept_promise_has_a_test_and_every_tag_names_a_promise() -> None:
    tags, problems = all_tags()
    assert [*problems, *ledger_problems(REQUIREMENTS, PLAN), *coverage_problems(REQUIREMENTS, tags)] == []


def test_the_ledger_has_every_row_of_every_room_once_in_order() -> None:
    wanted = [f"R{room}.{row}" for room, rows in ROOMS.items() for row in range(1, rows + 1)]
    assert [row.id for row in REQUIREMENTS] == wanted


# --- controls: each mistake is reported -------------------------------------------------------------------------------

KEPT = Requirement("R1.1", "a promise")
UNPROVEN = "R1.1: kept, and no test through a real surface is tagged with it"
PENDING = Requirement("R1.2", "another", "step 8: it is not built yet")


def test_a_sound_ledger_with_a_tested_promise_is_accepted() -> None:
    tags, problems = tags_in("@pytest.mark.requirement('R1.1')\ndef test_it(): ...", "tests/surfaces/f.py")
    assert tags == [Tag("R1.1", "tests/surfaces/f.py:1")]
    assert problems + ledger_problems([KEPT, PENDING], PLAN) + coverage_problems([KEPT, PENDING], tags) == []


def test_a_kept_promise_without_a_test_is_reported() -> None:
    assert coverage_problems([KEPT], []) == [UNPROVEN]


def test_a_kept_promise_that_only_tests_inside_prove_is_reported() -> None:
    assert coverage_problems([KEPT], [Tag("R1.1", "tests/charter/f.py:1")]) == [UNPROVEN]


def test_a_tag_that_names_no_promise_is_reported() -> None:
    tags = [Tag("R1.1", "tests/docs/f.py:1"), Tag("R99.1", "b:2")]
    assert coverage_problems([KEPT], tags) == ["b:2: `R99.1` is not in the ledger"]


def test_a_tag_may_prove_the_part_of_a_pending_promise_that_stands() -> None:
    assert coverage_problems([PENDING], [Tag("R1.2", "a:1")]) == []


def test_a_pending_promise_without_step_or_reason_is_reported() -> None:
    for pending in ("later", "step 8", "step 8: ", "step 12: there is no such step", " "):
        said = ledger_problems([Requirement("R1.2", "another", pending)], PLAN)
        assert said == ["R1.2: pending without a step of the plan and a reason"], pending


def test_an_id_that_comes_twice_is_reported() -> None:
    assert ledger_problems([KEPT, KEPT], PLAN) == ["R1.1: 2 times in the ledger"]


def test_an_id_of_another_form_and_an_empty_promise_are_reported() -> None:
    assert ledger_problems([Requirement("R1", " ")], PLAN) == ["R1: not an id", "R1: promises nothing"]


def test_tags_are_found_on_tests_on_classes_and_on_modules_and_in_parameters() -> None:
    source = """
pytestmark = [pytest.mark.long, pytest.mark.requirement("R1.1", "R1.2")]

@pytest.mark.requirement("R2.1")
class TestDoor:
    @mark.requirement("R2.2")
    async def test_it(self): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("R2.3"))])
def test_more(x): ...
"""
    tags, problems = tags_in(source, "f.py")
    assert ({tag.id for tag in tags}, problems) == ({"R1.1", "R1.2", "R2.1", "R2.2", "R2.3"}, [])


def test_a_tag_on_no_test_is_reported() -> None:
    for source in (
        "@pytest.mark.requirement('R1.1')\ndef helper(): ...",
        "pytestmark = pytest.mark.requirement('R1.1')\ndef helper(): ...",
        "KEPT = pytest.mark.requirement('R1.1')\ndef test_it(): ...",
    ):
        tags, problems = tags_in(source, "f.py")
        assert tags == []
        assert [problem.partition(": ")[2] for problem in problems] == ["a tag that is on no test"], source


def test_an_id_that_is_computed_or_missing_is_reported() -> None:
    for source, said in (
        ("@pytest.mark.requirement(NAME)\ndef test_it(): ...", "an id that is not written out"),
        ("@pytest.mark.requirement()\ndef test_it(): ...", "a tag takes ids and nothing else"),
    ):
        _, problems = tags_in(source, "f.py")
        assert problems == [f"f.py:1: {said}"]
