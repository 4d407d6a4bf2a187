"""The shop's order desk: an MCP tool server over a SQLite database. It knows nothing of any gateway.

Five tools on the official MCP SDK, streamable HTTP, loopback only. Money is integer minor units with a currency. The
data are invented from a seed, and the shop's calendar stands still, so two runs see the same rows.

    python orders_server.py --database shop.sqlite --port 9301 --log calls.jsonl
    ready http://127.0.0.1:9301/mcp

With `--issuer URL` a tool call must carry a token that this issuer minted for this server, and for this very operation
where it names one. The shop then has a policy of its own, from who asks (`sub`) and who acts (`act`):

    --refund-agents refunds      only these agents may refund, for whomever they act
    --refund-max tom=5000        what a person can have refunded at once, in minor units; others have no such bound

Two options play a part in a story: `--describe` changes what a tool says of itself, `--delay-ms` makes reads slow
enough to overlap.
"""

import argparse
import json
import logging
import random
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import httpx2
import uvicorn
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from mcp import MCPError
from mcp.server.context import CallNext, HandlerResult, ServerRequestContext
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import INVALID_REQUEST, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

TODAY = date(2026, 11, 20)  # the shop's calendar stands still: no row depends on a clock
CUSTOMERS = 200
ORDERS = 1_200
FIRST_ORDER = 1_001
BUSY_MS = 5_000  # how long a write waits for another one

Status = Literal["open", "paid", "shipped", "delivered", "cancelled"]
Currency = Literal["EUR", "GBP", "USD"]
PAID: tuple[Status, ...] = ("paid", "shipped", "delivered")

# --- the database ----------------------------------------------------------------------------------------------------

SCHEMA = """
CREATE TABLE customers (
    customer_id TEXT PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, closed_at TEXT
) STRICT;
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY, customer_id TEXT NOT NULL REFERENCES customers, status TEXT NOT NULL,
    total_minor INTEGER NOT NULL CHECK (total_minor > 0), currency TEXT NOT NULL, ordered_on TEXT NOT NULL
) STRICT;
CREATE TABLE payments (
    payment_id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL, method TEXT NOT NULL,
    paid_on TEXT NOT NULL
) STRICT;
CREATE TABLE refunds (
    refund_id TEXT PRIMARY KEY, order_id TEXT NOT NULL REFERENCES orders,
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0), currency TEXT NOT NULL, reason TEXT NOT NULL,
    refunded_on TEXT NOT NULL
) STRICT;
CREATE INDEX orders_of_customer ON orders (customer_id);
CREATE INDEX payments_of_order ON payments (order_id);
CREATE INDEX refunds_of_order ON refunds (order_id);
"""

FIRST_NAMES = ("Example", "Sample", "Demo", "Fictive", "Invented")
LAST_NAMES = ("Alder", "Birch", "Cedar", "Elm", "Hazel", "Larch", "Maple", "Rowan", "Spruce", "Willow")
METHODS = ("card", "transfer", "voucher")

Row = tuple[str | int | None, ...]

# The orders a story can name: a small paid one, a large paid one, one that nobody has paid yet.
WELL_KNOWN: dict[str, tuple[str, Status, int, Currency]] = {
    "ord-1001": ("cus-001", "delivered", 12_000, "EUR"),
    "ord-1002": ("cus-002", "delivered", 145_000, "EUR"),
    "ord-1003": ("cus-003", "open", 4_550, "EUR"),
}


