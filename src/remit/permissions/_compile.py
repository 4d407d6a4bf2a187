"""From policy files to shards: everything is checked first; one problem anywhere and nothing is compiled.

shards, problems = compile_policies("refunds", {"policies/refunds.cedar": text}, shapes)
"""

from collections.abc import Iterable, Mapping, Sequence

import cedarpy

from remit.core import JsonObject, Problem, canonical_bytes
from remit.permissions._check import Policy, check, vocabulary_of
from remit.permissions._convert import converter, tellers, user_converter
from remit.permissions._flat import flat_builder, flatten, nested_builder, read_of_user
from remit.permissions._model import Known, OperationShape, Shard, UserShape
from remit.permissions._scan import FILE_BYTES_MAX, POLICIES_MAX, Piece, scan
from remit.permissions._shard import CedarShard
from remit.permissions._types import NOBODY_SAYS_MORE, NOTHING_KNOWN, Record, record_at

# (No policy's id can be this: an `@id` begins with a letter or digit, and a generated one ends with its line.)
_BASE_ID = ":base"
_BASE: JsonObject = {
    "effect": "permit",
    "principal": {"op": "All"},
    "action": {"op": "All"},
    "resource": {"op": "All"},
    "conditions": [],
}


def compile_policies(
    agent: str,
    files: Mapping[str, str],
    shapes: Sequence[OperationShape],
    user: UserShape = NOBODY_SAYS_MORE,
    known: Known | Mapping[str, Known] = NOTHING_KNOWN,
) -> tuple[Mapping[str, Shard], tuple[Problem, ...]]:
    """Compile the Cedar text of `files` (path -> text) into one shard per operation of `shapes`, for `agent`.

    `user` is what is declared of users: id and groups alone if left out. `known` are the names of the project that
    policies may speak of: for all files, or by file, as one of the organisation's may name more use cases.

    Either the shards come back with no problem, or every problem with no shard. No policies at all is no problem:
    every shard then denies. A shard holds the policies whose action scope can match its operation, and no other.

    Raises:
        ValueError: two shapes for one operation.
    """
    by_operation = {shape.operation: shape for shape in shapes}
    if len(by_operation) != len(shapes):
        raise ValueError("two shapes for one operation")
    pieces, problems = _pieces(files)
    policies: list[Policy] = []
    words = vocabulary_of(by_operation, user, known if isinstance(known, Known) else NOTHING_KNOWN)
    if not problems:
        by_file = {} if isinstance(known, Known) else {file: words.knowing(names) for file, names in known.items()}
        for checked in (check(piece, by_file.get(piece.file, words)) for piece in pieces):
            if isinstance(checked, Policy):
                policies.append(checked)
            else:
                problems += checked
    problems += _duplicates(policies)
    if problems:
        return {}, tuple(
            sorted(problems, key=lambda problem: (problem.file, problem.line, problem.code, problem.message))
        )
    return {name: _shard(agent, shape, words.contexts[name], policies) for name, shape in by_operation.items()}, ()


def _pieces(files: Mapping[str, str]) -> tuple[list[Piece], list[Problem]]:
    pieces: list[Piece] = []
    problems: list[Problem] = []
    for file, text in sorted(files.items()):
        size = len(text.encode("utf-8", "replace"))
        if size > FILE_BYTES_MAX:
            problems.append(
                _too_large(file, f"{size} bytes, over the bound of {FILE_BYTES_MAX}", "cut the file in two")
            )
        else:
            pieces += scan(file, text)
    if len(pieces) > POLICIES_MAX:
        last = pieces[POLICIES_MAX]
        message = f"{len(pieces)} policies in all files, over the bound of {POLICIES_MAX}"
        problems.append(_too_large(last.file, message, "join policies that differ only in names", last.line))
    return pieces, problems


def _too_large(file: str, message: str, fix: str, line: int = 1) -> Problem:
    return Problem(code="policy_too_large", file=file, line=line, message=message, fix=fix)


def _duplicates(policies: Iterable[Policy]) -> list[Problem]:
    """A second policy of one id would silently take the first one's place."""
    first: dict[str, Policy] = {}
    problems: list[Problem] = []
    for policy in policies:
        earlier = first.setdefault(policy.id, policy)
        if earlier is not policy:
            message = f"the id `{policy.id}` is also that of `{earlier.file}:{earlier.line}`"
            fix = "give each policy an `@id` of its own, or at least a line of its own"
            problems.append(
                Problem(code="policy_duplicate_id", file=policy.file, line=policy.line, message=message, fix=fix)
            )
    return problems


def _shard(agent: str, shape: OperationShape, context: Record, policies: Iterable[Policy]) -> CedarShard:
    mine = [policy for policy in policies if shape.operation in policy.operations]
    holds = {policy.id: policy.terms for policy in mine if policy.terms}
    flattened = flatten({policy.id: policy.est for policy in mine})
    compiled = {policy.id: policy.est for policy in mine} if flattened is None else flattened.policies
    told = tellers(context)
    arguments, user = (record_at(context, (section,)) or Record({}, {}) for section in ("arguments", "user"))
    return CedarShard(
        agent=agent,
        operation=shape.operation,
        tool=shape.tool,
        convert=converter(arguments),
        convert_user=user_converter(user, None if flattened is None else read_of_user(flattened.reads)),
        build=nested_builder(told) if flattened is None else flat_builder(flattened.reads, told),
        reads=None if flattened is None else flattened.reads,
        rules=_policy_set({policy.id: compiled[policy.id] for policy in mine if not policy.terms}),
        holds=_policy_set({name: compiled[name] for name in holds} | {_BASE_ID: _BASE}) if holds else None,
        texts={policy.id: policy.description for policy in mine},
        terms=holds,
    )


def _policy_set(policies: Mapping[str, JsonObject]) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_json_str(
        canonical_bytes({"staticPolicies": policies, "templates": {}, "templateLinks": []}).decode()
    )
