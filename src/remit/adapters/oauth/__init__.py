"""Tokens for tasks, for tools and for people of the development issuer, and proofs: of agents, and of keys.

proofs = DpopProofs(clock)
tokens = TaskTokens(key, "http://127.0.0.1:8700", "http://127.0.0.1:8700/mcp", clock, proofs=proofs, epoch=epoch)
await tokens.delegation(Presented(tokens.mint(task, bound=thumbprint), "dpop", proof, "POST", "http://.../mcp"))
agents = AgentAuthentication(AgentKeys(lookup), "http://127.0.0.1:8700", clock, registrations=registrations)
await agents.agent(ClientProof(assertion=assertion, assertion_type=JWT_BEARER))
"""

from remit.adapters.oauth._assertions import AgentKeys
from remit.adapters.oauth._bundles import TrustBundles
from remit.adapters.oauth._clients import JWT_BEARER, JWT_SPIFFE, AgentAuthentication
from remit.adapters.oauth._dpop import SIGNED_WITH, DpopProofs
from remit.adapters.oauth._service import TokenService
from remit.adapters.oauth._tokens import DevelopmentIssuer, TaskTokens, Tokens
from remit.adapters.oauth._tool_tokens import ToolTokens

__all__ = [
    "JWT_BEARER",
    "JWT_SPIFFE",
    "SIGNED_WITH",
    "AgentAuthentication",
    "AgentKeys",
    "DevelopmentIssuer",
    "DpopProofs",
    "TaskTokens",
    "TokenService",
    "Tokens",
    "ToolTokens",
    "TrustBundles",
]
