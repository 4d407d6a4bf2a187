"""Argument schemas: JSON Schema 2020-12, closed, offline, and checked in linear time.

Rules: the root is an object that closes its list of properties; nothing is fetched; patterns run on an engine without
backtracking, so that no argument can make a check slow; a format is checked or the schema is refused. What does not
fit is said without the value that came, because reasons are kept in the log and arguments can be erased.

    schema_problems({"type": "object"})    # (SchemaProblem(path=(), code="schema_open", ...),)
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice

import jsonschema_rs
from jsonschema_rs import ValidationErrorKind as Kind

from remit.catalogue._model import SchemaCheck
from remit.core import DEPTH_MAX, InputRefusedError, Json, JsonObject

VIOLATIONS_MAX = 5  # named in one refusal
ECHO_CHARS_MAX = 40  # of a name that the caller chose
EXPECTED_CHARS_MAX = 160  # of what the schema expects
REGEX_BYTES_MAX = 1 << 20  # one compiled pattern

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_PATTERNS = jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES_MAX, dfa_size_limit=REGEX_BYTES_MAX)

# Keywords whose value is data or text, never a schema (JSON Schema 2020-12 Core and Validation).
_DATA = frozenset({"const", "default", "enum", "examples", "required", "type", "dependentRequired", "$vocabulary"})
# Keywords whose keys are names that the author chose and whose values are schemas.
_NAMED = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
# Every keyword of JSON Schema 2020-12. Validators skip one they do not know: a misspelt bound would bound nothing.
_KEYWORDS = (
    _DATA
    | _NAMED
    | frozenset(
        {
            "$schema",
            "$id",
            "$ref",
            "$anchor",
            "$dynamicRef",
            "$dynamicAnchor",
            "$comment",
            "allOf",
            "anyOf",
            "oneOf",
            "not",
            "if",
            "then",
            "else",
            "prefixItems",
            "items",
            "contains",
            "additionalProperties",
            "propertyNames",
            "unevaluatedItems",
            "unevaluatedProperties",
            "multipleOf",
            "maximum",
            "exclusiveMaximum",
            "minimum",
            "exclusiveMinimum",
            "maxLength",
            "minLength",
            "pattern",
            "maxItems",
            "minItems",
            "uniqueItems",
            "maxContains",
            "minContains",
            "maxProperties",
            "minProperties",
            "title",
            "description",
            "deprecated",
            "readOnly",
            "writeOnly",
            "format",
            "contentEncoding",
            "contentMediaType",
            "contentSchema",
        }
    )
)
_STANDING = ("properties", "$defs", "patternProperties")  # named schemas that stand alone, so that closing one is safe
_EXTENSION = "x-"  # what begins so is an annotation by convention, and nobody takes it for a bound


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaProblem:
    """Why a schema is refused. `path` leads from the schema's root to the place."""

    path: tuple[str | int, ...]
    code: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True)
class _Compiled:
    """A schema ready to be asked. One yes-or-no question decides; messages are built only after a no."""

    validator: jsonschema_rs.Validator

    def violations(self, arguments: Mapping[str, Json]) -> tuple[str, ...]:
        """Return up to `VIOLATIONS_MAX` of what does not fit, never empty when something does not."""
        if self.validator.is_valid(arguments):
            return ()
        errors = self.validator.iter_errors(arguments)
        return tuple(_violation(error) for error in islice(errors, VIOLATIONS_MAX)) or ("/: expected another value",)


def compile_check(input_schema: JsonObject) -> SchemaCheck:
    """Compile `input_schema` into a check that takes about a microsecond when arguments fit.

    Raises:
        InputRefusedError: `schema_problems` finds something; its first problem.
    """
    problems = schema_problems(input_schema)
    if problems:
        raise InputRefusedError(problems[0].code, problems[0].message, problems[0].fix)
    return _Compiled(_validator(input_schema))


