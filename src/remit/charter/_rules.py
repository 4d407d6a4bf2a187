"""The charter's gate, pure."""

from remit.charter._model import Charter
from remit.core import Allow, Decision, Deny, Reason


def within_use_case(charter: Charter | None, use_case: str, operation: str) -> Decision:
    """Allow `operation` only where the task's use case lists it (R1.2). No charter, no call (R1.1)."""
    if charter is None:
        return Deny(Reason("no_charter", "this agent has no charter", "add agents/<name>/agent.yaml and deploy it"))
    listed = charter.use_cases.get(use_case)
    if listed is None:
        return Deny(
            Reason(
                "use_case_unknown",
                f"the charter of `{charter.agent}` has no use case `{use_case}`",
                f"open a task for one of: {', '.join(sorted(charter.use_cases))}",
            )
        )
    if operation not in listed.operations:
        return Deny(
            Reason(
                "outside_use_case",
                f"`{operation}` is not among the operations of use case `{use_case}`",
                f"list it under use_cases.{use_case}.operations in agents/{charter.agent}/agent.yaml and have it reviewed",
            )
        )
    return Allow()
