"""History: what was done before, as numbers that policy is told and the store counts in the transaction of the effect.

1. What a call would add is part of what policy sees: `context.history.refunded_today` already has this refund in it.
2. What policy saw is what the store holds when the effect begins, or the call is decided again: calls in flight count.
3. An amount counts by its size, so that nothing negative makes room; look-alike values share one counter.

    refunded = History(name="refunded_today", of=frozenset({"refund_order"}), sum="amount_minor", per=("user",),
                       window=Window.DAY)
    tallies((refunded,), asked)      # (Tally("refunded_today", "#refunded_today/...@2026-11-22", 0, 4000, ...),)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256

from remit.core import Add, Json, Window, canonical_bytes, window_at
from remit.permissions._values import loose_form

ARGUMENTS = "arguments."
"""What a part of `per` begins with that is an argument of the call."""

PARTIES = ("user", "agent", "task", "tool", "use_case")
"""What else a counter may count by."""

DECIMAL_SCALE = 10_000
"""A sum of a `number` argument is counted in ten-thousandths, as Cedar's decimals are."""

SUM_MAX = (1 << 62) - 1
"""More than this no counter holds: a call that would add more counts as this much, which every bound refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """One counter: calls of the operations `of`, or the sum of their argument `sum`, per `per`, in each `window`.

    `per` are of `PARTIES` or `arguments.NAME`. Without a window it counts for ever. `answered`: what counts is a call
    that the tool answered without an error, and this call is not among them (a precondition); otherwise every call
    that was let go ahead, from before its effect on (a ceiling). `decimal`: the sum is of a `number`.
    """

    name: str
    of: frozenset[str]
    per: tuple[str, ...]
    sum: str = ""
    window: Window | None = None
    answered: bool = False
    decimal: bool = False


@dataclass(frozen=True, slots=True)
class Tally:
    """A counter of one call: `seen` is counted under `key`; the call adds `by`, at once or, `later`, when answered."""

    name: str
    key: str
    seen: int
    by: int
    resets_at: datetime | None
    later: bool = False

    @property
    def said(self) -> int:
        """What policy is told: with this call, where it counts at once."""
        return self.seen if self.later else min(self.seen + self.by, SUM_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Whom and what a call counts for."""

    user: str
    agent: str
    task: str
    tool: str
    use_case: str
    operation: str
    arguments: Mapping[str, Json]
    now: datetime


def tallies(histories: tuple[History, ...], asked: Asked, seen: Mapping[str, int]) -> tuple[Tally, ...]:
    """Return the counters that concern a call, with what was `seen` under their keys; 0 where nothing was.

    A counter by an argument that the call does not have says nothing of it, and is left out.
    """
    found: list[Tally] = []
    for history in histories:
        key = _key(history, asked)
        if key is None:
            continue
        name, resets_at = ("", None) if history.window is None else window_at(history.window, asked.now)
        full = f"{key}@{name}"
        by = _amount(history, asked) if asked.operation in history.of else 0
        found.append(Tally(history.name, full, seen.get(full, 0), by, resets_at, history.answered))
    return tuple(found)


def adds(told: tuple[Tally, ...]) -> tuple[Add, ...]:
    """Return what the transaction before the effect must do: count, where nothing changed since it was looked at."""
    return tuple(Add(each.key, each.by, each.seen, each.resets_at) for each in told if not each.later)


def adds_later(told: tuple[Tally, ...]) -> tuple[Add, ...]:
    """Return what counts once the tool has answered without an error; `seen` is not looked at then."""
    return tuple(Add(each.key, each.by, each.seen, each.resets_at) for each in told if each.later and each.by)


def _key(history: History, asked: Asked) -> str | None:
    values: list[Json] = [history.sum, history.decimal, [*history.per]]  # (counted otherwise, it is another counter)
    for part in history.per:
        if part.startswith(ARGUMENTS):
            value = asked.arguments.get(part[len(ARGUMENTS) :])
            if value is None:
                return None
            # (A ceiling is shared by what may be one; what was looked at is only what was looked at.)
            values.append(value if history.answered else _folded(value))
        else:
            values.append(str(getattr(asked, part)))
    # (Hashed: a counter outlives its task, and what it counts by may be personal.)
    return f"#{history.name}/{sha256(canonical_bytes(values)).hexdigest()[:32]}"


def _folded(value: Json) -> Json:
    """Let values that a tool may take for one be one: another case or width is no way around a ceiling."""
    if isinstance(value, list):
        return [_folded(item) for item in value]
    if isinstance(value, dict):  # (two keys that fold to one: the pairs keep both values, in one order)
        return sorted(([loose_form(key), _folded(item)] for key, item in value.items()), key=canonical_bytes)
    return loose_form(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else value


def _amount(history: History, asked: Asked) -> int:
    if not history.sum:
        return 1
    value = asked.arguments.get(history.sum)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int | float):
        return SUM_MAX  # what is no number fits no schema, and is no way to make an amount nothing
    exact = Decimal(repr(value)) * (DECIMAL_SCALE if history.decimal else 1)
    if not exact.is_finite():
        return SUM_MAX
    return min(int(abs(exact).to_integral_value(rounding="ROUND_UP")), SUM_MAX)
