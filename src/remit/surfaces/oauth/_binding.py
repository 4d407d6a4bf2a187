"""What a task token is bound to, so that it counts for its holder alone.

1. A DPoP proof came along: its key (RFC 9449, section 5).
2. The connection has a certificate: that (RFC 8705, section 3).
3. The agent is registered to bear its tokens: nothing.
4. Else there is no token.
"""

from dataclasses import dataclass

from remit.core import InputRefusedError
from remit.identity import AuthenticatedAgent, Presented, TokenRefusedError, token_endpoint
from remit.surfaces._http import Headers, thumbprint
from remit.surfaces.oauth._ports import TokenPorts

_FIX = "send a DPoP proof for the token endpoint, or connect with a certificate; bearer tokens need `identity.bearer`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The thumbprint of the DPoP key, or of the certificate; both empty for a bearer token."""

    key: str = ""
    certificate: str = ""

    @property
    def token_type(self) -> str:
        """How the token is presented (RFC 9449, section 5; a certificate-bound one is a bearer token, RFC 8705)."""
        return "DPoP" if self.key else "Bearer"

    @property
    def keys(self) -> tuple[str, ...]:
        """Return what it is bound to, if anything."""
        return tuple(filter(None, (self.key, self.certificate)))


def binding(ports: TokenPorts, headers: Headers, agent: AuthenticatedAgent) -> Binding:
    """Return what the token of this request is to be bound to.

    Raises:
        TokenRefusedError: `dpop_proof_invalid`, `dpop_proof_replayed`, `dpop_nonce_required`.
        InputRefusedError: `dpop_required`.
    """
    if b"dpop" in headers.values:  # (1)
        return Binding(key=_proven(ports, headers))
    if headers.certificate:  # (2)
        return Binding(certificate=thumbprint(headers.certificate))
    if ports.registration(agent.name).bearer:  # (3)
        return Binding()
    raise InputRefusedError("dpop_required", f"the tokens of `{agent.name}` are bound to a key", _FIX)  # (4)


def _proven(ports: TokenPorts, headers: Headers) -> str:
    proof = headers.text(b"dpop")
    if proof is None:
        raise TokenRefusedError("dpop_proof_invalid", "not one DPoP proof, in ASCII", "send one DPoP header")
    url = token_endpoint(ports.issuer)
    return ports.proofs.thumbprint(Presented(token="", scheme="dpop", proof=proof, method="POST", url=url))
