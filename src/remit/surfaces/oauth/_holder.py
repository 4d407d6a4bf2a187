"""What an agent may ask about a token of its own: whether it counts (RFC 7662), and that it count no more (RFC 7009).

Nothing here is remembered: the answer is as true as the moment it is given.
"""

import binascii
from base64 import b64decode

from remit.core import Allow, Delegation, InputRefusedError, Json, JsonObject, Reason, Task, parse_strict
from remit.identity import Cut, TokenRefusedError, delegation_is_live, details_json
from remit.surfaces.oauth._client import authenticated
from remit.surfaces.oauth._form import Asked
from remit.surfaces.oauth._ports import TokenPorts

_INACTIVE: JsonObject = {"active": False}


async def introspect(ports: TokenPorts, asked: Asked) -> JsonObject:
    """Say what a task token of the agent that asks stands for; of anything else only that it does not count.

    Raises:
        TokenRefusedError, InputRefusedError: the agent did not prove who it is, or sent no token.
    """
    agent = await authenticated(ports, asked)
    token = _token(asked)
    held = _held(ports, token)
    if held is None or held.agent != agent.name:
        return _INACTIVE
    task = ports.task_of(held.task)
    live = delegation_is_live(held, task, ports.revoked(held), ports.clock.now())
    if not isinstance(live, Allow) or task is None:
        return _INACTIVE
    return {**_said(ports, held, task), **_of_itself(token)}


async def revoke(ports: TokenPorts, asked: Asked) -> JsonObject:
    """End the task of the agent that asks, by its task token. A token that counts for nothing is as good as ended.

    Raises:
        TokenRefusedError, InputRefusedError: the agent did not prove who it is, sent no token, or another's.
        StoreUnavailableError: nothing was ended.
    """
    agent = await authenticated(ports, asked)
    held = _held(ports, _token(asked))
    if held is None or ports.task_of(held.task) is None:
        return {}
    asked.delegation = held
    if held.agent != agent.name:
        asked.error = "invalid_grant"
        said = "the token was issued to another agent"
        raise TokenRefusedError("token_other_agent", said, "let the agent end the task that it was opened for")
    ended = await ports.ending.cut(Cut(task=held.task), f"agent {agent.name}", "revoked by its holder")
    if isinstance(ended, Reason) and ports.task_of(held.task) is not None:
        raise TokenRefusedError(ended.code, ended.message, ended.fix)
    return {}


def _token(asked: Asked) -> str:
    token = asked.form.get("token", "")
    if not token:
        raise InputRefusedError("token_missing", "no token is named", "send the task token as token")
    return token


def _held(ports: TokenPorts, token: str) -> Delegation | None:
    try:
        return ports.exchange.handed_on(token)
    except TokenRefusedError:
        return None


def _said(ports: TokenPorts, held: Delegation, task: Task) -> JsonObject:
    return {
        "active": True,
        "iss": ports.issuer,
        "aud": ports.audience,
        "sub": held.user,
        "client_id": held.agent,
        "act": _act((held.agent, *held.chain)),
        "txn": held.task,
        "exp": int(held.expires_at.timestamp()),
        "authorization_details": details_json(held.use_case, task.authority, task.expires_at),
    }


def _of_itself(token: str) -> JsonObject:
    """Return what a token whose signature held says of itself: how it is presented, what it is bound to, since when.

    (RFC 7662, section 2.2; RFC 9449, section 6.2; RFC 8705, section 3.2.)
    """
    claims = _claims(token)
    said: JsonObject = {name: claims[name] for name in ("cnf", "iat", "jti") if name in claims}
    cnf = claims.get("cnf")
    return {**said, "token_type": "DPoP" if isinstance(cnf, dict) and "jkt" in cnf else "Bearer"}


def _claims(token: str) -> JsonObject:
    _, _, rest = token.partition(".")
    body = rest.partition(".")[0]
    try:
        claims = parse_strict(b64decode(body + "=" * (-len(body) % 4), b"-_", validate=True))
    except (binascii.Error, ValueError, InputRefusedError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _act(chain: tuple[str, ...]) -> Json:
    """Nest the agents as a token does, the one that acts outside (RFC 8693, section 4.1)."""
    said: JsonObject = {}
    for agent in reversed(chain):
        said = {"sub": agent, "act": said} if said else {"sub": agent}
    return said
