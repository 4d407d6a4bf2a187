"""Drills: attack and fault scenarios run against a pipeline and against a live gateway (R9.1 to R9.10).

This room is empty: its step of the plan has not come.
"""

__all__: list[str] = []
