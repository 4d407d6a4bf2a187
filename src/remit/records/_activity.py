"""Telling a user who tries many agents from an agent that loops, by figures that the log gives (R2.8).

What a call's arguments were stays unsaid: a hash of them is enough to see that two calls are equal. A call whose
arguments were erased is equal to none. Times are of the gateway's clock.

    seen = sightings(entries)
    for line in told(figures(seen), agent="refunds"):
        print(line)
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

from remit.core import Json, JsonObject
from remit.records._explain import printable, proves_nobody, repeats
from remit.records._model import Entry

AGENTS_MIN = 3  # agents that a user has tried before it can be called many
REFUSED_PERCENT_MIN = 50  # of what a user tried with an agent: from here on, that agent turned the user away
RUN_MIN = 20  # equal calls in a row that are a loop
EQUAL_CALLS_MIN = 40  # calls from which on the share of equal ones says something
EQUAL_PERCENT_MIN = 50  # of so many calls: from here on, they are a loop
USERS_LOOPING_MIN = 2  # users for whom it loops: then it is the agent's doing, and not one user's

TOLD_MAX = 50  # users told in lines

TRIES_MANY = "a user who tries many agents"
LOOPS = "an agent that loops"

_CALLS = frozenset(("intent", "denied", "held", "evaluated"))
_CODES_TOLD = 4  # of one user


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What one entry says of who did what. `said` is `allow`, `deny`, `hold`, `repeat`, or how a call ended.

    A `repeat` of an approved call that was made was answered with the recorded outcome, and is no refusal.

    `same` is equal for equal calls of an agent, and empty where nothing can be said of that. `code` says why not.
    """

    kind: str
    at: str
    user: str
    agent: str
    task: str
    call: str
    operation: str
    said: str
    code: str
    same: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """What one user did with one agent.

    `calls` is everything that was to be done, `refused` those denied or refused at the door, `held` those that waited,
    `done` those whose tool did them. `probes` only asked for a decision, `probes_denied` of them got a no. `over` of
    all those that got a no did because the agent, a key or the task was over, which is not the user's doing. `equal` of
    the calls repeat an earlier one, `run_max` is the longest row of equal ones, in a task or across tasks: a held call
    is meant to be repeated, and counts in neither. `per_minute_max` is the most in one minute of the clock.
    """

    user: str
    agent: str
    calls: int
    done: int
    refused: int
    codes: tuple[tuple[str, int], ...]  # of the refused, the most frequent first
    held: int
    probes: int
    probes_denied: int
    over: int
    operations: int
    tasks: int
    equal: int
    run_max: int
    per_minute_max: int

    @property
    def turned_away(self) -> bool:
        """Whether the agent refused this user at least half of what was tried, while it could act at all."""
        no = self.refused + self.probes_denied - self.over
        return no > 0 and no * 100 >= REFUSED_PERCENT_MIN * (self.calls + self.probes - self.over)

    @property
    def loops(self) -> bool:
        """Whether the agent did the same again and again for this user."""
        many = self.calls >= EQUAL_CALLS_MIN and self.equal * 100 >= EQUAL_PERCENT_MIN * self.calls
        return many or self.run_max >= RUN_MIN


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTotals:
    """What one user did with all agents. `agents_refusing` of the `agents` tried turned the user away.

    `tries_many`: at least `AGENTS_MIN` agents were tried, and most of them turned the user away.
    """

    user: str
    agents: int
    agents_refusing: int
    calls: int
    refused: int
    codes: tuple[tuple[str, int], ...]
    probes: int
    tries_many: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTotals:
    """What one agent did for all users.

    `equal` calls repeat an earlier one of the same user's, `equal_across` one of any user's. `loops`: it did the same
    again and again for at least `USERS_LOOPING_MIN` of its users, `users_looping` in all.
    """

    agent: str
    users: int
    users_looping: int
    calls: int
    done: int
    refused: int
    held: int
    equal: int
    equal_across: int
    run_max: int
    per_minute_max: int
    loops: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a part of the log says of users and agents, by name."""

    pairs: Mapping[tuple[str, str], Pair]  # by user and agent
    users: Mapping[str, UserTotals]
    agents: Mapping[str, AgentTotals]


def sightings(entries: Iterable[Entry]) -> Iterator[Seen]:
    """Say of each entry what counts here; entries that say nothing of an agent's doing are passed over.

    So are refusals of somebody who did not prove which agent they are: they count for nobody.
    Of the arguments, where they came along and still exist, only a hash is kept.
    """
    for entry in entries:
        if entry.kind in _CALLS or entry.kind in ("outcome", "refused"):
            seen = _sighting(entry, json.loads(entry.leaf))
            if entry.kind != "refused" or not proves_nobody(seen.code):
                yield seen


def figures(seen: Iterable[Seen]) -> Figures:
    """Count what was seen, in the log's order. An outcome counts where its call was seen as well."""
    seen = tuple(seen)
    pair_of = {each.call: (each.user, each.agent) for each in seen if each.kind == "intent"}
    by_pair: dict[tuple[str, str], list[Seen]] = {}
    for each in seen:
        key = pair_of.get(each.call) if each.kind == "outcome" else (each.user, each.agent)
        if key is not None:
            by_pair.setdefault(key, []).append(each)
    pairs = {key: _pair(key, mine) for key, mine in sorted(by_pair.items())}
    users: dict[str, list[Pair]] = {}
    agents: dict[str, list[Pair]] = {}
    for each_pair in pairs.values():
        users.setdefault(each_pair.user, []).append(each_pair)
        agents.setdefault(each_pair.agent, []).append(each_pair)
    return Figures(
        pairs=pairs,
        users={user: _user(mine) for user, mine in sorted(users.items()) if user},
        agents={agent: _agent(mine, _of_agent(agent, by_pair)) for agent, mine in sorted(agents.items()) if agent},
    )


