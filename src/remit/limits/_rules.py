"""The gate of the limits, pure: it names what is to be counted; the store counts, in the intent's own transaction."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

from remit.core import Allow, Decision, Deny, Reason, Reserve, Window
from remit.limits._model import Cap, Per

GRANTED = "granted"  # the cap that is no cap of the agent's, but what its task was granted
GRANT_KEYS = "="  # what the keys of such counters begin with, and an agent's name cannot

_EFFECTS = frozenset({"read", "write", "execute", "irreversible"})
_SECOND = timedelta(seconds=1)
_AGENT, _USER, _TOOL, _TASK = Per  # (looking a member up in its enumeration costs more than using it)
_MINUTE, _HOUR, _DAY = Window
_LENGTHS = {_MINUTE: timedelta(minutes=1), _HOUR: timedelta(hours=1), _DAY: timedelta(days=1)}
_FIRST = {_MINUTE: 24 * 60, _HOUR: 24, _DAY: 1}  # windows are counted as days are: the first day of year 1 is day 1
_YEAR_ONE = datetime(1, 1, 1, tzinfo=UTC)
_CHARS = {_MINUTE: 16, _HOUR: 13, _DAY: 10}  # of `2026-11-22T09:30`: as much as tells one window from the next

DEFAULT_CAPS = (
    Cap(name="at_once", effects=_EFFECTS, per=Per.AGENT, window=None, max=16),
    Cap(name="writes", effects=_EFFECTS - {"read"}, per=Per.AGENT, window=Window.DAY, max=100),
    Cap(name="reads", effects=frozenset({"read"}), per=Per.AGENT, window=Window.DAY, max=10_000),
)
"""The caps of an agent whose file names none: the documented default, not the absence of limits (R6.4)."""

_MISSING = Deny(
    Reason("limits_missing", "no limit stands for this agent", "ask the agent's owner to set limits for this agent")
)


def is_capped(  # noqa: PLR0913 - the five things a cap may count by are five values
    caps: tuple[Cap, ...] | None, *, agent: str, user: str, tool: str, task: str, effect: str, now: datetime
) -> Decision:
    """Allow the call on condition that every cap of its effect still has room; without any cap, deny (R6.1, R6.4).

    `now` is aware UTC. What the agent sends counts nowhere: agent, user and task are the token's, tool and effect the
    catalogue's (R6.5).
    """
    if not caps:
        return _MISSING
    day = now.toordinal()
    hour = 24 * day + now.hour
    starts = {None: 0, _MINUTE: 60 * hour + now.minute, _HOUR: hour, _DAY: day}
    values = {_AGENT: agent, _USER: user, _TOOL: tool, _TASK: task}
    return Allow(
        tuple(
            [
                _reserve(agent, cap.name, cap.max, cap.per, values[cap.per], cap.window, starts[cap.window])
                for cap in caps
                if effect in cap.effects
            ]
        )
    )


def refused(reserve: Reserve, used: int, now: datetime) -> Deny:
    """Say that a cap is full, and in how many seconds, rounded up, the same call may succeed; of a grant, never."""
    if reserve.resets_at is None:
        said = f"`{reserve.cap}` lets {reserve.max} calls be under way at once, and {used} are"
        return Deny(Reason("limit_concurrency", said, "wait until one of them has ended", 1))
    if reserve.cap == GRANTED and reserve.key.startswith(GRANT_KEYS):
        said = f"the task's own grant of {reserve.max} calls is used up: {used} were made"
        return Deny(Reason("limit_reached", said, "ask the user for a new grant: waiting does not help"))
    said = f"`{reserve.cap}` allows {reserve.max} calls until {reserve.resets_at:%Y-%m-%dT%H:%MZ}, and {used} were made"
    wait_s = max(1, -((now - reserve.resets_at) // _SECOND))
    return Deny(Reason("limit_reached", said, "wait, or ask the agent's owner to raise the limit", wait_s))


@lru_cache(maxsize=4_096)  # the same few counters, call after call: to make one costs several times as much
def _reserve(  # noqa: PLR0913, PLR0917 - by place: names would cost as much again, on every call
    agent: str, cap: str, most: int, per: Per, value: str, window: Window | None, start: int
) -> Reserve:
    counter = f"{agent}/{cap}/{per}:{value}"
    if window is None:
        return Reserve(cap, f"{counter}@now", most, None)
    begins = _YEAR_ONE + (start - _FIRST[window]) * _LENGTHS[window]
    return Reserve(cap, f"{counter}@{begins.isoformat()[: _CHARS[window]]}", most, begins + _LENGTHS[window])
