"""Limits: reservations, budgets, rates, concurrency, retries and loops, outside the agent (R6.1 to R6.7).

This room is empty: its step of the plan has not come.
"""

__all__: list[str] = []
