"""From policy files to shards: everything is checked first; one problem anywhere and nothing is compiled.

shards, problems = compile_policies("refunds", {"policies/refunds.cedar": text}, shapes)
"""

from collections.abc import Iterable, Mapping, Sequence

import cedarpy

from remit.core import JsonObject, Problem, canonical_bytes
from remit.permissions._check import Policy, check, vocabulary_of
from remit.permissions._convert import converter, user_converter
from remit.permissions._flat import flatten, read_of_user
from remit.permissions._model import OperationShape, Shard, UserShape
from remit.permissions._scan import FILE_BYTES_MAX, POLICIES_MAX, Piece, scan
from remit.permissions._shard import CedarShard
from remit.permissions._types import NOBODY_SAYS_MORE, Record, arguments_record, user_record

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
    agent: str, files: Mapping[str, str], shapes: Sequence[OperationShape], user: UserShape = NOBODY_SAYS_MORE
) -> tuple[Mapping[str, Shard], tuple[Problem, ...]]:
    """Compile the Cedar text of `files` (path -> text) into one shard per operation of `shapes`, for `agent`.

    `user` is what is declared of users: their groups alone if left out.

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
    if not problems:
        vocabulary = vocabulary_of(by_operation, user)
        for checked in (check(piece, vocabulary) for piece in pieces):
            if isinstance(checked, Policy):
                policies.append(checked)
            else:
                problems += checked
    problems += _duplicates(policies)
    if problems:
        return {}, tuple(
            sorted(problems, key=lambda problem: (problem.file, problem.line, problem.code, problem.message))
        )
    known = user_record(user)
    return {name: _shard(agent, shape, known, policies) for name, shape in by_operation.items()}, ()


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


def _shard(agent: str, shape: OperationShape, user: Record, policies: Iterable[Policy]) -> CedarShard:
    mine = [policy for policy in policies if shape.operation in policy.operations]
    holds = {policy.id: policy for policy in mine if policy.terms is not None}
    flattened = flatten({policy.id: policy.est for policy in mine})
    compiled = {policy.id: policy.est for policy in mine} if flattened is None else flattened.policies
    return CedarShard(
        agent=agent,
        operation=shape.operation,
        tool=shape.tool,
        convert=converter(arguments_record(shape.input_schema)),
        convert_user=user_converter(user, None if flattened is None else read_of_user(flattened.reads)),
        reads=None if flattened is None else flattened.reads,
        rules=_policy_set({policy.id: compiled[policy.id] for policy in mine if policy.terms is None}),
        holds=_policy_set({name: compiled[name] for name in holds} | {_BASE_ID: _BASE}) if holds else None,
        texts={policy.id: policy.description for policy in mine},
        terms={name: policy.terms for name, policy in holds.items() if policy.terms is not None},
    )


def _policy_set(policies: Mapping[str, JsonObject]) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_json_str(
        canonical_bytes({"staticPolicies": policies, "templates": {}, "templateLinks": []}).decode()
    )
