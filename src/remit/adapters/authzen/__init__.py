"""The organisation's own decision point (AuthZEN 1.0), asked about each call that we would not refuse ourselves.

It can only say no. Whatever is not a plain yes in time is a denial: a fault, a redirect, an answer that is too long.

point = DecisionPoint("https://pdp.example.org", pool, timeout_ms=300)
gateway = Gateway(..., outside=point)
opinion = await point.opinion(call, facts)                # Opinion(permits=True), or why not
"""

from remit.adapters.authzen._point import ANSWER_BYTES_MAX, EVALUATION_PATH, DecisionPoint

__all__ = ["ANSWER_BYTES_MAX", "EVALUATION_PATH", "DecisionPoint"]