def told(found: Figures, *, agent: str = "", user: str = "") -> tuple[str, ...]:
    """Tell the figures in lines: of `agent` and those it acted for, of `user`, of both, or of every one.

    Whoever stands out comes first, then who did most; after `TOLD_MAX` users it says how many more there are.
    """
    mine = {each.user for each in found.pairs.values() if agent in ("", each.agent) and user in ("", each.user)}
    agents = [each for each in found.agents.values() if agent in ("", each.agent)]
    users = [each for each in found.users.values() if each.user in mine or each.user == user]
    agents.sort(key=lambda each: (not each.loops, -each.calls, each.agent))
    users.sort(key=lambda each: (not each.tries_many, -each.calls, each.user))
    more = len(users) - TOLD_MAX
    width = max(map(len, [*(each.agent for each in agents), *(each.user for each in users[:TOLD_MAX])]), default=0)
    return (
        *(printable(f"{each.agent:<{width}}  {_agent_said(each)}") for each in agents),
        *(printable(f"{each.user:<{width}}  {_user_said(each)}") for each in users[:TOLD_MAX]),
        *((f"and {_counted(more, 'more user')}",) if more > 0 else ()),
    )


def _sighting(entry: Entry, leaf: JsonObject) -> Seen:
    decision = _list(leaf.get("decision"))
    code = leaf.get("code", "") if entry.kind in ("outcome", "refused") else (decision[1:2] or [""])[0]
    word = decision[0] if decision else leaf.get("status", "deny")
    if entry.kind != "evaluated" and repeats(decision):
        word, code = "repeat", ""
    operation = str(leaf.get("operation", ""))
    return Seen(
        kind=entry.kind,
        at=str(leaf.get("at", "")),
        user=str(leaf.get("user", "")),
        agent=str(leaf.get("agent", "")),
        task=entry.task,
        call=entry.call,
        operation=operation,
        said=str(word),
        code=str(code),
        same=_same(entry, operation),
    )


def _same(entry: Entry, operation: str) -> str:
    body = next((payload.body for payload in entry.payloads if payload.name == "arguments"), None)
    # (A held call is to be presented again until somebody answered.)
    if body is None or entry.kind not in ("intent", "denied"):
        return ""
    return f"{operation} {sha256(body).hexdigest()}"