def create_database(file: Path, seed: int) -> None:
    """Write a new database at `file`; the same seed writes the same rows. A half-written one is never left there."""
    part = file.with_name(file.name + ".part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(part)) as database, database:
        database.executescript(SCHEMA)
        draw = random.Random(seed)  # noqa: S311 - invented shop data, not secrets
        database.executemany("INSERT INTO customers VALUES (?, ?, ?, ?)", _customers(draw))
        for order, payments in _orders(draw):
            database.execute("INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)", order)
            database.executemany("INSERT INTO payments VALUES (?, ?, ?, ?, ?, ?)", payments)
    part.replace(file)


def _customers(draw: random.Random) -> Iterator[Row]:
    for number in range(1, CUSTOMERS + 1):
        name = f"{draw.choice(FIRST_NAMES)} {draw.choice(LAST_NAMES)}"
        yield f"cus-{number:03}", name, f"cus-{number:03}@customer.example", None


def _orders(draw: random.Random) -> Iterator[tuple[Row, list[Row]]]:
    for number in range(FIRST_ORDER, FIRST_ORDER + ORDERS):
        order_id = f"ord-{number}"
        customer_id, status, total_minor, currency = WELL_KNOWN.get(order_id) or _invented(draw)
        ordered_on = TODAY - timedelta(days=draw.randint(3, 365))
        order = (order_id, customer_id, status, total_minor, currency, ordered_on.isoformat())
        # Larger orders are paid in two parts, so that "what is left" is a sum and not one row. The well-known are not.
        in_parts = total_minor > 50_000 and order_id not in WELL_KNOWN
        parts = [total_minor // 3, total_minor - total_minor // 3] if in_parts else [total_minor]
        paid_on = (ordered_on + timedelta(days=draw.randint(0, 3))).isoformat()
        method = draw.choice(METHODS)
        payments: list[Row] = [
            (f"pay-{number}-{index}", order_id, part, currency, method, paid_on)
            for index, part in enumerate(parts, start=1)
        ]
        yield order, payments if status in PAID else []


def _invented(draw: random.Random) -> tuple[str, Status, int, Currency]:
    """Draw an order's customer, status, total and currency. One in ten is above 1,000.00."""
    customer_id = f"cus-{draw.randint(1, CUSTOMERS):03}"
    statuses: tuple[Status, ...] = ("open", "paid", "shipped", "delivered", "delivered", "delivered", "cancelled")
    currencies: tuple[Currency, ...] = ("EUR", "EUR", "EUR", "EUR", "GBP", "USD")
    large = draw.random() < 0.1
    total_minor = draw.randint(100_001, 400_000) if large else draw.randint(500, 60_000)
    return customer_id, draw.choice(statuses), total_minor, draw.choice(currencies)


# --- what the tools answer -------------------------------------------------------------------------------------------


class Answer(BaseModel):
    """A typed result; the SDK publishes its schema and sends it as structured content."""

    model_config = ConfigDict(frozen=True)


class Order(Answer):
    """One order. `refundable_minor` is what was paid less what has been refunded."""

    order_id: str
    customer_id: str
    customer_email: str
    status: Status
    total_minor: int
    currency: Currency
    ordered_on: str
    refundable_minor: int


class OrderList(Answer):
    """Orders found, oldest id first. `matching` counts all that match, also those beyond the limit."""

    orders: list[Order]
    matching: int


class Payment(Answer):
    """Money that came in for an order."""

    payment_id: str
    amount_minor: int
    currency: Currency
    method: str
    paid_on: str


class PaymentList(Answer):
    """All payments of one order, and the sums that decide on a refund."""

    order_id: str
    payments: list[Payment]
    paid_minor: int
    refunded_minor: int
    currency: Currency


class Refund(Answer):
    """A refund that has been written. `refundable_minor` is what is left after it."""

    refund_id: str
    order_id: str
    amount_minor: int
    currency: Currency
    reason: str
    refunded_on: str
    refundable_minor: int


class ClosedAccount(Answer):
    """A customer's account that is now closed."""

    customer_id: str
    closed_at: str


ORDER_SQL = """
SELECT o.order_id, o.customer_id, c.email AS customer_email, o.status, o.total_minor, o.currency, o.ordered_on,
       (SELECT coalesce(sum(amount_minor), 0) FROM payments p WHERE p.order_id = o.order_id)
     - (SELECT coalesce(sum(amount_minor), 0) FROM refunds r WHERE r.order_id = o.order_id) AS refundable_minor
FROM orders o JOIN customers c USING (customer_id)
"""
COUNT_SQL = "SELECT count(*) FROM orders"
MATCH_SQL = " WHERE (:customer_id IS NULL OR customer_id = :customer_id) AND (:status IS NULL OR status = :status)"


@dataclass(frozen=True, slots=True)
class Shop:
    """The shop's rules over its database. Every method opens its own connection, so threads may share a shop.

    What the business refuses is a `ToolError`: the SDK sends it as a result with `isError`, for the agent to read.
    """

    file: Path

    @contextmanager
    def _transaction(self, kind: Literal["DEFERRED", "IMMEDIATE"]) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.file, timeout=BUSY_MS / 1_000, isolation_level=None)) as database:
            database.row_factory = sqlite3.Row
            database.execute("PRAGMA foreign_keys = ON")
            database.execute(f"BEGIN {kind}")
            try:
                yield database
            except BaseException:
                database.execute("ROLLBACK")
                raise
            database.execute("COMMIT")

    def order(self, order_id: str) -> Order:
        """Return one order. Raises: ToolError if there is none."""
        with self._transaction("DEFERRED") as database:
            return _order(database, order_id)

    def search(self, customer_id: str | None, status: str | None, limit: int) -> OrderList:
        """Return up to `limit` orders that match what is given, and how many match in all."""
        wanted = {"customer_id": customer_id, "status": status, "limit": limit}
        with self._transaction("DEFERRED") as database:
            rows = database.execute(ORDER_SQL + MATCH_SQL + " ORDER BY o.order_id LIMIT :limit", wanted).fetchall()
            (matching,) = database.execute(COUNT_SQL + MATCH_SQL, wanted).fetchone()
        return OrderList(orders=[Order(**dict(row)) for row in rows], matching=matching)

    def payments(self, order_id: str) -> PaymentList:
        """Return all payments of one order. Raises: ToolError if there is no such order."""
        with self._transaction("DEFERRED") as database:
            order = _order(database, order_id)
            rows = database.execute(
                "SELECT payment_id, amount_minor, currency, method, paid_on FROM payments WHERE order_id = ?"
                " ORDER BY payment_id",
                (order_id,),
            ).fetchall()
        payments = [Payment(**dict(row)) for row in rows]
        paid_minor = sum(payment.amount_minor for payment in payments)
        return PaymentList(
            order_id=order_id,
            payments=payments,
            paid_minor=paid_minor,
            refunded_minor=paid_minor - order.refundable_minor,
            currency=order.currency,
        )

    def refund(self, order_id: str, amount_minor: int, currency: str, reason: str) -> Refund:
        """Write a refund. Raises: ToolError if the order is unknown, unpaid, in another currency, or has less left."""
        # IMMEDIATE: two refunds queue for the write lock, where DEFERRED could fail one as `database is locked`.
        with self._transaction("IMMEDIATE") as database:
            order = _order(database, order_id)
            _check_refund(order, amount_minor, currency)
            (count,) = database.execute("SELECT count(*) FROM refunds").fetchone()
            row = (f"ref-{count + 1:04}", order_id, amount_minor, order.currency, reason, TODAY.isoformat())
            database.execute("INSERT INTO refunds VALUES (?, ?, ?, ?, ?, ?)", row)
        return Refund(
            refund_id=row[0],
            order_id=order_id,
            amount_minor=amount_minor,
            currency=order.currency,
            reason=reason,
            refunded_on=row[5],
            refundable_minor=order.refundable_minor - amount_minor,
        )

    def close(self, customer_id: str) -> ClosedAccount:
        """Close a customer's account, for good. Raises: ToolError if it is unknown or closed already."""
        with self._transaction("IMMEDIATE") as database:
            row = database.execute("SELECT closed_at FROM customers WHERE customer_id = ?", (customer_id,)).fetchone()
            if row is None:
                raise ToolError(f"no customer `{customer_id}`")
            if row["closed_at"] is not None:
                raise ToolError(f"the account of `{customer_id}` has been closed since {row['closed_at']}")
            closed = (TODAY.isoformat(), customer_id)
            database.execute("UPDATE customers SET closed_at = ? WHERE customer_id = ?", closed)
        return ClosedAccount(customer_id=customer_id, closed_at=TODAY.isoformat())


