"""One entry after another: its shape, its payloads, and the story that intents and outcomes tell together."""

import hashlib
import re
from dataclasses import dataclass, field

from remit_verifier._report import Findings, OpenCall, shown
from remit_verifier._strict import Json, JsonObject, UnreadableError, read_base64, read_object

KINDS = frozenset(
    (
        "started",
        "stopped",
        "release",
        "task_opened",
        "intent",
        "outcome",
        "denied",
        "held",
        "evaluated",
        "refused",
        "unknown",
        "approval",
        "control",
        "task_closed",
    )
)
_OF_A_CALL = frozenset(("intent", "outcome", "unknown", "denied", "held", "evaluated"))
_COMMITMENT = re.compile("sha256:([0-9a-f]{64})")
_PAYLOAD_KEYS = frozenset(("name", "salt", "body"))


@dataclass(frozen=True, slots=True)
class Line:
    """An entry's line in the export: the place it claims, its exact leaf, its payloads as found."""

    index: Json
    leaf: str
    payloads: Json


@dataclass(slots=True)
class Story:
    """What has happened so far. A call is open from its intent until its outcome or unknown; it is remembered after."""

    intents: int = 0
    outcomes: int = 0
    unknown: int = 0
    observed: int = 0
    erased: int = 0
    open: dict[str, int] = field(default_factory=dict)  # call -> the intent's index
    closed: set[str] = field(default_factory=set)
    in_order: bool = True  # false once an index was wrong: the later ones would only repeat it

    def open_calls(self, at_most: int) -> tuple[OpenCall, ...]:
        """The oldest calls that are still open."""
        oldest = list(self.open.items())[:at_most]
        return tuple(OpenCall(index, call) for call, index in oldest)


def check_entry(line: Line, place: int, story: Story, findings: Findings) -> None:
    """Check the entry that stands at `place`, counted from 0, and carry the story on."""
    if story.in_order and (type(line.index) is not int or line.index != place):
        story.in_order = False
        findings.add("index_gap", place, f"entry {place} says that its index is {shown(line.index)}")
    try:
        leaf = _read_leaf(line.leaf)
    except UnreadableError as error:
        findings.add("leaf_invalid", place, f"entry {place}: {error}")
        return
    _carry_on(leaf, place, story, findings)
    try:
        story.erased += _check_payloads(_commitments(leaf), line.payloads)
    except UnreadableError as error:
        findings.add("payload_mismatch", place, f"entry {place}: {error}")


def _read_leaf(text: str) -> JsonObject:
    leaf = read_object(text)
    version, kind, call = leaf.get("v"), leaf.get("kind"), leaf.get("call")
    if type(version) is not int or version != 1:
        raise UnreadableError(f"a leaf of version {shown(version)}, not 1")
    if not isinstance(kind, str) or kind not in KINDS:
        raise UnreadableError(f"a leaf of the unknown kind {shown(kind)}")
    if not isinstance(leaf.get("at"), str) or not leaf["at"]:
        raise UnreadableError("a leaf that does not say when: `at` is missing")
    if kind in _OF_A_CALL and (not isinstance(call, str) or not call):
        raise UnreadableError(f"a leaf of the kind {kind} that names no call")
    if kind == "intent" and not isinstance(leaf.get("arguments"), dict):
        raise UnreadableError("an intent without a commitment to its arguments")
    return leaf


def _carry_on(leaf: JsonObject, place: int, story: Story, findings: Findings) -> None:
    """Every call has one intent, and after it one outcome or one unknown, or none yet."""
    kind, call = leaf["kind"], leaf.get("call")
    if not isinstance(call, str):
        return
    if kind == "intent":
        story.intents += 1
        story.observed += leaf.get("mode") == "observe"
        if call in story.open or call in story.closed:
            findings.add("intent_twice", place, f"entry {place} is a second intent of the call {shown(call)}")
        else:
            story.open[call] = place
    elif kind in ("outcome", "unknown"):
        story.outcomes += kind == "outcome"
        story.unknown += kind == "unknown"
        if call in story.closed:
            findings.add("outcome_twice", place, f"entry {place} ends the call {shown(call)} a second time")
        elif story.open.pop(call, None) is None:
            findings.add("outcome_without_intent", place, f"entry {place} ends the call {shown(call)}, never begun")
        else:
            story.closed.add(call)


def _commitments(leaf: JsonObject) -> dict[str, tuple[str, int]]:
    """What the leaf commits to: an intent's arguments, an outcome's result, and whatever else has a `commitment`."""
    must = {"intent": "arguments", "outcome": "result"}.get(str(leaf["kind"]))
    found: dict[str, tuple[str, int]] = {}
    for name, member in leaf.items():
        if not isinstance(member, dict) or ("commitment" not in member and name != must):
            continue
        commitment, size = member.get("commitment"), member.get("bytes")
        match = _COMMITMENT.fullmatch(commitment) if isinstance(commitment, str) else None
        if match is None or type(size) is not int or size < 0:
            raise UnreadableError(f"the commitment {shown(name)} is not `sha256:` and 64 hex digits, with `bytes`")
        found[name] = match[1], size
    return found


def _check_payloads(commitments: dict[str, tuple[str, int]], payloads: Json) -> int:
    """Compare every payload that is there with its commitment, and count those that are not."""
    if not isinstance(payloads, list):
        raise UnreadableError("payloads that are not a list")
    present: set[str] = set()
    for payload in payloads:
        if not isinstance(payload, dict) or payload.keys() != _PAYLOAD_KEYS:
            raise UnreadableError("a payload that is not name, salt and body")
        name = payload["name"]
        if not isinstance(name, str) or name not in commitments or name in present:
            raise UnreadableError(f"a payload {shown(name)} that the leaf does not commit to, or a second one")
        salt, body = read_base64(payload["salt"]), read_base64(payload["body"])
        # (The length pins where the salt ends, which the hash over both together does not.)
        if (hashlib.sha256(salt + body).hexdigest(), len(body)) != commitments[name]:
            raise UnreadableError(f"the payload {shown(name)} is not what the leaf commits to")
        present.add(name)
    return len(commitments) - len(present)