def schema_problems(schema: Mapping[str, Json], *, closed: bool = True) -> tuple[SchemaProblem, ...]:
    """Say what keeps `schema` from being an argument schema (with `closed=False`: a result schema); empty: nothing.

    The codes are `schema_not_object`, `schema_open`, `schema_dialect`, `schema_remote`, `schema_too_deep`,
    `schema_pattern`, `schema_format`, `schema_keyword`, `schema_required` and `schema_invalid`. An argument schema may
    use no keyword that JSON Schema does not have: a misspelt `maximum` would load and bound nothing.
    """
    if _depth(schema) > DEPTH_MAX:
        return (_problem((), "schema_too_deep", f"nesting deeper than {DEPTH_MAX}", "flatten the schema"),)
    found = [*_root_problems(schema, closed=closed), *_place_problems(schema)]
    if closed:
        found += [*_keyword_problems(schema, ()), *_open_problems(schema, ())]
    if not any(problem.code in {"schema_remote", "schema_dialect"} for problem in found):
        found += _compile_problems(schema)
    return tuple(found)


def format_is_known(name: str) -> bool:
    """Tell whether the `format` keyword's value `name` is one that is really checked."""
    try:
        _validator({"type": "string", "format": name})
    except (ValueError, jsonschema_rs.ReferencingError):
        return False
    return True


def _validator(schema: Mapping[str, Json]) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator(
        dict(schema),
        validate_formats=True,
        ignore_unknown_formats=False,
        pattern_options=_PATTERNS,
        offline=True,
    )


def _root_problems(schema: Mapping[str, Json], *, closed: bool) -> Iterator[SchemaProblem]:
    if schema.get("type") != "object":
        yield _problem((), "schema_not_object", "expected `type: object` at the schema's root", "write `type: object`")
    if closed and schema.get("additionalProperties") is not False:
        yield _problem(
            (),
            "schema_open",
            "expected `additionalProperties: false` at the schema's root: what is not declared must not pass",
            "write `additionalProperties: false` beside `type: object`",
        )


def _place_problems(schema: Mapping[str, Json]) -> Iterator[SchemaProblem]:
    for path, place in _places(schema, ()):
        dialect = place.get("$schema", DIALECT)
        if not isinstance(dialect, str) or dialect.rstrip("#") != DIALECT:
            yield _problem(
                (*path, "$schema"), "schema_dialect", f"expected `{DIALECT}`", "remove `$schema` and write 2020-12"
            )
        for keyword in ("$ref", "$dynamicRef"):
            target = place.get(keyword)
            if isinstance(target, str) and not target.startswith("#"):
                yield _problem(
                    (*path, keyword),
                    "schema_remote",
                    f"`{keyword}` leads out of this schema; expected a target that begins with `#`",
                    "copy the part under `$defs` and refer to `#/$defs/<name>`",
                )


