"""A task's entries told as a story: what was asked, what each gate said, what was sent, what came back.

Pure text; every line is made of what the log holds and nothing else.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256

from remit.core import Json, JsonObject, canonical_bytes
from remit.records._model import Entry

SHOWN_MAX = 300  # characters of arguments or a result on one line
TOLD_MAX = 10  # of one kind of thing that a decision rested on; the rest is counted

_ERASED = "(erased)"


def explain(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Tell `entries`, in order, one or more lines each.

    What an entry refers to is told where it is among `entries`: the call that a person edited, what became of the call
    that another one repeats, the values that an approver had added to a directory.
    """
    log = tuple((entry, json.loads(entry.leaf)) for entry in entries)
    places = {entry.index: place for place, (entry, _) in enumerate(log)}
    return tuple(line for entry, leaf in log for line in _told(entry, leaf, _Log(log, places)))


def repeats(decision: Json) -> str:
    """Return the call whose outcome answers the one with this `decision`, as its leaf has it; empty: none does.

    An approved call that was made is not made again: whoever presents it once more is told what became of it.
    """
    said = _list(decision)
    if said[1:2] != [_REPEATED]:
        return ""
    named = re.search(r"`([^`]+)`", str(said[-1]))
    return named[1] if named else "an earlier call"


@dataclass(frozen=True, slots=True)
class _Log:
    """The entries that are told, with their leaves, and where among them each stands."""

    entries: Sequence[tuple[Entry, JsonObject]]
    places: Mapping[int, int]  # by index in the whole log

    def at(self, index: Json) -> tuple[Entry, JsonObject] | None:
        place = self.places.get(index) if isinstance(index, int) else None
        return None if place is None else self.entries[place]

    def until(self, entry: Entry) -> Sequence[tuple[Entry, JsonObject]]:
        """Return what came before `entry`."""
        return self.entries[: self.places[entry.index]]


def _told(entry: Entry, leaf: JsonObject, log: _Log) -> Iterator[str]:
    at = str(leaf.get("at", ""))[11:23]
    teller, beneath = _TELLERS.get(entry.kind), _BENEATH.get(entry.kind)
    lines = [
        *(teller(leaf, _bodies(entry)) if teller else [entry.kind]),
        *(f"  {line}" for line in (beneath(entry, leaf, log) if beneath else ())),
    ]
    for number, told in enumerate(lines):
        line = printable(told)
        yield f"{entry.index:>5}  {at}  {line}" if number == 0 else f"{'':21}{line}"


def who(entries: Iterable[Entry], call: str = "") -> tuple[tuple[str, str], ...]:
    """Name everybody who had a part in a task, or in one call of it, from the task's entries: what, and who (R2.9).

    Who asks, who acts and for whom it was handed on, how it was attached, on which keys it rests, what was called, who
    answered for it, and which task joined them.
    """
    leaves: list[tuple[Entry, JsonObject]] = [(entry, json.loads(entry.leaf)) for entry in entries]
    opened = next((leaf for _, leaf in leaves if leaf["kind"] == "task_opened"), {})
    named = [leaf for entry, leaf in leaves if "level" in leaf and call in ("", entry.call)]
    # (Whoever was refused at the door did nothing, and need not be who it was said to be.)
    turned = [leaf for leaf in named if leaf["kind"] == "refused"]
    acts = [leaf for leaf in named if leaf["kind"] != "refused"]
    approvals = {str(leaf["approval"]) for leaf in acts if "approval" in leaf} | _lifting(acts)
    answers = [leaf for _, leaf in leaves if leaf["kind"] == "approval" and (not call or leaf["approval"] in approvals)]
    of_any = acts or ([opened] if opened else [])
    said = (
        *(("who asks", line) for line in _once(_asks(leaf) for leaf in of_any if leaf["user"])),
        *(("who acts", line) for line in _once(_acts(leaf) for leaf in of_any)),
        *(("attached", line) for line in _once(_attached(leaf) for leaf in acts)),
        *(("keys", line) for line in _once(", ".join(_keys(leaf)) for leaf in acts)),
        *(("called", line) for line in _called(acts)),
        *(("refused", line) for line in _counted(_turned_away(leaf) for leaf in turned)),
        *(("answered", line) for leaf in answers for line in _approval(leaf, {})),
        *(("joined by", line) for line in _joined(opened)),
    )
    return tuple((what, printable(line)) for what, line in said)


