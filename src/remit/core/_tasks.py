"""A task as JSON, for the log and for stores: one form, written and read here."""

from collections.abc import Iterable

from remit.core._call import Attribute, Authority, Counter, Task
from remit.core._canonical import Json, JsonObject
from remit.core._time import parse_utc, utc_text


def task_json(task: Task) -> JsonObject:
    """Write a task without its id. What is empty, or narrows nothing, is left out."""
    said: JsonObject = {
        "user": task.user,
        "agent": task.agent,
        "use_case": task.use_case,
        "opened": utc_text(task.opened_at),
        "expires": utc_text(task.expires_at),
    }
    authority = task.authority
    if authority.operations is not None:
        said["operations"] = [*sorted(authority.operations)]
    if authority.locations is not None:
        said["locations"] = [*sorted(authority.locations)]
    if authority.calls_max is not None:
        said["calls_max"] = authority.calls_max
    if task.groups:
        said["groups"] = [*task.groups]
    if task.attributes:
        said["attributes"] = dict(task.attributes)
    if task.chain:
        said["chain"] = [*task.chain]
        said["parent"] = task.parent
    if task.implicit:
        said["implicit"] = True
    if task.login_at is not None:
        said["login"] = utc_text(task.login_at)
    if task.counters:
        said["counters"] = [[each.key, each.max, utc_text(each.resets_at)] for each in task.counters]
    return said


def task_of_json(task_id: str, said: JsonObject) -> Task:
    """Read back what `task_json` wrote.

    Raises:
        KeyError, ValueError: it is not that.
    """
    attributes = said.get("attributes")
    calls_max = said.get("calls_max")
    return Task(
        id=task_id,
        user=str(said["user"]),
        agent=str(said["agent"]),
        use_case=str(said["use_case"]),
        opened_at=parse_utc(str(said["opened"])),
        expires_at=parse_utc(str(said["expires"])),
        authority=Authority(
            operations=_names(said, "operations"),
            locations=_names(said, "locations"),
            calls_max=calls_max if isinstance(calls_max, int) else None,
        ),
        groups=tuple(_texts(said.get("groups"))),
        attributes=tuple(_attributes(attributes)) if isinstance(attributes, dict) else (),
        chain=tuple(_texts(said.get("chain"))),
        parent=str(said.get("parent", "")),
        implicit=said.get("implicit") is True,
        login_at=parse_utc(str(said["login"])) if "login" in said else None,
        counters=tuple(_counters(said.get("counters"))),
    )


def _counters(said: Json) -> Iterable[Counter]:
    for each in said if isinstance(said, list) else ():
        key, most, resets = each if isinstance(each, list) else ("", 0, "")
        yield Counter(str(key), int(str(most)), parse_utc(str(resets)))


def _names(said: JsonObject, member: str) -> frozenset[str] | None:
    return frozenset(_texts(said[member])) if member in said else None


def _texts(value: Json) -> Iterable[str]:
    return map(str, value) if isinstance(value, list) else ()


def _attributes(said: JsonObject) -> Iterable[tuple[str, Attribute]]:
    return ((name, value) for name, value in sorted(said.items()) if isinstance(value, str | int | bool))
