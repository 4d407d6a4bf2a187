"""`POST /oauth/token`: a task token for an agent that proves who it is, and for whom.

1. The request asks for what there is, and what it shows of ours names a task.
2. The agent is authenticated, and an actor token proves no other.
3. The token will be bound to a key, or the agent is registered to bear it; neither agent nor key is cut off.
4. What it shows leads to an open task.

Only then a token is minted. A refusal of somebody who is known by a signature goes on record.
"""

from remit.core import Delegation, InputRefusedError, JsonObject
from remit.identity import details_json, is_cut_off
from remit.surfaces.oauth._binding import binding
from remit.surfaces.oauth._client import authenticated, check_actor
from remit.surfaces.oauth._form import ACCESS_TOKEN, JWT, Asked, Form, read_asked_details
from remit.surfaces.oauth._grants import ASSERTION, GRANTS, TOKEN_EXCHANGE, Grant, Granted, Request, demand, own
from remit.surfaces.oauth._ports import TokenPorts

_ACTOR = frozenset({"actor_token", "actor_token_type"})


async def token(ports: TokenPorts, asked: Asked) -> JsonObject:
    """Answer a request for a token (RFC 6749, section 5.1; RFC 8693, section 2.2.1).

    Raises:
        TokenRefusedError, InputRefusedError: there is none for it.
        StoreUnavailableError: no task was opened.
    """
    ours = own(ports, asked)
    grant = _grant(asked.form, ports.audience)  # (1)
    asked.details = read_asked_details(asked.form)
    agent = await authenticated(ports, asked)  # (2)
    await check_actor(ports, asked, agent)
    bound = binding(ports, asked.headers, agent)  # (3)
    request = Request(ports=ports, asked=asked, agent=agent, binding=bound, own=ours)
    demand(is_cut_off(ports.revoked(_itself(request))))
    return _answer(request, await grant(request))  # (4)


def _grant(form: Form, audience: str) -> Grant:
    """Return what leads to a task.

    Raises:
        InputRefusedError: `grant_type_missing`, `grant_type_unsupported`, `subject_token_missing`,
            `grant_assertion_missing`, `token_type_unsupported`, `actor_token_unsupported`, `audience_unknown` or
            `scope_unsupported`.
    """
    if "grant_type" not in form:
        raise InputRefusedError("grant_type_missing", "no grant type", f"send grant_type={TOKEN_EXCHANGE}")
    if form["grant_type"] not in (TOKEN_EXCHANGE, ASSERTION):
        fix = f"send grant_type={TOKEN_EXCHANGE}, or {ASSERTION} with an identity assertion"
        raise InputRefusedError("grant_type_unsupported", "no such grant leads to a task", fix)
    if form["grant_type"] == ASSERTION:
        _check_assertion(form)
    else:
        _check_exchange(form)
    if {form.get("audience", audience), form.get("resource", audience)} != {audience}:
        raise InputRefusedError("audience_unknown", "no tokens are issued here for that target", f"ask for {audience}")
    if "scope" in form:
        raise InputRefusedError("scope_unsupported", "a task's token has no scopes", "send authorization_details")
    return GRANTS[form["grant_type"], form.get("subject_token_type", "")]


def _check_exchange(form: Form) -> None:
    if "subject_token" not in form:
        fix = "send the task's delegation token, a task token or the user's token as subject_token"
        raise InputRefusedError("subject_token_missing", "no subject token", fix)
    if (TOKEN_EXCHANGE, form.get("subject_token_type", "")) not in GRANTS:
        fix = f"send subject_token_type={JWT} for a delegation, {ACCESS_TOKEN} for an access token"
        raise InputRefusedError("token_type_unsupported", "that kind of subject token is not exchanged", fix)
    if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
        raise InputRefusedError("token_type_unsupported", "only access tokens are issued", f"ask for {ACCESS_TOKEN}")
    if form.keys() & _ACTOR and not ("actor_token" in form and form.get("actor_token_type") in (JWT, ACCESS_TOKEN)):
        fix = f"send actor_token with actor_token_type={JWT}, or leave both out"
        raise InputRefusedError("actor_token_unsupported", "that is no actor token that is looked at here", fix)


def _check_assertion(form: Form) -> None:
    if "assertion" not in form:
        raise InputRefusedError("grant_assertion_missing", "no assertion", "send the identity assertion as assertion")
    if form.keys() & _ACTOR:
        fix = "leave actor_token out: the proof of the client says who acts"
        raise InputRefusedError("actor_token_unsupported", "an actor token has no place beside an assertion", fix)
    if form.keys() & {"subject_token", "subject_token_type"}:
        fix = f"leave it out, or send grant_type={TOKEN_EXCHANGE}"
        raise InputRefusedError("token_type_unsupported", "a subject token has no place beside an assertion", fix)


def _itself(request: Request) -> Delegation:
    """Return the agent and its keys without anybody to act for."""
    now, name = request.ports.clock.now(), request.agent.name
    return Delegation(user="", agent=name, task="", use_case="", expires_at=now, keys=request.keys)


def _answer(request: Request, granted: Granted) -> JsonObject:
    task, bound = granted.task, request.binding
    keys = tuple(dict.fromkeys((request.agent.key, *granted.keys)))
    said: JsonObject = {
        "access_token": request.ports.exchange.mint(task, keys=keys, bound=bound.key, certificate=bound.certificate),
        "token_type": bound.token_type,
        "expires_in": int((task.expires_at - request.ports.clock.now()).total_seconds()),
        "authorization_details": details_json(task.use_case, task.authority, task.expires_at),
    }
    if request.asked.form["grant_type"] == TOKEN_EXCHANGE:
        said["issued_token_type"] = ACCESS_TOKEN
    return said
