"""Provenance: what one task has seen, and whether a call's values come from where they may.

1. Trust is exact: a value is the user's or a record's only when the very same JSON scalar was seen there.
2. Distrust is lenient: another case, width or spacing of an untrusted value, or a part of an untrusted text, is found.
3. No result raises what was in its own call's arguments, and what an untrusted argument chose is untrusted.
4. What was not seen, or did not fit, is from nowhere, and nowhere is never accepted.

    memory = Memory(key)                                     # values are kept as keyed hashes, never as themselves
    memory.learn_input(b'{"input":"mail my invoice to ana@example.org"}')
    memory.learn_result("read_inbox", "c_1", inbox_flow, {}, result)
    sourced = memory.sources({"to": "ana@example.org"}, send_flow)
    provenance_suffices(send_flow, sourced)                  # Allow()
"""

from hashlib import blake2b

from remit.core import (
    Allow,
    Decision,
    Deny,
    Hold,
    JsonObject,
    Reason,
    Requirement,
    read_canonical,
)
from remit.permissions._flow import Flow, Label, Source, Sourced
from remit.permissions._result import CALL_WORK_MAX, RESULT_VALUES_MAX, Echo, Result
from remit.permissions._values import (
    SEPARATORS,
    TEXT_CHARS_MAX,
    TOKEN_CHARS_MIN,
    Leaf,
    Scalar,
    exact_form,
    forms_of_user,
    leaves,
    loose_form,
    loose_tokens,
    under,
    work_of,
)

VALUES_MAX = 20_000  # hashes one task keeps
INPUT_VALUES_MAX = 10_000  # of them, from the user's input: results need room too
ARGUMENT_VALUES_MAX = 2_000  # values in one call's control arguments that are looked at; the rest is from nowhere
SOURCES_MAX = 8  # places remembered for one value
RESULT_WORK_MAX = 1 << 18  # the same of one result: a stranger must not be able to make this gateway slow
WITHIN_S = 86_400  # how long a hold for provenance waits

_DIGEST_BYTES = 16
_KEY_BYTES = range(16, 65)  # blake2b takes no longer one (RFC 7693, section 2.1)
_ANYONE = ("user", "records")  # what an argument accepts whose sources nobody has named
_BAD = (Label.UNTRUSTED, Label.NOWHERE)
_SAID_MAX = 3  # values that a hold's message names
_SHOWN_CHARS_MAX = 120  # of a pointer in a message

_Origin = tuple[Label, str, str]  # label, operation, call
_Seen = tuple[_Origin, str]  # where from, and the pointer there


