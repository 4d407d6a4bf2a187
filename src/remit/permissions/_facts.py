"""Facts about what a call is about, read from the system that knows: whose order it is, what was paid, how long ago.

asked_for({"order_id": "/order_id"}, {"order_id": "ord-1001"})      # {"order_id": "ord-1001"}
taken({"customer": ("/customer/id", "value")}, answer, now)          # {"customer": "crm-7"}, or what is missing
facts_are_known(known, {"order": "`get_order` did not answer"})      # Deny(fact_missing)
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime

from remit.core import Allow, Decision, Deny, Json, JsonObject, Reason

VALUE, DAYS_SINCE = "value", "days_since"
"""How a value is read: as it is, or as whole days from a date or date-time (RFC 3339) until now."""

# RFC 3339, sections 5.6 and 1, with the offset left out at will. (`fromisoformat` reads much else: weeks, `20261122`.)
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d(?:[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)?)?", re.ASCII)


def asked_for(pointers: Mapping[str, str], arguments: Mapping[str, Json]) -> JsonObject | None:
    """Return the arguments of a look-up, each from where its pointer leads in the call's; None where one is absent."""
    asked: JsonObject = {}
    for name, pointer in pointers.items():
        value = at(arguments, pointer)
        if value is None:
            return None
        asked[name] = value
    return asked


def taken(values: Mapping[str, tuple[str, str]], answer: Json, now: datetime) -> JsonObject | str:
    """Return what a look-up's structured answer says, by name; or, in one line, what it does not say.

    A date without a time is that day's beginning, UTC; a time without an offset is UTC. Days begun are not counted.
    """
    found: JsonObject = {}
    for name, (pointer, kind) in values.items():
        value = at(answer, pointer)
        if value is None:
            return f"`{name}`: nothing at `{pointer}`"
        if kind == DAYS_SINCE:
            days = _days_since(value, now)
            if days is None:
                return f"`{name}`: no date at `{pointer}`"
            value = days
        found[name] = value
    return found


def facts_are_known(missing: Mapping[str, str]) -> Decision:
    """Say whether every declared fact is known. What is missing denies: nothing is taken for granted.

    Deny code: `fact_missing`.
    """
    if not missing:
        return Allow()
    said = "; ".join(f"`{name}`: {why}" for name, why in sorted(missing.items()))
    return Deny(Reason("fact_missing", f"what the call is about is not known: {said}", "ask for what exists"))


def at(value: object, pointer: str) -> Json:
    """Return what a JSON pointer (RFC 6901) leads to; None where that is nothing, or null."""
    if pointer and pointer[0] != "/":
        return None
    for step in pointer.split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(value, Mapping):
            value = value.get(name)
        elif isinstance(value, list) and name.isascii() and name.isdigit() and (name == "0" or name[0] != "0"):
            value = value[int(name)] if int(name) < len(value) else None
        else:
            return None
    return value if isinstance(value, str | int | float | bool | dict | list) else None


def _days_since(value: Json, now: datetime) -> int | None:
    if not isinstance(value, str) or not _DATE_TIME.fullmatch(value):
        return None
    try:
        then = datetime.fromisoformat(value.upper())
    except ValueError:
        return None  # no such day or hour
    if then.tzinfo is None:
        then = then.replace(tzinfo=UTC)
    return (now - then).days
