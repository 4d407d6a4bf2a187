"""The refund desk's parts without a gateway: the order desk over the wire, the agent as a program, the project."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector
from typing import Any

import cedarpy
import httpx2
import jsonschema_rs
import pytest
import yaml
from mcp import Client
from mcp_types import CallToolResult, TextContent, Tool

DESK = Path(__file__).parents[2] / "examples" / "refund_desk"
PROJECT = DESK / "project"
READY_S = 60  # generous: the machine may be busy; a server that never gets ready fails here


@dataclass(frozen=True)
class Shop:
    url: str
    database: Path
    log: Path

    def call(self, tool: str, **arguments: Any) -> CallToolResult:
        async def go() -> CallToolResult:
            async with Client(self.url) as client:
                return await client.call_tool(tool, arguments)

        return asyncio.run(go())

    def good(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = self.call(tool, **arguments)
        assert not result.is_error, result
        assert result.structured_content is not None
        answer: dict[str, Any] = result.structured_content
        return answer

    def refusal(self, tool: str, **arguments: Any) -> str:
        result = self.call(tool, **arguments)
        assert result.is_error, result
        (block,) = result.content
        assert isinstance(block, TextContent)
        return block.text

    def tools(self) -> list[Tool]:
        async def go() -> list[Tool]:
            async with Client(self.url) as client:
                return (await client.list_tools()).tools

        return asyncio.run(go())

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(self.database)) as database:
            return database.execute(sql).fetchall()

    def received(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def running(folder: Path, *more: str) -> Iterator[Shop]:
    """Start the order desk on a free port, and stop it by its process handle."""
    database, log = folder / "shop.sqlite", folder / "calls.jsonl"
    program = [sys.executable, str(DESK / "orders" / "orders_server.py"), "--database", str(database), "--port", "0"]
    with subprocess.Popen([*program, "--log", str(log), *more], stdout=subprocess.PIPE) as process:
        try:
            yield Shop(url=_ready(process), database=database, log=log)
        finally:
            process.terminate()
            process.wait(timeout=READY_S)


def _ready(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    with DefaultSelector() as selector:
        selector.register(process.stdout, EVENT_READ)
        assert selector.select(READY_S), "the order desk did not get ready"
    word, url = process.stdout.readline().decode().split()
    assert word == "ready"
    return url


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """One order desk for the tests that only read, or that write to an order of their own."""
    with running(tmp_path_factory.mktemp("shop")) as one:
        yield one


def run_agent(url: str, *arguments: str, ticket: dict[str, Any] | None = None, token: str | None = None) -> Any:
    environment = {name: value for name, value in os.environ.items() if name != "REMIT_TOKEN"}
    if token is not None:
        environment["REMIT_TOKEN"] = token
    done = subprocess.run(
        [sys.executable, str(DESK / "refund_agent.py"), "--url", url, *arguments],
        input=json.dumps(ticket),
        capture_output=True,
        text=True,
        env=environment,
        timeout=READY_S,
        check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


# --- the order desk --------------------------------------------------------------------------------------------------


def test_an_order_is_returned_typed_and_in_minor_units(shop: Shop) -> None:
    order = shop.good("get_order", order_id="ord-1002")
    assert order["total_minor"] == order["refundable_minor"] == 145_000
    assert (order["currency"], order["status"], order["customer_id"]) == ("EUR", "delivered", "cus-002")
    assert order["customer_email"] == "cus-002@customer.example"


def test_the_order_of_the_story_is_a_paid_one_of_120_euro(shop: Shop) -> None:
    assert shop.rows("SELECT total_minor, currency, status FROM orders WHERE order_id = 'ord-1001'") == [
        (12_000, "EUR", "delivered")
    ]
    assert shop.rows("SELECT amount_minor FROM payments WHERE order_id = 'ord-1001'") == [(12_000,)]


def test_search_narrows_by_customer_and_status_and_counts_beyond_its_limit(shop: Shop) -> None:
    every = shop.good("search_orders")
    assert (len(every["orders"]), every["matching"]) == (20, 1_200)
    some = shop.good("search_orders", status="open", limit=3)
    assert len(some["orders"]) == 3
    assert some["matching"] > 3
    assert {order["status"] for order in some["orders"]} == {"open"}
    both = shop.good("search_orders", customer_id="cus-003", status="open", limit=50)
    assert "ord-1003" in [order["order_id"] for order in both["orders"]]
    assert {(order["customer_id"], order["status"]) for order in both["orders"]} == {("cus-003", "open")}


def test_payments_add_up_to_the_order(shop: Shop) -> None:
    [(order_id, total)] = shop.rows(
        "SELECT order_id, total_minor FROM orders JOIN payments USING (order_id) GROUP BY 1 HAVING count(*) = 2 LIMIT 1"
    )
    answer = shop.good("list_payments", order_id=order_id)
    assert len(answer["payments"]) == 2
    assert answer["paid_minor"] == total == sum(payment["amount_minor"] for payment in answer["payments"])
    assert answer["refunded_minor"] == 0


def test_a_refund_writes_a_row_and_leaves_less(tmp_path: Path) -> None:
    with running(tmp_path) as shop:
        refund = {"order_id": "ord-1001", "amount_minor": 4_000, "currency": "EUR", "reason": "broken"}
        assert shop.good("refund_order", **refund)["refundable_minor"] == 8_000
        assert shop.rows("SELECT order_id, amount_minor, currency, reason FROM refunds") == [tuple(refund.values())]
        assert shop.good("list_payments", order_id="ord-1001")["refunded_minor"] == 4_000
        # What is left is 80.00: one minor unit more is refused and writes nothing, exactly that is paid.
        more = refund | {"amount_minor": 8_001}
        assert "has 8000 EUR minor units left to refund, not 8001" in shop.refusal("refund_order", **more)
        assert shop.rows("SELECT count(*) FROM refunds") == [(1,)]
        assert shop.good("refund_order", **refund | {"amount_minor": 8_000})["refundable_minor"] == 0


def test_two_refunds_at_once_cannot_both_spend_what_is_left(tmp_path: Path) -> None:
    async def at_once(url: str) -> list[CallToolResult]:
        arguments = {"order_id": "ord-1001", "amount_minor": 7_000, "currency": "EUR", "reason": "twice"}
        async with Client(url) as client:
            return await asyncio.gather(*(client.call_tool("refund_order", arguments) for _ in range(6)))

    with running(tmp_path) as shop:
        results = asyncio.run(at_once(shop.url))
        assert sorted(result.is_error for result in results) == [False] + [True] * 5
        assert all("left to refund" in str(result.content) for result in results if result.is_error)
        assert shop.rows("SELECT sum(amount_minor) FROM refunds") == [(7_000,)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"order_id": "ord-9999"}, "no order `ord-9999`"),
        ({"order_id": "ord-1003"}, "order `ord-1003` is open: nothing was paid"),
        ({"currency": "USD"}, "was paid in EUR, not in USD"),
        ({"amount_minor": 145_001}, "has 145000 EUR minor units left to refund, not 145001"),
        ({"amount_minor": 0}, "greater than or equal to 1"),
        ({"amount_minor": "4000"}, "valid integer"),
        ({"order_id": "ord-1002; --"}, "at most 8 characters"),
        ({"reason": ""}, "at least 1 character"),
    ],
)
def test_a_refund_the_business_refuses_is_a_tool_error_in_clear_text(
    shop: Shop, change: dict[str, Any], said: str
) -> None:
    refund = {"order_id": "ord-1002", "amount_minor": 1, "currency": "EUR", "reason": "test"}
    assert said in shop.refusal("refund_order", **refund | change)
    assert shop.rows("SELECT count(*) FROM refunds") == [(0,)]


def test_unknown_orders_customers_and_tools_are_tool_errors(shop: Shop) -> None:
    assert "no order `ord-9999`" in shop.refusal("get_order", order_id="ord-9999")
    assert "no order `ord-9999`" in shop.refusal("list_payments", order_id="ord-9999")
    assert "no customer `cus-999`" in shop.refusal("close_account", customer_id="cus-999")
    assert "less than or equal to 50" in shop.refusal("search_orders", limit=51)
    assert "drop_everything" in shop.refusal("drop_everything")


def test_an_account_is_closed_once(shop: Shop) -> None:
    assert shop.rows("SELECT count(*) FROM customers WHERE closed_at IS NOT NULL") == [(0,)]
    assert shop.good("close_account", customer_id="cus-042") == {"customer_id": "cus-042", "closed_at": "2026-11-20"}
    assert shop.rows("SELECT customer_id, closed_at FROM customers WHERE closed_at IS NOT NULL") == [
        ("cus-042", "2026-11-20")
    ]
    assert "has been closed since 2026-11-20" in shop.refusal("close_account", customer_id="cus-042")


def test_one_seed_makes_one_shop_of_a_thousand_orders_and_more(shop: Shop, tmp_path: Path) -> None:
    def seeded(one: Shop) -> dict[str, list[tuple[Any, ...]]]:
        tables = {"orders": "*", "payments": "*", "customers": "customer_id, name, email"}
        return {table: one.rows(f"SELECT {columns} FROM {table} ORDER BY 1") for table, columns in tables.items()}

    (tmp_path / "same").mkdir()
    (tmp_path / "other").mkdir()
    with running(tmp_path / "same") as same, running(tmp_path / "other", "--seed", "8") as other:
        assert seeded(same) == seeded(shop)
        assert seeded(other)["orders"] != seeded(same)["orders"]
        assert other.good("get_order", order_id="ord-1001")["total_minor"] == 12_000
    assert len(seeded(shop)["orders"]) >= 1_000
    assert shop.rows("SELECT count(*) > 50 FROM orders WHERE total_minor > 100000") == [(1,)]
    assert shop.rows("SELECT count(*) FROM customers WHERE email NOT LIKE '%@customer.example'") == [(0,)]


def test_a_restart_keeps_what_was_written(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        first.good("refund_order", order_id="ord-1001", amount_minor=1, currency="EUR", reason="kept")
    with running(tmp_path) as second:
        assert second.good("get_order", order_id="ord-1001")["refundable_minor"] == 11_999


def test_a_foreign_host_header_is_refused_and_a_loopback_one_served(shop: Shop) -> None:
    def status(**headers: str) -> int:
        return httpx2.post(shop.url, json={}, headers=headers, trust_env=False).status_code

    assert status(Host="attacker.example") == 421
    assert status(Origin="http://attacker.example") == 403
    assert status() not in {403, 421}


# --- the agent -------------------------------------------------------------------------------------------------------


def test_the_agent_handles_a_ticket_end_to_end(tmp_path: Path) -> None:
    ticket = {"ticket": "the lamp came broken", "order_id": "ord-1001", "amount_minor": 4_000}
    with running(tmp_path) as shop:
        code, steps = run_agent(shop.url, "--ticket", "-", ticket=ticket, token="not-for-the-log")
        assert code == 0
        assert [(step["step"], step.get("tool")) for step in steps] == [
            ("tools", None),
            ("call", "get_order"),
            ("result", "get_order"),
            ("call", "list_payments"),
            ("result", "list_payments"),
            ("call", "refund_order"),
            ("result", "refund_order"),
            ("answer", None),
        ]
        assert steps[-1]["text"] == "I refunded 40.00 EUR of order ord-1001, reference ref-0001."
        assert shop.rows("SELECT order_id, amount_minor, reason FROM refunds") == [tuple(_written(ticket))]
        assert [call["tool"] for call in shop.received()] == ["get_order", "list_payments", "refund_order"]
        assert all(call["bearer"] for call in shop.received())
        assert "not-for-the-log" not in shop.log.read_text()


def _written(ticket: dict[str, Any]) -> list[Any]:
    return [ticket["order_id"], ticket["amount_minor"], ticket["ticket"]]


@pytest.mark.parametrize(
    ("ticket", "said"),
    [
        ({"order_id": "ord-1002", "amount_minor": 145_001}, "has 145000 EUR minor units left to refund"),
        ({"order_id": "ord-9999", "amount_minor": 1}, "no order `ord-9999`"),
        ({"order_id": "ord-1003"}, "Nothing is left to refund of order ord-1003."),
    ],
)
def test_the_agent_tells_the_user_why_not(shop: Shop, ticket: dict[str, Any], said: str) -> None:
    code, steps = run_agent(shop.url, "--ticket", "-", ticket={"ticket": "please"} | ticket)
    assert code == 0
    assert steps[-1]["step"] == "answer"
    assert said in steps[-1]["text"]


def test_an_obedient_agent_calls_what_it_is_told_also_when_it_is_not_listed(shop: Shop) -> None:
    code, steps = run_agent(shop.url, "--obey", 'close_account {"customer_id": "cus-777"}')
    assert (code, steps[-2]["refused"]) == (0, True)
    assert "no customer `cus-777`" in steps[-1]["text"]
    code, steps = run_agent(shop.url, "--obey", "wire_money")
    assert "wire_money" not in steps[0]["names"]
    seen = {"tool": "wire_money", "arguments": {}, "bearer": False, "at_once": 1}
    assert shop.received()[-1] == {"call": len(shop.received()), **seen}
    assert (code, steps[-1]["step"]) == (0, "answer")


def test_the_agent_reports_transport_trouble_with_exit_code_1(shop: Shop) -> None:
    for url in ("http://127.0.0.1:1/mcp", shop.url.replace("/mcp", "/elsewhere")):
        code, steps = run_agent(url, "--obey", "get_order")
        assert (code, [step["step"] for step in steps]) == (1, ["trouble"])


def test_a_ticket_that_is_none_is_a_usage_error(shop: Shop) -> None:
    code, steps = run_agent(shop.url, "--ticket", "-", ticket={"ticket": "no order"})
    assert (code, steps) == (2, [])


# --- the project -----------------------------------------------------------------------------------------------------


def _catalogue() -> dict[str, Any]:
    loaded = yaml.safe_load((PROJECT / "catalogue" / "orders.yaml").read_text())
    assert isinstance(loaded, dict)
    return loaded


def _shape(schema: dict[str, Any]) -> dict[str, Any]:
    """What must agree between review and server: all but the SDK's own titles and its `null` for an absent value."""
    return {
        "required": sorted(schema.get("required", [])),
        "properties": {
            name: {key: value for key, value in rules.items() if key != "title" and value is not None}
            for name, rules in schema["properties"].items()
        },
    }