class Memory:
    """What one task has seen: keyed hashes of values, each with where it was seen first. Bounded, never the values.

    Not for several threads at once. `key` is 16 to 64 secret bytes.

    Raises:
        ValueError: `key` is too short or too long.
    """

    __slots__ = ("_blind", "_distrusted", "_hash", "_trusted")

    def __init__(self, key: bytes) -> None:
        if len(key) not in _KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes; give 16 to 64")
        self._hash = blake2b(key=key, digest_size=_DIGEST_BYTES)
        self._trusted: dict[bytes, list[_Seen]] = {}
        self._distrusted: dict[bytes, _Seen] = {}
        # INVARIANT: True from the moment on when untrusted content went by that is not remembered. A value from nowhere
        # may then be an untrusted one, and a record that it chooses is no record.
        self._blind = False

    # -- learning

    def learn_input(self, body: bytes) -> None:
        """Take in the user's input, canonical JSON `{"input": ...}`: every value in it, and the tokens of its texts.

        A token counts from 4 characters on, and, where it is written as a JSON number, as that number too.
        """
        said = read_canonical(body)
        if not isinstance(said, dict):
            return
        room = min(INPUT_VALUES_MAX, self._room())
        origin: _Origin = (Label.USER, "", "")
        for pointer, value in leaves(said.get("input"), ""):
            for form in forms_of_user(value):
                if room <= 0:
                    return
                room -= self._trust(exact_form(form), (origin, pointer))

    def learn_result(  # noqa: PLR0913, PLR0917 - one answer, with all that says how far to trust it
        self,
        operation: str,
        call: str,
        flow: Flow,
        arguments: JsonObject,
        result: bytes,
        sourced: tuple[Sourced, ...] | None = None,
    ) -> None:
        """Take in what a call answered: `result` is its CallToolResult, canonical.

        `sourced` is what `sources` said of the same arguments when the call was decided; without it that is looked up.

        Values come from `structuredContent`, by pointers relative to it, or, where there is none, from text blocks that
        are JSON. Everything else, and everything in an error, is untrusted.
        """
        said = read_canonical(result)
        if not isinstance(said, dict):
            return
        seen = Result(said, flow)
        room = min(RESULT_VALUES_MAX, self._room())
        if seen.records and not self._chosen_badly(arguments, flow, sourced):
            room = self._learn_records(seen.records, (Label.RECORD, operation, call), Echo(arguments), room)
        else:
            seen.untrusted += seen.records
            seen.unread |= seen.cut
        self._blind |= seen.unread
        self._learn_untrusted(seen.untrusted, (Label.UNTRUSTED, operation, call), room)

    def _learn_records(self, leaves: "list[Leaf]", origin: _Origin, echo: "Echo", room: int) -> int:
        is_echo, trust = echo.has, self._trust
        work = RESULT_WORK_MAX
        for pointer, value in leaves:
            work -= work_of(value)
            if room <= 0 or work < 0:
                break  # forgotten: from nowhere
            if not is_echo(value):
                room -= trust(value.encode() if type(value) is str else exact_form(value), (origin, pointer))
        return room

    def _learn_untrusted(self, leaves: "list[Leaf]", origin: _Origin, room: int) -> None:
        work = RESULT_WORK_MAX
        for place, (_, value) in enumerate(leaves):
            work -= work_of(value)
            if work < 0:
                self._blind = True
                leaves = leaves[:place]
                break
        for pointer, value in leaves:  # whole values first, so that a long text cannot crowd them out
            room -= self._distrust(loose_form(value), (origin, pointer), room)
        for pointer, value in leaves:
            if isinstance(value, str) and len(value) >= TOKEN_CHARS_MIN:
                self._blind |= len(value) > TEXT_CHARS_MAX
                for token in loose_tokens(value):
                    if room <= 0:
                        self._blind = True
                        return
                    room -= self._distrust(token, (origin, pointer), room)

    def _room(self) -> int:
        return VALUES_MAX - len(self._trusted) - len(self._distrusted)

    def _trust(self, exact: bytes, seen: _Seen) -> int:
        """Remember one more place of a value; return how many hashes that took."""
        keyed = self._hash.copy()
        keyed.update(exact)
        digest = keyed.digest()
        places = self._trusted.get(digest)
        if places is None:
            self._trusted[digest] = [seen]
            return 1
        (label, operation, _), pointer = seen
        for (known, of, _), at in places:
            if at == pointer and of == operation and known is label:
                return 0
        if label is Label.USER and places[0][0][0] is not Label.USER:
            places.insert(0, seen)
        elif len(places) < SOURCES_MAX:
            places.append(seen)
        return 0

    def _distrust(self, loose: str, seen: _Seen, room: int) -> int:
        digest = self._digest(loose.encode("utf-8", "surrogatepass"))
        if digest in self._distrusted:
            return 0
        if room <= 0:
            self._blind = True
            return 0
        self._distrusted[digest] = seen
        return 1

    def _digest(self, form: bytes) -> bytes:
        keyed = self._hash.copy()  # half the price of beginning anew with the key
        keyed.update(form)
        return keyed.digest()

    # -- looking up

    def sources(self, arguments: JsonObject, flow: Flow) -> tuple[Sourced, ...]:
        """Return where each value of each argument that is not content came from, with its JSON pointer.

        Lists and objects are descended; a key that no schema would name counts as a value too. Booleans and null say
        nothing and are left out. Values beyond the first 2,000 are from nowhere.
        """
        found: list[Sourced] = []
        work = CALL_WORK_MAX
        for name, value in arguments.items():
            if name in flow.content:
                continue
            accepted = flow.sources.get(name, _ANYONE)
            for pointer, leaf in leaves(value, under("", name), names=flow.names):
                if len(found) == ARGUMENT_VALUES_MAX:
                    return (*found, Sourced(pointer, Source(Label.NOWHERE), accepted=False))
                work -= work_of(leaf)
                found.append(self._sourced(pointer, leaf, accepted, looks=work >= 0))
        return tuple(found)

    def _sourced(self, pointer: str, value: Scalar, accepted: tuple[str, ...], *, looks: bool) -> Sourced:
        places = self._trusted.get(self._digest(exact_form(value)))
        if places is None:
            suspect = self._suspect(value, parts=True) if looks else None
            return Sourced(pointer, Source(Label.NOWHERE) if suspect is None else _source(suspect), accepted=False)
        for place in places:
            if _accepts(accepted, place):
                return Sourced(pointer, _source(place), accepted=True)
        return Sourced(pointer, _source(places[0]), accepted=False)

    def _suspect(self, value: Scalar, *, parts: bool) -> _Seen | None:
        """Return where an untrusted value was seen that `value` may be, or, with `parts`, may contain."""
        whole = self._distrusted.get(self._digest(loose_form(value).encode("utf-8", "surrogatepass")))
        if whole is not None or not parts or not isinstance(value, str):
            return whole
        for part in dict.fromkeys(SEPARATORS.split(value[:TEXT_CHARS_MAX])):
            if not self._is_trusted(part):
                for token in loose_tokens(part):
                    found = self._distrusted.get(self._digest(token.encode("utf-8", "surrogatepass")))
                    if found is not None:
                        return found
        return None

    def _is_trusted(self, value: Scalar) -> bool:
        return self._digest(exact_form(value)) in self._trusted

    def _chosen_badly(self, arguments: JsonObject, flow: Flow, sourced: tuple[Sourced, ...] | None) -> bool:
        """Say whether some argument makes the whole result untrusted.

        A control argument that neither the user nor a record gave does, if it steers an operation that changes the
        world, which may write it into the record that it returns, or once untrusted content has entered the task: it
        may be a part of that, in whatever form. A content argument does if it is untrusted as it stands.
        """
        if sourced is not None and flow.consequential:
            if any(one.source.label in _BAD for one in sourced):
                return True
            arguments = {name: value for name, value in arguments.items() if name in flow.content}
        looked_at, work = 0, CALL_WORK_MAX
        for name, value in arguments.items():
            taints = self._content_taints if name in flow.content else self._control_taints
            if name in flow.closed and not flow.consequential:
                continue  # a reviewer has listed every value it can have: choosing one of them is no stranger's word
            for _, leaf in leaves(value, "", names=flow.names):
                looked_at += 1
                work -= work_of(leaf)
                if looked_at > ARGUMENT_VALUES_MAX or work < 0 or (not self._is_trusted(leaf) and taints(leaf, flow)):
                    return True
        return False

    def _control_taints(self, value: Scalar, flow: Flow) -> bool:
        # A value that neither the user nor a record gave may be a stranger's in another form, once one has been heard.
        del value
        return flow.consequential or self._blind or bool(self._distrusted)

    def _content_taints(self, value: Scalar, _flow: Flow) -> bool:
        # A short one is a page number, say: a reviewer has signed that it may be anything.
        return len(str(value)) >= TOKEN_CHARS_MIN and self._suspect(value, parts=False) is not None


