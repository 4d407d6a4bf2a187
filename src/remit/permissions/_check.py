"""Check one policy: syntax, names, types, annotations. Every finding says file, line, what was found, what exists.

1. Bounds first, then Cedar's parser, so that no text reaches it that could end the process.
2. Names next: operations and tools that exist, and every `has`, because Cedar reads `has` on an unknown attribute as
   plain false, and a `forbid` guarded by a misspelt name would never apply.
3. Cedar's own strict validation against the generated schema last, its errors put into our words.

    checked = check(piece, vocabulary)        # a Policy, or the problems
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import cedarpy
from cedarpy import pst

from remit.core import JsonObject, Problem, Requirement
from remit.permissions._holds import hold_terms
from remit.permissions._model import GROUPS, Known, OperationShape, UserShape
from remit.permissions._parse import SAID_CHARS_MAX, TOKEN_SAID, Found, parse
from remit.permissions._reach import Clash, Place, always, is_like, never
from remit.permissions._scan import Piece
from remit.permissions._schema import schema_json
from remit.permissions._tree import Texts, leaves, nodes, path_of, unlike
from remit.permissions._types import (
    Record,
    attribute_texts,
    context_record,
    guard_text,
    path_text,
    record_at,
    texts_of,
    type_at,
    user_record,
    value_at,
    with_known,
)

ANNOTATIONS = ("approvers", "description", "hold", "id", "quorum", "within")
"""The annotations that mean something; any other is refused, since a misspelt `@hold` would change the meaning."""

_SCOPE = 'name the operations: `action in [Action::"get_order", ...]`, or add a condition'
_READ = "read `context.arguments`, `context.user`, `context.agent` or `context.task`"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_LISTED_MAX = 40  # names in one message

_UNKNOWN = re.compile(r'attribute `(?P<path>.+)` in context for Action::"(?P<operation>.+)" not found')
_OPTIONAL = re.compile(r'optional attribute `(?P<path>.+)` in context for Action::"(?P<operation>.+)"')
_UNKNOWN_ENTITY = re.compile(r"attribute `(?P<name>.+)` on entity type `(?P<type>.+)` not found")
_UNKNOWN_TYPE = re.compile(r"unrecognized entity type `(?P<type>.+)`")
_GROUP_TYPES = frozenset({"Group", "Role", "Team", "UserGroup"})  # what other schemas call them
_STEP = re.compile(r'\.?([A-Za-z_][A-Za-z0-9_]*)|\["([^"]*)"\]', re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """One sound policy. `operations` are those its scope can match; `est` is Cedar's own JSON form of it."""

    id: str
    file: str
    line: int
    operations: frozenset[str]
    est: JsonObject
    terms: tuple[Requirement, ...]
    description: str


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What policies may speak of: operations with their tools and contexts, and the Cedar schema of all that."""

    shapes: Mapping[str, OperationShape]
    contexts: Mapping[str, Record]
    schema: cedarpy.Schema

    def knowing(self, known: Known) -> "Vocabulary":
        """Return the same vocabulary for policies that may speak of other agents and use cases."""
        contexts = {name: with_known(context, known) for name, context in self.contexts.items()}
        return Vocabulary(self.shapes, contexts, self.schema)


def vocabulary_of(shapes: Mapping[str, OperationShape], user: UserShape, known: Known) -> Vocabulary:
    """Type the operations of `shapes` for such users, once for all policies."""
    users = user_record(user)
    contexts = {name: context_record(shape, users, known) for name, shape in shapes.items()}
    return Vocabulary(shapes, contexts, cedarpy.Schema.from_json_str(schema_json(contexts)))


def check(piece: Piece, vocabulary: Vocabulary) -> Policy | tuple[Problem, ...]:
    """Return the policy in `piece`, or every problem it has."""
    found = parse(piece)
    if isinstance(found, tuple):
        return _problems(piece, [found])
    template, est = found.template, found.est
    name = template.annotations.get("id") or f"{piece.file}:{piece.line}"
    terms, faults = hold_terms(template.effect, template.annotations, name)
    wrong = [*_annotations_wrong(piece, template), *_scope_wrong(piece, template, vocabulary)]
    wrong += [
        ("policy_hold_invalid", piece.line_of(f"@{fault.annotation}\\b"), fault.message, fault.fix) for fault in faults
    ]
    operations = _operations(template, vocabulary)
    if not operations and not wrong:
        message = "can never apply: its scope names no operation"
        wrong.append(("policy_unreachable", piece.line, message, "name the operations it is for, or take it away"))
    elif not any(code == "policy_unknown_action" for code, *_ in wrong):
        wrong += _names_wrong(piece, template, operations, vocabulary)
        wrong += _types_wrong(piece, vocabulary)
        # (Cedar's finding says for which operations a name is missing, where it looked.)
        said = {found[1] for found in wrong if found[0] == "policy_unknown_attribute"}
        wrong += [found for found in _reads_wrong(piece, template, operations, vocabulary) if found[1] not in said]
        wrong += _values_wrong(piece, template, operations, vocabulary)
    if not wrong:
        wrong += _never_or_always(piece, template, operations, vocabulary)
    if wrong:
        return _problems(piece, wrong)
    return Policy(
        id=name,
        file=piece.file,
        line=piece.line,
        operations=operations,
        est=est,
        terms=terms,
        description=" ".join(template.annotations.get("description", "").split())[:SAID_CHARS_MAX],
    )


def _problems(piece: Piece, wrong: list[Found]) -> tuple[Problem, ...]:
    return tuple(
        Problem(code=code, file=piece.file, line=line, message=message, fix=fix)
        for code, line, message, fix in dict.fromkeys(wrong)
    )


# -- annotations, scope, names


def _annotations_wrong(piece: Piece, template: pst.Template) -> Iterator[Found]:
    for name in sorted(set(template.annotations) - set(ANNOTATIONS)):
        known = ", ".join(f"`@{known}`" for known in ANNOTATIONS)
        line = piece.line_of(f"@\\s*{re.escape(name)}\\b")
        yield "policy_unknown_annotation", line, f"`@{name}` is not among {known}", _meant(f"{name}", ANNOTATIONS, "@")
    given = template.annotations.get("id")
    if given is not None and not _ID.fullmatch(given):
        fix = "use 1 to 64 of A-Z a-z 0-9 _ . -, a letter or digit first"
        yield "policy_id_invalid", piece.line_of("@id\\b"), f"`@id` is {given[:80]!r}", fix


def _scope_wrong(piece: Piece, template: pst.Template, vocabulary: Vocabulary) -> Iterator[Found]:
    named = sorted(pst.entity_uids(template), key=str)
    for uid in named:
        if str(uid.type) == "Action" and uid.id not in vocabulary.shapes:
            message = f"no operation `{uid.id}`; operations are {_listed(sorted(vocabulary.shapes))}"
            yield "policy_unknown_action", _line_of_text(piece, uid.id), message, _meant(uid.id, vocabulary.shapes)
    tools = sorted({vocabulary.shapes[name].tool for name in _operations(template, vocabulary)})
    for uid in named:
        if str(uid.type) == "Tool" and uid.id not in tools:
            message = f"no tool `{uid.id}` for these operations; their tools are {_listed(tools)}"
            yield "policy_unknown_tool", _line_of_text(piece, uid.id), message, _meant(uid.id, tools)
    if template.effect == "permit" and isinstance(template.action, pst.ScopeAny) and _unconditional(template):
        yield "policy_unscoped_permit", piece.line, "permits everything: every operation, without a condition", _SCOPE


def _unconditional(template: pst.Template) -> bool:
    return all(
        clause.expr == pst.BoolLit(isinstance(clause, pst.When))  # `when { true }`, `unless { false }`
        for clause in template.clauses
    )


def _operations(template: pst.Template, vocabulary: Vocabulary) -> frozenset[str]:
    match template.action:
        case pst.ActionEq(entity):
            named = frozenset({entity.id})
        case pst.ActionIn(entities):
            named = frozenset(entity.id for entity in entities)
        case _:
            named = frozenset(vocabulary.shapes)
    return named & frozenset(vocabulary.shapes)


def _names_wrong(
    piece: Piece, template: pst.Template, operations: frozenset[str], vocabulary: Vocabulary
) -> Iterator[Found]:
    """Find each `has` that is false for every operation in scope, and every use of tags, which nothing here carries."""
    for node in nodes(template):
        if isinstance(node, pst.BinaryOp) and node.op in ("has_tag", "get_tag"):
            line = piece.line_of(r"\.\s*(hasTag|getTag)\b")
            yield "policy_unknown_attribute", line, "tags: users and tools have none here", "read `context.arguments`"
        if isinstance(node, pst.HasAttr):
            yield from _has_wrong(piece, node, operations, vocabulary)


def _has_wrong(piece: Piece, node: pst.HasAttr, operations: frozenset[str], vocabulary: Vocabulary) -> Iterator[Found]:
    name, path = node.attrs[0], path_of(node.base)
    line = piece.line_of(rf"\bhas\s+\"?([\w.]*\.)?{re.escape(name)}\b")
    if path is None:
        message = f"`has {name}` on something other than a path from `context`: users and tools have no attributes here"
        fix = "write `context.arguments has ...`, or `context.user has ...`"
        yield "policy_unknown_attribute", line, message, fix
        return
    if operations and not _exists((*path, name), operations, vocabulary):
        yield _unknown(line, (*path, name), sorted(operations), vocabulary)


def _reads_wrong(
    piece: Piece, template: pst.Template, operations: frozenset[str], vocabulary: Vocabulary
) -> Iterator[Found]:
    """Find each path that exists for no operation in scope: Cedar does not look into what can never be reached."""
    for node in nodes(template.clauses):
        if not isinstance(node, pst.GetAttr):
            continue
        path, line = path_of(node), _line_of_attribute(piece, node.attr)
        if isinstance(node.base, pst.Var) and path is None:
            message = f"`{node.base.name}.{node.attr}`: users and tools have no attributes here"
            yield "policy_unknown_attribute", line, message, _READ
        elif path is not None and _is_lost(path, operations, vocabulary):
            yield _unknown(line, path, sorted(operations), vocabulary)


def _is_lost(path: tuple[str, ...], operations: frozenset[str], vocabulary: Vocabulary) -> bool:
    """Tell whether what leads to `path` exists for some operation, and `path` for none."""
    return _exists(path[:-1], operations, vocabulary) and not _exists(path, operations, vocabulary)


def _exists(path: tuple[str, ...], operations: frozenset[str], vocabulary: Vocabulary) -> bool:
    return any(type_at(vocabulary.contexts[name], path) is not None for name in operations)


def _values_wrong(
    piece: Piece, template: pst.Template, operations: frozenset[str], vocabulary: Vocabulary
) -> Iterator[Found]:
    """Find each text that is compared with something that is never that text: a misspelling, or out of date."""

    def texts(path: tuple[str, ...]) -> frozenset[str] | None:
        return _closed_set(path, operations, vocabulary)

    for node in nodes(template.clauses):
        if isinstance(node, pst.Like):
            yield from _pattern_wrong(piece, node, texts)
        for found in unlike(node, texts):
            known = sorted(texts(found.path) or ())
            yield (_never_that if found.sure else _unclear)(piece, found.path, found.word, known)


def _closed_set(path: tuple[str, ...], operations: frozenset[str], vocabulary: Vocabulary) -> frozenset[str] | None:
    """Return all that the text at `path` can be for these operations; None: anything, or there is none."""
    typed = [value_at(vocabulary.contexts[name], path) for name in operations]
    sets = [texts_of(each) for each in typed if each is not None]
    known = [texts for texts in sets if texts is not None]
    return frozenset[str]().union(*known) if sets and len(known) == len(sets) else None


def _pattern_wrong(piece: Piece, node: pst.Like, texts: Texts) -> Iterator[Found]:
    """Find the attributes that are never like the pattern of `node`; any text is like `*`."""
    shown = "".join("*" if isinstance(part, pst.Wildcard) else part.value for part in node.pattern)
    for path in map(path_of, leaves(node.base)):
        known = None if path is None or set(node.pattern) == {pst.Wildcard()} else texts(path)
        if path is not None and known is not None and not any(is_like(word, node.pattern) for word in known):
            yield _never_that(piece, path, shown, sorted(known), like="like " if pst.Wildcard() in node.pattern else "")


def _never_that(piece: Piece, path: tuple[str, ...], word: str, known: list[str], like: str = "") -> Found:
    message = f"`{path_text(path)}` is never {like}{word[:80]!r}; it is one of {_listed(known) or 'nothing at all'}"
    fix = _meant(word.replace("*", "") if like else word, known)
    return "policy_unknown_value", _line_of_value(piece, path, word), message, fix


def _unclear(piece: Piece, path: tuple[str, ...], word: str, known: list[str]) -> Found:
    message = (
        f"{word[:80]!r} is compared with a literal that `{path_text(path)}` stands in, and is never that; "
        f"it is one of {_listed(known) or 'nothing at all'}"
    )
    fix = f'compare the attribute itself: `{path_text(path)} == "..."`'
    return "policy_unknown_value", _line_of_value(piece, path, word), message, fix


def _line_of_value(piece: Piece, path: tuple[str, ...], word: str) -> int:
    place = re.search(rf'"{re.escape(word)}"', piece.text)
    return _line_of_attribute(piece, path[-1]) if place is None else piece.line_at(place.start())


# -- policies that never or always apply


def _never_or_always(
    piece: Piece, template: pst.Template, operations: frozenset[str], vocabulary: Vocabulary
) -> Iterator[Found]:
    places = [Place(name, vocabulary.shapes[name].tool, vocabulary.contexts[name]) for name in sorted(operations)]
    clash = never(template, places)
    if clash is not None:
        yield _unreachable(piece, clash)
    elif template.effect == "permit" and isinstance(template.action, pst.ScopeAny) and always(template, places):
        message = "permits everything: every operation, under a condition that is always true"
        yield "policy_unscoped_permit", piece.line, message, _SCOPE


def _unreachable(piece: Piece, clash: Clash) -> Found:
    if not clash.paths:
        message = "can never apply: its conditions are always false together"
        return "policy_unreachable", piece.line, message, "mend the condition, or take the policy away"
    named = _listed([path_text(path) for path in clash.paths])
    message = f"can never apply: no call has what its conditions ask of {named}"
    line = _line_of_attribute(piece, clash.paths[0][-1])
    return "policy_unreachable", line, message, "mend the bounds or values, or take the policy away"


# -- Cedar's validation, in our words


def _types_wrong(piece: Piece, vocabulary: Vocabulary) -> Iterator[Found]:
    unknown: dict[tuple[str, ...], list[str]] = {}
    optional: dict[tuple[str, ...], str] = {}
    # (Cedar's order is that of a hash table; ours is always the same.)
    for said in sorted({error.error for error in cedarpy.validate_policies(piece.text, vocabulary.schema).errors}):
        if (found := _UNKNOWN.search(said)) is not None:
            unknown.setdefault(_steps(found["path"]), []).append(found["operation"])
        elif (found := _OPTIONAL.search(said)) is not None:
            optional.setdefault(_steps(found["path"]), found["operation"])
        else:
            yield _type_said(piece, said)
    for path, operations in unknown.items():
        yield _unknown(_line_of_attribute(piece, path[-1]), path, operations, vocabulary)
    for path, operation in optional.items():
        message = f"`{path_text(path)}` is optional in `{operation}`, and reading what is absent is an error"
        yield "policy_optional_attribute", _line_of_attribute(piece, path[-1]), message, f"`{guard_text(path)}`"


def _type_said(piece: Piece, said: str) -> Found:
    said = re.sub(r"^for policy `[^`]*`, ", "", " ".join(said.split()))
    said = re.sub(r"__cedar::internal::AnyEntity, or __cedar::internal::OpenRecord\{\}", "a record", said)
    if (found := _UNKNOWN_ENTITY.search(said)) is not None:
        message = f"`{found['type']}` has no attribute `{found['name']}`: users and tools have no attributes here"
        line = _line_of_attribute(piece, found["name"])
        return "policy_unknown_attribute", line, message, _READ
    if (found := _UNKNOWN_TYPE.search(said)) is not None:
        message = f"no entity type `{found['type']}`; there are `Action`, `Tool` and `User`"
        line = piece.line_of(rf"\b{re.escape(found['type'])}\b")
        fix = _meant(found["type"], ("Action", "Tool", "User"))
        if found["type"] in _GROUP_TYPES:
            fix = f'ask for a user\'s group by `context.user.{GROUPS}.contains("...")`'
        return "policy_type", line, message, fix
    if said.startswith("attribute `"):
        path = _steps(said.split("`")[1])
        fix = "read it by a plain path such as `context.arguments.order_id`"
        return "policy_unknown_attribute", _line_of_attribute(piece, path[-1]), said[:SAID_CHARS_MAX], fix
    literal = TOKEN_SAID.search(said)
    line = _line_of_text(piece, literal[1]) if literal else piece.line
    return "policy_type", line, said[:SAID_CHARS_MAX], _type_fix(said)


def _type_fix(said: str) -> str:
    if "saw decimal" in said or "a decimal value" in said:
        return 'compare decimals by method, with at most 4 places: `.lessThanOrEqual(decimal("100.00"))`'
    if "empty set" in said:
        return "use `.isEmpty()`"
    if "applicable action" in said:
        return "the scope must read `principal` (a User), `action` (an operation), `resource` (a Tool)"
    return "compare values of one type, and make each condition a Bool"


def _unknown(line: int, path: tuple[str, ...], operations: list[str], vocabulary: Vocabulary) -> Found:
    first = min(operations)
    base = record_at(vocabulary.contexts[first], path[:-1]) or Record({}, {})
    more = f" (nor in {_listed(sorted(operations)[1:])})" if len(operations) > 1 else ""
    if path[-1] in base.hidden:
        message = f"`{path_text(path)}` of `{first}` has no Cedar attribute: {base.hidden[path[-1]]}"
        fix = "policies cannot see it: give it a single type in the operation's schema, or leave it out of the policy"
        return "policy_unknown_attribute", line, message + more, fix
    there = f"`{path_text(path[:-1])}` there has {_listed(attribute_texts(base)) or 'no attributes'}"
    message = f"no `{path_text(path)}` in `{first}`{more}; {there}"
    fix = _meant(path[-1], base.attributes)
    if not fix.startswith("did you mean"):
        fix = _declare(path[:-1], vocabulary.shapes[first].tool) or fix
    if any(_record_has(vocabulary.contexts[name], path) for name in vocabulary.contexts if name not in operations):
        fix = f"name the operations that have it in the policy's scope, or guard it: `{guard_text(path)}`"
    return "policy_unknown_attribute", line, message, fix


def _declare(base: tuple[str, ...], tool: str) -> str:
    """Return where what policies read below `base` is declared; nothing where it is not declared by name."""
    match base:
        case ("user",):
            return "declare it under `attributes:` in organisation/users.yaml, and map it in remit.yaml"
        case ("history",):
            return "declare it in organisation/history.yaml"
        case ("facts",):
            return f"declare it under `facts:` of the operation in catalogue/{tool}.yaml"
        case _:
            return ""


def _record_has(context: Record, path: tuple[str, ...]) -> bool:
    base = record_at(context, path[:-1])
    return base is not None and path[-1] in base.attributes


def _steps(path: str) -> tuple[str, ...]:
    return tuple(plain or quoted for plain, quoted in _STEP.findall(path)) or (path,)


def _line_of_attribute(piece: Piece, name: str) -> int:
    return piece.line_of(rf'\.\s*{re.escape(name)}\b|\[\s*"{re.escape(name)}"|\b{re.escape(name)}\b')


def _line_of_text(piece: Piece, text: str) -> int:
    return piece.line_of(re.escape(text))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED_MAX} more" if len(names) > _LISTED_MAX else ""
    return ", ".join(f"`{name}`" for name in names[:_LISTED_MAX]) + more


def _meant(name: str, names: Mapping[str, object] | tuple[str, ...] | list[str], sign: str = "") -> str:
    close = get_close_matches(name, list(names), n=1)
    if close:
        return f"did you mean `{sign}{close[0]}`?"
    return "use one of them" if names else "take it away: there is nothing to name"
