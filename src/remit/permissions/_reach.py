"""Whether a policy can ever apply, and whether its conditions are always true.

1. The conditions become a union of cases, each what is asked of single attributes: a range, a set of texts, yes or no.
   A case that asks one attribute for what no value is at once is dropped; a policy without a case left never applies.
2. What is not understood here (arithmetic, one attribute against another) may be true and may be false, but equal parts
   are equal. So a policy is called dead only where it is.
3. Everything is bounded; where a bound is met the answer is that nothing was found.

    clash = never(template, places)      # None: it can apply, or nobody knows
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Final

from cedarpy import pst

from remit.permissions._convert import LONG_MAX, LONG_MIN
from remit.permissions._history import DECIMAL_SCALE
from remit.permissions._tree import nodes, path_of
from remit.permissions._types import Attribute, CedarType, Record, Scalar, SetOf, record_at, type_at

CASES_MAX = 256  # of one condition, held at a time
JOINS_MAX = 5_000  # of cases, for one policy at all its places
PLACES_MAX = 64  # operations that differ in what the policy reads

_ERRING = frozenset(
    {"add", "sub", "mul", "neg", "offset", "duration_since", "get_tag"}
)  # may be neither true nor false
_BELOW: Mapping[str, tuple[bool, bool]] = {
    "less": (False, False),
    "greater": (True, False),
    "less_eq": (True, True),
    "greater_eq": (False, True),
    "decimal_less_than": (False, False),
    "decimal_greater": (True, False),
    "decimal_less_eq": (True, True),
    "decimal_greater_eq": (False, True),
}
"""Each comparison as `low < high`: whether its sides are swapped for that, and whether it is then negated."""

_ENTITIES: Mapping[str, str] = {"principal": "User", "action": "Action", "resource": "Tool"}

Path = tuple[str, ...]
Key = Hashable
Const = tuple[str, object]
"""A literal: its type, and its value."""


@dataclass(frozen=True, slots=True)
class Place:
    """One operation that a policy's scope names: what the conditions are read against."""

    operation: str
    tool: str
    context: Record


@dataclass(frozen=True, slots=True)
class Clash:
    """A policy can never apply: `paths` are the attributes that it asks for what they cannot be, where it does."""

    paths: tuple[Path, ...]


def never(template: pst.Template, places: Iterable[Place]) -> Clash | None:
    """Return why the policy applies at none of `places`; None where it may, or where nobody can say."""
    wanted = [*_scope(template), *_clauses(template)]
    budget, paths = _Budget(), dict[Path, None]()
    try:
        for place in _distinct(template, places):
            reader = _Reader(place, budget)
            cases = reader.all_of(wanted)
            if cases:
                return None
            paths |= dict.fromkeys(reader.clashes)
    except _UndecidedError:
        return None
    return Clash(tuple(paths))


def always(template: pst.Template, places: Iterable[Place]) -> bool:
    """Tell whether the conditions are true at every one of `places`, whatever is asked; False where nobody can say."""
    clauses, budget = _clauses(template), _Budget()
    if any(_may_err(node) for node in nodes(template.clauses)):
        return False
    try:
        for place in _distinct(template, places):
            reader = _Reader(place, budget)
            if any(reader.cases(expression, not wanted) for expression, wanted in clauses):
                return False
    except _UndecidedError:
        return False
    return True


def _may_err(node: object) -> bool:
    return isinstance(node, pst.UnaryOp | pst.BinaryOp) and node.op in _ERRING and _number(node) is None


def _clauses(template: pst.Template) -> list[tuple[pst.Expr, bool]]:
    return [(clause.expr, isinstance(clause, pst.When)) for clause in template.clauses]


def _scope(template: pst.Template) -> Iterator[tuple[pst.Expr, bool]]:
    """Write the principal's and the resource's part of the scope as conditions; the action's are the places."""
    for variable, asked in ((pst.Var("principal"), template.principal), (pst.Var("resource"), template.resource)):
        match asked:
            case pst.ScopeEq(pst.EntityUid() as entity) | pst.ScopeIn(pst.EntityUid() as entity):
                yield pst.BinaryOp("eq", variable, pst.EntityLit(entity)), True
            case pst.ScopeIs(kind):
                yield pst.Is(variable, kind, None), True
            case pst.ScopeIsIn(kind, pst.EntityUid() as entity):
                yield pst.Is(variable, kind, pst.EntityLit(entity)), True
            case _:
                pass


