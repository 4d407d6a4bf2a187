"""Provenance: what one task has seen, and where the values of a call come from.

1. Trust is exact: a value is the user's or a record's only when the very same JSON scalar was seen there.
2. Distrust is lenient: another case, width or spacing of an untrusted value, or a part of an untrusted text, is found.
3. No result raises what was in its own call's arguments, and what an untrusted argument chose is untrusted.
4. What was not seen, or did not fit, is from nowhere, and nowhere is never accepted.
5. What a call writes that nobody vouches for is marked, for every task, user and agent to come: read back, it is
   untrusted, whatever its label says.
6. Once a stranger's words are in the task and it has written something, a record that says a stranger's value, or holds
   a piece that was written, does not make that value a record's: the two may have been put together outside.
7. An address in outgoing text is the user's when the user gave that very address, or the same URL with a query or
   fragment, which is left out. A host alone that the user named gives nothing below it: data leaves in paths.

    memory = Memory(key, marks)                              # values are kept as keyed hashes, never as themselves
    memory.learn_input(b'{"input":"mail my invoice to ana@example.org"}')
    memory.learn_result("read_inbox", "c_1", inbox_flow, {}, result)
    origins = memory.origins({"to": "ana@example.org"}, send_flow, directories={}, classes={}, now=now)
    provenance_suffices(send_flow, origins)                  # Allow()
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import blake2b

from remit.core import Json, JsonObject, read_canonical
from remit.permissions._addresses import Room
from remit.permissions._flow import Exposed, Flow, Label, Link, Origins, Source, Sourced
from remit.permissions._links import Address, further_in, links_in, may_name
from remit.permissions._lists import DataClass, Directory, Kind
from remit.permissions._marks import Pieces, is_date, mark_form, numbered, parts_of
from remit.permissions._origins import RANKS
from remit.permissions._phrases import Phrases
from remit.permissions._receivers import classes_read
from remit.permissions._result import CALL_WORK_MAX, RESULT_VALUES_MAX, Echo, Result
from remit.permissions._sources import (
    NOWHERE,
    WRITTEN,
    Origin,
    Seen,
    accepted_directories,
    accepted_from,
    accepts,
    directory_source,
    listed,
    source_of,
)
from remit.permissions._values import (
    SEPARATORS,
    TEXT_CHARS_MAX,
    TOKEN_CHARS_MIN,
    Leaf,
    Scalar,
    content_work_of,
    exact_form,
    leaves,
    loose_form,
    loose_tokens,
    tokens_of_user,
    under,
    work_of,
)

VALUES_MAX = 20_000  # hashes one task keeps
INPUT_VALUES_MAX = 10_000  # of them, from the user's input: results need room too
ARGUMENT_VALUES_MAX = 2_000  # values in one call's control arguments that are looked at; the rest is from nowhere
SOURCES_MAX = 8  # places remembered for one value
RESULT_WORK_MAX = 1 << 18  # the same of one result: a stranger must not be able to make this gateway slow
CONTENT_WORK_MAX = 1 << 17  # characters of one call's content that are looked through; a call with more is refused
CALL_MARKS_MAX = 1_000  # values of unknown origin that one call may write
FOUND_MAX = 100  # links of one call, and receivers for one data class, that are told one by one

_DEPTH_MAX = 2  # addresses in addresses in an address; what is deeper is nobody's
_DIGEST_BYTES = 16
_KEY_BYTES = range(16, 65)  # blake2b takes no longer one (RFC 7693, section 2.1)
_ANYONE = ("user", "records")  # what an argument accepts whose sources nobody has named
_BAD = (Label.UNTRUSTED, Label.NOWHERE)
_LINK = b"\xfe"  # no UTF-8 text begins with it, so the form of an address is never taken for a value


@dataclass(slots=True)
class _Look:
    """One look at a call: what it may rely on besides the memory, and what is found on the way."""

    flow: Flow
    directories: Mapping[str, Directory]
    now: datetime
    links: list[Link] = field(default_factory=list)
    marks: dict[bytes, None] = field(default_factory=dict)
    room: Room = field(default_factory=Room)
    unkept: bool = False


class Memory:
    """What one task has seen: keyed hashes of values, each with where it was seen first. Bounded, never the values.

    Not for several threads at once. `key` is 16 to 64 secret bytes. `marks` are the hashes, under the same key, of what
    calls of any task wrote that nobody vouched for: a live set, looked at whenever something is learned or asked.

    Raises:
        ValueError: `key` is too short or too long.
    """

    __slots__ = ("_blind", "_distrusted", "_hash", "_marks", "_phrases", "_pieces", "_read", "_trusted", "_wrote")

    def __init__(self, key: bytes, marks: AbstractSet[bytes] = frozenset()) -> None:
        if len(key) not in _KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes; give 16 to 64")
        self._hash = blake2b(key=key, digest_size=_DIGEST_BYTES)
        self._trusted: dict[bytes, list[Seen]] = {}
        self._phrases = Phrases()  # the user's
        self._distrusted: dict[bytes, Seen] = {}
        # INVARIANT: True from the moment on when untrusted content went by that is not remembered. A value from nowhere
        # may then be an untrusted one, and a record that it chooses is no record.
        self._blind = False
        self._marks = marks
        self._wrote = False  # content that may be a stranger's
        self._pieces = Pieces(self._digest)  # of that
        self._read: dict[str, Source] = {}  # by data class: where it was read first

    @property
    def strangers(self) -> bool:
        """Whether untrusted content has entered the task, remembered or not."""
        return self._blind or bool(self._distrusted)

    # -- learning

    def learn_input(self, body: bytes) -> None:
        """Take in the user's input, canonical JSON `{"input": ...}`: every value in it, and what its texts consist of.

        That are their words and phrases, from 4 characters on, and their addresses. A word that is written as a JSON
        number counts as that number too; a phrase is a run of 2 to 8 whole words, with exactly what is between them.
        """
        said = read_canonical(body)
        if not isinstance(said, dict):
            return
        room = min(INPUT_VALUES_MAX, self._room())
        origin: Origin = (Label.USER, "", "")
        values = list(leaves(said.get("input"), ""))
        for pointer, form in _given(values):
            if room <= 0:
                return
            room -= self._trust(form, (origin, pointer))
        for pointer, value in values:  # last, so that a long text cannot crowd the rest out
            if isinstance(value, str):
                room -= self._phrases.learn(value, (origin, pointer), self._digest, room)

    def learn_result(  # noqa: PLR0913, PLR0917 - one answer, with all that says how far to trust it
        self,
        operation: str,
        call: str,
        flow: Flow,
        arguments: JsonObject,
        result: bytes,
        origins: Origins | None = None,
    ) -> None:
        """Take in what a call answered: `result` is its CallToolResult, canonical.

        `origins` is what `origins` said of the same arguments when the call was decided; without it that is looked up,
        and a value that only a directory vouches for counts as nobody's.

        What the call itself marked makes nothing in its own answer worse: marks are for later readers.

        Values come from `structuredContent`, by pointers relative to it, or, where there is none, from text blocks that
        are JSON. Everything else, everything in an error, in a result that has not the shape of which its labels speak,
        and everything that is marked is untrusted.
        """
        said = read_canonical(result)
        if not isinstance(said, dict):
            return
        seen = Result(said, flow)
        if flow.classes:
            found = dict.fromkeys((name for _, name in flow.classes), "") if seen.odd else seen.named
            self._learn_classes(operation, call, {**found, **classes_read(said, flow)})
        pieces: list[str] = self._pieces_of(arguments, flow) if flow.consequential else []
        self._wrote = self._wrote or bool(pieces)
        room = min(RESULT_VALUES_MAX, self._room())
        own = frozenset(origins.marks) if origins is not None else frozenset[bytes]()
        if seen.records and not self._chosen_badly(arguments, flow, origins, own):
            marked, origin = self._marked(seen.records, own), (Label.RECORD, operation, call)
            if self._wrote:
                marked += self._joined(seen.records)
            room = self._learn_records(seen.records, origin, Echo(arguments), room)
            seen.untrusted += marked
        else:
            seen.untrusted += seen.records
            seen.unread |= seen.cut
        self._blind |= seen.unread
        self._learn_untrusted(seen.untrusted, (Label.UNTRUSTED, operation, call), room)
        for piece in pieces:  # last: what a call says of its own content is for later readers
            self._pieces.add(piece)

    def _pieces_of(self, arguments: JsonObject, flow: Flow) -> list[str]:
        """Return the texts of content that a call wrote once a stranger was heard, but for the user's or a record's."""
        pieces: list[str] = []
        if not (flow.content and self.strangers):
            return pieces
        work = CONTENT_WORK_MAX
        for name, value in arguments.items():
            if name not in flow.content or name in flow.closed_names:
                continue
            for _, leaf in _open_leaves(value, name, flow):
                work -= content_work_of(leaf)
                self._pieces.full |= work < 0
                if work >= 0 and not self._is_trusted(leaf):
                    pieces.append(str(leaf))
        return pieces

    def _joined(self, records: "list[Leaf]") -> "list[Leaf]":
        """Take out of `records` and return what a stranger said, or what holds a piece of what the task wrote."""
        joined: list[Leaf] = []
        kept: list[Leaf] = []
        holds, work = self._pieces.holder(), RESULT_WORK_MAX
        for leaf in records:
            value = leaf[1]
            work -= work_of(value)
            if self._is_trusted(value):
                kept.append(leaf)
            elif work < 0 or self._is_a_strangers(value) or holds(value):
                joined.append(leaf)
            else:
                kept.append(leaf)
        records[:] = kept
        return joined

    def _is_a_strangers(self, value: Scalar) -> bool:
        return len(str(value)) >= TOKEN_CHARS_MIN and self._digest(_encoded(loose_form(value))) in self._distrusted

    def learn_lost(self, operation: str, call: str, flow: Flow) -> None:
        """Take in that a call answered something that is gone: it may have been untrusted, and of every data class."""
        self._blind = True
        self._wrote |= flow.consequential and bool(flow.content)
        self._learn_classes(operation, call, {name: "" for _, name in flow.classes})

    def inherit(self, parent: "Memory") -> None:
        """Take in what the task has seen that the work was handed on from: what is untrusted there is so here.

        What its user gave there is not given here: the agent that hands on says what it asks for.
        """
        self._blind |= parent._blind  # noqa: SLF001 - one of its own kind
        for digest, seen in parent._distrusted.items():  # noqa: SLF001 - one of its own kind
            if self._room() <= 0:
                self._blind = True
                break
            self._distrusted.setdefault(digest, seen)
        self._wrote |= parent._wrote  # noqa: SLF001 - one of its own kind
        self._pieces.take(parent._pieces)  # noqa: SLF001 - one of its own kind
        for name, source in parent._read.items():  # noqa: SLF001 - one of its own kind
            self._read.setdefault(name, source)

    def _learn_classes(self, operation: str, call: str, read: Mapping[str, str]) -> None:
        for name, pointer in read.items():
            self._read.setdefault(name, Source(Label.RECORD, operation, call, pointer))

    def _marked(self, records: "list[Leaf]", own: AbstractSet[bytes]) -> "list[Leaf]":
        """Take out of `records` what a call wrote that nobody vouched for; return it but for the call's `own`."""
        if not self._marks:
            return []
        marked: list[Leaf] = []
        kept: list[Leaf] = []
        work, room = RESULT_WORK_MAX, Room()
        for leaf in records:
            work -= work_of(leaf[1])
            marks = [] if work < 0 or room.out else self._marks_in(leaf[1], room)
            if work < 0 or room.out or any(mark not in own for mark in marks):
                marked.append(leaf)
            elif not marks:
                kept.append(leaf)  # (what is only the call's own is its echo, in whatever form)
        records[:] = kept
        return marked

    def _marks_in(self, value: Scalar, room: Room) -> list[bytes]:
        parts = parts_of(value, room) if isinstance(value, str) else ()
        digests = (self._digest(_encoded(mark_form(part))) for part in (value, *parts))
        return [digest for digest in digests if digest in self._marks]

    def _learn_records(self, leaves: "list[Leaf]", origin: Origin, echo: "Echo", room: int) -> int:
        is_echo, trust = echo.has, self._trust
        work = RESULT_WORK_MAX
        for pointer, value in leaves:
            work -= work_of(value)
            if room <= 0 or work < 0:
                break  # forgotten: from nowhere
            if not is_echo(value):
                room -= trust(value.encode() if type(value) is str else exact_form(value), (origin, pointer))
        return room

    def _learn_untrusted(self, leaves: "list[Leaf]", origin: Origin, room: int) -> None:
        if not leaves:
            return
        work = RESULT_WORK_MAX
        for place, (_, value) in enumerate(leaves):
            work -= work_of(value)
            if work < 0:
                self._blind = True
                leaves = leaves[:place]
                break
        for pointer, value in leaves:  # whole values first, so that a long text cannot crowd them out
            room -= self._distrust(loose_form(value), (origin, pointer), room)
        known, sight = set[str](), Room()
        for pointer, value in leaves:
            if isinstance(value, str) and len(value) >= TOKEN_CHARS_MIN:
                self._blind |= len(value) > TEXT_CHARS_MAX
                for token in _known_by(value, sight):
                    if room <= 0:
                        self._blind = True
                        return
                    if token not in known:
                        known.add(token)
                        room -= self._distrust(token, (origin, pointer), room)
        self._blind |= sight.out

    def _room(self) -> int:
        return VALUES_MAX - len(self._trusted) - len(self._phrases) - len(self._distrusted)

    def _trust(self, exact: bytes, seen: Seen) -> int:
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

    def _distrust(self, loose: str, seen: Seen, room: int) -> int:
        digest = self._digest(_encoded(loose))
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

    def origins(  # noqa: PLR0913 - one look, with everything that it may rely on
        self,
        arguments: JsonObject,
        flow: Flow,
        *,
        directories: Mapping[str, Directory],
        classes: Mapping[str, DataClass],
        now: datetime,
        marks_left: int = CALL_MARKS_MAX,
    ) -> Origins:
        """Return where what a call carries came from. `marks_left`: how many more marks there is room for.

        `sourced` has each value of each argument that is not content, with its JSON pointer, and of each that is and
        policies ask for the worst, as it stands: content may come from anywhere. Lists and objects are descended; a
        key that no schema would name counts as a value too. Booleans, null and the places in `closed` below an argument
        say nothing and are left out. Values beyond the first 2,000 are from nowhere. Of a call that is not
        consequential, content is not looked at.
        """
        look = _Look(flow, directories, now)
        sourced = self._control(arguments, look)
        if flow.content and flow.consequential:
            sourced += self._content(arguments, look)
        goes_out = self._read and (flow.carries_out or flow.receivers)
        exposed = tuple(self._exposed(arguments, flow, look, classes)) if goes_out else ()
        marks = tuple(look.marks)
        left = max(min(marks_left, CALL_MARKS_MAX), 0)
        return Origins(
            sourced=tuple(sourced),
            links=tuple(look.links),
            exposed=exposed,
            strangers=self.strangers,
            marks=marks[:left],
            unkept=look.unkept or look.room.out or len(marks) > left,
        )

    def _control(self, arguments: JsonObject, look: _Look) -> list[Sourced]:
        flow, found = look.flow, list[Sourced]()
        work = CALL_WORK_MAX
        for name, value in arguments.items():
            if name in flow.content:
                continue
            accepted = flow.sources.get(name, _ANYONE)
            marks = flow.consequential and name not in flow.closed_names
            for pointer, leaf in _open_leaves(value, name, flow):
                work -= work_of(leaf)
                if len(found) == ARGUMENT_VALUES_MAX or work < 0:
                    look.unkept |= flow.consequential
                if len(found) == ARGUMENT_VALUES_MAX:
                    found.append(Sourced(pointer, Source(Label.NOWHERE), accepted=False))
                    return found
                one = self._sourced(pointer, leaf, accepted, look, looks=work >= 0)
                if marks and not one.accepted and work >= 0 and one.source.label in _BAD:
                    self._mark(leaf, look, links_in(leaf, look.room) if isinstance(leaf, str) else ())
                found.append(one)
        return found

    def _sourced(self, pointer: str, value: Scalar, accepted: tuple[str, ...], look: _Look, *, looks: bool) -> Sourced:
        places = self._places(value)
        for place in places:
            if accepted is _ANYONE or accepts(accepted, place):
                return accepted_from(pointer, place)
        listing = listed(value, accepted_directories(accepted, look.directories), look.now)
        if listing is not None:
            return Sourced(pointer, directory_source(listing), accepted=True)
        if places:
            return Sourced(pointer, source_of(places[0]), accepted=False)
        listing = listed(value, iter(look.directories.values()), look.now)
        if listing is not None:
            return Sourced(pointer, directory_source(listing), accepted=False)
        suspect = self._suspect(value) if looks else None
        return Sourced(pointer, Source(Label.NOWHERE) if suspect is None else source_of(suspect), accepted=False)

    def _content(self, arguments: JsonObject, look: _Look) -> list[Sourced]:
        """Find the links in content that no accepted source has, and mark what nobody vouches for.

        Return the worst value of each argument whose origin policies ask for.
        """
        flow, found = look.flow, list[Sourced]()
        count, work = 0, CONTENT_WORK_MAX
        for name, value in arguments.items():
            asked, closed = flow.labelled is None or name in flow.labelled, name in flow.closed_names
            if name not in flow.content or (closed and not asked):
                continue
            worst: Sourced | None = None
            for pointer, leaf in _open_leaves(value, name, flow):
                count += 1
                work -= content_work_of(leaf)
                if count > ARGUMENT_VALUES_MAX or work < 0:
                    look.unkept = True
                    return found
                one = self._written(pointer, leaf, look, asked=asked, closed=closed)
                if one is not None and (worst is None or RANKS[one.source.label] > RANKS[worst.source.label]):
                    worst = one
            if worst is not None:
                found.append(worst)
        return found

    def _written(self, pointer: str, leaf: Scalar, look: _Look, *, asked: bool, closed: bool) -> Sourced | None:
        """Look at one value of content: find its links, mark it, and, if `asked`, return where the whole came from."""
        names = not closed and isinstance(leaf, str) and may_name(leaf)
        links = links_in(str(leaf), look.room) if names else ()
        for link in links:
            source = self._link_source(link, look)
            if source is not None and len(look.links) < FOUND_MAX:
                look.links.append(Link(pointer, link.kind, source))
        places = self._places(leaf)
        if places:
            return accepted_from(pointer, places[0]) if asked else None
        if look.directories and (listing := listed(leaf, iter(look.directories.values()), look.now)) is not None:
            return Sourced(pointer, directory_source(listing), accepted=True) if asked else None
        known = b""
        if not closed:
            known = self._mark(leaf, look, links, whole=not (names and is_date(str(leaf))), parts=names)
        if not asked:
            return None
        seen = self._distrust_at(known or self._digest(_encoded(loose_form(leaf))))
        return accepted_from(pointer, NOWHERE if seen is None else seen)

    def _link_source(self, link: Address, look: _Look, depth: int = 0) -> Source | None:
        """Return where an address in content was seen, or None: in an accepted source.

        Where only its host is accepted, what is inside of it must be as well.
        """
        accepted, first = look.flow.links, None
        for place in () if link.hidden else self._places_of(link):
            if accepts(accepted, place):
                return None
            first = source_of(place) if first is None else first
        listing = None if link.hidden else _listing(link, accepted_directories(accepted, look.directories), look.now)
        if listing is not None:
            inner = further_in(link) if listing.kind is Kind.DOMAINS else ()
            if inner and depth == _DEPTH_MAX:
                return Source(Label.NOWHERE)
            sources = (self._link_source(one, look, depth + 1) for one in inner)
            return next((source for source in sources if source is not None), None)
        if first is None:
            suspect = self._suspect(link.written)
            first = Source(Label.NOWHERE) if suspect is None else source_of(suspect)
        return first

    def _places_of(self, link: Address) -> Iterator[Seen]:
        yield from self._trusted.get(self._digest(_encoded(link.written)), ())
        for form in link.asks:
            yield from self._trusted.get(self._digest(_LINK + _encoded(form)), ())

    def _mark(
        self, value: Scalar, look: _Look, links: Sequence[Address], *, whole: bool = True, parts: bool = True
    ) -> bytes:
        """Note the marks of what `value`, which nobody vouches for, would write. `links` are the addresses in it.

        Return the mark of the whole, empty where it has none.
        """
        mark = self._mark_part(value, look) if whole else b""
        if not parts or not isinstance(value, str):
            return mark
        for link in links:
            if link.hidden or not self._is_vouched_for(link.written, look):
                self._mark_part(link.written, look)
        done: set[str] = set()
        for part in numbered(value):
            if len(look.marks) > CALL_MARKS_MAX:
                break
            if part in done:
                continue
            done.add(part)
            if not self._is_vouched_for(part, look):
                self._mark_part(part, look)
        return mark

    def _mark_part(self, part: Scalar, look: _Look) -> bytes:
        form = mark_form(part)
        if not form:
            return b""
        digest = self._digest(_encoded(form))
        if digest not in self._marks:
            look.marks[digest] = None
        return digest

    def _is_vouched_for(self, value: Scalar, look: _Look) -> bool:
        if self._is_trusted(value):
            return True
        return bool(look.directories) and listed(value, iter(look.directories.values()), look.now) is not None

    def _exposed(
        self, arguments: JsonObject, flow: Flow, look: _Look, classes: Mapping[str, DataClass]
    ) -> Iterator[Exposed]:
        """Find the receivers that may not know what the task has read."""
        receivers: list[Leaf] = []
        for name in arguments:
            if name in flow.receivers:
                receivers += leaves(arguments[name], under("", name), names=flow.names)
        for name, read_from in self._read.items():
            accepted = classes[name].receivers if name in classes else ()
            told = 0
            for place, (pointer, value) in enumerate(receivers):
                known = (
                    place < ARGUMENT_VALUES_MAX and self._sourced(pointer, value, accepted, look, looks=False).accepted
                )
                if not known and told < FOUND_MAX:
                    told += 1
                    yield Exposed(name, pointer, read_from)
            if not receivers and flow.carries_out:
                yield Exposed(name, "", read_from)

    def _suspect(self, value: Scalar) -> Seen | None:
        """Return where an untrusted value was seen that `value` may be or contain."""
        whole = self._distrust_of(loose_form(value))
        if whole is not None or not isinstance(value, str):
            return whole
        for part in dict.fromkeys(SEPARATORS.split(value[:TEXT_CHARS_MAX])):
            if self._digest(_encoded(part)) not in self._trusted:
                for token in loose_tokens(part):
                    found = self._distrust_of(token)
                    if found is not None:
                        return found
        return None

    def _distrust_of(self, loose: str, own: AbstractSet[bytes] = frozenset()) -> Seen | None:
        return self._distrust_at(self._digest(_encoded(loose)), own)

    def _distrust_at(self, digest: bytes, own: AbstractSet[bytes] = frozenset()) -> Seen | None:
        seen = self._distrusted.get(digest)
        return WRITTEN if seen is None and digest in self._marks and digest not in own else seen

    def _is_trusted(self, value: Scalar) -> bool:
        if self._digest(exact_form(value)) in self._trusted:
            return True
        return type(value) is str and self._phrases.find(value, self._digest) is not None

    def _places(self, value: Scalar) -> Sequence[Seen]:
        """Return where a value was seen that is trusted, the user's words first."""
        keyed = self._hash.copy()
        keyed.update(_encoded(value) if isinstance(value, str) else exact_form(value))
        places = self._trusted.get(keyed.digest(), ())
        if type(value) is str and (not places or places[0][0][0] is not Label.USER):
            phrase = self._phrases.find(value, self._digest)
            return places if phrase is None else (phrase, *places)
        return places

    def _chosen_badly(
        self, arguments: JsonObject, flow: Flow, origins: Origins | None, own: AbstractSet[bytes]
    ) -> bool:
        """Say whether some argument makes the whole result untrusted.

        A control argument that neither the user nor a record gave does, if it steers an operation that changes the
        world, which may write it into the record that it returns, or once untrusted content has entered the task: it
        may be a part of that, in whatever form. A content argument does if it is untrusted as it stands, be it that
        only an earlier call's mark says so: this call's `own` do not.
        """
        listed_at = _listed_at(origins)
        if origins is not None and flow.consequential:
            if any(not one.accepted and one.source.label in _BAD for one in origins.sourced):
                return True
            arguments = {name: value for name, value in arguments.items() if name in flow.content}
        looked_at, work = 0, CALL_WORK_MAX
        for name, value in arguments.items():
            taints = self._content_taints if name in flow.content else self._control_taints
            if name in flow.closed_names and not flow.consequential:
                continue  # a reviewer has listed every value it can have: choosing one of them is no stranger's word
            for pointer, leaf in _open_leaves(value, name, flow):
                looked_at += 1
                work -= work_of(leaf)
                if looked_at > ARGUMENT_VALUES_MAX or work < 0:
                    return True
                if pointer not in listed_at and not self._is_trusted(leaf) and taints(leaf, flow, own):
                    return True
        return False

    def _control_taints(self, value: Scalar, flow: Flow, own: AbstractSet[bytes]) -> bool:
        # A value that neither the user nor a record gave may be a stranger's in another form, once one has been heard.
        return flow.consequential or self.strangers or self._distrust_of(loose_form(value), own) is not None

    def _content_taints(self, value: Scalar, _flow: Flow, own: AbstractSet[bytes]) -> bool:
        # A short one is a page number, say: a reviewer has signed that it may be anything.
        return len(str(value)) >= TOKEN_CHARS_MIN and self._distrust_of(loose_form(value), own) is not None


