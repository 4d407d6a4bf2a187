"""Room 1, the charter: the agent's job before its tools.

Promises: an agent exists only with an owner, a process and a purpose (R1.1); each use case closes the list of
operations, and anything else is denied (R1.2).

    refund = UseCase(name="refund", description="refund an order", operations=frozenset({"get_order"}))
    charter = Charter(agent="refunds", owner="ana", process="returns", purpose="...", use_cases={"refund": refund})
    within_use_case(charter, "refund", "close_account")    # Deny(Reason("outside_use_case", ...))
"""

from remit.charter._model import Charter, UseCase
from remit.charter._rules import may_open_task, within_use_case

__all__ = ["Charter", "UseCase", "may_open_task", "within_use_case"]