def _keyword_problems(value: "Json | Mapping[str, Json]", path: tuple[str | int, ...]) -> Iterator[SchemaProblem]:
    """Name every keyword that is none, and every required property that a closed object does not declare."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _keyword_problems(item, (*path, index))
    if not isinstance(value, Mapping):
        return
    for key, inner in value.items():
        if key in _NAMED and isinstance(inner, Mapping):
            for name, named in inner.items():
                yield from _keyword_problems(named, (*path, key, name))
        elif key not in _KEYWORDS and not key.startswith(_EXTENSION):
            near = get_close_matches(key, _KEYWORDS, 1)
            fix = f"did you mean `{near[0]}`?" if near else "remove it, or begin its name with `x-`"
            message = f"`{_name(key)}` is no keyword of JSON Schema: it would be skipped, and bound nothing"
            yield _problem((*path, key), "schema_keyword", message, fix)
        elif key not in _DATA:
            yield from _keyword_problems(inner, (*path, key))
    yield from _required_problems(value, path)


def _open_problems(value: "Json | Mapping[str, Json]", path: tuple[str | int, ...]) -> Iterator[SchemaProblem]:
    """Name every object inside that declares properties and lets others pass. The root has a rule of its own."""
    if not isinstance(value, Mapping):
        return
    if (
        path
        and "properties" in value
        and not (value.get("additionalProperties") is False or value.get("unevaluatedProperties") is False)
    ):
        message = "expected `additionalProperties: false`: what is not declared must not pass, inside objects too"
        yield _problem(path, "schema_open", message, "write `additionalProperties: false` beside `properties`")
    for step, inner in inner_schemas(value):
        yield from _open_problems(inner, (*path, *step))


def inner_schemas(value: Mapping[str, Json]) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    """Yield the schemas that stand alone inside `value`, with their steps; those under `allOf` and its like do not."""
    for keyword in _STANDING:
        named = value.get(keyword)
        if isinstance(named, Mapping):
            yield from (((keyword, name), inner) for name, inner in named.items())
    if "items" in value:
        yield ("items",), value["items"]
    listed = value.get("prefixItems")
    if isinstance(listed, list):
        yield from ((("prefixItems", index), inner) for index, inner in enumerate(listed))


def closed_inside(value: Json, opened: list[str]) -> Json:
    """Return a schema whose objects inside are closed; the last step to each one closed is added to `opened`."""
    if not isinstance(value, dict):
        return value
    kept = dict(value)
    for keyword in _STANDING:
        named = kept.get(keyword)
        if isinstance(named, dict):
            kept[keyword] = {name: _closed_one(inner, name, opened) for name, inner in named.items()}
    if "items" in kept:
        kept["items"] = _closed_one(kept["items"], "items", opened)
    listed = kept.get("prefixItems")
    if isinstance(listed, list):
        kept["prefixItems"] = [_closed_one(inner, "prefixItems", opened) for inner in listed]
    return kept


def _closed_one(value: Json, name: str, opened: list[str]) -> Json:
    value = closed_inside(value, opened)
    if not isinstance(value, dict) or "properties" not in value or value.get("unevaluatedProperties") is False:
        return value
    if value.get("additionalProperties") is not False:
        opened.append(name)
    return {**value, "additionalProperties": False}


def _required_problems(place: Mapping[str, Json], path: tuple[str | int, ...]) -> Iterator[SchemaProblem]:
    required, properties = place.get("required"), place.get("properties", {})
    if place.get("additionalProperties") is not False or "patternProperties" in place:
        return
    if not isinstance(required, list) or not isinstance(properties, Mapping):
        return
    for name in required:
        if isinstance(name, str) and name not in properties:
            message = f"`{_name(name)}` is required and not declared: no call could ever fit"
            yield _problem((*path, "required"), "schema_required", message, "declare it under `properties`")


def without_unknown_keywords(value: Json, lost: set[str]) -> Json:
    """Return a schema without the keywords that JSON Schema does not have; their names are added to `lost`."""
    if isinstance(value, list):
        return [without_unknown_keywords(item, lost) for item in value]
    if not isinstance(value, dict):
        return value
    kept: JsonObject = {}
    for key, inner in value.items():
        if key in _NAMED and isinstance(inner, dict):
            kept[key] = {name: without_unknown_keywords(named, lost) for name, named in inner.items()}
        elif key not in _KEYWORDS and not key.startswith(_EXTENSION):
            lost.add(key)
        else:
            kept[key] = inner if key in _DATA else without_unknown_keywords(inner, lost)
    return kept


def _places(
    value: "Json | Mapping[str, Json]", path: tuple[str | int, ...]
) -> Iterator[tuple[tuple[str | int, ...], Mapping[str, Json]]]:
    """Yield every object in `value` that may be a schema, with its path."""
    if isinstance(value, Mapping):
        yield path, value
        for key, inner in value.items():
            if key in _DATA:
                continue
            if key in _NAMED and isinstance(inner, Mapping):
                for name, named in inner.items():
                    yield from _places(named, (*path, key, name))
            else:
                yield from _places(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _places(inner, (*path, index))


def _compile_problems(schema: Mapping[str, Json]) -> Iterator[SchemaProblem]:
    try:
        _validator(schema)
    except jsonschema_rs.ValidationError as error:
        yield _compile_problem(error)
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        yield _problem((), "schema_invalid", _clip(str(error).splitlines()[0].lower()), "mend the schema")


def _compile_problem(error: jsonschema_rs.ValidationError) -> SchemaProblem:
    path = tuple(error.instance_path)
    message = _clip(error.message.splitlines()[0])
    match error.kind:
        case Kind.Format(format="regex"):
            return _problem(
                path,
                "schema_pattern",
                f"a pattern that the linear-time engine refuses: {message}",
                "write it without look-around, back-references and huge repetitions",
            )
        case Kind.Format() | Kind.Custom() if path and path[-1] == "format":
            return _problem(
                path,
                "schema_format",
                f"a format that would not be checked: {message}",
                "use a format of JSON Schema 2020-12, or a `pattern`, or remove it",
            )
        case _:
            return _problem(path, "schema_invalid", f"not a JSON Schema 2020-12: {message}", "mend the schema")


def _problem(path: tuple[str | int, ...], code: str, message: str, fix: str) -> SchemaProblem:
    return SchemaProblem(path=path, code=code, message=message, fix=fix)


def _depth(value: "Json | Mapping[str, Json]") -> int:
    """Return how deep `value` nests, giving up just past the bound, so that no value can exhaust the stack."""
    level: list[Json | Mapping[str, Json]] = [value]
    depth = 0
    while level and depth <= DEPTH_MAX:
        inner = [item for item in level if isinstance(item, Mapping | list)]
        if not inner:
            break
        depth += 1
        level = [child for item in inner for child in (item.values() if isinstance(item, Mapping) else item)]
    return depth


def _violation(error: jsonschema_rs.ValidationError) -> str:
    path = "".join(f"/{_name(step)}" for step in error.instance_path)
    return f"{path or '/'}: expected {_expected(error.kind)}"


def _expected(kind: Kind) -> str:  # noqa: C901, PLR0911, PLR0912 - one flat table over the keywords reads best as a match
    match kind:
        case Kind.Type(types=types):
            return " or ".join(types)
        case Kind.Required(property=name):
            return f"the property `{_clip(name)}`"
        case Kind.AdditionalProperties(unexpected=names) | Kind.UnevaluatedProperties(unexpected=names):
            return f"no property {', '.join(f'`{_name(name)}`' for name in names[:3])}"
        case Kind.Enum(options=options):
            return f"one of {_clip(', '.join(str(option) for option in options))}"
        case Kind.Constant(expected_value=value):
            return _clip(str(value))
        case Kind.Pattern(pattern=pattern):
            return f"text that matches `{_clip(pattern)}`"
        case Kind.Format(format=name):
            return f"text in the format `{name}`"
        case Kind.Minimum(limit=limit):
            return f"at least {limit}"
        case Kind.Maximum(limit=limit):
            return f"at most {limit}"
        case Kind.ExclusiveMinimum(limit=limit):
            return f"more than {limit}"
        case Kind.ExclusiveMaximum(limit=limit):
            return f"less than {limit}"
        case Kind.MinLength(limit=limit):
            return f"at least {limit} characters"
        case Kind.MaxLength(limit=limit):
            return f"at most {limit} characters"
        case Kind.MinItems(limit=limit):
            return f"at least {limit} items"
        case Kind.MaxItems(limit=limit):
            return f"at most {limit} items"
        case Kind.MultipleOf(multiple_of=step):
            return f"a multiple of {step}"
        case Kind.UniqueItems():
            return "no item twice"
        case Kind.AnyOf() | Kind.OneOfNotValid() | Kind.OneOfMultipleValid():
            return f"one of the alternatives of `{kind.name}`"
        case _:
            return f"what `{kind.name}` says in the schema"


def _name(step: str | int) -> str:
    """Write a step of a pointer (RFC 6901), cut short and printable: the caller may have chosen it."""
    text = str(step).replace("~", "~0").replace("/", "~1")
    return _clip("".join(c if c.isprintable() else "\ufffd" for c in text), ECHO_CHARS_MAX)


def _clip(text: str, chars_max: int = EXPECTED_CHARS_MAX) -> str:
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"
