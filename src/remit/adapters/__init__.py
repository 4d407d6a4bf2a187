"""Adapters: the world behind the ports. Each one does I/O and decides nothing."""