def _distinct(template: pst.Template, places: Iterable[Place]) -> Iterator[Place]:
    """Yield one of each sort of `places`: those that differ in nothing the policy reads are one."""
    asked = list(nodes((template.clauses, template.resource)))
    paths = {_attributes(node) for node in asked if isinstance(node, pst.GetAttr | pst.HasAttr)} - {None}
    by_action = pst.Var("action") in asked
    by_tool = pst.Var("resource") in asked or not isinstance(template.resource, pst.ScopeAny)
    found: set[Hashable] = set()
    for place in places:
        sort = (
            place.operation if by_action else "",
            place.tool if by_tool else "",
            *(_sort(place.context, path) for path in paths if path is not None),
        )
        if sort in found:
            continue
        found.add(sort)
        if len(found) > PLACES_MAX:
            raise _UndecidedError
        yield place


def _attributes(node: pst.GetAttr | pst.HasAttr) -> Path | None:
    base = path_of(node.base)
    if base is None:
        return None
    return (*base, node.attr) if isinstance(node, pst.GetAttr) else (*base, *node.attrs)


def _sort(context: Record, path: Path) -> Hashable:
    """Say what of a path could make a difference."""
    steps = [_attribute(context, path[:end]) for end in range(1, len(path) + 1)]
    return tuple(None if step is None else (step.required, _shape(step.type)) for step in steps)


def _shape(typed: CedarType) -> Hashable:
    match typed:
        case Record():
            return "record"  # (what is read of it has a path of its own)
        case SetOf(element):
            return ("set", _shape(element))
        case _:
            return typed


def _attribute(context: Record, path: Path) -> Attribute | None:
    base = record_at(context, path[:-1])
    return None if base is None else base.attributes.get(path[-1])


# -- what is asked of one attribute


@dataclass(frozen=True, slots=True)
class _Numbers:
    """`least` to `most`, of `only` where that is not None, without `out`."""

    least: int
    most: int
    only: frozenset[int] | None = None
    out: frozenset[int] = frozenset()

    def both(self, other: "_Numbers") -> "_Numbers":
        only = self.only if other.only is None else other.only if self.only is None else self.only & other.only
        return _Numbers(max(self.least, other.least), min(self.most, other.most), only, self.out | other.out)

    def is_empty(self) -> bool:
        if self.only is not None:
            return not any(self.least <= value <= self.most for value in self.only - self.out)
        within = self.most - self.least + 1
        return within <= len(self.out) and all(value in self.out for value in range(self.least, self.most + 1))


@dataclass(frozen=True, slots=True)
class _Words:
    """Any text or entity, of `only` where that is not None, without `out`, `like` each pattern or not."""

    only: frozenset[object] | None = None
    out: frozenset[object] = frozenset()
    like: frozenset[tuple[tuple[pst.PatternElem, ...], bool]] = frozenset()

    def both(self, other: "_Words") -> "_Words":
        only = self.only if other.only is None else other.only if self.only is None else self.only & other.only
        return _Words(only, self.out | other.out, self.like | other.like)

    def is_empty(self) -> bool:
        if any((pattern, not wanted) in self.like for pattern, wanted in self.like):
            return True
        if self.only is None:
            return False
        return not any(
            all(is_like(word, pattern) is wanted for pattern, wanted in self.like) for word in self.only - self.out
        )


@dataclass(frozen=True, slots=True)
class _Flag:
    """Yes or no; None is neither, which nothing is."""

    value: bool | None

    def both(self, other: "_Flag") -> "_Flag":
        return self if self.value is other.value else _Flag(None)

    def is_empty(self) -> bool:
        return self.value is None


_Domain = _Numbers | _Words | _Flag
_Case = Mapping[Key, _Domain]
_TRUE: Final[list[_Case]] = [{}]


