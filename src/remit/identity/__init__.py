"""Room 2, identity: user, agent and tool are three.

Promises: no call without a live delegation that joins a user, an agent and a task (R2.9); a token counts only with
its signature, issuer, audience and time (R2.6).

    delegation_is_live(delegation, task, now)    # Allow() or Deny(Reason("token_expired", ...))
"""

from remit.identity._ports import Authenticator, Person, TokenRefusedError
from remit.identity._rules import delegation_is_live, may_have_agents_act

__all__ = ["Authenticator", "Person", "TokenRefusedError", "delegation_is_live", "may_have_agents_act"]