def _order(database: sqlite3.Connection, order_id: str) -> Order:
    row = database.execute(ORDER_SQL + " WHERE o.order_id = ?", (order_id,)).fetchone()
    if row is None:
        raise ToolError(f"no order `{order_id}`")
    return Order(**dict(row))


def _check_refund(order: Order, amount_minor: int, currency: str) -> None:
    if order.status not in PAID:
        raise ToolError(f"order `{order.order_id}` is {order.status}: nothing was paid, nothing can be refunded")
    if currency != order.currency:
        raise ToolError(f"order `{order.order_id}` was paid in {order.currency}, not in {currency}")
    if amount_minor > order.refundable_minor:
        raise ToolError(
            f"order `{order.order_id}` has {order.refundable_minor} {order.currency} minor units left to refund, "
            f"not {amount_minor}"
        )


# --- the tools -------------------------------------------------------------------------------------------------------

OrderId = Annotated[str, Field(pattern=r"^ord-[0-9]{4}$", max_length=8)]
CustomerId = Annotated[str, Field(pattern=r"^cus-[0-9]{3}$", max_length=7)]
Limit = Annotated[int, Field(ge=1, le=50, strict=True)]
AmountMinor = Annotated[int, Field(ge=1, le=100_000_000, strict=True, description="minor units: 4000 is 40.00")]
ReasonText = Annotated[str, Field(min_length=1, max_length=200)]