def is_like(word: object, pattern: tuple[pst.PatternElem, ...]) -> bool:
    """Tell whether `word` is a text like `pattern`."""
    # (In one pass: each piece between wildcards is taken at the first place after the one before.)
    first, *later = "".join("\0" if isinstance(part, pst.Wildcard) else part.value for part in pattern).split("\0")
    if not isinstance(word, str) or not word.startswith(first):
        return False
    if not later:
        return word == first
    at, last = len(first), later.pop()
    for piece in later:
        found = word.find(piece, at)
        if found < 0:
            return False
        at = found + len(piece)
    return word.endswith(last) and len(word) - len(last) >= at


def _both(one: _Domain, other: _Domain) -> _Domain:
    """Ask one attribute for both; what is asked of one attribute is always of one kind, as Cedar has typed it."""
    match one, other:
        case _Numbers(), _Numbers():
            return one.both(other)
        case _Words(), _Words():
            return one.both(other)
        case _Flag(), _Flag():
            return one.both(other)
        case _:
            raise _UndecidedError


# -- reading conditions


class _UndecidedError(Exception):
    """Too much to look at."""


@dataclass(slots=True)
class _Budget:
    left: int = JOINS_MAX

    def spend(self, joins: int) -> None:
        self.left -= joins
        if self.left < 0:
            raise _UndecidedError


