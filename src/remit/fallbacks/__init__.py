"""Room 7, fallbacks: what happens instead, when an agent must not or cannot simply go on.

Promise so far: what cannot be undone is confirmed by a person outside the agent's reach, always (R7.4).

    irreversible_is_confirmed("read", "", "get_order", {})     # Allow()
    irreversible_is_confirmed("irreversible", "account", "close_account", {"account": "acc-7"})
    # Hold(..., (Requirement(kind="confirmation", approvers=("requester",), ..., typed="acc-7"),))
"""

from remit.fallbacks._rules import irreversible_is_confirmed

__all__ = ["irreversible_is_confirmed"]
