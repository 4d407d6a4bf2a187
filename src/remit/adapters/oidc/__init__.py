"""Users of the organisation's own identity providers: their tokens, assertions and security events, verified.

Keys come by discovery, are kept for a bounded time and renewed in passing; nothing is fetched but from an issuer named
in the settings and the key set that it names. What a token says counts only after its signature, issuer, audience and
time did, and proof of the key it is bound to.

    issuers = Issuers([Issuer(name="corp", issuer="https://id.example.org")], HttpFetch(), clock)
    users = IssuerUsers(issuers, clock, proofs, epoch=lambda: live.epoch, resources=frozenset({our_mcp_url}))
    (await users.user(presented, our_mcp_url)).person.name      # "corp:alice"
    await SecurityEvents(issuers, clock, audience=our_url).read(body)
"""

from remit.adapters.oidc._events import EventKind, EventRefusedError, SecurityEvent, SecurityEvents
from remit.adapters.oidc._fetch import Fetch, FetchFailedError, HttpFetch, may_be_fetched
from remit.adapters.oidc._issuer import Issuer
from remit.adapters.oidc._issuers import Issuers
from remit.adapters.oidc._users import IssuerUsers

__all__ = [
    "EventKind",
    "EventRefusedError",
    "Fetch",
    "FetchFailedError",
    "HttpFetch",
    "Issuer",
    "IssuerUsers",
    "Issuers",
    "SecurityEvent",
    "SecurityEvents",
    "may_be_fetched",
]
