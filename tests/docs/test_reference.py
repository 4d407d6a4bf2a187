import re
from pathlib import Path

from tests.reference import ROOT, Code, codes_in, pages

OWN_TABLES = ("docs/01-charter.md", "docs/03-permissions.md", "docs/04-catalogue.md")


def test_the_reference_pages_are_what_the_code_says() -> None:
    stale = [path for path, text in pages().items() if (ROOT / path).read_text("utf-8") != text]
    assert stale == [], "run `make docs`"


def test_every_code_in_a_table_of_the_area_pages_is_in_the_reference() -> None:
    known = set(re.findall(r"^\| `([a-z_0-9]+)`", pages()["docs/reference/codes.md"], re.MULTILINE))
    for page in OWN_TABLES:
        rows = re.findall(
            r"^\| (`[a-z_0-9]+`(?:, `[a-z_0-9]+`)*) \|", Path(ROOT / page).read_text("utf-8"), re.MULTILINE
        )
        named = {word for row in rows for word in re.findall(r"`([a-z0-9]+(?:_[a-z0-9]+)+)`", row)}
        assert named - known == set(), page


# --- controls: a code is found wherever one can stand, and nothing else is taken for one ------------------------------


def codes(source: str) -> tuple[Code, ...]:
    return codes_in({"remit.core._x": source})


def test_codes_are_found_in_every_form() -> None:
    for source, code, message in (
        ("Reason('conflict', 'it changed')", "conflict", "it changed"),
        ("raise TokenRefusedError('token_odd', f'odd {who.name}', fix)", "token_odd", "odd <name>"),
        ("Problem(code='file_odd', message=f'odd {path}')", "file_odd", "odd <path>"),
        (
            "def f():\n    message = 'all is odd'\n    self._at(d, p, 'key_odd', message, 'fix it')",
            "key_odd",
            "all is odd",
        ),
        ("x = [('policy_odd', line, 'an odd policy', 'mend it')]", "policy_odd", "an odd policy"),
        ("raise RemitError('key_odd', str(error))", "key_odd", "<error>"),
    ):
        assert codes(source) == (Code(code, "remit.core._x", message),), source


def test_what_is_no_code_is_not_taken_for_one() -> None:
    for source in ("print('some_word')", "x = ('task_opened', 'started')", "get('amount_minor', 0)", "'use_case'"):
        assert codes(source) == (), source
