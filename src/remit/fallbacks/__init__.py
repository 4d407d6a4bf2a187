"""Fallbacks: output checks, templates, confidence and confirmation (R7.1 to R7.6).

This room is empty: its step of the plan has not come.
"""

__all__: list[str] = []
