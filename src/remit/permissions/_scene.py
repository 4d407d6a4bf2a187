"""Calls made up for a decision table: the plainest one of an operation, and it again with some attributes changed.

scene = Scene(shape, NOBODY_SAYS_MORE, "refunds", "refund")
scene.question({("arguments", "amount_minor"): 10_000, ("user", "groups"): ["finance"]})

A `Search` makes up calls in which policies apply, or do not, as is wished: it gives one attribute after another a value
worth trying, and goes back as soon as some wish cannot come true any more, to an attribute that this depends on.
"""

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from remit.core import Attribute, Json, JsonObject
from remit.permissions._bounds import DECIMAL_UNIT, USER_ID, Compared, Known, Open, Path, Rule, applies
from remit.permissions._model import GROUPS, OperationShape, Question, UserShape
from remit.permissions._sample import ANY_TEXT, sample
from remit.permissions._types import Record, arguments_record, type_text

FIXED: frozenset[Path] = frozenset(
    {("agent", "name"), ("operation", "effect"), ("operation", "tier"), ("task", "use_case")}
)
"""What is the same in every call of one operation in one use case."""

LEVEL: Path = ("agent", "level")
CONFIDENCE: Path = ("agent", "confidence")
UNTRUSTED: Path = ("task", "untrusted")
GRANTED: Path = ("task", "granted")
USER_GROUPS: Path = ("user", GROUPS)

_KINDS: Mapping[Path, str] = {
    LEVEL: "String",
    CONFIDENCE: "Long",
    UNTRUSTED: "Bool",
    GRANTED: "Bool",
    USER_ID: "String",
    USER_GROUPS: "Set<String>",
}
_USER_KINDS = {"text": "String", "number": "Long", "yes_no": "Bool"}
_WHO = "somebody"
_PLAIN: Mapping[Path, Json] = {LEVEL: "A", CONFIDENCE: 100, USER_ID: _WHO, USER_GROUPS: []}
_PLAIN_OF_KIND: Mapping[str, Json] = {"Long": 0, "decimal": 0, "Bool": False}

Values = Mapping[Path, Json]
"""What a call made up differs in from the plainest one; None: absent."""


