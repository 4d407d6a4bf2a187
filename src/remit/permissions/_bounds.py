"""What policies compare: every bound on a number, and every text they name, read from Cedar's JSON form of them.

A comparison of numbers is kept as a linear form: `history.refunded + arguments.amount_minor <= 50000` is the sum of two
attributes against 50000. Decimals are whole numbers of ten-thousandths, as in Cedar itself. What is not linear, such as
the product of two attributes, is not a bound here.

    rule = rules_of({"p.cedar": 'permit(principal, action, resource) when { context.arguments.n <= 5 };'})[0]
    compared((rule,)).bounds[0].limit        # 5
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeAlias

from remit.core import Json, JsonObject
from remit.permissions._parse import Parsed, parse
from remit.permissions._scan import scan

DECIMAL_UNIT = 10_000  # of Cedar's `decimal`, which has four places
PAIRS_MAX = 4_000  # values that are compared with one another by one operator: two sets are compared each with each

Path = tuple[str, ...]
"""The way from `context` to an attribute: `("arguments", "amount_minor")`."""

USER_ID: Path = ("user", "id")
"""Who `principal` is, as an attribute."""

_CONTEXT: JsonObject = {"Var": "context"}
_COMPARED = frozenset({"==", "!=", "<", "<=", ">", ">="})
_DECIMAL_COMPARED = frozenset({"lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"})
_MEMBERS = frozenset({"contains", "containsAll", "containsAny"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One policy: its `id`, as decisions name it, `name` for people, which stays when lines above it move, its EST."""

    id: str
    name: str
    effect: str
    est: JsonObject

    @property
    def forbids(self) -> bool:
        """Whether nothing but a denial comes of it where it applies; a hold waits for people instead."""
        return self.effect == "forbid" and "hold" not in _object(self.est.get("annotations"))

    def concerns(self, operation: str) -> bool:
        """Tell whether its scope can match `operation`."""
        scope = _object(self.est.get("action"))
        if scope.get("op") == "All":
            return True
        entities = scope.get("entities", [scope.get("entity")])
        return any(_object(each).get("id") == operation for each in (entities if isinstance(entities, list) else []))


@dataclass(frozen=True, slots=True)
class Bound:
    """The sum of `terms`, each an attribute and its factor, is compared with `limit` by the policy `rule`."""

    terms: tuple[tuple[Path, int], ...]
    limit: int
    rule: Rule

    def at(self, path: Path, others: Mapping[Path, int]) -> int:
        """Return the value of `path` at the bound where the other attributes are `others`; 0 stands for what is not."""
        factor = dict(self.terms)[path]
        rest = sum(its * others.get(each, 0) for each, its in self.terms if each != path)
        return (self.limit - rest) // factor


@dataclass(slots=True)
class Compared:
    """What the policies of one operation compare. `read` is every attribute that each policy names, by its id."""

    bounds: list[Bound] = field(default_factory=list)
    texts: dict[Path, dict[str, None]] = field(default_factory=dict)  # (a dict is a set that keeps its order)
    same: dict[Path, dict[Path, None]] = field(default_factory=dict)  # compared with one another, both ways
    read: dict[str, dict[Path, None]] = field(default_factory=dict)

    def paths(self) -> list[Path]:
        """Return every attribute that some policy names, in one order for ever."""
        return sorted({path for paths in self.read.values() for path in paths})

    def readers(self, path: Path, rules: Iterable[Rule]) -> list[Rule]:
        """Return those of `rules` that name `path`."""
        return [rule for rule in rules if path in self.read.get(rule.id, ())]


def rules_of(files: Mapping[str, str]) -> tuple[Rule, ...]:
    """Return the policies in `files` (path -> text), in the files' order. What does not parse is left out."""
    rules: list[Rule] = []
    for file, text in sorted(files.items()):
        for number, piece in enumerate(scan(file, text), start=1):
            found = parse(piece)
            if isinstance(found, Parsed):
                given = found.template.annotations.get("id")
                unnamed = f"policy {number} of {file.rpartition('/')[2]}"
                named = (given, given) if given else (f"{file}:{piece.line}", unnamed)
                rules.append(Rule(id=named[0], name=named[1], effect=found.template.effect, est=found.est))
    return tuple(rules)


def compared(rules: Sequence[Rule]) -> Compared:
    """Collect what `rules` compare."""
    found = Compared()
    for rule in rules:
        found.read[rule.id] = {}
        _principal(found, rule)
        conditions = rule.est.get("conditions")
        for condition in conditions if isinstance(conditions, list) else []:
            for operator, body in _nodes(_object(condition).get("body")):
                _collect(found, rule, operator, body)
    return found


