"""A task's entries told as a story: what was asked, what each gate said, what was sent, what came back.

Pure text; every line is made of what the log holds and nothing else.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from remit.core import Json, JsonObject
from remit.records._model import Entry

SHOWN_MAX = 300  # characters of arguments or a result on one line

_ERASED = "(erased)"


def explain(entries: Iterable[Entry]) -> tuple[str, ...]:
    """Tell `entries`, in order, one or more lines each."""
    return tuple(line for entry in entries for line in _told(entry, json.loads(entry.leaf)))


def _told(entry: Entry, leaf: JsonObject) -> Iterator[str]:
    at = str(leaf.get("at", ""))[11:23]
    teller = _TELLERS.get(entry.kind)
    for number, told in enumerate(teller(leaf, _bodies(entry)) if teller else [entry.kind]):
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
    decision = _texts(leaf["decision"])
    if leaf["mode"] == "observe" and decision[0] != "allow":
        word = f"OBSERVED, not enforced: would be {'held' if decision[0] == 'hold' else 'denied'}"
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


def _list(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _texts(value: Json) -> list[str]:
    return [_short(str(item)) for item in _list(value)]
