"""Tokens: for tasks, for tools, for people of the development issuer; and agents' proof of who they are.

tokens = TaskTokens(key, issuer="http://127.0.0.1:8700", audience="http://127.0.0.1:8700/mcp", clock=clock)
tokens.delegation(tokens.mint(task)).agent
assertions = ClientAssertions(AgentKeys(lookup), audience="http://127.0.0.1:8700/oauth/token", clock=clock)
assertions.agent(assertion)
"""

from remit.adapters.oauth._assertions import AgentKeys, ClientAssertions
from remit.adapters.oauth._service import TokenService
from remit.adapters.oauth._tokens import DevelopmentIssuer, TaskTokens, Tokens
from remit.adapters.oauth._tool_tokens import ToolTokens

__all__ = [
    "AgentKeys",
    "ClientAssertions",
    "DevelopmentIssuer",
    "TaskTokens",
    "TokenService",
    "Tokens",
    "ToolTokens",
]