@dataclass(frozen=True, slots=True)
class Story:
    """What is changed for a story: texts that tools say of themselves instead of their own, and slow reads."""

    describe: Mapping[str, str] = field(default_factory=dict)
    delay_ms: int = 0


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, as a token of the issuer says: `user` asks (`sub`), `agent` acts (`act`)."""

    user: str
    agent: str


CALLER: ContextVar[Caller | None] = ContextVar("CALLER", default=None)
"""Whose call is being carried out; None where no issuer vouches for anybody."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the shop itself allows, whatever anybody before it has allowed. None: every agent."""

    refund_agents: frozenset[str] | None = None
    refund_max_minor: Mapping[str, int] = field(default_factory=dict)

    def check_refund(self, caller: Caller | None, amount_minor: int) -> None:
        """Let a refund through. Raises: ToolError if `caller` may not make it, or not so large a one."""
        if caller is None:
            return
        if self.refund_agents is not None and caller.agent not in self.refund_agents:
            raise ToolError(f"the agent `{caller.agent}` may not refund at this shop")
        most = self.refund_max_minor.get(caller.user)
        if most is not None and amount_minor > most:
            raise ToolError(f"`{caller.user}` can have at most {most} minor units refunded at once, not {amount_minor}")


def order_desk(shop: Shop, story: Story, policy: Policy, watch: "CallLog") -> MCPServer:
    """Return the tool server over `shop`; each tool call it receives is seen by `watch` before it is carried out."""
    desk: MCPServer[Any] = MCPServer(
        "orders", title="Order desk", version="1.0.0", log_level="WARNING", middleware=[watch]
    )
    _add_reads(desk, shop, story)
    _add_writes(desk, shop, story, policy)
    return desk


def _add_reads(desk: MCPServer, shop: Shop, story: Story) -> None:
    read_only = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    says, pause = story.describe.get, story.delay_ms / 1_000

    @desk.tool(title="Look up an order", description=says("get_order"), annotations=read_only)
    def get_order(order_id: OrderId) -> Order:
        """Return one order with its status, total and what is left to refund, in minor units."""
        time.sleep(pause)
        return shop.order(order_id)

    @desk.tool(title="Search orders", description=says("search_orders"), annotations=read_only)
    def search_orders(
        customer_id: CustomerId | SkipJsonSchema[None] = None,
        status: Status | SkipJsonSchema[None] = None,
        limit: Limit = 20,
    ) -> OrderList:
        """Find orders by customer, by status, or both; at most 50 at once."""
        time.sleep(pause)
        return shop.search(customer_id, status, limit)

    @desk.tool(title="List an order's payments", description=says("list_payments"), annotations=read_only)
    def list_payments(order_id: OrderId) -> PaymentList:
        """Return all payments of one order, with the sums paid and refunded, in minor units."""
        time.sleep(pause)
        return shop.payments(order_id)


