"""The project that the measured gateway runs, reviewed by two persons, and a running gateway's task token."""

import json
import urllib.request
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from remit.adapters.project import compile_snapshot, lock_text
from remit.catalogue import Signer, TrustRoot, public_key_of, sign_parts, trust_json
from remit.core import JsonObject

AGENT, USE_CASE, PERSON = "refunds", "refunds", "tom"
REVISION = "2026-07-28"

_SCHEMA = """\
    input_schema:
      type: object
      additionalProperties: false
      required: [order_id, amount_minor, currency, note]
      properties:
        order_id: {type: string, pattern: "^[A-Z0-9-]{4,40}$"}
        amount_minor: {type: integer, minimum: 1}
        currency: {type: string, enum: [EUR, USD]}
        note: {type: string, maxLength: 2000}
"""

_POLICY = """\
@id("{tool}.small")
permit (principal, action in [{actions}], resource == Tool::"{tool}")
when {{ context.arguments.amount_minor <= 10000 && context.arguments.currency == "EUR" }};

@id("{tool}.never")
forbid (principal, action in [{actions}], resource == Tool::"{tool}")
when {{ context.arguments.order_id == "ORD-0000" }};
"""

_LIMITS = """\
limits:
  writes: {of: [write, execute, irreversible], per: user, in: day, max: 1000000000}
  calls: {per: agent, in: day, max: 1000000000}
  at_once: {per: agent, max: 1000}
"""

GIVEN: JsonObject = {"order_id": "ORD-1234", "amount_minor": 4250, "currency": "EUR"}
"""What the user's channel gave along: the values that the measured call steers by."""

ARGUMENTS: JsonObject = {"order_id": "ORD-1234", "amount_minor": 4250, "currency": "EUR", "note": "x" * 560}


def files(tools: dict[str, tuple[str, list[str]]]) -> dict[str, str]:
    """Return a project's files for `tools`: tool -> (url, operations). Two policies concern each operation."""
    said = {
        f"catalogue/{tool}.yaml": f"tool: {tool}\nurl: {url}\nauthor: ana\noperations:\n"
        + "".join(map(_operation, operations))
        for tool, (url, operations) in tools.items()
    }
    listed = [name for _, operations in tools.values() for name in operations]
    cases = {USE_CASE if not at else f"{USE_CASE}_{at}": listed[at : at + 500] for at in range(0, len(listed), 500)}
    said[f"agents/{AGENT}/agent.yaml"] = (
        f"agent: {AGENT}\nowner: ana\nprocess: returns\npurpose: refunds within bounds\n"
        f"identity: {{bearer: true}}\n{_LIMITS}use_cases:\n"
    ) + "".join(
        f"  {case}:\n    description: refunds\n    operations: [{', '.join(names)}]\n" for case, names in cases.items()
    )
    for tool, (_, operations) in tools.items():
        actions = ", ".join(f'Action::"{name}"' for name in operations)
        said[f"agents/{AGENT}/policies/{tool}.cedar"] = _POLICY.format(tool=tool, actions=actions)
    return said


def _operation(name: str) -> str:
    head = f"  {name}:\n    version: 1.0.0\n    title: Refund\n    description: Pay an order back.\n    effect: write\n"
    return head + "    content: [note]\n    results: system_of_record\n" + _SCHEMA


def reviewed(said: dict[str, str]) -> dict[str, bytes]:
    """Return a project's files with what its review leaves behind: a trust root, signatures of two, the manifest."""
    files = {path: text.encode() for path, text in said.items()}
    keys = {name: _new_key() for name in ("sue", "eli")}
    roles = dict(zip(keys, ("security", "engineering"), strict=True))
    signers = {name: Signer(frozenset({role}), (public_key_of(keys[name]),)) for name, role in roles.items()}
    trust = TrustRoot(version=1, persons=signers, thresholds=dict.fromkeys(roles.values(), 1))
    descriptors = compile_snapshot(files).descriptors
    files |= {
        "trust.json": trust_json(trust),
        f"agents/{AGENT}/tools.lock": lock_text(descriptors, descriptors).encode(),
    }
    for operation, descriptor in descriptors.items():
        signed: bytes | None = None
        for key in keys.values():
            signed = sign_parts(descriptor, signed, key)
        files[f"catalogue/signatures/{operation}.dsse.json"] = signed or b""
    return files


def _new_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def write(root: Path, tools: dict[str, tuple[str, list[str]]], data: int, admin: int) -> Path:
    """Write the project with its settings under `root`; return `root`."""
    settings = (
        f"name: bench\nprofile: development\ndevelopment:\n  people:\n    {PERSON}: {{roles: [user]}}\n"
        f"    ana: {{roles: [operator]}}\ndata: {{port: {data}}}\nadmin: {{port: {admin}}}\n"
    )
    written = reviewed(files(tools))
    written["var/trust.json"] = written.pop("trust.json")
    for path, body in {**written, "remit.yaml": settings.encode()}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(body)
    return root


def task_token(root: Path, data: int, admin: int) -> str:
    """Log in as a person, open a task, return its token."""
    secret = (root / "var/development.secret").read_text("ascii").strip()
    audience = f"http://127.0.0.1:{data}"
    login = {"person": PERSON, "secret": secret, "audience": audience}
    person = _post(f"http://127.0.0.1:{admin}/development/token", login, {})["token"]
    wanted = {"agent": AGENT, "use_case": USE_CASE, "input": GIVEN}
    return _post(f"{audience}/v1/tasks", wanted, {"authorization": f"Bearer {person}"})["token"]


def call_body(operation: str) -> bytes:
    """Return a `tools/call` of about 1 KB."""
    prefix = "io.modelcontextprotocol"
    meta = {f"{prefix}/protocolVersion": REVISION, f"{prefix}/clientCapabilities": {}}
    meta[f"{prefix}/clientInfo"] = {"name": "bench", "version": "1"}
    params = {"_meta": meta, "name": operation, "arguments": ARGUMENTS}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(message, separators=(",", ":")).encode("ascii")
    spare = 1024 - len(body)
    return body.replace(b'"note":"', b'"note":"' + b"x" * spare) if spare > 0 else body


def call_headers(operation: str, token: str = "") -> dict[str, str]:
    """Return the headers that MCP asks for with it."""
    headers = {
        "content-type": "application/json",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": REVISION,
        "mcp-method": "tools/call",
        "mcp-name": operation,
    }
    return {**headers, "authorization": f"Bearer {token}"} if token else headers


def _post(url: str, body: object, headers: dict[str, str]) -> dict[str, str]:
    request = urllib.request.Request(  # noqa: S310 - loopback http, built above
        url, json.dumps(body).encode(), {"content-type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        said: dict[str, str] = json.load(answer)
    return said
