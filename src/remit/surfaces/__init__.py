"""Surfaces: bytes in, core values out. No surface holds a rule, and none knows an adapter."""
