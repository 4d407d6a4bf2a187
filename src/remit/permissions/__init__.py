"""Room 3, permissions: per action, outside the prompt.

Promises: permission is per operation (R3.1); rules see user, agent, operation, tool and typed arguments (R3.2); the
same question always gets the same answer (R3.7); a policy is typed against the operation's own schema, so an unknown
name is a load error, and an evaluation error, a missing value or no permit at all is a denial (R3.8).

    shape = OperationShape(operation="get_order", tool="orders", input_schema={"type": "object"})
    text = 'permit(principal, action == Action::"get_order", resource);'
    shards, problems = compile_policies("refunds", {"policies/refunds.cedar": text}, [shape])
    asked = Question(user="ana", agent="refunds", use_case="refund", operation="get_order", tool="orders", arguments={})
    shards["get_order"].decide(asked)    # Allow()
"""

from remit.permissions._approval import Approval, Grant, State
from remit.permissions._compile import compile_policies
from remit.permissions._flow import Flow, Label, Source, Sourced
from remit.permissions._model import OperationShape, Question, Shard
from remit.permissions._types import describe

__all__ = [
    "Approval",
    "Flow",
    "Grant",
    "Label",
    "OperationShape",
    "Question",
    "Shard",
    "Source",
    "Sourced",
    "State",
    "compile_policies",
    "describe",
]
