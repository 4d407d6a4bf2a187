"""The desk with a directory of payees, persons who approve, edit and trust, and what a test sees of it."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from tests.pipeline.pipeline_stage import HELD, Stage

from remit.adapters.project import compile_snapshot
from remit.catalogue import Extension, sign_extension
from remit.core import JsonObject, Reason
from remit.identity import Person
from remit.permissions import Approval
from remit.pipeline import Snapshot, Trust
from remit.testing import NOON, POLICY, Desk, MemoryStore, desk_sources, reviewed, reviewer_key

ALL = frozenset({"ops", "audit", "operator"})
OPAL = Person("opal", frozenset({"ops"}))
OSCAR = Person("oscar", frozenset({"ops", "audit"}))
AUDREY = Person("audrey", frozenset({"audit"}))
ANA = Person("ana", ALL)  # owns the agent
TOM_WITH_ROLES = Person("tom", ALL)  # for whom it acts
CLERK = Person("clerk", ALL)  # a person named like the agent
SUE = Person("sue", frozenset({"ops", "operator"}))  # whose key the trust root has
ELI = Person("eli", frozenset({"operator"}))  # whose key it has, too

PAYEES = "directory: payees\nkind: values\nentries: [known@desk.example]\n"
OTHERS = "directory: others\nkind: values\nentries: [x]\n"  # which no argument accepts
DOMAINS = "directory: hosts\nkind: domains\nentries: [desk.example]\n"
TO = "eve@corp.example"
PAID_TO: dict[str, Any] = {"amount": 20, "to": TO}


def with_directories(policy: str = POLICY) -> Snapshot:
    """Return the desk with directories, from which `pay` accepts whom to pay."""
    files = {path: body for path, body in desk_sources(policy).items() if "signatures" not in path}
    accepted = "to: [user, look/owner, directory/payees, directory/hosts]"
    links = f"    links: [user, directory/payees, directory/hosts]\n    sources: {{{accepted}}}"
    catalogue = files["catalogue/desk.yaml"].decode().replace("    sources: {to: [user, look/owner]}", links)
    assert links in catalogue
    return compile_snapshot(
        reviewed(
            {
                **{path: body for path, body in files.items() if path not in ("trust.json", "agents/clerk/tools.lock")},
                "catalogue/desk.yaml": catalogue.encode(),
                "organisation/directories/payees.yaml": PAYEES.encode(),
                "organisation/directories/hosts.yaml": DOMAINS.encode(),
                "organisation/directories/others.yaml": OTHERS.encode(),
            }
        )
    )


def editing(desk: Desk) -> Desk:
    """Let people edit what is held at `desk`."""
    desk.approvals = replace(desk.approvals, propose=desk.gateway.propose)
    return desk


def trusting(store: MemoryStore | None = None) -> Desk:
    """Return a desk with directories."""
    return editing(Desk(project=with_directories(), store=store))


def trust(  # noqa: PLR0913 - each is one thing that a signature is about
    approval: Approval,
    value: str = TO,
    *,
    directory: str = "payees",
    until: datetime = NOON + timedelta(days=30),
    key: str = "sue",
    signed: dict[str, Any] | None = None,
) -> Trust:
    """Return what an approver sends to have a value trusted; `signed` is said otherwise in what is signed."""
    said: dict[str, Any] = {"directory": directory, "value": value, "until": until, "approval": approval.id}
    envelope = sign_extension(Extension(**{**said, **(signed or {})}), reviewer_key(key))
    return Trust(directory=directory, value=value, until=until, envelope=envelope)


async def edit(
    stage: Stage, approval: Approval, arguments: JsonObject, person: Person = OPAL, digest: str = ""
) -> Approval | Reason:
    """Let `person` change a held call."""
    return await stage.desk.approvals.edit(person, approval.id, digest or approval.digest, arguments, "too much")


async def edited(stage: Stage, approval: Approval, arguments: JsonObject, person: Person = OPAL) -> Approval:
    """Let `person` change a held call; return what waits then."""
    answer = await edit(stage, approval, arguments, person)
    assert isinstance(answer, Approval), answer
    return answer


async def say_yes(stage: Stage, approval: Approval, person: Person, trusts: Sequence[Trust] = ()) -> str:
    """Let `person` approve; return the code of the refusal, or nothing."""
    answer = await stage.desk.approvals.approve(person, approval.id, approval.digest, "", trusts)
    return answer.code if isinstance(answer, Reason) else ""


def sent(stage: Stage) -> list[JsonObject]:
    """Return the arguments of every call that reached the tool."""
    return [dict(json.loads(received.body)) for received in stage.desk.upstream.received]


LESS: JsonObject = {**HELD, "amount": 60}