# -- the gate


def provenance_suffices(flow: Flow | None, sourced: tuple[Sourced, ...]) -> Decision:
    """Say whether every value that steers a consequential call comes from a source its controls accept.

    Deny code: `provenance_unknown` (no controls). Hold codes: `provenance_untrusted`, `provenance_unknown_source`.
    """
    if flow is None:
        message = "nothing says where the values of this operation may come from"
        return Deny(Reason("provenance_unknown", message, "ask the agent's owner to have its controls reviewed"))
    refused = [one for one in sourced if not one.accepted]
    if not flow.consequential or not refused:
        return Allow()
    refused.sort(key=lambda one: one.source.label is not Label.UNTRUSTED)  # (stable: the worst first)
    code = "provenance_untrusted" if refused[0].source.label is Label.UNTRUSTED else "provenance_unknown_source"
    message = "; ".join(map(_said, refused[:_SAID_MAX]))
    if len(refused) > _SAID_MAX:
        message += f"; and {len(refused) - _SAID_MAX} more"
    fix = "use a value that the user gave or an accepted record holds, or wait for a reviewer"
    need = Requirement(kind="provenance", approvers=flow.reviewers, quorum=1, within_s=WITHIN_S)
    return Hold(Reason(code, message, fix), (need,))


def _said(one: Sourced) -> str:
    where, source = f"`{_shown(one.pointer)}`", one.source
    result = f"the result of `{source.operation}` (call `{source.call}`), field `{_shown(source.field)}`"
    match source.label:
        case Label.UNTRUSTED:
            return f"{where} was first seen in {result}, which is untrusted"
        case Label.NOWHERE:
            return f"{where} was never seen in this task: neither the user nor a record gave it"
        case Label.USER:
            return f"{where} was given by the user, which is not a source it accepts"
        case Label.RECORD:
            return f"{where} comes from {result}, which is not a source it accepts"


def _shown(pointer: str) -> str:
    """Make a pointer fit to be read: its keys may be a stranger's words."""
    safe = "".join(char if char.isprintable() and char != "`" else "?" for char in pointer[:_SHOWN_CHARS_MAX])
    return f"{safe}..." if len(pointer) > _SHOWN_CHARS_MAX else safe


# -- what is accepted


def _accepts(accepted: tuple[str, ...], seen: _Seen) -> bool:
    (label, operation, _), pointer = seen
    if label is Label.USER:
        return "user" in accepted
    if "records" in accepted:
        return True
    return any(_names(source, operation, pointer) for source in accepted if source != "user")


def _names(source: str, operation: str, pointer: str) -> bool:
    name, slash, pattern = source.partition("/")
    return name == operation and (not slash or _fits(f"/{pattern}", pointer))


def _fits(pattern: str, pointer: str) -> bool:
    if "*" not in pattern:
        return pattern == pointer
    asked, found = pattern.split("/"), pointer.split("/")
    return len(asked) == len(found) and all(step in ("*", name) for step, name in zip(asked, found, strict=True))


def _source(seen: _Seen) -> Source:
    (label, operation, call), pointer = seen
    return Source(label, operation, call, pointer)
