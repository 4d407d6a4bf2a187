"""What a project may say and probably does not mean: calls that would all be denied, and why; tokens for anyone.

Each listed operation is told of once for each reason. Who has which role is not known here: what needs that is told it.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import cedarpy

from remit.adapters.project._mistakes import nearest, shape
from remit.adapters.project._models import AgentFile, SettingsFile
from remit.adapters.project._settings import SETTINGS_FILE, Settings
from remit.adapters.project._sources import read_file
from remit.adapters.project._yaml import Document, read_yaml
from remit.catalogue import Descriptor, Pin, Review
from remit.core import Problem


def never_permitted(document: Document, found: AgentFile, files: Mapping[str, str]) -> Iterator[Problem]:
    """Warn of each listed operation that no permit can match: every call of it would be denied."""
    permitted = _permitted(files)
    if permitted is None:
        return
    for name, use_case in found.use_cases.items():
        for index, operation in enumerate(use_case.operations):
            if operation not in permitted:
                yield Problem(
                    code="never_permitted",
                    file=document.file,
                    line=document.line(("use_cases", name, "operations", index)),
                    message=f"no policy can permit `{operation}`: every call of it will be denied",
                    fix=f"write a permit for it under agents/{found.agent}/policies, or take it off the list",
                )


def not_deployed(
    document: Document, found: AgentFile, descriptors: Mapping[str, Descriptor], manifest: Mapping[str, Pin]
) -> Iterator[Problem]:
    """Warn of each listed operation that is not in the agent's manifest, or is there as another version."""
    for operation, line in listed(document, found).items():
        descriptor, pin = descriptors.get(operation), manifest.get(operation)
        if descriptor is None or pin == Pin(descriptor.version, descriptor.digest):
            continue
        lock = f"agents/{found.agent}/tools.lock"
        if pin is None:
            code, message = "manifest_missing", f"`{operation}` is not in {lock}: every call of it will be denied"
        elif pin.version != descriptor.version:
            other = f"in version {pin.version}, the catalogue in {descriptor.version}"
            code, message = "manifest_stale", f"`{operation}` is in {lock} {other}"
        else:
            code, message = "manifest_stale", f"`{operation}` was changed after {lock} was written, in one version"
        fix = "once the change is reviewed, write the manifest anew by `remit tools lock`"
        yield Problem(code=code, file=document.file, line=line, message=message, fix=fix)


def not_reviewed(
    places: Mapping[str, tuple[str, int]], descriptors: Mapping[str, Descriptor], reviews: Mapping[str, Review]
) -> Iterator[Problem]:
    """Warn of each operation in `places` (file and line of its description) that lacks signatures or a pin."""
    for operation, (file, line) in places.items():
        review, descriptor = reviews.get(operation), descriptors.get(operation)
        if review is not None and review.missing:
            yield Problem(
                code="descriptor_unsigned",
                file=file,
                line=line,
                message=f"`{operation}` is not reviewed: {review.missing}; every call of it will be denied",
                fix="have it signed by the people whom the trust root names, each with `remit tools sign`",
            )
        if descriptor is not None and not descriptor.served:
            yield Problem(
                code="served_unpinned",
                file=file,
                line=line,
                message=f"`{operation}`: nothing is kept of what its server showed: a change of it would not be seen",
                fix=f"keep the server's own definition in catalogue/served/{descriptor.tool}.json",
            )


def not_signed(reviews: Mapping[str, Review]) -> Iterator[Problem]:
    """Warn of each list (by its path) that lacks signatures."""
    for path, review in reviews.items():
        if review.missing:
            yield Problem(
                code="list_not_signed",
                file=path,
                line=1,
                message=f"it counts for nothing: {review.missing}",
                fix="have it signed by the people whom the trust root names, each with `remit lists sign`",
            )


def bearer_allowed(document: Document, found: AgentFile) -> Iterator[Problem]:
    """Warn of an agent whose task tokens are bound to no key."""
    if found.identity.bearer:
        yield Problem(
            code="bearer_allowed",
            file=document.file,
            line=document.line(("identity", "bearer")),
            message=f"the task tokens of `{found.agent}` count for whoever bears them, a thief too",
            fix=f"register a key of it by `remit agents register {found.agent}`, then take `bearer: true` out",
        )


def notify_unknown(
    root: Path, settings: Settings, roles: Collection[str], agents: Collection[str]
) -> Iterator[Problem]:
    """Warn of each role and agent that a target of `notify:` waits for and that is not among `roles` and `agents`.

    `root` is the project's folder, from which `settings` were read; it is read again, for lines.
    """
    if not settings.notify:
        return
    document = read_yaml(SETTINGS_FILE, read_file(root, SETTINGS_FILE) or b"{}")
    for name, target in shape(SettingsFile, document).notify.items():
        for index, role in enumerate(target.roles):
            if role not in roles:
                yield Problem(
                    code="notify_unknown_role",
                    file=SETTINGS_FILE,
                    line=document.line(("notify", name, "roles", index)),
                    message=f"nobody has the role `{role}` and no hold asks for it: the target `{name}` is told of no "
                    f"call by it{nearest(role, sorted(roles))}",
                    fix="write a role that a hold's `@approvers`, or `reviewers`, ask for",
                )
        for index, agent in enumerate(target.agents):
            if agent not in agents:
                yield Problem(
                    code="notify_unknown_agent",
                    file=SETTINGS_FILE,
                    line=document.line(("notify", name, "agents", index)),
                    message=f"there is no agent `{agent}`: the target `{name}` is told of no call of it"
                    f"{nearest(agent, sorted(agents))}",
                    fix="name one under agents/",
                )


def listed(document: Document, found: AgentFile) -> dict[str, int]:
    """Return each operation that some use case lists, once, with the first line where it stands."""
    places: dict[str, int] = {}
    for name, use_case in found.use_cases.items():
        for index, operation in enumerate(use_case.operations):
            places.setdefault(operation, document.line(("use_cases", name, "operations", index)))
    return places


def _permitted(files: Mapping[str, str]) -> set[str] | None:
    """Return the operations that some permit in `files` names; None when one permits without naming any.

    The texts have been checked before, so they parse.
    """
    named: set[str] = set()
    for text in files.values():
        parsed = json.loads(cedarpy.policies_to_json_str(text))
        for policy in parsed["staticPolicies"].values():
            if policy["effect"] != "permit":
                continue
            scope = policy["action"]
            if scope["op"] == "All":
                return None
            named |= {entity["id"] for entity in scope.get("entities", [scope.get("entity")])}
    return named
