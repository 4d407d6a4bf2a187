"""The charter's gate, pure."""

from remit.charter._model import Charter
from remit.core import Allow, Decision, Deny, Reason


def within_use_case(charter: Charter | None, use_case: str, operation: str) -> Decision:
    """Allow `operation` only where the task's use case lists it (R1.2). No charter, no call (R1.1)."""
    if charter is None:
        return Deny(Reason("no_charter", "this agent has no charter", "ask an operator to deploy its charter"))
    listed = charter.use_cases.get(use_case)
    if listed is None:
        return Deny(_unknown(charter, use_case))
    if operation not in listed.operations:
        return Deny(
            Reason(
                "outside_use_case",
                f"`{operation}` is not among the operations of use case `{use_case}`",
                "ask the agent's owner to have it listed there",
            )
        )
    return Allow()


def may_open_task(charter: Charter | None, use_case: str, open_already: int, open_max: int, *, names: bool) -> Decision:
    """Allow a task only for a use case that the charter lists, and only so many at once for one user and agent.

    `names`: the operations that the task needs were named, which a use case may ask for.
    """
    if charter is None:
        return Deny(Reason("no_charter", "there is no agent of that name with a charter", "see `remit check`"))
    if use_case not in charter.use_cases:
        return Deny(_unknown(charter, use_case))
    if charter.use_cases[use_case].named and not names:
        said = f"use case `{use_case}` asks that each task names the operations that it needs"
        return Deny(
            Reason("grant_missing", said, "name them: `operations` of `authorization_details`, type agent_task")
        )
    if open_already >= open_max:
        return Deny(Reason("tasks_too_many", f"{open_already} tasks are open already", "let some of them end first"))
    return Allow()


def _unknown(charter: Charter, use_case: str) -> Reason:
    return Reason(
        "use_case_unknown",
        f"the charter of `{charter.agent}` has no use case `{use_case}`",
        f"use one of: {', '.join(sorted(charter.use_cases))}",
    )
