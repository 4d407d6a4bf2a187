"""Room 6, limits: caps that the agent cannot touch (R6.1, R6.4, R6.5).

Promises: an agent without caps gets nothing; a cap counts in the transaction before the effect, so that many calls at
once never pass it; what is counted by comes from the token and the catalogue, never from what the agent sends.

    writes = Cap(name="writes", effects=frozenset({"write"}), per=Per.USER, window=Window.DAY, max=5)
    is_capped((writes,), agent="refunds", user="tom", tool="orders", task="t_1", effect="write", now=now)
    # Allow((Reserve("writes", "refunds/writes/user:tom@2026-11-22", 5, <midnight>),))
"""

from remit.limits._model import Cap, Per
from remit.limits._rules import DEFAULT_CAPS, is_capped, refused

__all__ = ["DEFAULT_CAPS", "Cap", "Per", "is_capped", "refused"]
