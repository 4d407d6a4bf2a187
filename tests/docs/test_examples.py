import ast
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parents[2] / "src"

RUN = (  # whose example stands on its own: executed, and what its comments say is compared where they say a value
    "remit.adapters.project._yaml",
    "remit.catalogue._schemas",
    "remit.charter",
    "remit.core._canonical",
    "remit.permissions",
    "remit.permissions._types",
    "remit.records._merkle",
    "remit.releases",
)
NO_PYTHON = (  # a command, a drawing, a table, a tail of a match, an arrow, arguments left out
    "remit.adapters.notify._sender",
    "remit.adapters.oauth._tool_tokens",
    "remit.core._errors",
    "remit.pipeline",
    "remit.pipeline.handle",
    "remit.permissions._approvals",
)


def example_of(module: str) -> str:
    """Return the indented block of a module's docstring; empty where it has none."""
    path = SRC / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    doc = ast.get_docstring(ast.parse(file.read_text("utf-8")), clean=False) or ""
    lines = [line for line in doc.splitlines() if line.startswith("    ") or not line.strip()]
    return textwrap.dedent("\n".join(lines)).strip("\n")


def modules() -> Iterator[str]:
    for file in sorted(SRC.rglob("*.py")):
        yield ".".join(file.relative_to(SRC).with_suffix("").parts).removesuffix(".__init__")


def wrong_values(example: str, names: dict[str, object]) -> list[str]:
    """Run an example line by line; return the lines whose comment says another value."""
    wrong = []
    for node in ast.parse(example).body:
        code = ast.unparse(node)
        if not isinstance(node, ast.Expr):
            exec(code, names)  # noqa: S102 - our own examples
            continue
        value = eval(code, names)  # noqa: S307 - our own examples
        said = example.splitlines()[(node.end_lineno or node.lineno) - 1].rpartition("# ")[2]
        try:
            if ast.literal_eval(said) != value:
                wrong.append(f"{code}: says {said}, is {value!r}")
        except (SyntaxError, ValueError):
            continue  # the comment is prose
    return wrong


@pytest.mark.parametrize("module", RUN)
def test_the_example_of_a_module_runs_and_says_what_is(module: str) -> None:
    names = dict(vars(importlib.import_module(module)))
    assert wrong_values(example_of(module), names) == []


def test_every_example_in_a_docstring_is_python() -> None:
    wrong = []
    for module in modules():
        try:
            compile(example_of(module), module, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        except SyntaxError:
            wrong.append(module)
    assert set(wrong) <= set(NO_PYTHON)


def test_a_comment_that_says_another_value_is_seen() -> None:
    """(Control.)"""
    assert wrong_values("x = 1\nx + 1    # 2\nx + 2    # some prose", {}) == []
    assert wrong_values("x = 1\nx + 1    # 3", {}) == ["x + 1: says 3, is 2"]
