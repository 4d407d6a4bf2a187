"""Room 6, limits: caps that the agent cannot touch (R6.1, R6.4, R6.5)."""

from remit.limits._model import Cap, Per, Window

__all__ = ["Cap", "Per", "Window"]
