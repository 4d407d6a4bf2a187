"""Reading a file as its shape; what does not fit is a problem with a place and a fix, in our words.

document = read_yaml("agents/desk/agent.yaml", b"agent: desk")
shape(AgentFile, document)      # ProjectInvalidError: charter_incomplete (owner), (process), (purpose), ...
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import UnionType
from typing import Annotated, Final, TypeVar, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from remit.adapters.project._base import Shape
from remit.adapters.project._commands import KEY_SHAPE
from remit.adapters.project._models import AgentFile, CatalogueFile
from remit.adapters.project._yaml import Document, Path
from remit.core import NAME_PATTERN, REQUESTER, Problem, ProjectInvalidError

_CHARTER: Final[Mapping[str | int | None, str]] = {
    "owner": "the accountable person",
    "process": "the business process it supports",
    "purpose": "what it is for",
}
_EMPTY = frozenset({"string_too_short", "string_pattern_mismatch", "string_type"})

REVIEW_FIX = "set effect: read|write|execute|irreversible after reading what it does"

RESERVED = frozenset({"groups", "id"})
"""What policies are always told of a user."""

_Said = tuple[str, str, str]
"""A problem without its place: code, message, fix."""

S = TypeVar("S", bound=Shape)


def shape(model: type[S], document: Document) -> S:
    """Read `document` as `model`.

    Raises:
        ProjectInvalidError: with every mistake found, each at its line.
    """
    if not isinstance(document.value, dict):
        message = f"expected keys such as `{next(iter(model.model_fields))}:`, found {_kind_of(document.value)}"
        fix = "write `key: value` lines; `remit init` writes an example"
        line = document.line(())
        problem = Problem(code="value_invalid", file=document.file, line=line, message=message, fix=fix)
        raise ProjectInvalidError((problem,))
    try:
        return model.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True, include_input=True)
        raise ProjectInvalidError(tuple(_translate(model, document, detail) for detail in details)) from error


def shape_each(model: type[S], document: Document) -> dict[str, S]:
    """Read `document` as a mapping of names that it chose, each to a `model`; a document of comments only has none.

    Raises:
        ProjectInvalidError: with every mistake found, each at its line.
    """
    if document.value is None:
        return {}
    if not isinstance(document.value, dict):
        keys = ", ".join(f"{name}: ..." for name in model.model_fields)
        message = f"expected lines such as `name: {{{keys}}}`, found {_kind_of(document.value)}"
        line = document.line(())
        fix = "write the file anew by the command in its first line"
        problem = Problem(code="value_invalid", file=document.file, line=line, message=message, fix=fix)
        raise ProjectInvalidError((problem,))
    within: dict[str | int, dict[Path, int]] = {}
    for path, line in document.positions.items():
        if path:
            within.setdefault(path[0], {})[path[1:]] = line
    found: dict[str, S] = {}
    problems: list[Problem] = []
    for name, value in document.value.items():
        try:
            found[name] = shape(model, Document(document.file, value, within[name]))
        except ProjectInvalidError as invalid:
            problems.extend(invalid.problems)
    if problems:
        raise ProjectInvalidError(tuple(problems))
    return found


SECRET_SAID: Final[_Said] = (
    "secret_in_config",
    "a secret, it seems, where only a reference belongs: expected env:NAME, file:PATH or keyring:SERVICE/USER",
    "keep it there and refer to it; treat this one as known to others if the file was shared",
)
"""What is said of a secret in a project file: everything but the secret."""

_ENTROPY = re.compile(r"(?=[^0-9]*[0-9])(?=[^A-Za-z]*[A-Za-z])[A-Za-z0-9+/=_.-]{20,}", re.ASCII)


def looks_secret(text: str) -> bool:
    """Tell whether `text` looks like a key: it has the shape of a well-known one, or is long and like no word."""
    return KEY_SHAPE.search(text) is not None or _ENTROPY.fullmatch(text) is not None


def attributes_reserved(document: Document, path: Path, names: Iterable[str]) -> Iterator[Problem]:
    """Say which of the attributes `names`, below `path`, can be none: policies are told something else by that name."""
    for name in names:
        if name in RESERVED:
            message = f"the attribute `{name}` is reserved: `context.user.{name}` is always there"
            fix, line = "give the attribute another name", document.line((*path, name))
            yield Problem(code="attribute_reserved", file=document.file, line=line, message=message, fix=fix)


def role_reserved(document: Document, path: Path) -> Problem:
    """Say that nobody has the role at `path`: its name means whoever asked."""
    message = f"the role `{REQUESTER}` is reserved: it means the person for whom the agent acts"
    fix = "give the role another name"
    return Problem(code="role_reserved", file=document.file, line=document.line(path), message=message, fix=fix)


def nearest(word: str, known: Sequence[str]) -> str:
    """Return `; did you mean ...?` with the known word nearest to `word`, or nothing."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean `{close[0]}`?" if close else ""