def _principal(found: Compared, rule: Rule) -> None:
    name = _object(_object(rule.est.get("principal")).get("entity")).get("id")
    if isinstance(name, str):
        found.read[rule.id][USER_ID] = None
        found.texts.setdefault(USER_ID, {})[name] = None


def _nodes(root: Json) -> Iterator[tuple[str, Json]]:
    """Walk every operator under `root` with its operands, without recursion."""
    stack: list[Json] = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, dict):
            if len(node) == 1:
                yield next(iter(node.items()))
            stack += reversed(list(node.values()))
        elif isinstance(node, list):
            stack += reversed(node)


def _collect(found: Compared, rule: Rule, operator: str, body: Json) -> None:
    path = path_of({operator: body}) if operator != "Value" else None
    if path is not None and len(path) > 1:
        _read(found, rule, path)
    elif operator == "has":
        _read(found, rule, (*(path_of(_object(body).get("left")) or ()), str(_object(body).get("attr"))))
    elif operator in _COMPARED:
        members = _object(body)
        _compare(found, rule, members.get("left"), members.get("right"))
    elif operator in _DECIMAL_COMPARED and isinstance(body, list) and len(body) == 2:
        _compare(found, rule, body[0], body[1])
    elif operator in _MEMBERS:
        members = _object(body)
        _compare(found, rule, members.get("left"), members.get("right"))
    elif operator == "like":
        _like(found, _object(body))


def _read(found: Compared, rule: Rule, path: Path) -> None:
    """Note `path`. A record is noted by what is read of it, wherever anything is."""
    noted = found.read[rule.id]
    if not any(each[: len(path)] == path for each in noted):
        for length in range(1, len(path)):
            noted.pop(path[:length], None)
        noted[path] = None


def _compare(found: Compared, rule: Rule, left: Json, right: Json) -> None:
    """Note what is compared with what; of two sets, of two records and of what may stand in a set: each with each."""
    stack = [(left, right)]
    for _ in range(PAIRS_MAX):
        if not stack:
            return
        one, other = stack.pop()
        inner = [*_inside(one, other), *((mine, its) for its, mine in _inside(other, one))]
        stack += reversed(inner)
        _texts(found, one, other)
        _texts(found, other, one)
        if not inner:
            _compare_two(found, rule, one, other)


def _inside(one: Json, other: Json) -> list[tuple[Json, Json]]:
    """Return what is compared where `one`, a set, a record or a choice of two, is compared with `other`."""
    ((operator, body),) = one.items() if isinstance(one, dict) and len(one) == 1 else (("", None),)
    match operator:
        case "Set" if isinstance(body, list):
            return [(each, other) for each in body]
        case "Record":
            members, its = _object(body), _object(_object(other).get("Record"))
            return [(members[name], its[name]) for name in members if name in its]
        case "if-then-else":
            return [(_object(body).get(each), other) for each in ("then", "else")]
        case "." if "Record" in _object(_object(body).get("left")):
            access = _object(body)
            return [(_object(_object(access["left"])["Record"]).get(str(access.get("attr"))), other)]
        case _:
            return []


def _compare_two(found: Compared, rule: Rule, left: Json, right: Json) -> None:
    one, other = path_of(left), path_of(right)
    if one is not None and other is not None:
        found.same.setdefault(one, {})[other] = None
        found.same.setdefault(other, {})[one] = None
    bound = _bound(rule, left, right)
    if bound is not None and bound not in found.bounds:
        found.bounds.append(bound)


def _texts(found: Compared, attribute: Json, literals: Json) -> None:
    path = path_of(attribute)
    if path is not None:
        for text in _literals(literals):
            found.texts.setdefault(path, {})[text] = None


def _literals(node: Json) -> Iterator[str]:
    body = _object(node)
    items = body.get("Set")
    for each in items if isinstance(items, list) else [node]:
        value = _object(each).get("Value")
        entity = _object(_object(value).get("__entity"))
        if isinstance(value, str):
            yield value
        elif entity.get("type") == "User":
            yield str(entity.get("id"))


def _like(found: Compared, body: JsonObject) -> None:
    path, pattern = path_of(body.get("left")), body.get("pattern")
    if path is not None and isinstance(pattern, list):
        parts = (_object(each).get("Literal", "") for each in pattern)
        found.texts.setdefault(path, {})["".join(map(str, parts))] = None


def path_of(node: Json) -> Path | None:
    """Return the path of `context.a.b`, and `user.id` for `principal`; None for anything else."""
    steps: list[str] = []
    while isinstance(node, dict) and node.keys() == {"."}:
        access = _object(node["."])
        steps.append(str(access.get("attr")))
        node = access.get("left")
    if node == {"Var": "principal"} and not steps:
        return USER_ID
    return tuple(reversed(steps)) if steps and node == _CONTEXT else None