def _lifting(acts: list[JsonObject]) -> set[str]:
    """Return the approvals of the same operation that decisions looked at."""
    looked = [(leaf, each) for leaf in acts for each in _list(leaf.get("approvals"))]
    return {
        str(each["id"])
        for leaf, each in looked
        if isinstance(each, dict) and each.get("operation") == leaf.get("operation")
    }


def _asks(leaf: JsonObject) -> str:
    user = str(leaf["user"])
    issuer, found, _ = user.partition(":")
    return f"{user}, vouched for by {f'the issuer {issuer}' if found else 'the development issuer'}"


def _acts(leaf: JsonObject) -> str:
    client = f", the client {leaf['client']}" if "client" in leaf else ""
    chain = "".join(f", handed on by {agent}" for agent in _texts(leaf.get("chain")))
    return f"{leaf['agent'] or 'no agent'}{client}{chain}"


def proves_nobody(code: str) -> bool:
    """Whether a refusal's code says that the one who came did not prove which agent they are.

    Then nothing that the entry says of the user is known to be so: nobody but that somebody did come.
    """
    return code in _PROVES_NOBODY or code.startswith(("assertion_", "dpop_"))


def _turned_away(leaf: JsonObject) -> str:
    whose = "" if proves_nobody(str(leaf["code"])) or not leaf["user"] else f" for {leaf['user']}"
    return f"{leaf['agent'] or 'no agent'}{whose} at the door ({leaf['surface']}): {leaf['code']}"


def _attached(leaf: JsonObject) -> str:
    return f"level {leaf['level']}: {_LEVELS.get(str(leaf['level']), 'not known here')}"


def _keys(leaf: JsonObject) -> list[str]:
    return [f"{key[:12]}..." if len(key) > 12 else key for key in _texts(leaf.get("keys"))]


def _called(acts: list[JsonObject]) -> Iterator[str]:
    counts = Counter((str(leaf["operation"]), str(leaf["tool"]), _word(leaf)) for leaf in acts if "operation" in leaf)
    for (operation, tool, word), count in counts.items():
        yield f"{operation}{f' of {tool}' if tool else ''}: {word}{_times(count)}"


def _counted(lines: Iterable[str]) -> Iterator[str]:
    return (f"{line}{_times(count)}" for line, count in Counter(lines).items())


def _times(count: int) -> str:
    return f", {count} times" if count > 1 else ""


def _word(leaf: JsonObject) -> str:
    decision = _texts(leaf["decision"])
    if leaf["kind"] == "denied" and repeats(leaf["decision"]):
        return "repeated, answered with the recorded outcome"
    word = {"intent": "allowed", "evaluated": "only asked"}.get(str(leaf["kind"]), str(leaf["kind"]))
    return word if len(decision) == 1 else f"{word} ({decision[1]})"


def _joined(opened: JsonObject) -> Iterator[str]:
    if not opened:
        return
    yield f"task {opened['task']} in {opened['use_case']}, opened by {opened['by']}{_how(opened)}"
    yield f"from {opened['opened']} until {opened['expires']}"
    if "parent" in opened:
        yield f"handed on from task {opened['parent']}"
    if "implicit" in opened:
        yield "implicit: a plain client's, which opened none"


def _once(lines: Iterable[str]) -> Iterator[str]:
    return (line for line in dict.fromkeys(lines) if line)


def _task_opened(leaf: JsonObject, bodies: Mapping[str, str]) -> Iterator[str]:
    by = f"{leaf['by']}{_how(leaf)}"
    yield f"task opened by {by}: agent {leaf['agent']} may act for {leaf['user']} in `{leaf['use_case']}`"
    yield f"until {leaf['expires']}; given {bodies.get('input', _ERASED)}"


def _how(leaf: JsonObject) -> str:
    """Tell what let a task be opened; nothing of the user's own channel where it has no name."""
    how = leaf.get("how")
    if not isinstance(how, dict):
        return ""
    word, client = str(how.get("by")), str(how.get("client", ""))
    if word == "channel":
        return f", through the client {client}" if client else ""
    told = {
        "consent": f"by the consent given at {how.get('given', 'a time unknown')}",
        "may_act": "whom the user's login names (`may_act`)",
        "assertion": "by the issuer's word, an identity assertion for this agent",
        "handed_on": f"handed on from task {how.get('task', '')}",
        "client": "a plain client, which opened none itself",
    }.get(word, word)
    # (A plain client is named as who opened it.)
    return f", {told}{f', with a login of the client {client}' if client and word != 'client' else ''}"


