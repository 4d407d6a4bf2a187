"""Remit: bounded agency for autonomous agents, enforced outside the model."""

__all__ = ["__version__"]

__version__ = "0.1.0"