# -- linear forms

_Form = tuple[dict[Path, int], int]


def _bound(rule: Rule, left: Json, right: Json) -> Bound | None:
    one, other = _form(left), _form(right)
    if one is None or other is None:
        return None
    terms, constant = _sum(one, other, -1)
    kept = tuple(sorted((path, factor) for path, factor in terms.items() if factor))
    return Bound(kept, -constant, rule) if kept else None


def _form(node: Json) -> _Form | None:
    """Return `node` as a sum of attributes and a constant, or None where it is no such sum."""
    path = path_of(node)
    if path is not None:
        return None if path == USER_ID else ({path: 1}, 0)
    ((operator, body),) = node.items() if isinstance(node, dict) and len(node) == 1 else (("", None),)
    match operator:
        case "Value":
            return ({}, body) if type(body) is int else None
        case "decimal":
            return _decimal(body)
        case "neg":
            inner = _form(_object(body).get("arg"))
            return None if inner is None else _sum(({}, 0), inner, -1)
        case "+" | "-" | "*":
            members = _object(body)
            return _arithmetic(operator, _form(members.get("left")), _form(members.get("right")))
        case _:
            return None


def _decimal(body: Json) -> _Form | None:
    text = _object(body[0]).get("Value") if isinstance(body, list) and body else None
    return ({}, int(Decimal(text) * DECIMAL_UNIT)) if isinstance(text, str) else None


def _arithmetic(operator: str, left: _Form | None, right: _Form | None) -> _Form | None:
    if left is None or right is None:
        return None
    if operator != "*":
        return _sum(left, right, 1 if operator == "+" else -1)
    if left[0] and right[0]:
        return None
    (terms, constant), factor = (right, left[1]) if right[0] else (left, right[1])
    return {path: its * factor for path, its in terms.items()}, constant * factor


def _sum(left: _Form, right: _Form, factor: int) -> _Form:
    terms = dict(left[0])
    for path, its in right[0].items():
        terms[path] = terms.get(path, 0) + its * factor
    return terms, left[1] + right[1] * factor


# -- what a policy says of a call that is known in part


@dataclass(frozen=True, slots=True)
class Open:
    """No answer yet: that depends on what stands at `path`. None: it depends on what is not worked out here."""

    path: Path | None


class _NotThereError(Exception):
    """An attribute that the call comes without: the policy that asks for it does not apply."""


Known: TypeAlias = "Json | Open"
"""A value as policies see it, decimals as whole ten-thousandths, or none yet."""

Look = Callable[[Path], Known]
"""What stands at a path; None: nothing."""


def applies(rule: Rule, look: Look, tool: str) -> bool | Open:
    """Tell whether `rule`, whose action fits, applies to a call of `tool`, as far as `look` knows the call.

    This guides a search. It decides nothing: what it does not work out is `Open`, and the policies themselves answer.
    """
    answers = [_scope(rule, look, tool)]
    conditions = rule.est.get("conditions")
    for condition in conditions if isinstance(conditions, list) else []:
        try:
            found = _value(_object(condition).get("body"), look)
        except _NotThereError:
            return False
        answers.append(_not(found) if _object(condition).get("kind") == "unless" else found)
    return _all(answers)


def _scope(rule: Rule, look: Look, tool: str) -> Known:
    who, what = _object(rule.est.get("principal")), _object(rule.est.get("resource"))
    answers: list[Known] = []
    for scope, its in ((who, look(USER_ID) if who.get("op") == "==" else None), (what, tool)):
        entity = _object(scope.get("entity"))
        if scope.get("op") == "==":
            answers.append(its if isinstance(its, Open) else its == entity.get("id"))
        elif scope.get("op") != "All":
            answers.append(Open(None))
    return _all(answers)


def _all(answers: Sequence[Known]) -> bool | Open:
    if any(answer is False for answer in answers):
        return False
    return _open(answers) or True


def _open(values: Iterable[Known]) -> Open | None:
    """Return what is open in `values`, best something whose path is known."""
    found = [value for value in values if isinstance(value, Open)]
    return next((each for each in found if each.path is not None), found[0] if found else None)


def _not(value: Known) -> Known:
    return value if isinstance(value, Open) else value is not True


