"""Walk the tree of a policy, read the paths in it, and pair the texts in it with what they are compared with.

list(nodes(template))                            # every node
path_of(expression)                              # ("arguments", "amount_minor") of context.arguments.amount_minor
leaves(expression)                               # x and y of `if c then x else y`, x of `{a: x}.a`
unlike(node, {("task", "use_case"): frozenset({"refund"})}.get)      # what `node` compares in vain
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass

from cedarpy import pst

PAIRS_MAX = 100_000  # looked at in one comparison; beyond, nothing is found in it

Path = tuple[str, ...]
Texts = Callable[[Path], frozenset[str] | None]
"""All that the text at a path can be, or an item of the list there; None: anything."""


@dataclass(frozen=True, slots=True)
class Unlike:
    """The text `word` is compared with the attribute at `path`, and is never that.

    Where it is not `sure`, the text may be meant for something beside that attribute, in one literal with it.
    """

    path: Path
    word: str
    sure: bool = True


def nodes(root: object) -> Iterator[object]:
    """Walk every node under `root`, without recursion."""
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, tuple):
            stack += reversed(node)
        elif isinstance(node, Mapping):
            stack += node.values()
        elif is_dataclass(node):
            stack += [getattr(node, field.name) for field in fields(node)]


def path_of(expression: pst.Expr) -> Path | None:
    """Return the attributes that lead from `context` to what `expression` reads; None where it is no such path."""
    found: list[str] = []
    while isinstance(expression, pst.GetAttr):
        found.append(expression.attr)
        expression = expression.base
    return (*reversed(found),) if expression == pst.Var("context") else None


def leaves(expression: pst.Expr) -> list[pst.Expr]:
    """Return what `expression` may stand for: both branches of a choice, and the field that is read of a literal."""
    match expression:
        case pst.IfThenElse(_, then, other):
            found = [*leaves(then), *leaves(other)]
        case pst.GetAttr(base, name):
            found = [leaf for each in leaves(base) for leaf in _field(each, name)]
        case _:
            found = [expression]
    return list(dict.fromkeys(found))


def _field(base: pst.Expr, name: str) -> list[pst.Expr]:
    if isinstance(base, pst.Record):
        return leaves(base.fields[name]) if name in base.fields else []
    return [pst.GetAttr(base, name)]


def unlike(node: object, texts: Texts) -> list[Unlike]:
    """Return each text that `node` compares with an attribute that is never that text, in literals too."""
    if not isinstance(node, pst.BinaryOp):
        return []
    try:
        missed = list(dict.fromkeys(_Pairs(texts).compared(node)))
    except _TooManyError:
        return []
    sure = [Unlike(each.path, each.word) for each in missed if each.path is not None and each.sure]
    if sure or not missed:
        return sure
    inside = _closed_inside((node.left, node.right), texts)
    return [] if inside is None else [Unlike(inside, missed[0].word, sure=False)]


def _closed_inside(operands: tuple[pst.Expr, ...], texts: Texts) -> Path | None:
    """Return the first closed attribute that stands inside a set or record literal."""
    for literal in nodes(operands):
        if isinstance(literal, pst.Set | pst.Record):
            for node in nodes(literal):
                path = path_of(node) if isinstance(node, pst.GetAttr) else None
                if path is not None and texts(path) is not None:
                    return path
    return None


# -- what is compared with what


class _TooManyError(Exception):
    """More pairs than are looked at."""


@dataclass(frozen=True, slots=True)
class _Missed:
    """A text that is not the other side: an attribute at `path`, or another text (None)."""

    path: Path | None
    word: str
    sure: bool = True


@dataclass(slots=True)
class _Pairs:
    """Pairs both sides of one comparison. What cannot be paired by its form, such as two attributes, is not missed."""

    texts: Texts
    left: int = PAIRS_MAX

    def compared(self, node: pst.BinaryOp) -> list[_Missed]:
        match node:
            case pst.BinaryOp("eq" | "not_eq", one, other):
                return self._equal(one, other)
            case pst.BinaryOp("contains", one, sought):
                return self._within(one, pst.Set((sought,)), all_of=True)
            case pst.BinaryOp("contains_all" | "contains_any" as op, one, other):
                return self._within(one, other, all_of=op == "contains_all")
            case _:
                return []

    def _within(self, one: pst.Expr, other: pst.Expr, *, all_of: bool) -> list[_Missed]:
        found: list[_Missed] = []
        for left in leaves(one):
            for right in leaves(other):
                if isinstance(left, pst.Set) and isinstance(right, pst.Set):
                    found += self._items(right, left, every=all_of) + self._items(left, right, every=False)
                else:
                    found += self._same(left, right)
        return found

    def _equal(self, one: pst.Expr, other: pst.Expr) -> list[_Missed]:
        """Pair every leaf of one side with every leaf of the other; a text on both sides has found its match."""
        lefts, rights = leaves(one), leaves(other)
        matched = {leaf for leaf in lefts if isinstance(leaf, pst.StringLit)}.intersection(rights)
        pairs = [(left, right) for left in lefts for right in rights if not {left, right} & matched]
        return [missed for left, right in pairs for missed in self._same(left, right)]

    def _same(self, one: pst.Expr, other: pst.Expr) -> list[_Missed]:
        self.left -= 1
        if self.left < 0:
            raise _TooManyError
        match one, other:
            case pst.StringLit(word), pst.StringLit(text):
                return [] if word == text else [_Missed(None, word)]
            case pst.Set(), pst.Set():
                return self._items(one, other, every=True) + self._items(other, one, every=True)
            case pst.Record(values), pst.Record(others):
                shared = [name for name in values if name in others]
                return [missed for name in shared for missed in self._equal(values[name], others[name])]
            case ((pst.StringLit() | pst.Set() | pst.Record()), pst.GetAttr()):
                return self._read(other, one)
            case pst.GetAttr(), (pst.StringLit() | pst.Set() | pst.Record()):
                return self._read(one, other)
            case _:
                return []

    def _read(self, attribute: pst.Expr, literal: pst.Expr) -> list[_Missed]:
        path = path_of(attribute)
        match literal:
            case pst.StringLit(word) if path is not None:
                texts = self.texts(path)
                return [] if texts is None or word in texts else [_Missed(path, word)]
            case pst.Set(elements):
                return [missed for each in elements for missed in self._equal(attribute, each)]
            case pst.Record(values):
                parts = [(pst.GetAttr(attribute, name), value) for name, value in values.items()]
                return [missed for part, value in parts for missed in self._equal(part, value)]
            case _:
                return []

    def _items(self, items: pst.Set, group: pst.Set, *, every: bool) -> list[_Missed]:
        """Look for each item in `group`: for every one, or for those with a text in them."""
        among = list(dict.fromkeys(group.elements))
        texts = frozenset(each for each in among if isinstance(each, pst.StringLit))
        found: list[_Missed] = []
        for item in dict.fromkeys(items.elements):
            if item not in texts and (every or any(isinstance(node, pst.StringLit) for node in nodes(item))):
                found += self._among(item, among)
        return found

    def _among(self, item: pst.Expr, group: list[pst.Expr]) -> list[_Missed]:
        if isinstance(item, pst.StringLit):  # (it is none of the texts there: only the rest is left)
            group = [each for each in group if not isinstance(each, pst.StringLit)]
            if not group:
                return [_Missed(None, item.value)]
        tried = [(each, self._equal(item, each)) for each in group]
        missed = [one for _, found in tried for one in found]
        fits = [each for each, found in tried if not found]
        if not fits:
            return [one for one in missed if one.path is not None] or missed
        closed = [one for one in missed if one.path is not None]
        if closed and isinstance(item, pst.StringLit) and all(self._is_open(each) for each in fits):
            return [_Missed(closed[0].path, item.value, sure=False)]  # (it may be a misspelling of the closed one)
        return []

    def _is_open(self, expression: pst.Expr) -> bool:
        paths = [path_of(leaf) for leaf in leaves(expression)]
        return all(path is not None and self.texts(path) is None for path in paths)