def _given(values: Sequence[Leaf]) -> Iterator[tuple[str, bytes]]:
    """Return what a user gave but for phrases, with its place: whole values, the words of texts, the addresses."""
    texts = [(pointer, value) for pointer, value in values if isinstance(value, str)]
    for pointer, value in values:
        yield pointer, exact_form(value)
    for pointer, text in texts:
        for token in tokens_of_user(text):
            yield pointer, exact_form(token)
    for pointer, text in texts:
        for link in links_in(text[:TEXT_CHARS_MAX]):
            for given in link.gives:
                yield pointer, _LINK + _encoded(given)


def _open_leaves(value: Json, name: str, flow: Flow) -> Iterable[Leaf]:
    """Walk the leaves of an argument, but for those below it whose schema lists every value."""
    pointer, below = under("", name), flow.closed_below
    if type(value) is str or type(value) is int:  # (what most arguments are)
        return ((pointer, value),)
    found = leaves(value, pointer, names=flow.names)
    return found if below is None else (leaf for leaf in found if below.fullmatch(leaf[0]) is None)


def _listed_at(origins: Origins | None) -> frozenset[str]:
    sourced = () if origins is None else origins.sourced
    return frozenset(one.pointer for one in sourced if one.source.label is Label.DIRECTORY)


def _known_by(text: str, room: Room) -> Iterator[str]:
    """Return the parts by which an untrusted text is known again: its words, and its addresses however grouped."""
    yield from loose_tokens(text)
    for link in () if room.out else links_in(text[:TEXT_CHARS_MAX], room):
        yield loose_form(link.written)


def _listing(link: Address, directories: Iterator[Directory], now: datetime) -> Directory | None:
    """Return the directory that lists an address, one that lists the whole of it first."""
    at_host: Directory | None = None
    for directory in directories:
        if directory.kind is Kind.DOMAINS:
            if (link.host and directory.has_host(link.host, now)) or directory.has(link.written, now):
                at_host = directory
        elif directory.has(link.written, now) or any(directory.has(form, now) for form in link.asks):
            return directory
    return at_host


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
