"""Agents: who they are by charter, what they hold, their keys, and cutting one off."""

from typing import Annotated

from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from remit.charter import Charter
from remit.core import InputRefusedError, JsonObject, RemitError, Task, utc_text
from remit.identity import X509, Cut, Person, agent_keys
from remit.pipeline import agent_control, keys_control
from remit.surfaces._http import thumbprint
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said, died
from remit.surfaces.admin._refusals import settled
from remit.surfaces.admin._users import UserName, still_revoked

CERTIFICATE_CHARS_MAX = 16_384


class Key(BaseModel):
    """An agent's public key, as a JWK (RFC 7517), or the TLS certificate it shows, in PEM."""

    model_config = ConfigDict(extra="forbid")

    jwk: dict[str, JsonValue] | None = None
    certificate: Annotated[str, Field(max_length=CERTIFICATE_CHARS_MAX)] | None = None


class OfAgent(Told):
    """A body that says why, and of which user, if not of all."""

    user: UserName | None = None


class Kid(BaseModel):
    """The name of one of an agent's keys: its thumbprint (RFC 7638)."""

    model_config = ConfigDict(extra="forbid")

    kid: str


class DeadKey(Told):
    """Which of an agent's keys counts no more, and why."""

    kid: str


def agent_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for agents: the list for everybody who has logged in, the rest for operators."""
    routes = APIRouter()
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/agents", dependencies=[Depends(access.person)])
    async def agents() -> list[Said]:
        return [_agent(control, charter) for _, charter in sorted(control.live.snapshot.charters.items())]

    @routes.get("/v1/agents/{name}", dependencies=[Depends(access.operator)])
    async def agent(name: str) -> Said:
        return _whole(control, _known(control, name))

    @routes.post("/v1/agents/{name}/revoke")
    async def revoke(name: str, found: operator, body: OfAgent) -> Said:
        cut = Cut(agent=name, user=body.user or "")
        done = settled(await control.controls.cut(cut, found.name, body.why))
        return {"agent": name, "revoked": True, **died(done)}

    @routes.post("/v1/agents/{name}/restore")
    async def restore(name: str, found: operator, body: OfAgent) -> Said:
        settled(await control.controls.restore(Cut(agent=name, user=body.user or ""), found.name, body.why))
        stands = still_revoked(control, body.user, name) if body.user else []
        return {"agent": name, "revoked": False, "stands": stands}

    @routes.post("/v1/agents/{name}/keys")
    async def register(name: str, found: operator, body: Key) -> Said:
        kid = settled(await control.controls.register_key(_known(control, name).agent, _key(body), found.name))
        return {"agent": name, "kid": kid}

    @routes.post("/v1/agents/{name}/keys/remove")
    async def remove(name: str, found: operator, body: Kid) -> Said:
        await control.controls.remove_key(_known(control, name).agent, body.kid, found.name)
        return {"agent": name, "removed": body.kid}

    @routes.post("/v1/agents/{name}/keys/revoke")
    async def revoke_key(name: str, found: operator, body: DeadKey) -> Said:
        if control.controls.holder(body.kid) not in (None, _known(control, name).agent):
            raise RemitError("key_unknown", f"that is not a key of `{name}`", "see `remit agents show`")
        done = settled(await control.controls.cut(Cut(key=body.kid), found.name, body.why))
        return {"agent": name, "kid": body.kid, "revoked": True, **died(done)}

    return routes


def _key(body: Key) -> JsonObject:
    """Return what to register as a JWK.

    Raises:
        InputRefusedError: neither a key nor a certificate, or both; what is no certificate.
    """
    if (body.jwk is None) == (body.certificate is None):
        raise InputRefusedError("key_invalid", "not one key", 'send {"jwk": {...}} or {"certificate": "..."}')
    return body.jwk if body.jwk is not None else _certificate(body.certificate or "")


def _certificate(pem: str) -> JsonObject:
    if "PRIVATE KEY" in pem:
        fix = "make a new key pair, this one has been seen; register the certificate alone"
        raise InputRefusedError("key_private", "a private key came with the certificate", fix)
    try:
        found = load_pem_x509_certificate(pem.encode("ascii"))
    except ValueError as error:
        fix = "send one X.509 certificate in PEM"
        raise InputRefusedError("certificate_invalid", "not a certificate", fix) from error
    return {"kty": X509, "x5t#S256": thumbprint(found.public_bytes(Encoding.DER))}


def _known(control: Control, name: str) -> Charter:
    found = control.live.snapshot.charters.get(name)
    if found is None:
        raise RemitError("agent_unknown", "there is no such agent", "see `remit agents list`")
    return found


def _agent(control: Control, charter: Charter) -> Said:
    return {
        "agent": charter.agent,
        "owner": charter.owner,
        "purpose": charter.purpose,
        "use_cases": {name: list[JsonValue](sorted(case.operations)) for name, case in charter.use_cases.items()},
        "revoked": bool(control.live.says(agent_control(charter.agent))),
    }


def _whole(control: Control, charter: Charter) -> Said:
    control.live.forget_expired(control.clock.now())
    keys = agent_keys(control.live.says(keys_control(charter.agent)))
    return {
        **_agent(control, charter),
        "process": charter.process,
        "revoked_why": control.live.says(agent_control(charter.agent)),
        "keys": list[JsonValue](keys),
        "certificates": [kid for kid, key in keys.items() if key["kty"] == X509],
        "open_tasks": [_task(control, task) for task in control.live.tasks() if task.agent == charter.agent],
        "waiting_approvals": [each.id for each in control.live.waiting_for(charter.agent)],
    }


def _task(control: Control, task: Task) -> Said:
    level = control.live.level(task.id)
    return {
        "task": task.id,
        "user": task.user,
        "use_case": task.use_case,
        "level": None if level is None else level.value,
        "before_start": task.opened_at < control.live.began_at,
        "chain": list[JsonValue](task.chain),
        "expires_at": utc_text(task.expires_at),
    }
