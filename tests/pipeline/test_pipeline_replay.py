"""A recorded decision follows again from what the log holds, for ever; and from anything else it does not."""

import asyncio
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remit.core import JsonObject, ToolCall, canonical_bytes
from remit.pipeline import Snapshot, recorded, replay
from remit.records import Entry, Payload
from remit.testing import NOON, POLICY, Desk, desk_call, desk_delegation, desk_snapshot, desk_task

pytestmark = pytest.mark.requirement("R3.7")

STRICT = POLICY + '@id("never") forbid (principal, action == Action::"look", resource);'
POLICIES = {desk_snapshot(policy).digest: desk_snapshot(policy) for policy in (POLICY, STRICT)}
TENANT = "desk"
FIELDS = ("index", "kind", "task", "call")


def travelled(entry: Entry) -> Entry:
    """Send an entry through JSON and back, as an export does."""
    wire = json.dumps(
        {
            **{name: getattr(entry, name) for name in FIELDS},
            "leaf": entry.leaf.decode(),
            "payloads": [(p.name, b64encode(p.salt).decode(), b64encode(p.body).decode()) for p in entry.payloads],
        }
    )
    said: dict[str, Any] = json.loads(wire)
    payloads = tuple(Payload(name=n, salt=b64decode(s), body=b64decode(b)) for n, s, b in said["payloads"])
    known = {name: said[name] for name in FIELDS}
    return Entry(leaf=canonical_bytes(json.loads(said["leaf"])), payloads=payloads, **known)


def decisions(desk: Desk) -> list[Entry]:
    return [entry for entry in desk.store.log if entry.kind in ("intent", "denied", "held")]


arguments = st.fixed_dictionaries(
    {},
    optional={
        "amount": st.integers(-1, 120) | st.just("much") | st.floats(0, 100, allow_nan=False),
        "note": st.text(max_size=5) | st.none(),
    },
)


calls = st.builds(
    desk_call,
    st.sampled_from(["look", "pay", "wipe", "spare", "unheard_of"]),
    arguments,
    delegation=st.builds(
        desk_delegation,
        st.sampled_from(["t_desk", "t_desk", "t_short", "t_none"]),
        user=st.sampled_from(["tom", "tom", "eve"]),
    ),
)


@given(
    call=calls, passed_us=st.integers(0, 4_000_000_000), policy=st.sampled_from([POLICY, STRICT]), observe=st.booleans()
)
def test_every_recorded_decision_follows_again_also_after_a_journey(
    call: ToolCall, passed_us: int, policy: str, *, observe: bool
) -> None:
    desk = Desk(policy=policy, observe=observe)
    desk.live.admit(desk_task("t_short", expires_at=NOON + timedelta(seconds=1)))
    desk.clock.advance(timedelta(microseconds=passed_us))
    asyncio.run(desk.gateway.handle(call))
    [entry] = decisions(desk)
    assert replay(entry, POLICIES.get, TENANT) == recorded(entry)
    assert replay(travelled(entry), POLICIES.get, TENANT) == recorded(entry)


def test_what_does_not_fit_is_said_in_the_same_words_whatever_order_it_came_in() -> None:
    said = []
    wrongs: list[JsonObject] = [{"note": 1, "amount": "much"}, {"amount": "much", "note": 1}]
    for wrong in wrongs:
        desk = Desk()
        asyncio.run(desk.gateway.handle(desk_call("look", wrong)))
        [entry] = decisions(desk)
        assert replay(entry, POLICIES.get, TENANT) == recorded(entry)
        said.append(recorded(entry))
    assert said[0] == said[1]


def altered(**changes: Any) -> Callable[[Entry], Entry]:
    return lambda entry: replace(entry, leaf=canonical_bytes({**json.loads(entry.leaf), **changes}))


def paid(amount: int) -> Callable[[Entry], Entry]:
    body = canonical_bytes({"amount": amount})
    return lambda entry: replace(entry, payloads=tuple(replace(payload, body=body) for payload in entry.payloads))


@pytest.mark.parametrize(
    "alter",
    [
        altered(user="eve"),
        altered(agent="another"),
        altered(use_case="another"),
        altered(operation="wipe"),
        altered(at="2026-11-22T13:00:00.000000Z"),
        altered(token_expires="2026-11-22T12:00:00.000000Z"),
        altered(task_found=None),
        paid(75),
        paid(101),
    ],
)
def test_control_a_record_whose_facts_were_altered_does_not_follow(alter: Callable[[Entry], Entry]) -> None:
    desk = Desk()
    asyncio.run(desk.gateway.handle(desk_call("pay", {"amount": 1})))
    [entry] = decisions(desk)
    assert replay(entry, POLICIES.get, TENANT) == recorded(entry)
    again = replay(alter(entry), POLICIES.get, TENANT)
    assert again is not None
    assert again != recorded(entry)


def test_control_another_bundle_decides_otherwise() -> None:
    desk = Desk()
    asyncio.run(desk.gateway.handle(desk_call("look")))
    [entry] = decisions(desk)
    assert replay(entry, lambda _: desk_snapshot(STRICT), TENANT) != recorded(entry)


def test_what_cannot_be_replayed_is_said_and_not_guessed() -> None:
    desk = Desk()
    asyncio.run(desk.gateway.handle(desk_call("look")))
    [entry] = decisions(desk)
    nowhere: dict[str, Snapshot] = {}
    assert replay(entry, nowhere.get, TENANT) is None, "its bundle is gone"
    assert replay(replace(entry, payloads=()), POLICIES.get, TENANT) is None, "its arguments were erased"
    assert replay(altered(trail=[])(entry), POLICIES.get, TENANT) is None, "the gates were never asked"
