"""Tokens: task tokens that Remit mints for agents, and people's tokens from the development issuer.

tokens = TaskTokens(key, issuer="http://127.0.0.1:8700", audience="http://127.0.0.1:8700/mcp", clock=clock)
tokens.delegation(tokens.mint(task)).agent
"""

from remit.adapters.oauth._tokens import DevelopmentIssuer, TaskTokens, Tokens

__all__ = ["DevelopmentIssuer", "TaskTokens", "Tokens"]
