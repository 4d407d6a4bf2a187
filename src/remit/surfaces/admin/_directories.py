"""What approvers have added to the organisation's directories of trusted values, for operators to see and take back."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field, JsonValue

from remit.core import utc_text
from remit.identity import Person
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
    operator = Annotated[Person, Depends(access.operator)]

    @routes.get("/v1/directories")
    async def directories(_: operator) -> list[Said]:
        return [_directory(control, name) for name in sorted(control.live.snapshot.directories)]

    @routes.post("/v1/directories/{directory}/remove")
    async def remove(directory: str, found: operator, body: Distrusting) -> Said:
        settled(await control.approvals.distrust(found, directory, body.value, body.why))
        return _directory(control, directory)

    return routes


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
