"""The decision table of one operation: what its policies answer just below, at and just above each of their bounds.

1. Every number that a policy compares is tried below, at and above its bound, negative, zero, huge, beyond what a
   number can be, absent, as text, as a fraction, and a hundred times as much and as little (cents for euros). Every
   text is tried as each value that policies or the schema name, as another, in other letters, empty and absent.
2. The rest of the call is such that the policies permit it and the bound tells, where such a call can be found: the
   values tried for it are those that the policies themselves compare with. The search is bounded, and so is the table.
3. Nothing here decides: every row is the answer of `ask`, the real check of arguments and the real policies.

    rules = rules_of({"p.cedar": text})
    decision_table(rules, shape, ask, agent="refunds", use_case="refund").rows[0].decision        # "deny argument_type"
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise, product
from typing import assert_never

from remit.core import INTEGER_MAX, Allow, Decision, Deny, Hold, Json
from remit.permissions._bounds import DECIMAL_UNIT, Bound, Compared, Known, Open, Path, Rule, compared
from remit.permissions._convert import LONG_MAX
from remit.permissions._model import OperationShape, Question, UserShape
from remit.permissions._sample import ANY_TEXT
from remit.permissions._scene import FIXED, LEVEL, Scene, Search, Values, Wish, scaled
from remit.permissions._types import NOBODY_SAYS_MORE

BOUNDS_MAX = 64  # of one operation, numbers and texts together
ROWS_MAX = 2_000  # of one agent
ASKED_MAX = 4_000  # questions in search of calls on which bounds tell, for one operation in one use case
CALLS_MAX = 8  # permitted calls that a bound is tried on
TRIES_MAX = 64  # variations of each of them for one bound, or to get around what forbids a call
MENDS_MAX = 6  # policies that forbid a call and are got around, one after another
VALUES_MAX = 12  # of one attribute, where one is varied after another
STEPS_MAX = 20_000  # of making calls up from the policies' conditions, for one operation in one use case
STEPS_EACH_MAX = 500  # of them to make up one call
MADE_MAX = 8  # calls made up alike until the policies themselves answer as was wished
WORTH_MAX = 48  # values of one attribute there
PAIRS_MAX = 24  # pairs of values between which the answer should change
NOTHING_PERMITS = "no call was found that these policies permit: every row is a refusal"
UNKNOWN = "the search found no call that is permitted: this table does not show where the bounds are"
HUNDRED = 100  # minor units in a major one

LARGE = 1_000_000  # for what is compared with another attribute, so that it is no bound by itself
ANOTHER = "another"  # short and of small letters alone, so that a schema that takes free text takes it
ANY_OTHER = "any other text"  # the case of it, for people
COUNTED = "history"  # counters, which are never less than nothing
USE_CASE: Path = ("task", "use_case")
_NUMBERS = frozenset({"Long", "decimal"})
_OUTSIDE = ("arguments", "facts")  # whose values come from outside, so that they may be of any type
_LABELS = ("user", "directory", "system_of_record", "untrusted", "nowhere")
_LEVELS = ("A", "B", "C")
Ask = Callable[[Question], Decision]
_At = Callable[[Values], Known]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One call that was tried, in which `attribute` is `value` (None where the case is `absent`), and the answer.

    `others` are the other attributes that policies look at, chosen so that the bound tells, and `beside` the names of
    those of them that a reader should know. `policies` are those that look at the attribute, `by` those that the answer
    names.
    """

    agent: str
    use_case: str
    operation: str
    attribute: str
    case: str
    value: Json
    others: tuple[tuple[str, Json], ...]
    beside: tuple[str, ...]
    decision: str
    policies: tuple[str, ...]
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of one operation in one use case. `cut` says what was left out, one line each; mostly nothing.

    With `unknown`, no permitted call was found although there may be one: the rows are refusals for some other reason
    than the bounds that they are about, and a change of a bound may not show in them.
    """

    rows: tuple[Row, ...] = ()
    cut: tuple[str, ...] = ()
    unknown: bool = False


@dataclass(frozen=True, slots=True)
class _Case:
    """One value. With `probe`, it shows whether the bound tells: where such values are answered alike, it does not."""

    name: str
    value: Json
    probe: bool = False


def decision_table(  # noqa: PLR0913 - who asks, of what, and by whom it is answered
    rules: Sequence[Rule],
    shape: OperationShape,
    ask: Ask,
    *,
    agent: str,
    use_case: str,
    user: UserShape = NOBODY_SAYS_MORE,
    rows_max: int = ROWS_MAX,
) -> Table:
    """Try the bounds of those of `rules` that can concern the operation of `shape`; each row is answered by `ask`.

    The same rules, shape and answers give the same table. At most `BOUNDS_MAX` bounds are tried and `rows_max` rows
    made; the table says so where there were more.
    """
    mine = [rule for rule in rules if rule.concerns(shape.operation)]
    found = compared(mine)
    bench = _Bench(Scene(shape, user, agent, use_case), mine, found, ask)
    tried = [(path, bound) for path in found.paths() for bound in bench.bounds_of(path)]
    if not tried:
        return Table()
    bench.find_calls()
    rows = [row for path, bound in tried[:BOUNDS_MAX] for row in bench.rows(path, bound)]
    rows = _once(rows)
    permitted = bench.permitted or not all(row.decision.startswith("deny") for row in rows)
    unknown = not permitted and bench.may_permit()
    cut = [] if permitted else [UNKNOWN if unknown else NOTHING_PERMITS]
    if len(tried) > BOUNDS_MAX:
        cut.append(
            f"{len(tried) - BOUNDS_MAX} of {len(tried)} bounds left out: {BOUNDS_MAX} are tried for one operation"
        )
    if len(rows) > rows_max:
        cut.append(f"{len(rows) - rows_max} of {len(rows)} rows left out")
    return Table(tuple(rows[:rows_max]), tuple(cut), unknown)


def _once(rows: Sequence[Row]) -> list[Row]:
    """Return `rows` without those of a call that an earlier one is of."""
    first: dict[str, Row] = {}
    for row in rows:
        first.setdefault(repr((row.attribute, row.others, row.value)), row)
    return list(first.values())


# -- what is tried


@dataclass(slots=True)
class _Bench:
    """One operation under its policies. Calls that they permit are found first; then each bound is tried on one."""

    scene: Scene
    rules: Sequence[Rule]
    found: Compared
    ask: Ask
    asked: int = 0
    calls: list[Values] = field(default_factory=list)
    permitted: bool = False
    usual: Values = field(init=False)
    search: Search = field(init=False)
    fit: dict[str, bool] = field(default_factory=dict)  # whether the schema takes an argument, by both

    def __post_init__(self) -> None:
        self.usual = {path: self.scene.usual(path) for path in self.found.paths() if path not in FIXED}
        self.search = Search(self.scene, self.found, self._worth, STEPS_MAX)

    def bounds_of(self, path: Path) -> list[Bound | None]:
        """Return the bounds on the number at `path`; one that is None for a text and the like; none: nothing to try."""
        kind = self.scene.kind(path)
        if path == USE_CASE:
            return [None]
        if kind in _NUMBERS:
            return [bound for bound in self.found.bounds if path in dict(bound.terms)]
        return [] if path in FIXED or not kind else [None]

    # The search.

    def find_calls(self) -> None:
        """Find calls that the policies permit, one for each permit, of the values that the policies compare with."""
        permits = self._permits()
        calls: list[Values] = []
        held: list[Values] = []
        for rule in permits[:CALLS_MAX]:
            call, answer = self._made_for(rule)
            if isinstance(answer, Deny):
                asked_max = self.asked + ASKED_MAX // (2 * len(permits))
                call, answer = self._permitted_by(rule, self.usual, asked_max)
            if isinstance(answer, Allow):
                calls.append(call)
            elif isinstance(answer, Hold):
                held.append(call)
        self.permitted = bool(calls or held)
        self.calls = [*calls, *held] or [self.usual]

    def may_permit(self) -> bool:
        """Tell whether some policy may permit some call, as far as that follows from the use case and the like."""
        certain = any(rule.forbids and self.search.applies(rule, {}) is True for rule in self.rules)
        return bool(self._permits()) and not certain

    def _permits(self) -> list[Rule]:
        """Return the permits, without those that apply to no call of this operation in this use case."""
        permits = [rule for rule in self.rules if rule.effect == "permit"]
        return [rule for rule in permits if self.search.applies(rule, {}) is not False]

    def _made_for(self, rule: Rule) -> tuple[Values, Decision]:
        """Make up a call that `rule` permits, and that nothing forbids or, failing that, that waits for people."""
        call, answer = self.usual, self._answer(self.usual)
        for forbids in self._forbids():
            wishes = [Wish(rule, so=True), *(Wish(each, so=False) for each in forbids)]
            for made in self._made(wishes):
                call, answer = made, self._answer(made)
                if not isinstance(answer, Deny):
                    return call, answer
        return call, answer

    def _forbids(self) -> list[list[Rule]]:
        """Return all that may stand against a call; and that alone which nobody can approve."""
        forbids = [rule for rule in self.rules if rule.effect == "forbid"]
        absolute = [rule for rule in forbids if rule.forbids]
        return [forbids] if len(absolute) == len(forbids) else [forbids, absolute]

    def _made(self, wishes: Sequence[Wish]) -> Iterator[Values]:
        for made in islice(self.search.calls(wishes, STEPS_EACH_MAX), MADE_MAX):
            yield {**self.usual, **made}

    def _permitted_by(self, rule: Rule, usual: Values, asked_max: int) -> tuple[Values, Decision]:
        """Return a call that `rule` permits, with the answer to it; the last one tried, where none is found."""
        call, answer = usual, self._answer(usual)
        for varied in self._variations(usual, list(self.found.read[rule.id])):
            call, answer = self._mended(varied, frozenset())
            if not isinstance(answer, Deny) or self.asked > asked_max:
                break
        return call, answer

    def _mended(self, call: Values, kept: frozenset[Path]) -> tuple[Values, Decision]:
        """Change what the policies that forbid `call` look at, except `kept`, until none of them forbids it.

        Return the best that was found with the answer to it, which may still be a denial.
        """
        best, answer = call, self._answer(call)
        for _ in range(MENDS_MAX):
            against = self._against(answer)
            paths = [path for rule in against for path in self.found.read[rule.id] if path not in kept]
            before = best
            for varied in islice(self._variations(best, list(dict.fromkeys(paths))), TRIES_MAX if against else 0):
                found = self._answer(varied)
                if _better(found, answer, len(self._against(found)), len(self._against(answer))):
                    best, answer = varied, found
                if isinstance(found, Allow) or self.asked > ASKED_MAX:
                    return best, answer
            if best is before:
                break
        return best, answer

    def _against(self, answer: Decision) -> list[Rule]:
        """Return the policies that forbid a call, or hold it, by the answer to it."""
        said = "" if isinstance(answer, Allow) else answer.reason.message.partition(" by `")[2]
        return [rule for rule in self.rules if f"`{rule.id}`" in f"`{said}"]

    def _variations(self, call: Values, paths: Sequence[Path]) -> Iterator[Values]:
        free = [path for path in paths if path in call]
        for values in product(*(self._candidates(path) for path in free)):
            yield {**call, **dict(zip(free, values, strict=True))}

    def _candidates(self, path: Path) -> list[Json]:
        """Return what is worth trying at `path`, the plainest first."""
        usual = self.scene.usual(path)
        match self.scene.kind(path):
            case "Long" | "decimal" as kind:
                tried = self._numbers(path, kind)
            case "Bool":
                tried = [False, True]
            case "Set<String>":
                tried = [[*self.found.texts.get(path, ())], []]
            case _:
                tried = [*self._texts(path)]
        if self.scene.may_lack(path):
            tried.append(None)
        return _distinct([usual, *tried])[:VALUES_MAX]

    def _worth(self, path: Path, call: Values) -> list[Json]:
        """Return what is worth trying at `path` in a call known in part: what it is compared with there comes first."""
        kind = self.scene.kind(path)
        values = [self.scene.usual(path), *(call[each] for each in self.found.same.get(path, ()) if each in call)]
        if kind in _NUMBERS:
            values += self._near(path, kind, call)
        elif kind == "Set<String>":
            values += self._sets(path, call)
        elif kind == "String":
            values += [*self._texts(path), *self._class_texts(path), *_next_to(values[0]), ANOTHER]
        values += self._candidates(path)
        mine = [value for value in _distinct(values) if _is_of(value, kind)][:WORTH_MAX]
        fitting = [value for value in mine if self._fits(path, value)]
        # (where nothing fits by itself, such as one member of an object that needs two, everything is tried)
        return fitting if any(value is not None for value in fitting) else mine

    def _near(self, path: Path, kind: str, call: Values) -> list[Json]:
        """Return the numbers at and beside every bound of `path` in `call`, and those of the schema."""
        known = {each: _whole(value, self.scene.kind(each)) for each, value in {**self.usual, **call}.items()}
        mine = [bound for bound in self.found.bounds if path in dict(bound.terms)]
        near = [bound.at(path, known) + step for bound in mine for step in (0, -1, 1)]
        least = 0 if path[0] == COUNTED else -LONG_MAX
        return [*(_human(value, kind) for value in near if least <= value <= LONG_MAX), *self.scene.limits(path)]

    def _sets(self, path: Path, call: Values) -> list[Json]:
        texts: list[Json] = [*self.found.texts.get(path, ())]
        for each in self.found.same.get(path, ()):
            texts += [value for value in (call.get(each), *self._texts(each)) if isinstance(value, str)]
        alone: list[Json] = [[text] for text in texts]
        without: list[Json] = [[each for each in texts if each != text] for text in texts]
        return [texts, *alone, *without, [ANOTHER]]

    def _class_texts(self, path: Path) -> list[str]:
        """Return the texts named for whatever must be equal to `path` if all that is compared with one another is."""
        alike = {path: None}
        for each in (ways := [path]):
            ways += [other for other in self.found.same.get(each, ()) if other not in alike]
            alike |= dict.fromkeys(ways)
        return [text for each in alike for text in self._texts(each)]

    def _fits(self, path: Path, value: Json) -> bool:
        """Tell whether the schema takes `value`, which only the real check knows; once for each."""
        if path[0] != "arguments":
            return True
        key = repr((path, value))
        if key not in self.fit and self.asked < ASKED_MAX:
            answer = self._answer({**self.usual, path: value})
            self.fit[key] = not isinstance(answer, Deny) or answer.reason.code.startswith("policy_")
        return self.fit.get(key, True)

    def _numbers(self, path: Path, kind: str) -> list[Json]:
        """Return numbers at and beside the bounds of `path`, and a large one where it bounds other attributes."""
        mine = [bound for bound in self.found.bounds if path in dict(bound.terms)]
        near = [bound.at(path, {}) + step for bound in mine for step in (0, -1, 1)]
        large = [LARGE * _unit(kind)] if any(len(bound.terms) > 1 for bound in mine) else []
        least = 0 if path[0] == COUNTED else None
        found = [value for value in (*large, *near, _unit(kind)) if least is None or value >= least]
        return [_human(value, kind) for value in found]

    def _texts(self, path: Path) -> list[str]:
        """Return the texts that policies and the schema name for `path`, and those of what it is compared with."""
        if path == LEVEL:
            return [*_LEVELS]
        if path[0] == "labels":
            return [*_LABELS]
        texts: list[Json] = [*self.found.texts.get(path, ()), *self.scene.listed(path)]
        for other in self.found.same.get(path, ()):
            texts += [*self.found.texts.get(other, ()), self.scene.usual(other)]
        return [text for text in _distinct(texts) if isinstance(text, str)]

    def _answer(self, call: Values) -> Decision:
        self.asked += 1
        return self.ask(self.scene.question(call))

    # The rows.

    def rows(self, path: Path, bound: Bound | None) -> list[Row]:
        """Try one bound on a call on which it tells, and also on the plainest one if that goes through all the same."""
        if path == USE_CASE:
            return [self._row(path, _Case("is", self.scene.use_case), self.calls[0])]
        calls = [self._telling(path, bound)]
        if bound is not None and calls[0] != self.calls[0] and self._unbound(path, bound, self.calls[0]):
            calls.append(self.calls[0])
        return [self._row(path, case, call) for call in calls for case in self._cases(path, bound, call)]

    def _unbound(self, path: Path, bound: Bound, call: Values) -> bool:
        """Tell whether `call` goes through on either side of the bound, which a reader should see beside the others."""
        cases = [case for case in self._cases(path, bound, call) if case.probe]
        return all(isinstance(self._answer({**call, path: case.value}), Allow) for case in cases)

    def _telling(self, path: Path, bound: Bound | None) -> Values:
        """Return a call in which it matters what stands at `path`; the first one there is, where none is found."""
        rules = [bound.rule] if bound is not None else self.found.readers(path, self.rules)
        others = list(dict.fromkeys(each for rule in rules for each in self.found.read[rule.id] if each != path))
        varied = [call for each in self.calls for call in islice(self._variations(each, others), TRIES_MAX)]
        for call in (*self.calls, *varied):
            if self._tells(path, bound, call) and self._crossed(path, bound, call):
                return call
        for call in self._made_telling(path, bound, rules):
            if self._tells(path, bound, call) and self._crossed(path, bound, call):
                return call
        for call in (*self.calls, *varied):
            if self._tells(path, bound, call):
                return call
        for call in (*self.calls, *varied):
            for case in self._probes(path, bound, call):
                mended, _ = self._mended({**call, path: case.value}, frozenset({path}))
                if self._tells(path, bound, mended):
                    return mended
        return self.calls[0]

    def _crossed(self, path: Path, bound: Bound | None, call: Values) -> bool:
        """Tell whether the answer changes where the bound's own policy begins or ends to apply, not beside it."""
        if bound is None:
            return True
        tried = [{**call, path: case.value} for case in self._cases(path, bound, call) if case.probe]
        told = [(_said(self._answer(each)), self.search.applies(bound.rule, each)) for each in tried]
        return any(one[0] != other[0] and _differ(one[1], other[1]) for one, other in pairwise(told))

    def _made_telling(self, path: Path, bound: Bound | None, rules: Sequence[Rule]) -> Iterator[Values]:
        """Make calls up in which one of `rules` decides, and applies at one value of `path` and not at another."""
        for rule, (here, there) in product(rules, self._pairs(path, bound)):
            permits = [rule] if rule.effect == "permit" else self._permits()[:CALLS_MAX]
            for permit, forbids in product(permits, self._forbids()):
                wishes = [
                    Wish(permit, so=True, path=path, at=here),
                    *(Wish(each, so=False, path=path, at=here) for each in forbids),
                ]
                if rule is permit:
                    wishes += [Wish(each, so=False, path=path, at=there) for each in self._permits()]
                else:
                    wishes = [each for each in wishes if each.rule is not rule]
                    wishes += [Wish(rule, so=False, path=path, at=here), Wish(rule, so=True, path=path, at=there)]
                    wishes += [Wish(permit, so=True, path=path, at=there)]
                    if not rule.forbids:
                        wishes += [Wish(each, so=False, path=path, at=there) for each in forbids if each is not rule]
                yield from self._made(wishes)

    def _pairs(self, path: Path, bound: Bound | None) -> list[tuple[_At, _At]]:
        """Return values of `path` between which the answer should change: neighbours at a bound, or any two texts."""
        if bound is not None:
            steps = ((0, 1), (0, -1), (-1, 0), (1, 0))
            return [(self._at(path, bound, one), self._at(path, bound, other)) for one, other in steps]
        probes = [
            case.value for case in self._cases(path, None, self.calls[0]) if case.probe and case.value is not None
        ]
        two = [(_just(one), _just(other)) for one, other in product(probes, probes) if one != other]
        return two[:PAIRS_MAX]

    def _at(self, path: Path, bound: Bound, step: int) -> _At:
        """Return what finds the value of `path` `step` units beside the bound, in a call known in part."""
        others = [each for each, _ in bound.terms if each != path]

        def at(call: Values) -> Known:
            unknown = next((each for each in others if each not in call), None)
            if unknown is not None:
                return Open(unknown)
            value = bound.at(path, {each: _whole(call[each], self.scene.kind(each)) for each in others}) + step
            return None if path[0] == COUNTED and value < 0 else value

        return at

    def _probes(self, path: Path, bound: Bound | None, call: Values) -> list[_Case]:
        """Return the cases that show whether the bound tells; none once enough was asked."""
        return [] if self.asked > ASKED_MAX else [case for case in self._cases(path, bound, call) if case.probe]

    def _tells(self, path: Path, bound: Bound | None, call: Values) -> bool:
        answers = {_said(self._answer({**call, path: case.value})) for case in self._probes(path, bound, call)}
        return len(answers) > 1 and not all(answer.startswith("deny") for answer in answers)

    def _cases(self, path: Path, bound: Bound | None, call: Values) -> list[_Case]:
        kind = self.scene.kind(path)
        if bound is not None:
            others = {each: _whole(call.get(each), self.scene.kind(each)) for each, _ in bound.terms}
            cases = _number_cases(bound.at(path, others), kind, path)
            cases += [_Case("the schema's", value) for value in self.scene.limits(path)]
        elif kind == "Bool":
            cases = [_Case("yes", value=True, probe=True), _Case("no", value=False, probe=True)]
            cases += [_Case("as text", "true")] if path[0] in _OUTSIDE else []
        elif kind.startswith("Set<"):
            cases = self._set_cases(path)
        else:
            cases = self._text_cases(path, call)
        if self.scene.may_lack(path):
            cases.append(_Case("absent", None, probe=bound is None))
        return cases

    def _text_cases(self, path: Path, call: Values) -> list[_Case]:
        named = dict.fromkeys([*self._texts(path), *self._same(path, call)])
        its = call.get(path)
        if isinstance(its, str) and its != self.scene.usual(path):  # (what the search had to find goes through)
            named[its] = None
        cases = [_Case(self._named(path, text, call), text, probe=True) for text in named]
        if path[0] == "labels" or path == LEVEL:
            return cases
        swapped = [text.swapcase() for text in self.found.texts.get(path, ()) if text.swapcase() not in named]
        cases += [_Case("other letters", text) for text in dict.fromkeys(swapped)]
        cases += [_Case(ANY_OTHER, ANOTHER, probe=True), _Case("empty", "")]
        return [*cases, _Case("a number", 1)] if path[0] in _OUTSIDE else cases

    def _same(self, path: Path, call: Values) -> Mapping[str, str]:
        """Return the texts of what is compared with `path`, each with the name of what it stands at in `call`."""
        found = ((call.get(other), ".".join(other)) for other in self.found.same.get(path, ()))
        return {text: name for text, name in found if isinstance(text, str)}

    def _named(self, path: Path, text: str, call: Values) -> str:
        """Say what `text` is to a reader: one that somebody named, that of another attribute, or one made up."""
        others = self.found.same.get(path, ())
        made_up = {self.scene.usual(other) for other in others if self.scene.kind(other) == "String"}
        if text not in made_up or any(text in self.found.texts.get(each, ()) for each in (path, *others)):
            return "is"
        if text in self.scene.listed(path):
            return "is"
        same = self._same(path, call).get(text)
        return f"as {same}" if same else ANY_TEXT

    def _set_cases(self, path: Path) -> list[_Case]:
        texts: list[Json] = [*self.found.texts.get(path, ())]
        each: list[Json] = [[text] for text in texts]
        every: list[Json] = [texts, [*texts, ANOTHER]] if texts else []
        cases = [_Case("has", value, probe=True) for value in _distinct([*each, *every])]
        cases += [_Case(ANY_OTHER, [ANOTHER], probe=True), _Case("empty", [], probe=True)]
        return [*cases, _Case("as text", "a")] if path[0] in _OUTSIDE else cases

    def _row(self, path: Path, case: _Case, call: Values) -> Row:
        answer = self.ask(self.scene.question({**call, path: case.value}))
        return Row(
            agent=self.scene.agent,
            use_case=self.scene.use_case,
            operation=self.scene.shape.operation,
            attribute=".".join(path),
            case=case.name,
            value=case.value,
            others=tuple((".".join(each), value) for each, value in sorted(call.items()) if each != path),
            decision=_said(answer),
            beside=tuple(self._beside(path, call)),
            policies=tuple(rule.name for rule in self.found.readers(path, self.rules)),
            by=tuple(rule.name for rule in self._against(answer)),
        )

    def _beside(self, path: Path, call: Values) -> Iterator[str]:
        """Yield what of `call` a reader should know: what is unusual or there for the same policies to look at."""
        together = {each for rule in self.found.readers(path, self.rules) for each in self.found.read[rule.id]}
        for each, value in sorted(call.items(), key=lambda item: item[0]):
            argued = each in together and (each[0] == "arguments" or bool(value)) and value is not None
            if each != path and (argued or value != self.scene.usual(each)):
                yield ".".join(each)


