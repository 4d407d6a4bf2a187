"""What approvers have added to the organisation's directories of trusted values.

Whoever has any role but `user` may see it: approvers need to know what they trust. Operators take it back.
"""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field, JsonValue

from remit.core import RemitError, utc_text
from remit.identity import USER, Person
from remit.pipeline import directory_control, trusted_in
from remit.surfaces.admin._access import Access, Told
from remit.surfaces.admin._approvals import VALUE_CHARS_MAX
from remit.surfaces.admin._control import Control, Said
from remit.surfaces.admin._refusals import settled


class Distrusting(Told):
    """A value that an approver added and that is to count no more."""

    value: str = Field(min_length=1, max_length=VALUE_CHARS_MAX)


def directory_routes(control: Control, access: Access) -> APIRouter:
    """Return the routes for directories."""
    routes = APIRouter()
    person = Annotated[Person, Depends(access.person)]
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/directories")
    async def directories(found: person) -> list[Said]:
        _refuse_mere_user(found)
        return [_directory(control, name) for name in sorted(control.live.snapshot.directories)]

    @routes.post("/v1/directories/{directory}/remove")
    async def remove(directory: str, found: operator, body: Distrusting) -> Said:
        settled(await control.approvals.distrust(found, directory, body.value, body.why))
        return _directory(control, directory)

    return routes


def _refuse_mere_user(person: Person) -> None:
    if not person.roles - {USER}:
        message = f"`{person.name}` has no role but `{USER}`"
        raise RemitError("role_missing", message, "ask an operator, or somebody who approves")


def _directory(control: Control, name: str) -> Said:
    signed = control.live.snapshot.directories.get(name)
    now = control.clock.now()
    added = trusted_in(control.live.says(directory_control(name)))
    return {
        "directory": name,
        "kind": None if signed is None else signed.kind.value,
        "missing": "" if signed is None else signed.missing,
        "signed": 0 if signed is None else len(signed.entries),
        "added": [
            dict[str, JsonValue](
                value=each.value, until=utc_text(each.until), person=each.person, counts=now < each.until
            )
            for each in added
        ],
    }
