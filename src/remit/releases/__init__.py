"""Releases: one content-addressed bundle, deployed, compared and rolled back as one (R8.1 to R8.7).

This room is empty: its step of the plan has not come.
"""

__all__: list[str] = []