def _pair(key: tuple[str, str], seen: list[Seen]) -> Pair:
    calls = [each for each in seen if each.kind not in ("outcome", "evaluated")]
    probes = [each for each in seen if each.kind == "evaluated"]
    refused = [each for each in calls if each.said == "deny"]
    return Pair(
        user=key[0],
        agent=key[1],
        calls=len(calls),
        done=sum(each.kind == "outcome" and each.said == "done" for each in seen),
        refused=len(refused),
        codes=_most_frequent(each.code for each in refused),
        held=sum(each.said == "hold" for each in calls),
        probes=len(probes),
        probes_denied=sum(each.said == "deny" for each in probes),
        over=sum(each.said == "deny" and _over(each.code) for each in (*calls, *probes)),
        operations=len({each.operation for each in (*calls, *probes) if each.operation}),
        tasks=len({each.task for each in (*calls, *probes) if each.task}),
        equal=_repeats(calls),
        run_max=_longest_run(calls),
        per_minute_max=_peak(calls),
    )


def _over(code: str) -> bool:
    return code in ("agent_revoked", "key_revoked") or code.startswith("task_")


def _user(pairs: list[Pair]) -> UserTotals:
    agents = [each for each in pairs if each.agent]
    away = sum(each.turned_away for each in agents)
    codes: Counter[str] = Counter()
    for each in pairs:
        codes.update(dict(each.codes))
    return UserTotals(
        user=pairs[0].user,
        agents=len(agents),
        agents_refusing=away,
        calls=sum(each.calls for each in pairs),
        refused=sum(each.refused for each in pairs),
        codes=_ordered(codes),
        probes=sum(each.probes for each in pairs),
        tries_many=len(agents) >= AGENTS_MIN and away * 2 > len(agents),
    )


def _agent(pairs: list[Pair], calls: list[Seen]) -> AgentTotals:
    looping = sum(each.loops for each in pairs if each.user)
    return AgentTotals(
        agent=pairs[0].agent,
        users=sum(bool(each.user) for each in pairs),
        users_looping=looping,
        calls=sum(each.calls for each in pairs),
        done=sum(each.done for each in pairs),
        refused=sum(each.refused for each in pairs),
        held=sum(each.held for each in pairs),
        equal=sum(each.equal for each in pairs),
        equal_across=_repeats(calls),
        run_max=max(each.run_max for each in pairs),
        per_minute_max=_peak(calls),
        loops=looping >= USERS_LOOPING_MIN,
    )


def _of_agent(agent: str, by_pair: Mapping[tuple[str, str], list[Seen]]) -> list[Seen]:
    """Return the calls of an agent for all its users."""
    mine = [seen for (_, name), seen in by_pair.items() if name == agent]
    return [each for seen in mine for each in seen if each.kind not in ("outcome", "evaluated")]


def _repeats(calls: list[Seen]) -> int:
    comparable = [each.same for each in calls if each.same]
    return len(comparable) - len(set(comparable))


def _longest_run(calls: list[Seen]) -> int:
    """Return the longest row of equal calls, of the whole sequence or of one task's: tasks may run side by side."""
    longest = 0
    rows: dict[str, tuple[str, int]] = {}  # by task, and under "" of all together: the last call, and how often by now
    for each in calls:
        if each.said == "hold":
            continue
        for task in {"", each.task}:
            last, count = rows.get(task, ("", 0))
            rows[task] = each.same, count + 1 if each.same and each.same == last else 1
            longest = max(longest, rows[task][1])
    return longest


def _peak(calls: list[Seen]) -> int:
    return max(Counter(each.at[:16] for each in calls).values(), default=0)


def _most_frequent(codes: Iterable[str]) -> tuple[tuple[str, int], ...]:
    return _ordered(Counter(codes))


def _ordered(codes: Counter[str]) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(codes.items(), key=lambda each: (-each[1], each[0])))


def _user_said(each: UserTotals) -> str:
    codes = ", ".join(f"{code} {count}" for code, count in each.codes[:_CODES_TOLD])
    probes = f", {_counted(each.probes, 'probe')}" if each.probes else ""
    said = (
        f"{_counted(each.calls, 'call')}, {each.refused} refused{f' ({codes})' if codes else ''}{probes}, "
        f"tried {_counted(each.agents, 'agent')}"
    )
    away = f", turned away by {each.agents_refusing} of them: {TRIES_MANY}"
    return said + (away if each.tries_many else "")


def _agent_said(each: AgentTotals) -> str:
    said = (
        f"{_counted(each.calls, 'call')} for {_counted(each.users, 'user')}, {each.refused} refused, "
        f"{each.equal} equal, longest run {each.run_max}, at most {each.per_minute_max} in a minute"
    )
    return said + (f", looping for {each.users_looping} of them: {LOOPS}" if each.loops else "")


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []
