"""A user who tries many agents and an agent that loops are told apart by what the log says, and nothing else."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from remit.records import Entry, Figures, Payload, figures, sightings, told

LOOKED = b'{"id":"ord-1"}'


@dataclass
class Log:
    """A log in the making: an entry a second, from nine o'clock on."""

    entries: list[Entry] = field(default_factory=list)

    def add(self, kind: str, leaf: dict[str, Any], task: str, call: str = "", body: bytes | None = None) -> None:
        index = len(self.entries)
        at = f"2026-11-22T09:{index // 60 % 60:02}:{index % 60:02}.000000Z"
        payloads = () if body is None else (Payload(name="arguments", salt=b"", body=body),)
        text = json.dumps({"v": 1, "kind": kind, "at": at, **leaf}).encode()
        self.entries.append(Entry(index=index, kind=kind, task=task, call=call, leaf=text, payloads=payloads))

    def decided(  # noqa: PLR0913 - what an entry is made of; all have a default
        self,
        user: str = "tom",
        agent: str = "clerk",
        *decision: str,
        kind: str = "intent",
        operation: str = "look",
        body: bytes | None = LOOKED,
        task: str = "",
    ) -> str:
        call, said = f"c_{len(self.entries)}", list(decision or ("allow",))
        leaf = {"user": user, "agent": agent, "call": call, "operation": operation, "decision": said}
        self.add(kind, leaf, task or f"t_{user}_{agent}", call, body)
        return call

    def denied(self, user: str, agent: str, code: str, body: bytes | None = None) -> None:
        self.decided(user, agent, "deny", code, "no", kind="denied", body=body)

    def done(self, user: str = "tom", agent: str = "clerk", body: bytes | None = LOOKED, task: str = "") -> None:
        call = self.decided(user, agent, body=body, task=task)
        self.add("outcome", {"call": call, "status": "done"}, task, call)

    @property
    def figures(self) -> Figures:
        return figures(sightings(self.entries))


def bodies(count: int) -> Iterable[bytes]:
    return (b'{"id":"ord-%d"}' % number for number in range(count))


@pytest.mark.requirement("R2.8")
def test_a_user_who_is_turned_away_by_most_of_many_agents_stands_out() -> None:
    log = Log()
    for agent in ("refunds", "payroll", "tracker", "desk"):
        for _ in range(3):
            log.denied("eve", agent, "outside_use_case" if agent != "desk" else "role_missing")
    log.done("eve", "desk")
    log.done("tom", "desk")
    found = log.figures
    assert (found.users["eve"].agents, found.users["eve"].agents_refusing) == (4, 4)
    assert found.users["eve"].tries_many
    assert not found.users["tom"].tries_many
    assert not any(agent.loops for agent in found.agents.values())
    assert told(found, user="eve")[-1] == (
        "eve      13 calls, 12 refused (outside_use_case 9, role_missing 3), tried 4 agents, "
        "turned away by 4 of them: a user who tries many agents"
    )


@pytest.mark.requirement("R2.8")
def test_an_agent_that_does_the_same_again_for_several_users_stands_out_and_they_do_not() -> None:
    log = Log()
    for user in ("tom", "ann"):
        for _ in range(20):
            log.done(user, "refunds")
    found = log.figures
    assert found.agents["refunds"].loops
    assert found.agents["refunds"].users_looping == 2
    assert not any(user.tries_many for user in found.users.values())
    assert told(found, agent="refunds")[0] == (
        "refunds  40 calls for 2 users, 0 refused, 38 equal, longest run 20, at most 30 in a minute, "
        "looping for 2 of them: an agent that loops"
    )


@pytest.mark.requirement("R2.8")
@pytest.mark.parametrize("row", [19, 20])
def test_a_row_of_equal_calls_is_a_loop_from_twenty_on_and_for_two_users(row: int) -> None:
    log = Log()
    for user in ("tom", "ann"):
        for _ in range(row):
            log.done(user)
    assert log.figures.agents["clerk"].loops is (row == 20)
    one = Log()
    for _ in range(row + 40):
        one.done("tom")
    assert one.figures.agents["clerk"].users_looping == 1
    assert not one.figures.agents["clerk"].loops


def test_equal_calls_that_alternate_are_a_loop_by_their_share() -> None:
    log, varied = Log(), Log()
    for user in ("tom", "ann"):
        for number in range(40):
            log.done(user, body=b'{"id":"ord-%d"}' % (number % 2))
        for body in bodies(40):
            varied.done(user, body=body)
    assert log.figures.agents["clerk"].run_max == 1
    assert log.figures.agents["clerk"].loops
    assert not varied.figures.agents["clerk"].loops
    assert varied.figures.agents["clerk"].equal == 0
    assert varied.figures.agents["clerk"].equal_across == 40


def test_a_row_goes_on_across_tasks_and_is_not_hidden_by_tasks_side_by_side() -> None:
    across, beside = Log(), Log()
    for number in range(5):
        across.done(task=f"t_{number}")
        beside.done(task="t_1")
        beside.done(task="t_2", body=b"{}")
    assert across.figures.agents["clerk"].run_max == 5
    assert beside.figures.agents["clerk"].run_max == 5


def test_a_held_call_is_to_be_presented_again_and_makes_no_loop() -> None:
    log = Log()
    for user in ("tom", "ann"):
        for _ in range(60):
            log.decided(user, "clerk", "hold", "approval_needed", "ask ops", kind="held")
    total = log.figures.agents["clerk"]
    assert (total.held, total.equal, total.run_max, total.loops) == (120, 0, 0, False)


def test_calls_whose_arguments_were_erased_are_equal_to_none() -> None:
    log = Log()
    for _ in range(30):
        log.done(body=None)
    total = log.figures.agents["clerk"]
    assert (total.calls, total.done, total.equal, total.run_max) == (30, 30, 0, 1)


def test_two_agents_are_not_many_and_a_refusal_now_and_then_is_none() -> None:
    log = Log()
    for agent in ("one", "two"):
        log.denied("eve", agent, "outside_use_case")
    for agent in ("one", "two", "three"):
        log.denied("tom", agent, "outside_use_case")
        log.done("tom", agent)
        log.done("tom", agent, body=b"{}")
    assert not log.figures.users["eve"].tries_many
    assert log.figures.users["tom"].agents_refusing == 0
    assert not log.figures.users["tom"].tries_many


def test_one_agent_among_many_that_turns_a_user_away_says_nothing_of_the_user() -> None:
    log = Log()
    for agent in ("one", "two"):
        log.denied("ann", agent, "outside_use_case")
    for agent in ("three", "four"):
        log.done("ann", agent)
    assert (log.figures.users["ann"].agents_refusing, log.figures.users["ann"].tries_many) == (2, False)
    log.denied("ann", "five", "outside_use_case")
    assert log.figures.users["ann"].tries_many


def test_who_only_asks_what_would_be_decided_is_seen_as_well() -> None:
    log = Log()
    for agent in ("one", "two", "three"):
        log.decided("eve", agent, "deny", "subject_mismatch", "no", kind="evaluated")
    found = log.figures
    assert (found.users["eve"].calls, found.users["eve"].probes) == (0, 3)
    assert found.users["eve"].tries_many
    assert "3 probes" in told(found, user="eve")[-1]


def test_what_was_refused_at_the_door_counts_with_its_code() -> None:
    log = Log()
    leaf = {"user": "eve", "agent": "clerk", "surface": "mcp", "code": "token_expired", "message": "no"}
    log.add("refused", leaf, "t_1")
    found = log.figures
    assert found.pairs["eve", "clerk"].codes == (("token_expired", 1),)
    assert found.pairs["eve", "clerk"].turned_away


def test_no_argument_is_shown() -> None:
    log = Log()
    log.done(body=b'{"iban":"DE02"}')
    assert "DE02" not in f"{[*sightings(log.entries)]} {log.figures} {told(log.figures)}"


def test_many_users_are_told_by_the_first_and_counted() -> None:
    log = Log()
    for number in range(60):
        log.done(f"user-{number}")
    lines = told(log.figures, agent="clerk")
    assert lines[-1] == "and 10 more users"
    assert len(lines) == 1 + 50 + 1


def test_nothing_seen_is_nothing_told() -> None:
    assert told(figures(())) == ()


@pytest.mark.requirement("R2.8")
@pytest.mark.parametrize(
    ("code", "counts"),
    [
        ("delegation_other_agent", True),
        *((code, False) for code in ("assertion_invalid", "client_secret_refused", "certificate_unknown")),
        *((code, False) for code in ("actor_token_unsupported", "dpop_required", "dpop_proof_replayed")),
    ],
)
def test_who_did_not_prove_which_agent_it_is_counts_for_nobody(code: str, *, counts: bool) -> None:
    log = Log()
    leaf = {"user": "tom", "agent": "clerk", "surface": "oauth", "code": code, "message": "no"}
    log.add("refused", leaf, "")
    assert bool(log.figures.pairs) is counts
    assert bool(log.figures.users) is counts


@pytest.mark.requirement("R2.8")
@pytest.mark.parametrize(
    ("code", "many"),
    [("agent_revoked", False), ("key_revoked", False), ("task_expired", False), ("outside_use_case", True)],
)
def test_an_agent_that_is_over_turned_nobody_away(code: str, *, many: bool) -> None:
    log = Log()
    for agent in ("refunds", "payroll", "tracker"):
        log.denied("eve", agent, code)
        log.decided("eve", agent, "deny", code, "no", kind="evaluated")
    assert log.figures.users["eve"].tries_many is many
    assert log.figures.users["eve"].refused == 3, "they are told all the same"


def test_the_empty_user_is_no_user_of_an_agent() -> None:
    log = Log()
    leaf = {"user": "", "agent": "clerk", "surface": "oauth", "code": "grant_unsupported", "message": "no"}
    log.add("refused", leaf, "")
    log.done("tom", "clerk")
    assert (log.figures.agents["clerk"].users, log.figures.agents["clerk"].refused) == (1, 1)
    assert list(log.figures.users) == ["tom"]
