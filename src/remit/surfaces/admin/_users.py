"""Users: for whom agents act at the moment, who was cut off, and cutting one off."""

from datetime import datetime
from difflib import get_close_matches
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field, JsonValue

from remit.core import RemitError, Task, is_user, utc_text
from remit.identity import EVERY_AGENT, Cut, Person, UserCuts
from remit.pipeline import agent_control
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._control import Control, Said, died
from remit.surfaces.admin._refusals import settled

USER_CHARS_MAX = 320
OLDER_LOGINS_SHOWN = 100  # users, the newest
UserName = Annotated[str, Field(min_length=1, max_length=USER_CHARS_MAX)]


class OfUser(Told):
    """A body that says which user, and with which agent, if not with all."""

    user: UserName
    agent: Annotated[str, Field(max_length=64)] = ""


def user_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for users; operators only."""
    routes = APIRouter(dependencies=[Depends(access.operator)])
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/users")
    async def users() -> Said:
        control.live.forget_expired(control.clock.now())
        acting: dict[str, list[Task]] = {}
        for task in control.live.tasks():
            acting.setdefault(task.user, []).append(task)
        cuts = control.live.user_cuts()
        # (An issuer ends the logins of many whom nobody has seen here: they would hide who is cut off.)
        ended = {name: moment for name in cuts.keys() - acting.keys() if (moment := _only_before(cuts[name]))}
        newest = sorted(ended, key=lambda name: (ended[name], name), reverse=True)[:OLDER_LOGINS_SHOWN]
        shown = sorted((acting.keys() | cuts.keys()) - ended.keys())
        return {
            "users": [_user(name, acting.get(name, []), cuts.get(name, {})) for name in shown],
            "older_logins": [_user(name, [], cuts[name]) for name in newest],
            "older_logins_count": len(ended),
        }

    @routes.post("/v1/users/revoke")
    async def revoke(found: operator, body: OfUser) -> Said:
        _check_issuer(control, body.user)
        cut = Cut(user=body.user, agent=body.agent)
        done = settled(await control.controls.cut(cut, found.name, body.why))
        return {"user": body.user, "agent": body.agent, "revoked": True, **died(done)}

    @routes.post("/v1/users/restore")
    async def restore(found: operator, body: OfUser) -> Said:
        settled(await control.controls.restore(Cut(user=body.user, agent=body.agent), found.name, body.why))
        stands = still_revoked(control, body.user, body.agent)
        return {"user": body.user, "agent": body.agent, "revoked": False, "stands": stands}

    return routes


def _check_issuer(control: Control, user: str) -> None:
    """Check that somebody can have this name: to cut off a misspelt one would cut off nobody, and say it was done.

    Raises:
        RemitError: `issuer_unknown`, unless somebody of that name has a task open all the same.
    """
    issuer, separator, subject = user.partition(":")
    if not (separator and is_user(user)) or issuer in control.issuers:  # (what is no name is refused besides)
        return
    if any(task.user == user for task in control.live.tasks()):
        return
    near = get_close_matches(issuer, sorted(control.issuers), n=1)
    known = ", ".join(sorted(control.issuers)) or "none"
    fix = f"did you mean `{near[0]}:{subject}`?" if near else f"name one of remit.yaml's issuers: {known}"
    raise RemitError("issuer_unknown", f"remit.yaml has no issuer `{issuer[:64]}`: nobody was cut off", fix)


def still_revoked(control: Control, user: str, agent: str) -> list[JsonValue]:
    """Say in a line each what still keeps `agent` from acting for a user; with no agent, any of those cut off alone."""
    out = {name: cut.why for name, cut in control.live.user_cuts().get(user, {}).items() if cut.out}
    asked = [EVERY_AGENT, agent] if agent else sorted(out)
    stands = [f"{user} with {name or 'every agent'} {out[name]}" for name in asked if name in out]
    alone = control.live.says(agent_control(agent)) if agent else ""
    return [*stands, *([f"{agent} {alone}"] if alone else [])]


def _only_before(cuts: UserCuts) -> datetime | None:
    """Return before when logins count no more, the latest, where nothing else of the user is cut off."""
    moments = [cut.before for cut in cuts.values() if cut.before is not None]
    return max(moments) if moments and not any(cut.out for cut in cuts.values()) else None


def _user(name: str, tasks: list[Task], cuts: UserCuts) -> Said:
    return {
        "user": name,
        "tasks": len(tasks),
        "agents": list[JsonValue](sorted({task.agent for task in tasks})),
        "revoked": [
            {
                "agent": agent,
                "why": cut.why,
                "out": cut.out,
                "before": None if cut.before is None else utc_text(cut.before),
            }
            for agent, cut in sorted(cuts.items())
        ],
    }