@dataclass(slots=True)
class Scene:
    """One operation as one agent may call it, and the plainest call of it."""

    shape: OperationShape
    user: UserShape
    agent: str
    use_case: str
    arguments: Record = field(init=False)
    plain: Json = field(init=False)

    def __post_init__(self) -> None:
        self.arguments = arguments_record(self.shape.input_schema)
        self.plain = sample(self.shape.input_schema)

    def kind(self, path: Path) -> str:
        """Return the Cedar type of what is at `path`; empty where that is not known."""
        match path:
            case ("arguments", _, *_):
                found = _attribute(self.arguments, path[1:])
                return "" if found is None else found
            case ("history", name):
                return self.shape.history.get(name, "")
            case ("facts", fact, value):
                return self.shape.facts.get(fact, {}).get(value, "")
            case ("labels", _):
                return "String"
            case ("user", name) if name in self.user.attributes:
                return _USER_KINDS[self.user.attributes[name]]
            case _:
                return _KINDS.get(path, "")

    def may_lack(self, path: Path) -> bool:
        """Tell whether a call can come without what is at `path`."""
        match path:
            case ("history", name):
                return name in self.shape.history_optional
            case ("user", _):
                return path not in _KINDS
            case ("task" | "operation", *_) | ("agent", "level"):
                return False
            case _:
                return True

    def usual(self, path: Path) -> Json:
        """Return what stands at `path` in the plainest call."""
        if path[0] == "arguments":
            return _at(self.plain, path[1:])
        if path[0] == "labels":
            return "user"
        return _PLAIN[path] if path in _PLAIN else _PLAIN_OF_KIND.get(self.kind(path), ANY_TEXT)

    def listed(self, path: Path) -> list[Json]:
        """Return the values that the operation's schema lists for the argument at `path`; empty: it lists none."""
        found = self._schema(path)
        values = _at(found, ("enum",))
        listed = [*values] if isinstance(values, list) else [_at(found, ("const",))]
        return [value for value in listed if value is not None]

    def limits(self, path: Path) -> list[int | float]:
        """Return the least and the greatest number that the operation's schema has for the argument at `path`."""
        found = (_at(self._schema(path), (key,)) for key in ("minimum", "maximum"))
        return [value for value in found if isinstance(value, int | float) and not isinstance(value, bool)]

    def _schema(self, path: Path) -> Json:
        schema: Json = self.shape.input_schema if path[0] == "arguments" else None
        for step in path[1:]:
            schema = _at(_plain(schema), ("properties", step))
        return _plain(schema)

    def fixed(self, path: Path) -> str:
        """Return what stands at a path that is the same in every call."""
        its = (self.agent, self.shape.effect, self.shape.tier, self.use_case)
        return dict(zip(sorted(FIXED), its, strict=True))[path]

    def question(self, values: Values) -> Question:
        """Build the question of the plainest call changed by `values`."""
        at = {path: value for path, value in values.items() if value is not None}
        confidence, groups = values.get(CONFIDENCE), at.get(USER_GROUPS, [])
        return Question(
            user=str(at.get(USER_ID, _WHO)),
            agent=self.agent,
            use_case=self.use_case,
            operation=self.shape.operation,
            tool=self.shape.tool,
            arguments=self._arguments(values),
            groups=tuple(map(str, groups)) if isinstance(groups, list) else (),
            attributes=tuple(self._attributes(at)),
            effect=self.shape.effect,
            tier=self.shape.tier,
            level=str(at.get(LEVEL, "A")),
            confidence=confidence if isinstance(confidence, int) else None,
            strangers=at.get(UNTRUSTED) is True,
            granted=at.get(GRANTED) is True,
            labels=tuple((path[1], str(value)) for path, value in sorted(at.items()) if path[0] == "labels"),
            history=tuple(self._history(values)),
            facts=self._facts(values),
        )

    def _arguments(self, values: Values) -> JsonObject:
        root = _copied(self.plain)
        arguments = root if isinstance(root, dict) else {}
        for path, value in sorted(values.items(), key=lambda each: each[0]):
            if path[0] == "arguments":
                _put(arguments, path[1:], value)
        return arguments

    def _attributes(self, at: Values) -> Iterator[tuple[str, Attribute]]:
        for path, value in sorted(at.items(), key=lambda each: each[0]):
            if path[0] == "user" and path not in _KINDS and isinstance(value, str | int):
                yield path[1], value

    def _history(self, values: Values) -> Iterator[tuple[str, int]]:
        for name, kind in sorted(self.shape.history.items()):
            value = values.get(("history", name), 0)
            if isinstance(value, int | float):
                yield name, scaled(value) if kind == "decimal" else int(value)

    def _facts(self, values: Values) -> Mapping[str, JsonObject]:
        facts: dict[str, JsonObject] = {}
        for fact, its in sorted(self.shape.facts.items()):
            paths: list[Path] = [("facts", fact, name) for name in sorted(its)]
            told = {path[2]: values.get(path, self.usual(path)) for path in paths}
            facts[fact] = {name: value for name, value in told.items() if value is not None}
        return facts


def _attribute(record: Record, path: Path) -> str | None:
    for step in path[:-1]:
        inner = record.attributes.get(step)
        if inner is None or not isinstance(inner.type, Record):
            return None
        record = inner.type
    last = record.attributes.get(path[-1])
    return None if last is None or isinstance(last.type, Record) else type_text(last.type)


def _at(value: Json, path: Path) -> Json:
    for step in path:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _plain(schema: Json) -> Json:
    """Return what `schema` says of what is not null, where it is written as two alternatives."""
    members = _at(schema, ("anyOf",))
    others = [each for each in members if _at(each, ("type",)) != "null"] if isinstance(members, list) else []
    return others[0] if len(others) == 1 else schema