def test_the_catalogue_says_what_the_live_server_says(shop: Shop) -> None:
    live = {tool.name: tool for tool in shop.tools()}
    reviewed = _catalogue()["operations"]
    assert set(reviewed) == set(live)
    for name, operation in reviewed.items():
        assert _shape(operation["input_schema"]) == _shape(live[name].input_schema), name
        assert (operation["title"], operation["description"]) == (live[name].title, live[name].description)


def test_the_catalogue_closes_every_schema() -> None:
    operations = _catalogue()["operations"]
    for operation in operations.values():
        schema = operation["input_schema"]
        jsonschema_rs.validator_for(schema)
        assert schema["additionalProperties"] is False
    assert operations["refund_order"]["effect"] == "write"
    assert operations["close_account"]["effect"] == "irreversible"


def test_the_charter_keeps_refunds_and_closing_accounts_apart() -> None:
    charter = yaml.safe_load((PROJECT / "agents" / "refunds" / "agent.yaml").read_text())
    people = yaml.safe_load((PROJECT / "remit.yaml").read_text())["development"]["people"]
    assert charter["owner"] in people
    cases = {name: set(use_case["operations"]) for name, use_case in charter["use_cases"].items()}
    assert cases["refund_request"] == set(_catalogue()["operations"]) - {"close_account"} | {"read_inbox", "send_mail"}
    assert cases["account_closing"] == {"get_order", "close_account"}