def _add_writes(desk: MCPServer, shop: Shop, story: Story, policy: Policy) -> None:
    says = story.describe.get
    careful = ToolAnnotations(destructive_hint=False, open_world_hint=False)

    @desk.tool(title="Refund an order", description=says("refund_order"), annotations=careful)
    def refund_order(order_id: OrderId, amount_minor: AmountMinor, currency: Currency, reason: ReasonText) -> Refund:
        """Pay back part or all of what was paid for an order."""
        policy.check_refund(CALLER.get(), amount_minor)
        return shop.refund(order_id, amount_minor, currency, reason)

    drastic = ToolAnnotations(open_world_hint=False)

    @desk.tool(title="Close a customer's account", description=says("close_account"), annotations=drastic)
    def close_account(customer_id: CustomerId) -> ClosedAccount:
        """Close a customer's account. This cannot be undone."""
        return shop.close(customer_id)


# --- who calls -------------------------------------------------------------------------------------------------------


class RefusedError(Exception):
    """A token that does not let its bearer in; says why, and nothing of the token."""


@dataclass(slots=True)
class Tokens:
    """Verifies access tokens (RFC 9068) of `issuer` for this server's own URL, `audience`.

    The issuer's keys are fetched when a token first needs them, and again when one names a key not seen yet.
    """

    issuer: str
    audience: str
    keys: dict[str, KeySet] = field(default_factory=dict)

    async def read(self, header: str | None, operation: object) -> dict[str, Any]:
        """Return the claims of the token in an Authorization header of a call of `operation`. Raises: RefusedError."""
        scheme, _, token = (header or "").partition(" ")
        if scheme.lower() != "bearer":
            raise RefusedError("no bearer token")
        try:
            found = jws.extract_compact(token.encode("ascii"))
            said = found.headers()
            if said.get("typ") != "at+jwt" or said.get("alg") != "Ed25519":
                raise RefusedError("not an access token signed with Ed25519")
            key = await self._key(str(said.get("kid")))
            claims = json.loads(jws.deserialize_compact(token, key, algorithms=["Ed25519"]).payload)
        except (JoseError, ValueError) as error:
            raise RefusedError("a token that does not verify") from error
        return self._judged(claims, operation)

    def _judged(self, claims: object, operation: object) -> dict[str, Any]:
        if not isinstance(claims, dict) or claims.get("iss") != self.issuer:
            raise RefusedError("a token of another issuer")
        if claims.get("aud") != self.audience:
            raise RefusedError("a token for another audience")
        expires = claims.get("exp")
        if type(expires) is not int or time.time() >= expires:
            raise RefusedError("a token that has expired")
        if claims.get("operation", operation) != operation:
            raise RefusedError("a token for another operation")
        return claims

    async def _key(self, kid: str) -> KeySet:
        if kid not in self.keys:
            try:
                async with httpx2.AsyncClient(timeout=5.0, trust_env=False) as http:
                    answer = await http.get(f"{self.issuer}/.well-known/jwks.json")
                    found = answer.raise_for_status().json()["keys"]
                self.keys = {str(key.get("kid")): KeySet.import_key_set({"keys": [key]}) for key in found}
            except (httpx2.HTTPError, KeyError, AttributeError, TypeError) as error:
                raise RefusedError("the issuer's keys could not be read") from error
        if kid not in self.keys:
            raise RefusedError("a token signed with an unknown key")
        return self.keys[kid]


