"""Room 2, identity: user, agent and tool are three.

Promises: no call without a live delegation that joins a user, an agent and a task (R2.9), nor by an agent that was
revoked (R2.11); a token counts only with its signature, issuer, audience and time (R2.6); an agent proves who it is
with a key of its own (R2.2).

    delegation_is_live(delegation, task, revoked="", now=now)   # Allow() or Deny(Reason("token_expired", ...))
    kept = with_key("", {"kty": "OKP", "crv": "Ed25519", "x": "..."})
"""

from remit.identity._keys import KEYS_MAX, agent_keys, read_agent_key, with_key, without_key
from remit.identity._ports import Authenticator, Exchange, Hands, Person, TokenRefusedError
from remit.identity._rules import agent_is_live, delegation_is_live, may_have_agents_act
from remit.identity._urls import JWKS_PATH, METADATA_PATH, TOKEN_PATH, token_endpoint

__all__ = [
    "JWKS_PATH",
    "KEYS_MAX",
    "METADATA_PATH",
    "TOKEN_PATH",
    "Authenticator",
    "Exchange",
    "Hands",
    "Person",
    "TokenRefusedError",
    "agent_is_live",
    "agent_keys",
    "delegation_is_live",
    "may_have_agents_act",
    "read_agent_key",
    "token_endpoint",
    "with_key",
    "without_key",
]