def _translate(model: type[Shape], document: Document, detail: ErrorDetails) -> Problem:
    # (pydantic marks a bad key of a mapping with a last step "[key]"; the place is the key itself.)
    path: Path = tuple(step for step in detail["loc"] if step != "[key]")
    said: _Said | None = None
    if model is AgentFile:
        said = _charter(path, detail)
    elif model is CatalogueFile and path[:1] == ("credential",):
        said = _credential(model, path, detail)
    code, message, fix = said or _said(model, path, detail)
    return Problem(code=code, file=document.file, line=document.line(path), message=message, fix=fix)


def _said(model: type[Shape], path: Path, detail: ErrorDetails) -> _Said:
    found = detail["input"]
    match detail["type"]:
        case "missing":
            fix = f"add `{path[-1]}:`{_meaning(model, path)}"
            return "key_missing", f"expected the key `{path[-1]}`{_within(path)}", fix
        case "extra_forbidden":
            return _unknown(model, path)
        case "string_pattern_mismatch" if detail["ctx"]["pattern"] == NAME_PATTERN:
            given = path[-1] if "[key]" in detail["loc"] else found
            fix = "use 1 to 64 of a-z, 0-9, `_`, `.`, `-`, beginning with a letter or digit"
            return "name_invalid", f"`{_short(given)}` is not a name{_within(path)}", fix
        case "literal_error" if path[-1] == "effect" or path[2:3] == ("results",):
            return _unreviewed(path, detail)
        case "string_too_long":
            message = f"`{_dotted(path)}` has {len(found)} characters: expected {_expected(detail)}"
            return "text_too_long", message, "shorten it"
        case _:
            message = f"`{_dotted(path)}`: expected {_expected(detail)}, found {_kind_of(found)}"
            return "value_invalid", message, f"write {_expected(detail)}"


def _unreviewed(path: Path, detail: ErrorDetails) -> _Said:
    """Say that a word which a reviewer sets is none of those there are: an effect, or a label."""
    found, expected = _short(detail["input"]), _expected(detail)
    if path[-1] == "effect":
        message = f"the effect `{found}` of `{path[-2]}` is not reviewed: expected {expected}"
        return "effect_unreviewed", message, REVIEW_FIX
    return "label_unknown", f"the label `{found}` of `{path[1]}`: expected {expected}", f"write {expected}"


def _charter(path: Path, detail: ErrorDetails) -> _Said | None:
    """Say what makes a charter no charter: no owner, process, purpose or use case (R1.1)."""
    kind = detail["type"]
    if path == ("use_cases",) and (kind == "missing" or detail["input"] in (None, {})):
        message = "the charter lists no use case: the agent could do nothing"
        return "use_case_missing", message, "add one under `use_cases:` with its operations"
    key = path[0] if len(path) == 1 else None
    if key not in _CHARTER or (kind != "missing" and kind not in _EMPTY):
        return None
    found = "is missing" if kind == "missing" else "does not name one"
    return "charter_incomplete", f"a charter names its {key}: `{key}:` {found}", f"add `{key}: <{_CHARTER[key]}>`"


def _credential(model: type[Shape], path: Path, detail: ErrorDetails) -> _Said | None:
    """Say what is wrong with a credential, and never what was found there: it may be one."""
    if detail["type"] == "missing":
        return None
    if detail["type"] == "extra_forbidden":
        return _unknown(model, path) if _known_near(model, path) else _hidden_key(model, path)
    if path[-1] == "secret" or (isinstance(detail["input"], str) and looks_secret(detail["input"])):
        return SECRET_SAID
    expected = "`minted` or `key: value` lines" if path == ("credential",) else _expected(detail)
    return "value_invalid", f"`{_dotted(path)}`: expected {expected}", f"write {expected}"


