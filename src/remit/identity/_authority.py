"""What a task may do at most, as OAuth writes it (RFC 9396, type `agent_task`), narrowed and never widened (R2.5).

{"type": "agent_task", "use_case": "refund_request", "operations": ["get_order"], "locations": ["orders"],
 "limits": {"calls": 5}, "expires_at": "2026-11-22T12:00:00Z"}
"""

from dataclasses import dataclass
from datetime import datetime

from remit.core import Authority, InputRefusedError, Json, JsonObject, is_name, parse_utc, utc_text

TYPE = "agent_task"
CALLS_MAX = 1_000_000_000
LISTED_MAX = 500  # operations, or locations

ALL = Authority()
"""An authority that narrows nothing."""

_MEMBERS = frozenset({"type", "use_case", "operations", "locations", "limits", "expires_at"})
_FIX = 'send [{"type": "agent_task", "use_case": "...", "operations": [...], "limits": {"calls": 5}}], parts left out'


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What one `agent_task` says. `use_case` is empty where it names none, `expires_at` None where it sets no end."""

    use_case: str = ""
    authority: Authority = ALL
    expires_at: datetime | None = None


def read_details(details: Json) -> Wanted | None:
    """Read `authorization_details`: None where nothing is said, else its one `agent_task`.

    What we could not enforce is refused, never ignored: another type, an unknown member, a limit of another kind.

    Raises:
        InputRefusedError: `authorization_details_invalid` (RFC 9396, section 5).
    """
    if details is None:
        return None
    said = details[0] if isinstance(details, list) and len(details) == 1 else None
    if not isinstance(said, dict) or said.get("type") != TYPE or said.keys() - _MEMBERS:
        raise _invalid(f"expected a list of one object of type `{TYPE}`, and no members that are not known here")
    use_case = said.get("use_case", "")
    if use_case != "" and not is_name(use_case):
        raise _invalid("`use_case` is a name")
    authority = Authority(
        operations=_names(said, "operations"), locations=_names(said, "locations"), calls_max=_calls(said)
    )
    return Wanted(use_case=str(use_case), authority=authority, expires_at=_moment(said))


def narrowed(one: Authority, other: Authority) -> Authority:
    """Return what both allow."""
    return Authority(
        operations=_both(one.operations, other.operations),
        locations=_both(one.locations, other.locations),
        calls_max=_least(one.calls_max, other.calls_max),
    )


def details_json(use_case: str, authority: Authority, expires_at: datetime) -> list[Json]:
    """Write what a task may do at most."""
    said: JsonObject = {"type": TYPE, "use_case": use_case, "expires_at": utc_text(expires_at)}
    return [{**said, **authority_json(authority)}]


def authority_json(authority: Authority) -> JsonObject:
    """Write an authority; what it does not narrow is left out."""
    said: JsonObject = {}
    if authority.operations is not None:
        said["operations"] = [*sorted(authority.operations)]
    if authority.locations is not None:
        said["locations"] = [*sorted(authority.locations)]
    if authority.calls_max is not None:
        said["limits"] = {"calls": authority.calls_max}
    return said


def read_authority(said: JsonObject) -> Authority:
    """Read back what `authority_json` wrote.

    Raises:
        InputRefusedError: `authorization_details_invalid`.
    """
    return Authority(operations=_names(said, "operations"), locations=_names(said, "locations"), calls_max=_calls(said))


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _least(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return min(one, other)


def _names(said: JsonObject, member: str) -> frozenset[str] | None:
    value = said.get(member)
    if value is None and member not in said:
        return None
    if not isinstance(value, list) or len(value) > LISTED_MAX or not all(is_name(each) for each in value):
        raise _invalid(f"`{member}` is a list of at most {LISTED_MAX} names")
    return frozenset(map(str, value))


def _calls(said: JsonObject) -> int | None:
    limits = said.get("limits")
    if limits is None and "limits" not in said:
        return None
    calls = limits.get("calls") if isinstance(limits, dict) and limits.keys() == {"calls"} else None
    if type(calls) is not int or not 0 <= calls <= CALLS_MAX:
        raise _invalid('`limits` is {"calls": N}: no other limit can be kept here')
    return calls


def _moment(said: JsonObject) -> datetime | None:
    value = said.get("expires_at")
    if value is None and "expires_at" not in said:
        return None
    wrong = _invalid("`expires_at` is a time such as 2026-11-22T12:00:00Z")
    if not isinstance(value, str):
        raise wrong
    try:
        return parse_utc(value if "." in value else value.replace("Z", ".0Z"))
    except ValueError as error:
        raise wrong from error


def _invalid(message: str) -> InputRefusedError:
    return InputRefusedError("authorization_details_invalid", message, _FIX)