def _put(root: JsonObject, path: Path, value: Json) -> None:
    for step in path[:-1]:
        if value is None and step not in root:
            return
        inner = root.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        root = inner
    if value is None:
        root.pop(path[-1], None)
    else:
        root[path[-1]] = value


def _copied(value: Json) -> Json:
    return {key: _copied(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def scaled(value: float) -> int:
    """Return a decimal as whole ten-thousandths."""
    return round(value * DECIMAL_UNIT)


# -- calls in which policies apply as is wished


@dataclass(frozen=True, slots=True)
class Wish:
    """That `rule` applies to the call looked for, or does not: `so`; with `path`, when that is `at(call)` instead.

    `at` says `Open` of what it needs to know first, and None where there is no such value.
    """

    rule: Rule
    so: bool
    path: Path = ()
    at: Callable[[Values], Known] = lambda _: None


@dataclass(slots=True)
class Search:
    """Calls made up of values that `worth` names for a path in a call known in part. `left` is how many steps remain.

    Every call that it finds is a guess until the policies themselves were asked.
    """

    scene: Scene
    found: Compared
    worth: Callable[[Path, Values], Sequence[Json]]
    left: int

    def calls(self, wishes: Sequence[Wish], steps_max: int) -> Iterator[Values]:
        """Yield calls, each with the attributes that the wishes depend on; none once no step is left."""
        kept = max(0, self.left - steps_max)
        self.left -= kept
        try:
            yield from self._solved(wishes, {})
        finally:  # (also when the caller wants no more of them)
            self.left += kept

    def applies(self, rule: Rule, call: Values) -> bool | Open:
        """Tell whether `rule` applies to `call`, in which only what stands there is known."""
        return applies(rule, lambda path: self._known(path, call), self.scene.shape.tool)

    def _solved(self, wishes: Sequence[Wish], call: Values) -> Generator[Values, None, frozenset[Path]]:
        """Yield every call that `call` can become. Return the attributes because of which there are no more."""
        if self.left <= 0:
            return frozenset()
        self.left -= 1
        path: Path | None = None
        for wish in wishes:
            answer = self._answer(wish, call)
            if isinstance(answer, Open):
                path = path or answer.path
            elif answer is not wish.so:
                return self._reasons(wish) & call.keys()
        if path is None:
            yield call
            return frozenset(call)
        because = self._beside(path) & call.keys()
        for value in self.worth(path, call):
            inner = yield from self._solved(wishes, {**call, path: value})
            if path not in inner:  # (whatever stands here, it goes no further)
                return inner
            because |= inner
        return because - {path}

    def _answer(self, wish: Wish, call: Values) -> bool | Open:
        if not wish.path:
            return self.applies(wish.rule, call)
        value = wish.at(call)
        if isinstance(value, Open):
            return value
        if value is None:
            return not wish.so
        return applies(
            wish.rule,
            lambda path: value if path == wish.path else self._known(path, call),
            self.scene.shape.tool,
        )

    def _reasons(self, wish: Wish) -> frozenset[Path]:
        read = frozenset(self.found.read[wish.rule.id])
        return read | self._beside(wish.path) if wish.path else read

    def _beside(self, path: Path) -> frozenset[Path]:
        """Return what the values worth trying at `path` depend on."""
        terms = (each for bound in self.found.bounds for each, _ in bound.terms if path in dict(bound.terms))
        return frozenset(terms) | frozenset(self.found.same.get(path, ()))

    def _known(self, path: Path, call: Values) -> Known:
        if path in FIXED:
            return self.scene.fixed(path)
        kind = self.scene.kind(path)
        if not kind:
            return self._record(path, call)
        if path not in call:
            return Open(path)
        value = call[path]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return scaled(float(str(value))) if kind == "decimal" and number else value

    def _record(self, path: Path, call: Values) -> Known:
        """Return what is known of a record: that it is there, where something in it is."""
        inner = [each for each in self.found.paths() if each[: len(path)] == path and each != path]
        if any(call.get(each) is not None for each in inner):
            return {}
        waiting = next((each for each in inner if each not in call and self.scene.kind(each)), None)
        return Open(waiting) if waiting else Open(None)