def _hidden_key(model: type[Shape], path: Path) -> _Said:
    known = ", ".join(_keys_at(model, path))
    return "key_unknown", f"a key that is not known{_within(path)}", f"use one of: {known}"


def _known_near(model: type[Shape], path: Path) -> bool:
    return bool(nearest(str(path[-1]), _keys_at(model, path)))


def _keys_at(model: type[Shape], path: Path) -> list[str]:
    inner = _model_at(model, path[:-1])
    return [field.alias or name for name, field in inner.model_fields.items()] if inner else []


def _unknown(model: type[Shape], path: Path) -> _Said:
    known = _keys_at(model, path)
    message = f"unknown key `{_short(path[-1])}`{_within(path)}{nearest(str(path[-1]), known)}"
    return "key_unknown", message, f"use one of: {', '.join(known)}"


def _model_at(model: type[Shape], path: Path) -> type[Shape] | None:
    """Follow `path` through the models: a field's name, then any key of a mapping, then a field's name again."""
    here: type[Shape] | None = model
    steps = iter(path)
    for step in steps:
        field = here.model_fields.get(str(step)) if here else None
        if field is None:
            return None
        here, is_mapping = _inner(field.annotation)
        if is_mapping:
            next(steps, None)
    return here


def _inner(annotation: object) -> tuple[type[Shape] | None, bool]:
    """Return the model inside a field's annotation, and whether it stands behind a mapping's keys or in a list."""
    if isinstance(annotation, type) and not get_args(annotation):
        return (annotation, False) if issubclass(annotation, Shape) else (None, False)
    if get_origin(annotation) in {Annotated, Union, UnionType}:
        return _inner(get_args(annotation)[0])
    if get_origin(annotation) in {dict, list}:
        return _inner(get_args(annotation)[-1])[0], True
    return None, False


def _meaning(model: type[Shape], path: Path) -> str:
    inner = _model_at(model, path[:-1])
    fields = {field.alias or name: field for name, field in inner.model_fields.items()} if inner else {}
    field: FieldInfo | None = fields.get(str(path[-1]))
    return f": {field.description[0].lower()}{field.description[1:]}".rstrip(".") if field and field.description else ""


def _dotted(path: Path) -> str:
    return ".".join(_short(step) for step in path if step != "")


def _within(path: Path) -> str:
    return f" in `{_dotted(path[:-1])}`" if len(path) > 1 else ""


def _expected(detail: ErrorDetails) -> str:  # noqa: C901, PLR0911, PLR0912 - one flat table over pydantic's kinds
    limits = detail.get("ctx", {})
    match detail["type"]:
        case "string_type":
            number = isinstance(detail["input"], int | float)
            return "text in quotes" if number else "text"
        case "int_type" | "int_from_float" | "int_parsing":
            return "a whole number"
        case "bool_type" | "bool_parsing":
            return "true or false"
        case "float_type" | "float_parsing":
            return "a number"
        case "dict_type" | "model_type" | "model_attributes_type":
            return "`key: value` lines"
        case "list_type":
            return "a list"
        case "literal_error":
            return f"one of {limits['expected']}"
        case "too_short":
            return f"at least {limits['min_length']} entry"
        case "too_long":
            return f"at most {limits['max_length']} entries"
        case "string_too_short":
            return f"at least {limits['min_length']} character"
        case "string_too_long":
            return f"at most {limits['max_length']}"
        case "greater_than_equal":
            return f"at least {limits['ge']}"
        case "greater_than":
            return f"more than {limits['gt']}"
        case "less_than_equal":
            return f"at most {limits['le']}"
        case "string_pattern_mismatch":
            return f"text that matches {limits['pattern']}"
        case _:
            return detail["msg"].lower()


def _kind_of(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number {value}"
        case str():
            return f"`{_short(value)}`"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "`key: value` lines"


def _short(value: object) -> str:
    text = "".join(c if c.isprintable() else "\ufffd" for c in str(value))
    return text if len(text) <= 40 else text[:39] + "…"
