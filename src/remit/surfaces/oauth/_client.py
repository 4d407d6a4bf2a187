"""Who asks: an agent proves itself with a key or a certificate of its own, and by no secret that it shares.

1. No shared secret is even looked at.
2. It shows one proof: an assertion (RFC 7523), a workload its JWT-SVID, or else its TLS certificate (RFC 8705).
3. The name it gives itself, if any, is the one that it proved.
4. An actor token beside it (RFC 8693, section 2.1) proves the same agent.
"""

from remit.core import Allow, InputRefusedError
from remit.identity import AuthenticatedAgent, ClientProof, TokenRefusedError, delegation_is_live
from remit.surfaces._http import Headers
from remit.surfaces.oauth._form import JWT, Asked, Form
from remit.surfaces.oauth._ports import TokenPorts

JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"  # (RFC 7523, section 2.2)
JWT_SPIFFE = "urn:ietf:params:oauth:client-assertion-type:jwt-spiffe"  # (draft-ietf-oauth-spiffe-client-auth)

_REGISTER = (
    "register the agent's public key (`remit agents register`), and sign a client_assertion with the private one"
)


async def authenticated(ports: TokenPorts, asked: Asked) -> AuthenticatedAgent:
    """Return the agent that asks, and note it.

    Raises:
        TokenRefusedError: `client_secret_refused`, `assertion_missing`, `assertion_invalid`, `client_id_missing`,
            `certificate_unknown`.
        InputRefusedError: `authentication_twice`.
    """
    asked.error = "invalid_client"
    agent = await ports.exchange.agent(_shown(asked.form, asked.headers))
    named = asked.form.get("client_id", agent.name)
    if named not in {agent.name, *ports.registration(agent.name).spiffe}:  # (3)
        fix = "send the agent's own name as client_id, or none"
        raise TokenRefusedError("assertion_invalid", "`client_id` is not whom the proof speaks of", fix)
    asked.agent, asked.error = agent.name, "invalid_request"
    return agent


def _shown(form: Form, headers: Headers) -> ClientProof:
    authorization = headers.values.get(b"authorization")
    if "client_secret" in form or (authorization is not None and authorization[:6].lower() == b"basic "):  # (1)
        raise TokenRefusedError("client_secret_refused", "a secret that two share proves nobody", _REGISTER)
    assertion, kind = form.get("client_assertion", ""), form.get("client_assertion_type", "")
    if assertion or kind:  # (2)
        shown = _by_assertion(assertion, kind)
    else:
        shown = _by_certificate(form.get("client_id", ""), headers.certificate)
    if authorization is not None:
        raise InputRefusedError("authentication_twice", "more than one way of authenticating", "send only one")
    return shown


def _by_assertion(assertion: str, kind: str) -> ClientProof:
    if not assertion or kind not in (JWT_BEARER, JWT_SPIFFE):
        raise _missing()
    return ClientProof(assertion=assertion, assertion_type=kind)


def _by_certificate(client_id: str, certificate: bytes) -> ClientProof:
    if not certificate:
        raise _missing()
    if not client_id:
        fix = "send the agent's name as client_id (RFC 8705, section 2)"
        raise TokenRefusedError("client_id_missing", "the certificate comes without a client_id", fix)
    return ClientProof(certificate=certificate, client_id=client_id)


def _missing() -> TokenRefusedError:
    fix = f"send client_assertion and client_assertion_type={JWT_BEARER}, or connect with the agent's certificate"
    return TokenRefusedError("assertion_missing", "the agent does not say who it is", fix)


async def check_actor(ports: TokenPorts, asked: Asked, agent: AuthenticatedAgent) -> None:
    """Check the actor token of a request that has one, of a kind that is looked at (4).

    Raises:
        InputRefusedError: `actor_token_unsupported`.
    """
    token, kind = asked.form.get("actor_token", ""), asked.form.get("actor_token_type", "")
    if not token:
        return
    fix = "leave actor_token out: the proof of the client says who acts"
    try:
        proven = await _actor(ports, asked, token, kind)
    except TokenRefusedError as error:
        said = f"the actor token does not count: {error.message}"
        raise InputRefusedError("actor_token_unsupported", said, fix) from error
    if proven != agent.name:
        said = "the actor token does not prove the agent that asks"
        raise InputRefusedError("actor_token_unsupported", said, fix)


async def _actor(ports: TokenPorts, asked: Asked, token: str, kind: str) -> str:
    """Return whom an actor token proves; empty for nobody."""
    if kind == JWT and token == asked.form.get("client_assertion"):  # (which counts once, and just did)
        return asked.agent
    if kind == JWT:
        return (await ports.exchange.agent(ClientProof(assertion=token, assertion_type=JWT_BEARER))).name
    held = ports.exchange.handed_on(token)
    live = delegation_is_live(held, ports.task_of(held.task), ports.revoked(held), ports.clock.now())
    return held.agent if isinstance(live, Allow) else ""