def _value(node: Json, look: Look) -> Known:  # noqa: PLR0911 - one answer for each kind of operator
    path = path_of(node)
    if path is not None:
        return _there(look(path))
    ((operator, body),) = node.items() if isinstance(node, dict) and len(node) == 1 else (("", None),)
    members = _object(body)
    match operator:
        case "Value":
            return _literal(body)
        case "&&" | "||":
            return _either(members, look, operator == "||")
        case "!":
            return _not(_value(members.get("arg"), look))
        case "has":
            value = look((*(path_of(members.get("left")) or ("",)), str(members.get("attr"))))
            return value if isinstance(value, Open) else value is not None
        case "if-then-else":
            asked = _value(members.get("if"), look)
            return asked if isinstance(asked, Open) else _value(members.get("then" if asked else "else"), look)
        case "." if "Record" in _object(members.get("left")):
            return _value(_object(_object(members["left"])["Record"]).get(str(members.get("attr"))), look)
        case "decimal":
            found = _decimal(body)
            return Open(None) if found is None else found[1]
        case _:
            return _worked_out(operator, body, look)


def _literal(body: Json) -> Known:
    if not isinstance(body, dict):
        return body
    entity = _object(body.get("__entity"))
    return str(entity.get("id")) if entity.get("type") == "User" else Open(None)


def _there(value: Known) -> Known:
    if value is None:
        raise _NotThereError
    return value


def _either(members: JsonObject, look: Look, decides: bool) -> Known:
    left = _value(members.get("left"), look)
    if left is decides:
        return decides
    if not isinstance(left, Open):
        return _value(members.get("right"), look)
    try:
        right = _value(members.get("right"), look)
    except _NotThereError:
        return left
    return decides if right is decides else _open((left, right))


def _worked_out(operator: str, body: Json, look: Look) -> Known:
    """Return what an operator makes of its operands; all of them are worked out first."""
    parts = _operands(operator, body)
    if parts is None:
        return Open(None)
    values = [_value(each, look) for each in parts]
    if operator == "Record":
        return _open(values) or dict(zip(_object(body), values, strict=True))  # type: ignore[arg-type]  # none is open
    opened = _open(values)
    if opened is not None:
        return opened
    known: list[Json] = [each for each in values if not isinstance(each, Open)]
    if operator == "Set":
        return known
    if operator == "like":
        return _matches(known[0], _object(body).get("pattern"))
    return _OPERATORS[operator](*known)


def _operands(operator: str, body: Json) -> list[Json] | None:
    members = _object(body)
    if operator == "Set":
        return body if isinstance(body, list) else None
    if operator == "Record":
        return [*members.values()]
    if operator == "like":
        return [members.get("left")]
    if operator in _DECIMAL_COMPARED:
        return body if isinstance(body, list) and len(body) == 2 else None
    if operator in {"neg", "isEmpty"}:
        return [members.get("arg")]
    return [members.get("left"), members.get("right")] if operator in _OPERATORS else None


def _matches(text: Json, pattern: Json) -> bool:
    parts = pattern if isinstance(pattern, list) else []
    expression = "".join(".*" if each == "Wildcard" else re.escape(str(_object(each).get("Literal"))) for each in parts)
    return isinstance(text, str) and re.fullmatch(expression, text, re.DOTALL) is not None


def _alike(one: Json, other: Json) -> bool:
    """Compare as Cedar does: sets have no order and nothing twice."""
    if isinstance(one, list) and isinstance(other, list):
        return _within(one, other) and _within(other, one)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_alike(value, other[name]) for name, value in one.items())
    return type(one) is type(other) and one == other


def _within(some: Json, values: Json) -> bool:
    return all(_has(values, each) for each in (some if isinstance(some, list) else []))


def _has(values: Json, value: Json) -> bool:
    return any(_alike(value, each) for each in (values if isinstance(values, list) else []))


def _number(value: Json) -> int:
    return value if isinstance(value, int) else 0


_OPERATORS: Mapping[str, Callable[..., Json]] = {
    "==": _alike,
    "!=": lambda one, other: not _alike(one, other),
    "<": lambda one, other: _number(one) < _number(other),
    "<=": lambda one, other: _number(one) <= _number(other),
    ">": lambda one, other: _number(one) > _number(other),
    ">=": lambda one, other: _number(one) >= _number(other),
    "lessThan": lambda one, other: _number(one) < _number(other),
    "lessThanOrEqual": lambda one, other: _number(one) <= _number(other),
    "greaterThan": lambda one, other: _number(one) > _number(other),
    "greaterThanOrEqual": lambda one, other: _number(one) >= _number(other),
    "+": lambda one, other: _number(one) + _number(other),
    "-": lambda one, other: _number(one) - _number(other),
    "*": lambda one, other: _number(one) * _number(other),
    "neg": lambda one: -_number(one),
    "contains": _has,
    "containsAll": lambda values, some: _within(some, values),
    "containsAny": lambda values, some: any(_has(values, each) for each in (some if isinstance(some, list) else [])),
    "isEmpty": lambda values: values == [],
}


def _object(value: Json) -> JsonObject:
    return value if isinstance(value, dict) else {}