# --- the process -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class CallLog:
    """Writes each tool call that arrives as one JSON line, so that it can be shown what reached the shop.

    With `tokens`, a call without a token that verifies is refused before anything happens.
    """

    file: TextIO
    tokens: Tokens | None = None
    received: int = 0
    under_way: int = 0

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Note the call, then let it through. Of a bearer token only what it says is written, never the token."""
        if ctx.method != "tools/call" or ctx.params is None:
            return await call_next(ctx)
        header = None if ctx.request is None else ctx.request.headers.get("authorization")
        line: dict[str, Any] = {"tool": ctx.params.get("name"), "arguments": ctx.params.get("arguments")}
        line["bearer"] = header is not None
        caller = None
        if self.tokens is not None:
            try:
                claims = await self.tokens.read(header, line["tool"])
                caller = _caller(claims)
            except RefusedError as error:
                self._write(line | {"refused": str(error)})
                raise MCPError(INVALID_REQUEST, f"refused: {error}") from error
            line |= {"user": caller.user, "agent": caller.agent, "task": claims.get("txn")}
            line |= {name: claims[name] for name in ("seq", "intent") if name in claims}
        self.under_way += 1
        said = CALLER.set(caller)
        try:
            self._write(line | {"at_once": self.under_way})
            return await call_next(ctx)
        finally:
            CALLER.reset(said)
            self.under_way -= 1

    def _write(self, line: dict[str, Any]) -> None:
        self.received += 1
        print(json.dumps({"call": self.received, **line}), file=self.file, flush=True)


def _caller(claims: dict[str, Any]) -> Caller:
    """Say who asks and who acts: of a chain of agents, the one that calls us. Raises: RefusedError."""
    user, act = claims.get("sub"), claims.get("act")
    agent = act.get("sub") if isinstance(act, dict) else None
    if not isinstance(user, str) or not isinstance(agent, str):
        raise RefusedError("a token that does not say who asks and who acts")
    return Caller(user, agent)


class AnnouncingServer(uvicorn.Server):
    """Uvicorn that says `ready URL` on standard output once it accepts connections."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then announce the real port."""
        await super().startup(sockets)
        if self.started and sockets:
            print(f"ready http://127.0.0.1:{sockets[0].getsockname()[1]}/mcp", flush=True)


def serve(build: Callable[[str], MCPServer], port: int) -> None:
    """Serve on 127.0.0.1 what `build` makes for the server's URL, until told to stop. Port 0 takes a free one.

    `host` makes the SDK refuse any Host or Origin header that is not a loopback one (DNS rebinding).
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        desk = build(f"http://127.0.0.1:{listener.getsockname()[1]}/mcp")
        app = desk.streamable_http_app(host="127.0.0.1", json_response=True, stateless_http=True)
        AnnouncingServer(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])


def described(text: str) -> tuple[str, str]:
    """Read `TOOL=TEXT`."""
    tool, mark, says = text.partition("=")
    if not mark:
        raise argparse.ArgumentTypeError(f"`{text}` is not TOOL=TEXT")
    return tool, says


def bounded(text: str) -> tuple[str, int]:
    """Read `PERSON=MINOR`."""
    person, mark, most = text.rpartition("=")
    if not mark or not person or not most.isdecimal():
        raise argparse.ArgumentTypeError(f"`{text}` is not PERSON=MINOR")
    return person, int(most)


def main(arguments: list[str]) -> None:
    """Read the command line, create the database if it is missing, and serve."""
    parser = argparse.ArgumentParser(description="the shop's order desk, an MCP tool server on loopback")
    parser.add_argument("--database", type=Path, required=True, help="created if missing")
    parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
    parser.add_argument("--seed", type=int, default=7, help="what a new database is invented from")
    parser.add_argument("--log", type=Path, help="append received calls to this file instead of standard error")
    parser.add_argument("--issuer", metavar="URL", help="whose tokens tool calls must carry")
    parser.add_argument("--refund-agents", nargs="+", metavar="AGENT", help="who may refund; needs --issuer")
    parser.add_argument("--refund-max", type=bounded, action="append", default=[], metavar="PERSON=MINOR")
    parser.add_argument("--describe", type=described, action="append", default=[], metavar="TOOL=TEXT")
    parser.add_argument("--delay-ms", type=int, default=0, help="how long a read takes at least")
    given = parser.parse_args(arguments)
    if given.issuer is None and (given.refund_agents is not None or given.refund_max):
        parser.error("without --issuer nobody says who calls: there is no policy to apply")
    logging.getLogger("mcp").setLevel(logging.WARNING)
    if not given.database.exists():
        create_database(given.database, given.seed)
    story = Story(dict(given.describe), given.delay_ms)
    agents = None if given.refund_agents is None else frozenset(given.refund_agents)
    policy = Policy(agents, dict(given.refund_max))
    with ExitStack() as files:
        log = sys.stderr if given.log is None else files.enter_context(given.log.open("a", encoding="utf-8"))

        def build(url: str) -> MCPServer:
            tokens = None if given.issuer is None else Tokens(given.issuer.rstrip("/"), url)
            return order_desk(Shop(given.database), story, policy, CallLog(log, tokens))

        serve(build, given.port)


if __name__ == "__main__":
    main(sys.argv[1:])
