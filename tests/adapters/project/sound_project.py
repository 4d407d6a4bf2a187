"""A project in which nothing is wrong: reviewed by one signer, with what its servers showed kept, and pinned.

project = good()
check_project(project).warnings     # ()
"""

from collections.abc import Mapping
from functools import cache

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remit.adapters.project import compile_snapshot, lock_text, served_text
from remit.catalogue import Signer, TrustRoot, public_key_of, sign_parts, trust_json

AGENT = "agents/refunds/agent.yaml"
RULES = "agents/refunds/policies/rules.cedar"
SHARED = "organisation/policies/shared.cedar"
ORDERS = "catalogue/orders.yaml"
MAIL = "catalogue/mail.yaml"
LOCK = "agents/refunds/tools.lock"
SERVED = "catalogue/served/orders.json"
SIGNED = "catalogue/signatures/get_order.dsse.json"
TRUST = "trust.json"

GOOD = {
    AGENT: """\
# the charter
agent: refunds
owner: ana
process: returns
purpose: pay customers back
use_cases:
  refund:
    description: look an order up and refund it
    operations:
      - get_order
      - refund_order
  answer:
    description: answer a customer
    operations: [get_order, send_mail]
""",
    RULES: """\
permit(principal, action in [Action::"get_order", Action::"send_mail"], resource);

permit(principal, action == Action::"refund_order", resource)
when { context.arguments.amount_minor <= 10000 };
""",
    SHARED: """\
@id("no-huge-refunds")
forbid(principal, action == Action::"refund_order", resource)
when { context.arguments.amount_minor > 1000000 };
""",
    ORDERS: """\
tool: orders
url: https://orders.example.com/mcp
timeout_s: 5
operations:
  get_order:
    version: "1"
    title: Get an order
    description: Return an order.
    effect: read
    input_schema:
      type: object
      additionalProperties: false
      required: [order_id]
      properties:
        order_id: {type: string, pattern: "^[A-Z0-9]+$"}
  refund_order:
    upstream_name: refundOrder
    version: "1"
    title: Refund an order
    description: Pay an order back.
    effect: write
    input_schema:
      type: object
      additionalProperties: false
      required: [order_id, amount_minor]
      properties:
        order_id: {type: string}
        amount_minor: {type: integer, minimum: 1}
    output_schema: {type: object}
""",
    MAIL: """\
tool: mail
url: http://127.0.0.1:9000/mcp
operations:
  send_mail:
    version: "1"
    title: Send a mail
    description: Send a mail to a customer.
    effect: irreversible
    input_schema:
      type: object
      additionalProperties: false
      properties:
        text: {type: string}
""",
}


def good() -> dict[str, bytes]:
    """Return the sound project as it is deployed: reviewed by one signer, kept and pinned."""
    return {**written(), **reviewed()}


def written() -> dict[str, bytes]:
    served = {"get_order": "orders", "refundOrder": "orders", "send_mail": "mail"}
    definitions = {
        tool: served_text({name: {"name": name} for name, its in served.items() if its == tool})
        for tool in set(served.values())
    }
    kept = {f"catalogue/served/{tool}.json": text for tool, text in definitions.items()}
    return {path: text.encode() for path, text in {**GOOD, **kept}.items()}


@cache
def reviewed() -> Mapping[str, bytes]:
    key = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    sam = Signer(frozenset({"security"}), (public_key_of(pem),))
    descriptors = compile_snapshot(written()).descriptors
    return {
        TRUST: trust_json(TrustRoot(version=1, persons={"sam": sam}, thresholds={"security": 1})),
        LOCK: lock_text(descriptors, descriptors).encode(),
        **{
            f"catalogue/signatures/{name}.dsse.json": sign_parts(descriptor, None, pem)
            for name, descriptor in descriptors.items()
        },
    }
