"""Fallbacks: output checks, templates, confidence and confirmation, the deterministic floor (requirements R7.1 to R7.6).

This room is empty: its step of the plan has not come.
"""

__all__: list[str] = []