def _ruled(leaf: JsonObject, bodies: Mapping[str, str]) -> Iterator[str]:
    word = {"intent": "allowed", "denied": "DENIED", "held": "HELD"}[str(leaf["kind"])]
    decision, earlier = _texts(leaf["decision"]), repeats(leaf["decision"])
    if earlier:
        word = f"REPEATED: answered with the outcome of {earlier}"
    if leaf["mode"] == "observe" and decision[0] != "allow":
        denied = f"answered with the outcome of {earlier}" if earlier else "denied"
        word = f"OBSERVED, not enforced: would be {'held' if decision[0] == 'hold' else denied}"
    yield f"{leaf['operation']} {bodies.get('arguments', _ERASED)} -> {word}"
    for gate in _list(leaf["trail"]):
        name, answer, *why = _texts(gate)
        yield f"  {_MARKS.get(answer, '?')} {name}" + (f": {why[0]}: {why[1]}" if why else "")
    if not leaf["trail"] and len(decision) == 3:
        yield f"  x {decision[1]}: {decision[2]}"
    yield from _waits(leaf)
    yield f"  {leaf['agent']} for {leaf['user']}; call {leaf['call']}; bundle {str(leaf['bundle'])[:19]}"


def _waits(leaf: JsonObject) -> Iterator[str]:
    """Tell what a held call waits for, and in the agent's own words why it is asked."""
    if "edited_by" in leaf:
        yield f"  edited by {leaf['edited_by']}, in place of approval {leaf['edited_of']}"
    if "rationale" in leaf:
        yield f"  the agent says, in its own word: {_short(str(leaf['rationale']))}"
    for need in _list(leaf.get("requirements")):
        if isinstance(need, dict):
            names = ", ".join(_texts(need["approvers"]))
            yield f"  waits for {need['kind']} by {need['quorum']} of {names}, within {need['within_s']} s"
    if "approval" in leaf:
        yield f"  approval {leaf['approval']}, for the call with digest {str(leaf['call_digest'])[:19]}"


