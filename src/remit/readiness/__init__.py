"""Readiness: checks over charter, catalogue, drills and records that end in a signed report (R10.1 to R10.7).

This room is empty: its step of the plan has not come.
"""

__all__: list[str] = []
