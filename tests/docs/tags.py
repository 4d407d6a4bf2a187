"""Finds `@pytest.mark.requirement(...)` tags in test files, without running them, and holds a ledger against them.

tags, problems = tags_in(source, "tests/core/test_time.py")
problems += ledger_problems(REQUIREMENTS, PLAN) + coverage_problems(REQUIREMENTS, tags)
"""

import ast
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from tests.requirements import Requirement

_ID = re.compile(r"R[1-9][0-9]?\.[1-9][0-9]?")
_PENDING = re.compile(r"step ([0-9]+): \S.{8,}")

# Whose tests come in as users, agents and operators do.
SURFACES = ("tests/surfaces/", "tests/docs/", "tests/crash/", "tests/foreign/", "tests/conformance/")

_Holder = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, slots=True)
class Tag:
    """One id on one test, one class of tests or one module of tests."""

    id: str
    place: str


def tags_in(source: str, file: str) -> tuple[list[Tag], list[str]]:
    """Return the tags of a file, and what is wrong with them: an id that is computed, a tag that is on no test."""
    tree = ast.parse(source)
    held = {call: holder for holder, call in _held(tree)}
    tags: list[Tag] = []
    problems: list[str] = []
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not _is_tag(call.func):
            continue
        place = f"{file}:{call.lineno}"
        if call not in held:
            problems.append(f"{place}: a tag that is on no test")
            continue
        for argument in call.args:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                tags.append(Tag(argument.value, place))
            else:
                problems.append(f"{place}: an id that is not written out")
        if not call.args or call.keywords:
            problems.append(f"{place}: a tag takes ids and nothing else")
    return tags, problems


def ledger_problems(ledger: Iterable[Requirement], plan: Collection[int]) -> list[str]:
    """Say what is wrong with a ledger in itself."""
    rows = list(ledger)
    problems = [
        f"{id_}: {count} times in the ledger" for id_, count in Counter(r.id for r in rows).items() if count > 1
    ]
    for row in rows:
        if not _ID.fullmatch(row.id):
            problems.append(f"{row.id}: not an id")
        if not row.promise.strip():
            problems.append(f"{row.id}: promises nothing")
        if row.pending != "":
            found = _PENDING.fullmatch(row.pending)
            if found is None or int(found[1]) not in plan:
                problems.append(f"{row.id}: pending without a step of the plan and a reason")
    return problems


def coverage_problems(ledger: Iterable[Requirement], tags: Iterable[Tag]) -> list[str]:
    """Say which kept rows no test proves through a real surface, and which tags name no row."""
    rows, found = list(ledger), list(tags)
    proven = {tag.id for tag in found if tag.place.startswith(SURFACES)}
    known = {row.id for row in rows}
    problems = [
        f"{row.id}: kept, and no test through a real surface is tagged with it"
        for row in rows
        if not row.pending and row.id not in proven
    ]
    problems += [f"{tag.place}: `{tag.id}` is not in the ledger" for tag in found if tag.id not in known]
    return problems


def _held(tree: ast.Module) -> Iterator[tuple[str, ast.Call]]:
    """Yield each tag that some test carries: on a test, on a class with tests, or on a module with tests."""
    for node in ast.walk(tree):
        if isinstance(node, _Holder) and _has_tests(node):
            for decorator in node.decorator_list:
                yield from ((node.name, call) for call in _tags_of(decorator))
    if any(_has_tests(node) for node in tree.body):
        for node in tree.body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and _is_pytestmark(node):
                yield from (("module", call) for call in _tags_of(node.value))


def _has_tests(node: ast.AST) -> bool:
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return name.startswith("test")
        case ast.ClassDef(name=name, body=body):
            return (name.startswith("Test") and any(_has_tests(inner) for inner in body)) or _is_machine(node)
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name.startswith("Test")  # hypothesis: `TestStore = StoreMachine.TestCase`
        case _:
            return False


def _is_machine(node: ast.ClassDef) -> bool:
    return any("StateMachine" in ast.unparse(base) for base in node.bases)


def _is_pytestmark(node: ast.Assign | ast.AnnAssign) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return any(isinstance(target, ast.Name) and target.id == "pytestmark" for target in targets)


def _tags_of(node: ast.AST) -> Iterator[ast.Call]:
    return (call for call in ast.walk(node) if isinstance(call, ast.Call) and _is_tag(call.func))


def _is_tag(called: ast.expr) -> bool:
    match called:
        case ast.Attribute(attr="requirement", value=ast.Attribute(attr="mark") | ast.Name(id="mark")):
            return True
        case _:
            return False
