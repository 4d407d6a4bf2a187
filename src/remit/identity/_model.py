"""Who is who: people, clients and agents, and what each of them showed to prove it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from remit.core import Attribute, Delegation, Json, Level

USER = "user"
"""The role of people for whom agents may act."""

CHAIN_MAX = 4  # agents that may hand one piece of work on, one to the next


@dataclass(frozen=True, slots=True)
class Person:
    """A named human, as an issuer vouches for them. `roles` are what the organisation lets them do here.

    `groups` and `attributes` are what the issuer says of them, mapped by its settings, for policies to look at.
    """

    name: str
    roles: frozenset[str]
    groups: frozenset[str] = frozenset()
    attributes: tuple[tuple[str, Attribute], ...] = ()


@dataclass(frozen=True, slots=True)
class Presented:
    """A token as it came with a request.

    `scheme` is how it was presented; `proof` the DPoP proof beside it (RFC 9449, section 4.1), `method` and `url` the
    request that the proof must be for; `certificate` the SHA-256 thumbprint of the client's TLS certificate in
    base64url (RFC 8705, section 3.1). Empty where there was none.
    """

    token: str
    scheme: Literal["bearer", "dpop"] = "bearer"
    proof: str = ""
    method: str = "POST"
    url: str = ""
    certificate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserToken:
    """What a verified token of a person says.

    `issuer` is the issuer's name in the settings; empty for the development issuer. `client_id` is the client it was
    issued to (`client_id`, else `azp`); empty where it names none. `may_act` are the agents that it lets act for the
    person (RFC 8693, section 4.4); where it says so in a way that is not understood, the one name in it is empty, which
    is no agent's: somebody may act whom we do not know, so it is no login of the person alone. `details` is its
    `authorization_details` (RFC 9396), None where it has none. `key` is the thumbprint it is bound to, and proven by
    whoever presented it; empty for a bearer token.
    """

    person: Person
    issuer: str
    client_id: str
    issued_at: datetime
    expires_at: datetime
    may_act: frozenset[str] = frozenset()
    details: Json = None
    key: str = ""

    def unattached(self) -> Delegation:
        """Return who it is, for the record of a refusal: no agent acts, in no task."""
        return Delegation(
            user=self.person.name,
            agent="",
            task="",
            use_case="",
            expires_at=self.expires_at,
            level=Level.CLIENT,
            client=f"{self.issuer}:{self.client_id}" if self.issuer and self.client_id else "",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientProof:
    """What a client shows at the token endpoint to prove which agent it is.

    `assertion` and `assertion_type` are those of RFC 7521, section 4.2; `certificate` is the DER of the client's TLS
    certificate, verified against the authorities that the data port trusts (RFC 8705, section 2); `client_id` is the
    agent it says it is, and proves nothing.
    """

    assertion: str = ""
    assertion_type: str = ""
    certificate: bytes = b""
    client_id: str = ""


@dataclass(frozen=True, slots=True)
class AuthenticatedAgent:
    """An agent that proved who it is. `key` is the thumbprint of the key, or certificate, it did it with.

    `method` is `private_key_jwt`, `tls_client_auth`, `self_signed_tls_client_auth` or `spiffe_jwt`.
    """

    name: str
    key: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredClient:
    """A plain MCP client that is this agent: its `client_id` at an issuer, and the use case of its implicit tasks.

    `client_id` may be the address of a client ID metadata document.
    """

    issuer: str
    client_id: str
    use_case: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What the organisation says of how an agent proves itself, beside its keys.

    `bearer` lets its task tokens count without proof of a key. `delegates_to` are the agents it may hand work on to.
    `spiffe` are its workload identities (SPIFFE ID, section 2), `clients` the plain clients that are this agent.
    """

    bearer: bool = False
    delegates_to: frozenset[str] = frozenset()
    spiffe: frozenset[str] = frozenset()
    clients: tuple[RegisteredClient, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimsMap:
    """Which claims of an issuer's tokens say what. `attributes` is by attribute; `roles` by role, the groups with it.

    `subject` is the claim that names the person; it must never be given to another person.
    """

    subject: str = "sub"
    groups: str = "groups"
    attributes: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, frozenset[str]] = field(default_factory=dict)
