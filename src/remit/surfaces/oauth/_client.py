"""Who asks: an agent proves itself with a key or a certificate of its own, and by no secret that it shares.

1. No shared secret is even looked at.
2. It shows one proof: an assertion (RFC 7523), a workload its JWT-SVID, or else its TLS certificate (RFC 8705).
3. The name it gives itself, if any, is the one that it proved.
4. An actor token beside it (RFC 8693, section 2.1) proves the same agent.
"""

from remit.core import Allow, InputRefusedError
from remit.identity import AuthenticatedAgent, ClientProof, TokenRefusedError, delegation_is_live
from remit.surfaces._http import Headers
from remit.surfaces.oauth._form import ACCESS_TOKEN, JWT, Asked, Form
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
    shown = _shown(asked.form, asked.headers)
    agent = await ports.exchange.agent(shown)
    if shown.client_id and shown.client_id not in {agent.name, *ports.registration(agent.name).spiffe}:  # (3)
        fix = "send the agent's own name as client_id, or none"
        raise TokenRefusedError("assertion_invalid", "`client_id` is not whom the proof speaks of", fix)
    asked.agent, asked.error = agent.name, "invalid_request"
    return agent


def _shown(form: Form, headers: Headers) -> ClientProof:
    authorization, client_id = headers.values.get(b"authorization"), form.get("client_id", "")
    if "client_secret" in form or (authorization is not None and authorization[:6].lower() == b"basic "):  # (1)
        raise TokenRefusedError("client_secret_refused", "a secret that two share proves nobody", _REGISTER)
    shown = ClientProof(  # (2)
        assertion=form.get("client_assertion", ""),
        assertion_type=form.get("client_assertion_type", ""),
        client_id=client_id,
    )
    if shown.assertion or shown.assertion_type:
        if not shown.assertion or shown.assertion_type not in (JWT_BEARER, JWT_SPIFFE):
            raise _missing()
    elif not headers.certificate:
        raise _missing()
    elif not client_id:
        fix = "send the agent's name as client_id (RFC 8705, section 2)"
        raise TokenRefusedError("client_id_missing", "the certificate comes without a client_id", fix)
    else:
        shown = ClientProof(certificate=headers.certificate, client_id=client_id)
    if authorization is not None:
        raise InputRefusedError("authentication_twice", "more than one way of authenticating", "send only one")
    return shown


def _missing() -> TokenRefusedError:
    fix = f"send client_assertion and client_assertion_type={JWT_BEARER}, or connect with the agent's certificate"
    return TokenRefusedError("assertion_missing", "the agent does not say who it is", fix)


async def check_actor(ports: TokenPorts, asked: Asked, agent: AuthenticatedAgent) -> None:
    """Check the actor token of a request that has one (4).

    Raises:
        InputRefusedError: `actor_token_unsupported`.
    """
    token, kind = asked.form.get("actor_token", ""), asked.form.get("actor_token_type", "")
    if not token and not kind:
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
    if kind == JWT:
        if token == asked.form.get("client_assertion"):  # (which counts once, and just did)
            return asked.agent
        return (await ports.exchange.agent(ClientProof(assertion=token, assertion_type=JWT_BEARER))).name
    if kind == ACCESS_TOKEN and token:
        held = ports.exchange.handed_on(token)
        live = delegation_is_live(held, ports.task_of(held.task), ports.revoked(held), ports.clock.now())
        return held.agent if isinstance(live, Allow) else ""
    return ""
