"""`tools/list` shows what the first three gates would let through, and follows every change."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.conftest import META
from tests.surfaces.mcp.mcp_stub import SAID, StubGateway, ask, descriptor, endpoint, newer, older, running_on, snapshot

from remit.catalogue import Controls, Effect, Pin, Review
from remit.core import Authority, Level, Task
from remit.identity import ALL
from remit.pipeline import operation_control
from remit.surfaces.mcp import McpEndpoint
from remit.surfaces.mcp._listing import Listing
from remit.testing import NOON

FULL = snapshot(descriptor("one"), descriptor("two"))
PINS = FULL.manifests["refunds"]
UNSIGNED = Review(signers=(), missing="no signature of role `security`")


def names(to: McpEndpoint, *, old: bool = False) -> list[str]:
    message: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    if not old:
        message["params"] = {"_meta": META}
    tools = ask(to, message, older() if old else newer("tools/list")).json["result"]["tools"]
    return [tool["name"] for tool in tools]


WITHOUT = {
    "not in the use case": replace(FULL, charters=snapshot(descriptor("one")).charters),
    "of no agent": replace(FULL, charters={}),
    "never reviewed": replace(FULL, reviews={"one": FULL.reviews["one"]}),
    "not signed": replace(FULL, reviews={**FULL.reviews, "two": UNSIGNED}),
    "not pinned": replace(FULL, manifests={"refunds": {"one": PINS["one"]}}),
    "of no manifest": replace(FULL, manifests={}),
    "pinned at another version": replace(
        FULL, manifests={"refunds": {**PINS, "two": Pin("2.0.0", PINS["two"].digest)}}
    ),
    "pinned with another digest": replace(FULL, manifests={"refunds": {**PINS, "two": Pin("1.0.0", "sha256:0")}}),
}
NONE_LEFT = ("of no agent", "of no manifest")


@pytest.mark.requirement("R4.4", "R4.5", "R4.6")
@pytest.mark.parametrize("old", [False, True], ids=["new", "older"])
@pytest.mark.parametrize("what", WITHOUT)
def test_an_operation_that_a_gate_would_refuse_is_not_shown(what: str, old: bool) -> None:
    assert names(endpoint(StubGateway(), running_on(WITHOUT[what])), old=old) == ([] if what in NONE_LEFT else ["one"])


def test_the_same_operations_unspoiled_are_shown() -> None:
    """The control."""
    assert names(endpoint(StubGateway(), running_on(FULL))) == ["one", "two"]
    assert names(endpoint(StubGateway(), running_on(FULL)), old=True) == ["one", "two"]


@pytest.mark.parametrize("what", WITHOUT)
def test_everything_is_shown_in_observe_mode(what: str) -> None:
    assert names(endpoint(StubGateway(observe=True), running_on(WITHOUT[what]))) == ["one", "two"]


@pytest.mark.requirement("R4.7")
def test_a_quarantined_operation_leaves_the_list_at_once_and_comes_back() -> None:
    running = running_on(FULL)
    to = endpoint(StubGateway(), running)
    shown = [names(to)]
    running.set_control(operation_control("two"), 1, '{"changed":"description"}')
    shown += [names(to), names(to, old=True)]
    running.set_control(operation_control("two"), 2, "")
    shown += [names(to), names(to, old=True)]
    assert shown == [["one", "two"], ["one"], ["one"], ["one", "two"], ["one", "two"]]


def test_a_new_release_changes_the_list() -> None:
    running = running_on(FULL)
    to = endpoint(StubGateway(), running)
    before = names(to)
    running.swap(snapshot(descriptor("three"), digest="b_2"), 2)
    assert (before, names(to)) == (["one", "two"], ["three"])


@pytest.mark.requirement("R2.5")
@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({}, ["get_order", "refund_order"]),
        ({"level": Level.BOUND}, ["get_order", "refund_order"]),
        ({"level": Level.CLIENT}, ["get_order"]),
        ({"authority": Authority(operations=frozenset({"refund_order"}))}, ["refund_order"]),
        ({"authority": Authority(locations=frozenset({"mail"}))}, []),
    ],
    ids=["the whole", "bound to a key", "a plain client", "granted one", "granted another tool"],
)
def test_what_the_task_was_not_granted_is_not_shown(said: dict[str, Any], shown: list[str]) -> None:
    writes = replace(descriptor("refund_order"), controls=Controls(effect=Effect.WRITE))
    live = running_on(snapshot(descriptor("get_order"), writes))
    token = SAID
    task = Task(
        id=token.task,
        user=token.user,
        agent=token.agent,
        use_case=token.use_case,
        opened_at=NOON,
        expires_at=token.expires_at,
        authority=said.get("authority", ALL),
    )
    live.admit(task, b"{}")
    listing = Listing(live, observe=False)
    found = json.loads(listing.result(replace(token, level=said.get("level", Level.TASK))))
    assert [tool["name"] for tool in found["tools"]] == shown
