"""Room 2, identity: user, agent and tool are three.

Promises: no call without a live delegation that joins a user, an agent and a task (R2.9).

    delegation_is_live(delegation, task, now)    # Allow() or Deny(Reason("token_expired", ...))
"""

from remit.identity._rules import delegation_is_live

__all__ = ["delegation_is_live"]