@dataclass(slots=True)
class _Reader:
    """Reads conditions as they are at one place."""

    place: Place
    budget: _Budget
    clashes: list[Path] = field(default_factory=list)

    def all_of(self, wanted: list[tuple[pst.Expr, bool]]) -> list[_Case]:
        """Return the cases in which every expression is what is wanted of it."""
        found = _TRUE
        for expression, value in wanted:
            found = self._joined(found, self.cases(expression, value))
        return found

    def cases(self, expression: pst.Expr, wanted: bool) -> list[_Case]:
        """Return cases of which one holds wherever `expression` is `wanted`."""
        match expression:
            case pst.BoolLit(value):
                found = _TRUE if value is wanted else []
            case pst.UnaryOp("not", inner):
                found = self.cases(inner, not wanted)
            case pst.BinaryOp("and" | "or" as joint, left, right):
                found = self._both_or_either(left, right, (joint == "and") is wanted, wanted)
            case pst.IfThenElse(condition, then, other):
                chosen = self.all_of([(condition, True), (then, wanted)])
                found = self._either(chosen, self.all_of([(condition, False), (other, wanted)]))
            case pst.BinaryOp("not_eq", left, right):
                found = self.cases(pst.BinaryOp("eq", left, right), not wanted)
            case pst.BinaryOp("eq", inner, pst.BoolLit(value)) | pst.BinaryOp("eq", pst.BoolLit(value), inner):
                found = self.cases(inner, wanted if value else not wanted)
            case _:
                found = self._atom(expression, wanted=wanted)
        return found

    def _both_or_either(self, left: pst.Expr, right: pst.Expr, both: bool, wanted: bool) -> list[_Case]:
        if both:
            return self.all_of([(left, wanted), (right, wanted)])
        return self._either(self.cases(left, wanted), self.cases(right, wanted))

    def _either(self, one: list[_Case], other: list[_Case]) -> list[_Case]:
        if len(one) + len(other) > CASES_MAX:
            raise _UndecidedError
        return [*one, *other]

    def _joined(self, one: list[_Case], other: list[_Case]) -> list[_Case]:
        self.budget.spend(len(one) * len(other))
        found = [case for left in one for right in other if (case := self._join(left, right)) is not None]
        if len(found) > CASES_MAX:
            raise _UndecidedError
        return found

    def _join(self, one: _Case, other: _Case) -> _Case | None:
        joined = dict(one)
        for key, domain in other.items():
            both = _both(joined[key], domain) if key in joined else domain
            if both.is_empty():
                self._clashed(key)
                return None
            joined[key] = both
        return joined

    def _one(self, key: Key, domain: _Domain) -> list[_Case]:
        if domain.is_empty():
            self._clashed(key)
            return []
        return [{key: domain}]

    def _clashed(self, key: Key) -> None:
        match key:
            case (("path" | "has"), tuple(path)):
                self.clashes.append(path)
            case _:
                pass

    # -- one comparison

    def _atom(self, expression: pst.Expr, *, wanted: bool) -> list[_Case]:
        match expression:
            case pst.HasAttr():
                found = self._has(expression, wanted=wanted)
            case pst.Like():
                found = self._like(expression, wanted=wanted)
            case pst.Is():
                found = self._is(expression, wanted=wanted)
            case pst.BinaryOp(op, left, right) if op in _BELOW:
                swapped, negated = _BELOW[op]
                low, high = (right, left) if swapped else (left, right)
                found = self._below(low, high, wanted=wanted is not negated)
            case pst.BinaryOp("contains", pst.Set(elements), sought) | pst.BinaryOp("in", sought, pst.Set(elements)):
                found = self._among(expression, sought, elements, wanted=wanted)
            case pst.UnaryOp("is_empty", pst.Set(elements)):
                found = self._known(not elements, wanted=wanted)
            case pst.BinaryOp("contains", base, sought):
                found = self._contains(expression, base, sought, wanted=wanted)
            case pst.BinaryOp("eq" | "in", left, right):
                sought, other = (right, left) if self._const(right) is None else (left, right)
                found = self._among(expression, sought, (other,), wanted=wanted)
            case _:
                found = self._free(expression, wanted=wanted)
        return found

    def _free(self, expression: pst.Expr, *, wanted: bool) -> list[_Case]:
        """What is not understood may be either, but the same everywhere."""
        path = path_of(expression)
        return self._one(("opaque", expression) if path is None else ("path", path), _Flag(wanted))

    def _known(self, truth: bool, *, wanted: bool, path: Path | None = None) -> list[_Case]:
        if truth is wanted:
            return _TRUE
        if path is not None:
            self.clashes.append(path)
        return []

    def _has(self, expression: pst.HasAttr, *, wanted: bool) -> list[_Case]:
        base = path_of(expression.base)
        record = None if base is None else record_at(self.place.context, base)
        if base is None or record is None or len(expression.attrs) > 1:
            return self._free(expression, wanted=wanted)
        path = (*base, expression.attrs[0])
        attribute = record.attributes.get(path[-1])
        if attribute is None or attribute.required:
            return self._known(attribute is not None, wanted=wanted, path=path)
        return self._one(("has", path), _Flag(wanted))

    def _is(self, expression: pst.Is, *, wanted: bool) -> list[_Case]:
        if not isinstance(expression.base, pst.Var) or expression.base.name not in _ENTITIES:
            return self._free(expression, wanted=wanted)
        if str(expression.entity_type) != _ENTITIES[expression.base.name]:
            return self._known(False, wanted=wanted)  # noqa: FBT003 - it is not so
        if expression.in_expr is None:
            return self._known(True, wanted=wanted)  # noqa: FBT003 - it is so
        return self.cases(pst.BinaryOp("in", expression.base, expression.in_expr), wanted)

    def _like(self, expression: pst.Like, *, wanted: bool) -> list[_Case]:
        base, pattern = expression.base, expression.pattern
        constant, subject = self._const(base), self._subject(base)
        if constant is not None or set(pattern) == {pst.Wildcard()}:
            return self._known(constant is None or is_like(constant[1], pattern), wanted=wanted)
        if subject is None:
            return self._free(expression, wanted=wanted)
        return self._one(subject[0], _both(subject[1], _Words(like=frozenset({(pattern, wanted)}))))

    def _contains(self, expression: pst.Expr, base: pst.Expr, sought: pst.Expr, *, wanted: bool) -> list[_Case]:
        path, constant = path_of(base), self._const(sought)
        typed = None if path is None else type_at(self.place.context, path)
        match typed, constant:
            case SetOf(Scalar("String", frozenset() as texts, fixed=True)), ("str", word) if word not in texts:
                return self._known(False, wanted=wanted, path=path)  # noqa: FBT003 - no item is that
            case _:
                return self._free(expression, wanted=wanted)

    def _among(
        self, expression: pst.Expr, sought: pst.Expr, elements: tuple[pst.Expr, ...], *, wanted: bool
    ) -> list[_Case]:
        constants = [self._const(element) for element in elements]
        if None in constants:
            return self._known(True, wanted=wanted) if sought in elements else self._free(expression, wanted=wanted)  # noqa: FBT003 - it equals itself
        constant, subject = self._const(sought), self._subject(sought)
        if constant is not None:
            return self._known(constant in constants, wanted=wanted)
        if subject is None:
            return self._free(expression, wanted=wanted)
        values = frozenset(each[1] for each in constants if each is not None)
        asked: _Domain
        if isinstance(subject[1], _Words):
            asked = _Words(values) if wanted else _Words(out=values)
        else:
            whole = frozenset(value for value in values if isinstance(value, int))
            asked = _Numbers(LONG_MIN, LONG_MAX, whole) if wanted else _Numbers(LONG_MIN, LONG_MAX, out=whole)
        return self._one(subject[0], _both(subject[1], asked))

    def _below(self, low: pst.Expr, high: pst.Expr, *, wanted: bool) -> list[_Case]:
        """Read `low < high`."""
        under, over = _number(low), _number(high)
        if low == high or (under is not None and over is not None):
            return self._known(under is not None and over is not None and under < over, wanted=wanted)
        subject = self._subject(low if under is None else high)
        if (under is None and over is None) or subject is None or not isinstance(subject[1], _Numbers):
            return self._free(pst.BinaryOp("less", low, high), wanted=wanted)
        if over is not None:
            asked = _Numbers(LONG_MIN, over - 1) if wanted else _Numbers(over, LONG_MAX)
        else:
            bound = 0 if under is None else under
            asked = _Numbers(bound + 1, LONG_MAX) if wanted else _Numbers(LONG_MIN, bound)
        return self._one(subject[0], _both(subject[1], asked))

    def _subject(self, expression: pst.Expr) -> tuple[Key, _Numbers | _Words] | None:
        """Return what is compared, where it is one attribute or the user, with all that it can be."""
        if expression == pst.Var("principal"):
            return ("principal",), _Words()
        path = path_of(expression)
        match None if path is None else type_at(self.place.context, path):
            case Scalar("String", texts, fixed):
                return ("path", path), _Words(texts if fixed and texts is not None else None)
            case Scalar("Long" | "decimal") as scalar:
                least, most = scalar.least, scalar.most
                return ("path", path), _Numbers(
                    LONG_MIN if least is None else least, LONG_MAX if most is None else most, scalar.numbers
                )
            case _:
                return None

    def _const(self, expression: pst.Expr) -> Const | None:
        """Return the value of a literal; here the operation and its tool are known, too."""
        match expression:
            case pst.Var("action"):
                return "entity", ("Action", self.place.operation)
            case pst.Var("resource"):
                return "entity", ("Tool", self.place.tool)
            case pst.EntityLit(entity):
                return "entity", (str(entity.type), entity.id)
            case pst.StringLit(value) | pst.BoolLit(value):
                return type(value).__name__, value
            case pst.Set(elements):
                return self._const_set(elements)
            case _:
                number = _number(expression)
                return None if number is None else ("number", number)

    def _const_set(self, elements: tuple[pst.Expr, ...]) -> Const | None:
        constants = frozenset(self._const(element) for element in elements)
        return None if None in constants else ("set", constants)


def _number(expression: object) -> int | None:
    """Return the value of a number without attributes, decimals in ten-thousandths; None where it has none."""
    found: int | None = None
    match expression:
        case pst.LongLit(value):
            found = value
        case pst.UnaryOp("neg", inner):
            negated = _number(inner)
            found = None if negated is None else -negated
        case pst.UnaryOp("decimal", pst.StringLit(text)):
            found = _scaled(text)
        case pst.BinaryOp("add" | "sub" | "mul" as sign, left, right):
            one, other = _number(left), _number(right)
            if one is not None and other is not None:
                found = {"add": one + other, "sub": one - other, "mul": one * other}[sign]
        case _:
            pass
    return found if found is not None and LONG_MIN <= found <= LONG_MAX else None  # (beyond, Cedar errs)


def _scaled(text: str) -> int | None:
    try:
        scaled = Decimal(text) * DECIMAL_SCALE
    except InvalidOperation:
        return None
    return int(scaled) if scaled.is_finite() else None