def _better(found: Decision, than: Decision, against: int, against_before: int) -> bool:
    """Tell whether one answer is nearer to a permit than another: allowed, held, forbidden by few, not permitted."""
    return _rank(found, against) < _rank(than, against_before)


def _rank(answer: Decision, against: int) -> tuple[int, int]:
    match answer:
        case Allow():
            return 0, 0
        case Hold():
            return 1, against
        case Deny():
            return (2, against) if against else (3, 0)
        case _:
            assert_never(answer)


def _next_to(text: Json) -> list[str]:
    """Return a text beside one that fits a pattern, which probably fits it too: `ord-0001` for `ord-0000`."""
    return [text[:-1] + chr(ord(text[-1]) + 1)] if isinstance(text, str) and text else []


def _just(value: Json) -> _At:
    return lambda _: value


def _differ(one: bool | Open, other: bool | Open) -> bool:
    return isinstance(one, Open) or isinstance(other, Open) or one is not other


def _is_of(value: Json, kind: str) -> bool:
    """Tell whether a value is one that can stand where something of `kind` is looked for; None: nothing."""
    match kind:
        case "Long" | "decimal":
            return value is None or (isinstance(value, int | float) and not isinstance(value, bool))
        case "Bool":
            return value is None or isinstance(value, bool)
        case "String":
            return value is None or isinstance(value, str)
        case _:
            return value is None or isinstance(value, list)


