"""Room 2, identity: user, agent and tool are three.

Promises: no call without a live delegation that joins a user, an agent and a task (R2.9), nor by whom somebody cut off
(R2.11); what a task may do is what user, agent and charter all allow (R2.5); a token counts only with its signature,
issuer, audience and time, and proof of the key it is bound to (R2.6); an agent proves who it is with a key of its own
(R2.2).

    delegation_is_live(delegation, task, revoked=None, now=now)   # Allow() or Deny(Reason("token_expired", ...))
    narrowed(Authority(operations=frozenset({"look", "pay"})), Authority(operations=frozenset({"look"}), calls_max=5))
    kept = with_key("", {"kty": "OKP", "crv": "Ed25519", "x": "..."})
"""

from remit.identity._authority import (
    ALL,
    TYPE,
    Wanted,
    authority_json,
    details_json,
    narrowed,
    read_authority,
    read_details,
)
from remit.identity._keys import KEYS_MAX, X509, agent_keys, is_private, read_agent_key, with_key, without_key
from remit.identity._model import (
    CHAIN_MAX,
    USER,
    AuthenticatedAgent,
    ClaimsMap,
    ClientProof,
    Person,
    Presented,
    RegisteredClient,
    Registration,
    UserToken,
)
from remit.identity._ports import Agents, Authenticator, Exchange, Hands, Proofs, TokenRefusedError, Users
from remit.identity._revocation import (
    EVERY_AGENT,
    ISSUER,
    Cut,
    UserCut,
    UserCuts,
    read_user_cuts,
    user_cut,
    with_user_cut,
    without_user_cut,
)
from remit.identity._rules import (
    attachment_suffices,
    authority_covers,
    delegation_is_live,
    is_cut_off,
    is_users_channel,
    may_begin,
    may_hand_on,
    may_have_agents_act,
)
from remit.identity._urls import JWKS_PATH, METADATA_PATH, RESOURCE_PATH, TOKEN_PATH, token_endpoint

__all__ = [
    "ALL",
    "CHAIN_MAX",
    "EVERY_AGENT",
    "ISSUER",
    "JWKS_PATH",
    "KEYS_MAX",
    "METADATA_PATH",
    "RESOURCE_PATH",
    "TOKEN_PATH",
    "TYPE",
    "USER",
    "X509",
    "Agents",
    "AuthenticatedAgent",
    "Authenticator",
    "ClaimsMap",
    "ClientProof",
    "Cut",
    "Exchange",
    "Hands",
    "Person",
    "Presented",
    "Proofs",
    "RegisteredClient",
    "Registration",
    "TokenRefusedError",
    "UserCut",
    "UserCuts",
    "UserToken",
    "Users",
    "Wanted",
    "agent_keys",
    "attachment_suffices",
    "authority_covers",
    "authority_json",
    "delegation_is_live",
    "details_json",
    "is_cut_off",
    "is_private",
    "is_users_channel",
    "may_begin",
    "may_hand_on",
    "may_have_agents_act",
    "narrowed",
    "read_agent_key",
    "read_authority",
    "read_details",
    "read_user_cuts",
    "token_endpoint",
    "user_cut",
    "with_key",
    "with_user_cut",
    "without_key",
    "without_user_cut",
]