CEDAR_SCHEMA = """
entity User; entity Tool;
type Asked = {{ agent: {{ name: String }}, task: {{ use_case: String }}, arguments: {{ {arguments} }} }};
action "{operation}" appliesTo {{ principal: [User], resource: [Tool], context: Asked }};
"""


def _policy() -> str:
    return (PROJECT / "agents" / "refunds" / "policies" / "refunds.cedar").read_text()


@pytest.fixture(scope="module")
def permits() -> Callable[..., bool]:
    def ask(operation: str, use_case: str = "refund_request", **arguments: Any) -> bool:
        context = {"agent": {"name": "refunds"}, "task": {"use_case": use_case}, "arguments": arguments}
        context["facts"] = {"order": {"currency": "EUR", "ordered_days_ago": 12}}
        context["history"] = {"refunded_today": arguments.get("amount_minor", 0)}
        request = {
            "principal": 'User::"tom"',
            "action": f'Action::"{operation}"',
            "resource": 'Tool::"orders"',
            "context": json.dumps(context),
        }
        answer = cedarpy.is_authorized(request, _policy(), [])
        assert not answer.diagnostics.errors
        return answer.allowed

    return ask


@pytest.mark.parametrize(
    ("amount_minor", "currency", "permitted"),
    [(1, "EUR", True), (10_000, "EUR", True), (10_001, "EUR", False), (0, "EUR", False), (4_000, "USD", False)],
)
def test_the_policy_permits_refunds_up_to_a_hundred_euro(
    permits: Callable[..., bool], amount_minor: int, currency: str, *, permitted: bool
) -> None:
    asked = {"order_id": "ord-1001", "amount_minor": amount_minor, "currency": currency, "reason": "broken"}
    assert permits("refund_order", **asked) is permitted
    assert not permits("refund_order", use_case="something_else", **asked)


def test_the_policy_permits_look_ups_and_is_silent_on_closing_accounts(permits: Callable[..., bool]) -> None:
    assert permits("get_order", order_id="ord-1001")
    assert permits("list_payments", order_id="ord-1001")
    assert permits("search_orders")
    assert not permits("get_order", use_case="something_else", order_id="ord-1001")
    assert not permits("close_account", customer_id="cus-001")


def test_every_policy_has_an_id_of_its_own() -> None:
    policies = json.loads(cedarpy.policies_to_json_str(_policy()))["staticPolicies"].values()
    ids = [policy["annotations"]["id"] for policy in policies]
    assert len(ids) == len(set(ids)) >= 5