def _number_cases(at: int, kind: str, path: Path) -> list[_Case]:
    """Return what is tried of a number whose bound is `at`, in whole units of its kind."""
    cases = [
        _Case("just below", _human(at - 1, kind), probe=True),
        _Case("at", _human(at, kind), probe=True),
        _Case("just above", _human(at + 1, kind), probe=True),
        _Case("zero", 0),
        _Case("a hundredfold", _human(at * HUNDRED, kind)),
        _Case("a hundredth", _human(at // HUNDRED, kind)),
        _Case("huge", INTEGER_MAX if kind == "Long" else LONG_MAX // DECIMAL_UNIT),
    ]
    if path[0] == COUNTED:  # (a count is never less than nothing, and never anything but a number)
        cases = [case for case in cases if _whole(case.value, kind) >= 0]
    else:
        cases.insert(3, _Case("negative", _human(-abs(at) or -_unit(kind), kind)))
    if path[0] not in _OUTSIDE:
        return [case for case in cases if not _beyond(case.value, kind)]
    cases.append(_Case("overflow", LONG_MAX + 1))
    cases.append(_Case("as text", str(_human(at, kind))))
    cases.append(_Case("a fraction", at + 0.5 if kind == "Long" else _fifth_place(at)))
    return cases


def _beyond(value: Json, kind: str) -> bool:
    """Tell whether a number is one that the gateway itself could never tell policies of."""
    return abs(_whole(value, kind)) > LONG_MAX


def _fifth_place(at: int) -> float:
    return (at * 10 + 5) / (DECIMAL_UNIT * 10)


def _unit(kind: str) -> int:
    return DECIMAL_UNIT if kind == "decimal" else 1


def _human(value: int, kind: str) -> int | float:
    """Return a number as a call carries it; `value` is in whole units of `kind`, of a decimal in ten-thousandths."""
    if kind != "decimal" or value % DECIMAL_UNIT == 0:
        return value // _unit(kind)
    return value / DECIMAL_UNIT


def _whole(value: Json, kind: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return scaled(value) if kind == "decimal" else int(value)


def _distinct(values: Sequence[Json]) -> list[Json]:
    """Return `values` without repetitions; 1, 1.0 and True are three."""
    first: dict[str, Json] = {}
    for value in values:
        first.setdefault(repr(value), value)
    return list(first.values())


def _said(decision: Decision) -> str:
    """Write a decision in a few words: `allow`, `hold finance x2 4h`, `deny policy_no_permit`."""
    match decision:
        case Allow():
            return "allow"
        case Hold(requirements=needs):
            return "hold " + " and ".join(
                f"{'|'.join(need.approvers)} x{need.quorum} {_duration(need.within_s)}" for need in needs
            )
        case Deny(reason):
            return f"deny {reason.code}"
        case _:
            assert_never(decision)


def _duration(seconds: int) -> str:
    unit, name = next(each for each in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")) if seconds % each[0] == 0)
    return f"{seconds // unit}{name}"
