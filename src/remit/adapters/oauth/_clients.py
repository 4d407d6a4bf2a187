"""Which agent is at the token endpoint: by an assertion, a workload identity or a TLS certificate; never by a secret.

A certificate's key was proven in the TLS handshake, and its chain verified there (RFC 8705, section 2). Here: whose it
is. `self_signed_tls_client_auth`: the very certificate is registered for the agent. `tls_client_auth`: its only URI
name is the SPIFFE ID of one of the agent's workloads (X509-SVID, section 5.2).
"""

from collections.abc import Mapping

from cryptography import x509

from remit.adapters.oauth._assertions import AgentKeys, ClientAssertions, refused
from remit.adapters.oauth._jose import thumbprint_of
from remit.adapters.oauth._spiffe import JwtSvids, Registrations, Workloads, is_spiffe_id
from remit.core import Json, is_name
from remit.identity import AuthenticatedAgent, ClientProof, TokenRefusedError, token_endpoint
from remit.pipeline import Clock

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"
CERTIFICATE_BYTES_MAX = 16_384

_FIX = "send client_id, and the certificate that is registered for that agent: remit agents register"


class AgentAuthentication:
    """Authenticates agents (`identity.Agents`) at the token endpoint of `issuer`.

    `trust` is each SPIFFE trust domain's JWK set; without any, no JWT-SVID counts.
    """

    def __init__(
        self,
        keys: AgentKeys,
        issuer: str,
        clock: Clock,
        *,
        registrations: Registrations = dict,
        trust: Mapping[str, Json] | None = None,
    ) -> None:
        endpoint = token_endpoint(issuer)
        self._keys = keys
        self._workloads = Workloads(registrations)
        self._assertions = ClientAssertions(keys, (issuer, endpoint), clock)
        self._svids = JwtSvids(self._workloads, trust or {}, (endpoint, issuer), clock)
        self._clock = clock

    def has_key(self, agent: str) -> bool:
        """See `Hands.has_key`."""
        return self._keys.has_key(agent) or self._workloads.has_any(agent)

    async def agent(self, shown: ClientProof) -> AuthenticatedAgent:
        """See `Agents.agent`. Where an assertion came, it alone counts, and `client_id` must not say otherwise."""
        if shown.assertion:
            found = self._by_assertion(shown)
            if shown.client_id not in ("", found.name):
                raise refused("`client_id` names another agent", "leave client_id out, or name the agent")
            return found
        if shown.certificate:
            return self._by_certificate(shown)
        fix = f"send client_assertion and client_assertion_type={JWT_BEARER}, or use the agent's TLS certificate"
        raise TokenRefusedError("assertion_missing", "the agent does not say who it is", fix)

    def _by_assertion(self, shown: ClientProof) -> AuthenticatedAgent:
        if shown.assertion_type == JWT_BEARER:
            return self._assertions.proven(shown.assertion)
        if shown.assertion_type == JWT_SPIFFE:
            return self._svids.proven(shown.assertion)
        raise refused("its type is not known here", f"send client_assertion_type={JWT_BEARER} or {JWT_SPIFFE}")

    def _by_certificate(self, shown: ClientProof) -> AuthenticatedAgent:
        if not is_name(shown.client_id):
            raise _unknown("client_id names no agent")
        thumbprint = thumbprint_of(shown.certificate)
        spiffe_id = self._valid(shown.certificate)
        if self._keys.has_certificate(shown.client_id, thumbprint):
            return AuthenticatedAgent(shown.client_id, thumbprint, "self_signed_tls_client_auth")
        if spiffe_id and self._workloads.agent(spiffe_id) == shown.client_id:
            return AuthenticatedAgent(shown.client_id, thumbprint, "tls_client_auth")
        raise _unknown("it is not one of the agent that client_id names")

    def _valid(self, der: bytes) -> str:
        """Return the SPIFFE ID of a certificate, or nothing. A connection may outlast it, so its time is asked here."""
        if len(der) > CERTIFICATE_BYTES_MAX:
            raise _unknown("it is too long")
        try:
            certificate = x509.load_der_x509_certificate(der)
            good = certificate.not_valid_before_utc <= self._clock.now() < certificate.not_valid_after_utc
            found = _spiffe_id(certificate.extensions)
        except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as error:
            raise _unknown("it cannot be read") from error
        if not good:
            raise _unknown("it has expired, or is not valid yet")
        return found


def _spiffe_id(extensions: x509.Extensions) -> str:
    """Return the only URI name of a certificate that is no authority's, where that is a SPIFFE ID; else nothing."""
    names: list[str] = []
    for each in extensions:
        match each.value:
            case x509.BasicConstraints(ca=True):
                return ""
            case x509.SubjectAlternativeName() as alternatives:
                names = alternatives.get_values_for_type(x509.UniformResourceIdentifier)
            case _:
                pass  # (what else a certificate says was looked at in the handshake)
    return names[0] if len(names) == 1 and is_spiffe_id(names[0]) else ""


def _unknown(why: str) -> TokenRefusedError:
    return TokenRefusedError("certificate_unknown", f"the TLS certificate authenticates no agent: {why}", _FIX)