def _approval(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    why = f": {_short(str(leaf['why']))}" if leaf.get("why") else ""
    kinds = ", ".join(
        f"{grant['kind']} as {grant['role']}" for grant in _list(leaf.get("grants")) if isinstance(grant, dict)
    )
    yield f"{leaf['by']} {str(leaf['answer']).upper()} {leaf['approval']}{f' ({kinds})' if kinds else ''}{why}"


def _task_closed(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    yield f"task CLOSED by {leaf['by']}: {_short(str(leaf['why']))}"


_DIED = (("tasks", "task(s)"), ("approvals", "approval(s)"), ("calls", "call(s) under way"), ("tokens", "token(s)"))


def _control(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    if leaf["word"] == "revocation_complete":
        yield from _complete(leaf)
        return
    yield f"{_of_control(leaf)} {leaf['word']}{_of_whom(leaf)} by {leaf['by']}{_why(leaf)}"
    for line in _texts(leaf.get("differences")):
        yield f"  {line}"


def _complete(leaf: JsonObject) -> Iterator[str]:
    yield f"the revocation of {_of_control(leaf)} is complete"
    died = ", ".join(f"{leaf.get(what, 0)} {name}" for what, name in _DIED)
    if str(leaf["control"]).startswith("key/"):  # it opened no task, so it ends none
        died = f"tokens that rest on it count no more, {leaf.get('calls', 0)} call(s) under way"
    yield f"  {died} ended, after {int(str(leaf.get('elapsed_us', 0))) / 1000:.1f} ms"


def _of_control(leaf: JsonObject) -> str:
    """Name a control, and with which agent where it is of a user with one agent alone."""
    name = str(leaf["control"])
    return f"{name} with {leaf['agent']}" if name.startswith("user/") and leaf.get("agent") else name


def _of_whom(leaf: JsonObject) -> str:
    """Tell of which user an issuer told something, and since when a user's logins count."""
    if str(leaf["control"]).startswith("issuer/"):
        return f" of user {leaf['user']}" if "user" in leaf else " of nobody known here"
    return f" for logins before {leaf['before']}" if "before" in leaf else ""


def _why(leaf: JsonObject) -> str:
    """Tell why a control changed; of an agent's keys, which one came or went."""
    for name, word in (("kid", "registered"), ("removed", "removed")):
        if leaf["word"] == "keys_changed" and name in leaf:
            return f": {word} {leaf[name]}"
    why = leaf.get("why") or leaf.get("reason")
    return f": {_short(str(why))}" if why else ""


def _release(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    yield f"{leaf.get('how', 'deploy')} of {str(leaf['bundle'])[:19]} by {leaf['by']}"


def _began(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    swept = f", {leaf['swept']} call(s) with unknown outcome" if leaf.get("swept") else ""
    yield f"the gateway {leaf['kind']}, {leaf['mode']}{swept}"


def _outcome(leaf: JsonObject, bodies: Mapping[str, str]) -> Iterator[str]:
    milliseconds = f"{float(str(leaf['elapsed_us'])) / 1000:.1f} ms"
    code = f", {leaf['code']}: {leaf['detail']}" if "code" in leaf else ""
    result = f": {bodies.get('result', _ERASED)}" if "result" in leaf else ""
    yield f"outcome of {leaf['call']}: {leaf['status']}{code} after {milliseconds}{result}"


def _refused(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    yield f"REFUSED at the door ({leaf['surface']}): {leaf['code']}: {leaf['message']}"


def _evaluated(leaf: JsonObject, bodies: Mapping[str, str]) -> Iterator[str]:
    answer, *why = _texts(leaf["decision"])
    yield f"{leaf['operation']} {bodies.get('arguments', _ERASED)} -> only ASKED, nothing was done: {answer}"
    if why:
        yield f"  {_MARKS.get(answer, '?')} {': '.join(why)}"
    about = f", about {_short(str(leaf['asked_of']))}" if "asked_of" in leaf else ""
    yield f"  {leaf['agent']} for {leaf['user']}{about}; {leaf['call']}; bundle {str(leaf['bundle'])[:19]}"


def _unknown(leaf: JsonObject, _: Mapping[str, str]) -> Iterator[str]:
    yield f"UNKNOWN whether {leaf['call']} (entry {leaf['intent']}) had its effect: {leaf['why']}"


_TELLERS = {
    "task_opened": _task_opened,
    "intent": _ruled,
    "denied": _ruled,
    "held": _ruled,
    "outcome": _outcome,
    "refused": _refused,
    "evaluated": _evaluated,
    "unknown": _unknown,
    "approval": _approval,
    "task_closed": _task_closed,
    "control": _control,
    "release": _release,
    "started": _began,
    "stopped": _began,
}


# -- what a ruling rested on


def _rested_on(entry: Entry, leaf: JsonObject, log: _Log) -> Iterator[str]:
    """Tell what a ruling looked at besides the call, a short line each; what is not there is not told."""
    bodies = {payload.name: payload.body for payload in entry.payloads}
    if "looked_up_for" in leaf:
        yield f"looked up for {_short(str(leaf['looked_up_for']))}, by the gateway itself"
    yield from _by_approval(leaf, bodies)
    yield from _repeated(entry, leaf, log)
    yield from _edited(entry, leaf, log)
    for name, tell in _LISTED.items():
        yield from _capped(tell(each) for each in _lists(leaf.get(name)))
    if leaf.get("strangers") is True:
        yield "untrusted content had entered the task"
    if leaf.get("unkept") is True:
        yield "it would write more of unknown origin than can be remembered"
    if "facts" in leaf:
        yield from _capped(_facts(bodies.get("facts")))
    if "before" in leaf:
        yield f"before: {_body(bodies.get('before'))}"
    if "confidence" in leaf:
        yield f"confidence {_short(str(leaf['confidence']))} percent, in the agent's own word"
    yield from _looked_at(leaf)


def _counter(said: list[Json]) -> str:
    name, _, seen, by, resets, later = said
    more = f", {by} more once it is answered" if later is True else f", {int(str(seen)) + int(str(by))} with this call"
    return f"counted: {name} {seen} so far{more if by else ''}{f'; begins anew at {resets}' if resets else ''}"


def _source(said: list[Json]) -> str:
    pointer, *place, accepted = said
    return "" if accepted is True else f"not accepted: the value at {pointer} is {_place(place)}"


def _link(said: list[Json]) -> str:
    pointer, kind, *place = said
    return f"not accepted: {_ADDRESSES.get(str(kind), kind)} in {pointer} is {_place(place)}"


def _exposed(said: list[Json]) -> str:
    data_class, pointer, *place = said
    who_knows = f"the receiver at {pointer}" if pointer else "a receiver whom nobody names"
    return f"class {data_class}, {_place(place)}: not for {who_knows}"


def _place(said: list[Json]) -> str:
    """Say where a value was seen first."""
    label, operation, call, field = map(str, said)
    found = f", read by {operation} in {call}" if call else f", by {operation}" if operation else ""
    where = f" at {field}" if field and found else ""
    return f"{_SOURCES.get(label, label)}{found}{where}"


def _facts(body: bytes | None) -> Iterator[str]:
    if body is None:
        yield f"facts: {_ERASED}"
        return
    said = json.loads(body)
    for name, values in said["known"].items():
        yield f"fact {name}: {_body(canonical_bytes(values))}"
    for name, why in said["missing"].items():
        yield f"fact {name} is missing: {why}"


def _by_approval(leaf: JsonObject, bodies: Mapping[str, bytes]) -> Iterator[str]:
    """Tell which approval let a call through: the one that stood for just this call then."""
    if _list(leaf["decision"])[:1] != ["allow"] or ["permissions.approval_stands", "allow"] not in _list(leaf["trail"]):
        return
    used = [each for each in _approvals(leaf) if _lets_through(each, leaf, bodies.get("arguments"))]
    if not used:
        yield "allowed, by an approval"
        return
    one = max(used, key=lambda each: str(each["opened_at"]))
    grants = [f"{each['person']} as {each['role']}" for each in _list(one.get("grants")) if isinstance(each, dict)]
    said = f" ({', '.join(grants)})" if grants else ""
    yield f"allowed, by approval {one['id']}{said}"


def _lets_through(approval: JsonObject, leaf: JsonObject, arguments: bytes | None) -> bool:
    if approval["id"] == leaf.get("edited"):
        return True
    if approval["state"] != "waiting" or not str(leaf["at"]) < str(approval["expires_at"]) or arguments is None:
        return False
    # (An approval names its call by a hash over operation and arguments.)
    said = canonical_bytes({"operation": leaf["operation"], "arguments": arguments.decode()})
    asked = f"sha256:{sha256(said).hexdigest()}"
    return (approval.get("edited") or approval.get("instead_of")) == asked


def _looked_at(leaf: JsonObject) -> Iterator[str]:
    said = [f"{each['id']} {each['state']}" for each in _approvals(leaf)]
    if said:
        more = f" and {len(said) - TOLD_MAX} more" if len(said) > TOLD_MAX else ""
        yield f"approvals of the task then: {', '.join(said[:TOLD_MAX])}{more}"


def _approvals(leaf: JsonObject) -> list[JsonObject]:
    return [each for each in _list(leaf.get("approvals")) if isinstance(each, dict)]


def _repeated(entry: Entry, leaf: JsonObject, log: _Log) -> Iterator[str]:
    """Tell that a repeated call had no outcome yet with which it could be answered."""
    earlier = repeats(leaf["decision"])
    kinds = {each.kind for each, _ in log.until(entry) if each.call == earlier}
    if "intent" in kinds and not kinds & {"outcome", "unknown"}:
        yield f"{earlier} was under way still"


def _edited(entry: Entry, leaf: JsonObject, log: _Log) -> Iterator[str]:
    """Tell, of a call that a person edited, what the agent asked."""
    edit = leaf
    if "edited" in leaf:
        yield f"edited by a person, as approval {leaf['edited']} has it"
        edit = next((one for _, one in log.until(entry) if _is_edit(one, leaf["edited"])), {"edited_entry": None})
    if "edited_entry" not in edit:
        return
    asked, later = log.at(edit["edited_entry"]), entry.index
    while asked is not None and "edited_entry" in asked[1]:  # (an edit of an edit: back to what the agent made)
        later, asked = asked[0].index, log.at(asked[1]["edited_entry"]) if asked[0].index < later else None
    told = "(not among these entries)" if asked is None else _bodies(asked[0]).get("arguments", _ERASED)
    yield f"in place of what the agent asked: {told}"


def _is_edit(leaf: JsonObject, approval: Json) -> bool:
    return "edited_entry" in leaf and leaf.get("approval") == approval


def _capped(lines: Iterable[str]) -> Iterator[str]:
    told = [_short(line) for line in lines if line]
    yield from told[:TOLD_MAX]
    if len(told) > TOLD_MAX:
        yield f"and {len(told) - TOLD_MAX} more"


# -- what an approver added to a directory


def _trusted(entry: Entry, leaf: JsonObject, log: _Log) -> Iterator[str]:
    if not str(leaf["control"]).startswith("directory/"):
        return
    if leaf["word"] == "extended":
        yield f"value {_value(entry)}, until {leaf['until']}, with approval {leaf['approval']}"
    if leaf["word"] == "reduced":
        yield f"took out {_taken_out(entry, leaf, log)}"


def _taken_out(entry: Entry, leaf: JsonObject, log: _Log) -> str:
    """Say which value was taken out. The entry says who had added it: those of theirs that still counted then."""
    stood: dict[str, str] = {}  # by value, or by entry where it is erased: how it is told
    for each, said in log.until(entry):
        if said.get("word") == "extended" and said.get("control") == leaf["control"]:
            value = _value(each)
            place = f"{each.index}" if value == _ERASED else value
            stood.pop(place, None)
            if said["by"] == leaf.get("added_by") and str(leaf["at"]) < str(said["until"]):
                stood[place] = f"{value} (entry {each.index})"
    added = f"that {leaf.get('added_by', 'an approver')} had added"
    if len(stood) == 1:
        return f"the value {added}: {next(iter(stood.values()))}"
    few = ", ".join([*stood.values()][-TOLD_MAX:])
    return f"one value {added}, of: {few}" if stood else f"a value {added}, not among these entries"


def _value(entry: Entry) -> str:
    """Return the value that an approver signed, from the envelope (DSSE v1); erased when that is gone."""
    body = next((payload.body for payload in entry.payloads if payload.name == "envelope"), None)
    if body is None:
        return _ERASED
    signed = json.loads(base64.b64decode(json.loads(body)["payload"]))
    return _short(str(signed["value"]))


_REPEATED = "already_executed"
_LISTED = {"history": _counter, "sources": _source, "links": _link, "exposed": _exposed}
_SOURCES = {
    "user": "the user's",
    "directory": "from a directory",
    "system_of_record": "from a system of record",
    "untrusted": "from untrusted content",
    "nowhere": "from nowhere that the gateway saw",
}
_ADDRESSES = {"url": "a URL", "email": "a mail address", "iban": "an account number"}
_BENEATH = {"intent": _rested_on, "denied": _rested_on, "held": _rested_on, "control": _trusted}
_PROVES_NOBODY = frozenset(("client_secret_refused", "certificate_unknown", "actor_token_unsupported"))
_LEVELS = {
    "A": "a task token, which counts for whoever bears it",
    "B": "a task token, with proof of the key or certificate that it is bound to",
    "C": "a plain client with its user's login: an implicit task, reads only",
}
_MARKS = {"allow": "+", "hold": "~", "deny": "x"}


def _bodies(entry: Entry) -> Mapping[str, str]:
    return {payload.name: _short(payload.body.decode("utf-8", "replace")) for payload in entry.payloads}


def printable(text: str) -> str:
    """Make text safe for a terminal: what controls it or cannot be seen is shown as its code point (ASVS 16.4.1)."""
    return "".join(c if c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


def _short(text: str) -> str:
    safe = printable(text[: SHOWN_MAX + 1])
    return safe if len(text) <= SHOWN_MAX else safe[:SHOWN_MAX] + "..."


def _body(body: bytes | None) -> str:
    return _ERASED if body is None else _short(body.decode("utf-8", "replace"))


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _lists(value: Json) -> Iterator[list[Json]]:
    return (each for each in _list(value) if isinstance(each, list))


def _texts(value: Json) -> list[str]:
    return [_short(str(item)) for item in _list(value)]
