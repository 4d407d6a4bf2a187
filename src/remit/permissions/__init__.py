"""Room 3, permissions: per action, outside the prompt.

Promises: permission is per operation (R3.1); rules see the user, with groups and attributes, agent, operation, tool and
typed arguments (R3.2); the same question always gets the same answer (R3.7); a policy is typed against the operation's
own schema, so an unknown name is a load error, and an evaluation error, a missing value or no permit at all is a denial
(R3.8). An approval is for one call, once, in time, by persons who may give it, none of them the requester, the owner or
counted twice (R3.5); a value from untrusted content, or from nowhere, steers no consequential call without a person
(R3.9).

    shape = OperationShape(operation="get_order", tool="orders", input_schema={"type": "object"})
    text = 'permit(principal, action == Action::"get_order", resource);'
    shards, problems = compile_policies("refunds", {"policies/refunds.cedar": text}, [shape])
    asked = Question(user="ana", agent="refunds", use_case="refund", operation="get_order", tool="orders", arguments={})
    shards["get_order"].decide(asked)    # Allow()
"""

from remit.permissions._approval import Approval, Grant, State
from remit.permissions._approval_json import approval_json, approval_of_json, requirement_json
from remit.permissions._approvals import (
    binding_of,
    call_digest,
    denied,
    expires_at,
    lifted,
    may_deny,
    may_edit,
    may_grant,
    missing,
    still_needed,
    was_shown,
)
from remit.permissions._bounds import Rule, rules_of
from remit.permissions._compile import compile_policies
from remit.permissions._edits import edit_bare, edit_of, edit_stands, made_before, same_call
from remit.permissions._extending import PROVENANCE, is_about, is_about_link, may_extend
from remit.permissions._facts import DAYS_SINCE, VALUE, asked_for, facts_are_known, taken
from remit.permissions._flow import NO_ORIGINS, Exposed, Flow, Label, Link, Origins, Source, Sourced
from remit.permissions._history import ARGUMENTS, PARTIES, Asked, History, Tally, adds, adds_later, tallies
from remit.permissions._lists import NOBODY, DataClass, Directory, Entitlements, Kind, is_entry, joined
from remit.permissions._model import GROUPS, Known, OperationShape, Opinion, Question, Shard, UserShape
from remit.permissions._origins import labels_of, provenance_suffices
from remit.permissions._outside import outside_permits
from remit.permissions._provenance import Memory
from remit.permissions._receivers import receivers_may_know
from remit.permissions._shard import labels_read
from remit.permissions._table import ROWS_MAX, Row, Table, decision_table
from remit.permissions._types import describe

__all__ = [
    "ARGUMENTS",
    "DAYS_SINCE",
    "GROUPS",
    "NOBODY",
    "NO_ORIGINS",
    "PARTIES",
    "PROVENANCE",
    "ROWS_MAX",
    "VALUE",
    "Approval",
    "Asked",
    "DataClass",
    "Directory",
    "Entitlements",
    "Exposed",
    "Flow",
    "Grant",
    "History",
    "Kind",
    "Known",
    "Label",
    "Link",
    "Memory",
    "OperationShape",
    "Opinion",
    "Origins",
    "Question",
    "Row",
    "Rule",
    "Shard",
    "Source",
    "Sourced",
    "State",
    "Table",
    "Tally",
    "UserShape",
    "adds",
    "adds_later",
    "approval_json",
    "approval_of_json",
    "asked_for",
    "binding_of",
    "call_digest",
    "compile_policies",
    "decision_table",
    "denied",
    "describe",
    "edit_bare",
    "edit_of",
    "edit_stands",
    "expires_at",
    "facts_are_known",
    "is_about",
    "is_about_link",
    "is_entry",
    "joined",
    "labels_of",
    "labels_read",
    "lifted",
    "made_before",
    "may_deny",
    "may_edit",
    "may_extend",
    "may_grant",
    "missing",
    "outside_permits",
    "provenance_suffices",
    "receivers_may_know",
    "requirement_json",
    "rules_of",
    "same_call",
    "still_needed",
    "taken",
    "tallies",
    "was_shown",
]
