"""A shop's desk: refunds with a history, look-ups, a directory of payees, and a state before."""

import json
from collections.abc import Mapping
from functools import cache

from remit.adapters.project import compile_snapshot, served_text
from remit.core import JsonObject, canonical_bytes
from remit.pipeline import Snapshot, UpstreamAnswer
from remit.testing import Desk, MemoryStore, reviewed

POLICY = """
@id("look") permit (principal, action in [Action::"get_order", Action::"read_mail"], resource);
@id("pay") permit (principal, action == Action::"refund", resource)
when { context.arguments.amount > 0 && context.facts.order.delivered_days_ago <= 30 };
@id("known") forbid (principal, action == Action::"refund", resource)
unless { context.history.looked_up > 0 };
@id("ceiling") forbid (principal, action == Action::"refund", resource)
when { context.history.refunded > 100 };
@id("ask") @hold("approval") @approvers("ops")
forbid (principal, action == Action::"refund", resource) when { context.arguments.amount >= 50 };
@id("send") permit (principal, action in [Action::"send", Action::"keep", Action::"read_kept"], resource);
"""

AGENT = """
agent: clerk
owner: ana
process: the shop
purpose: refund what was bought
use_cases:
  serve: {description: somebody stands at the desk, operations: [get_order, read_mail, refund, send, keep, read_kept]}
identity: {bearer: true}
reviewers: [ops]
limits:
  calls: {per: agent, in: day, max: 1000000}
  at_once: {per: agent, max: 2000}
"""

CATALOGUE = """
tool: shop
url: http://127.0.0.1:9/mcp
author: ana
operations:
  get_order:
    version: 1.0.0
    title: Get
    description: Reads an order.
    effect: read
    results: {"": system_of_record, /note: untrusted}
    input_schema:
      type: object
      additionalProperties: false
      required: [order]
      properties: {order: {type: string, maxLength: 40}}
    output_schema:
      type: object
      required: [customer, delivered, refunded]
      properties: {customer: {type: string}, delivered: {type: string}, refunded: {type: integer}, note: {type: string}}
  read_mail:
    version: 1.0.0
    title: Mail
    description: Reads the mail.
    effect: read
    input_schema: {type: object, additionalProperties: false, properties: {}}
  refund:
    version: 1.0.0
    title: Refund
    description: Pays money back.
    effect: write
    content: [amount]
    facts:
      order:
        read: get_order
        with: {order: /order}
        max_age_s: 60
        values: {customer: /customer, delivered_days_ago: {at: /delivered, as: days_since}}
    before: {read: get_order, with: {order: /order}}
    input_schema:
      type: object
      additionalProperties: false
      required: [order, amount]
      properties:
        order: {type: string, maxLength: 40}
        amount: {type: integer, minimum: -1000000, maximum: 1000000}
  send:
    version: 1.0.0
    title: Send
    description: Sends a message.
    effect: write
    content: [text]
    sources: {to: [user, read_kept, directory/payees]}
    receivers: [to]
    input_schema:
      type: object
      additionalProperties: false
      required: [to]
      properties: {to: {type: string, maxLength: 80}, text: {type: string, maxLength: 400}}
"""

CATALOGUE += """
  keep:
    version: 1.0.0
    title: Keep
    description: Keeps a contact.
    effect: write
    content: [contact]
    results: system_of_record
    input_schema:
      type: object
      additionalProperties: false
      required: [contact]
      properties: {contact: {type: string, maxLength: 80}}
  read_kept:
    version: 1.0.0
    title: Kept
    description: Reads the contacts.
    effect: read
    results: system_of_record
    classes: {/secret: personal}
    input_schema: {type: object, additionalProperties: false, properties: {}}
    output_schema:
      type: object
      properties: {contact: {type: string}, secret: {type: string}}
"""

HISTORY = """
history:
  refunded: {of: [refund], sum: amount, per: [user], in: day}
  looked_up: {of: [get_order], per: [task, arguments.order], counts: answered}
"""

PAYEES = """
directory: payees
kind: values
entries: [pay@shop.example]
"""

CLASSES = """
classes:
  personal: {receivers: [directory/payees], reviewers: [privacy]}
"""

ORDER: JsonObject = {"customer": "crm-7", "delivered": "2026-11-10", "refunded": 0}


def shop_files(policy: str = POLICY, **changes: str) -> Mapping[str, bytes]:
    """Return the shop's files, with those of `changes` (`organisation__classes` for organisation/classes.yaml) too."""
    names = ("get_order", "read_mail", "refund", "send", "keep", "read_kept")
    served: dict[str, JsonObject] = {name: {"name": name} for name in names}
    files = {
        "agents/clerk/agent.yaml": AGENT.encode(),
        "agents/clerk/policies/shop.cedar": policy.encode(),
        "catalogue/shop.yaml": CATALOGUE.encode(),
        "catalogue/served/shop.json": served_text(served).encode(),
        "organisation/history.yaml": HISTORY.encode(),
        "organisation/directories/payees.yaml": PAYEES.encode(),
        "organisation/classes.yaml": CLASSES.encode(),
    }
    return files | {f"{name.replace('__', '/')}.yaml": text.encode() for name, text in changes.items()}


@cache
def shop(policy: str = POLICY) -> Snapshot:
    """Return the shop's files, compiled and reviewed."""
    return compile_snapshot(reviewed(shop_files(policy)))


def answer(structured: JsonObject) -> UpstreamAnswer:
    """Return a tool's answer."""
    return UpstreamAnswer(result=canonical_bytes({"content": [], "structuredContent": structured}), is_error=False)


def shop_desk(given: bytes = b'{"input":{"order":"o-1001"}}', store: MemoryStore | None = None) -> Desk:
    """Return a desk at the shop, whose order was delivered twelve days ago."""
    desk = Desk(project=shop(), given=given, store=store)
    desk.upstream.script("get_order", answer(ORDER))
    return desk


def entries(desk: Desk, kind: str) -> list[Mapping[str, object]]:
    """Return what the log says in every entry of a kind."""
    return [json.loads(entry.leaf) for entry in desk.store.log if entry.kind == kind]
