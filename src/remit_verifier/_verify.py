"""The check, in order: the header, every entry, the signed checkpoint, then the checkpoints kept outside.

It reads the export once and keeps only the tree's edge and the names of calls, so a million entries fit in memory.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from remit_verifier._entries import Line, Story, check_entry
from remit_verifier._notes import Checkpoint, Key, read_checkpoint, read_checkpoints, read_key
from remit_verifier._report import OPEN_MAX, Findings, Report, shown
from remit_verifier._strict import JsonObject, UnreadableError, read_object
from remit_verifier._tree import Tree

FORMAT = "remit-export/1"
LINE_CHARACTERS_MAX = 64 * 1024 * 1024  # one entry with its payloads


@dataclass(slots=True)
class _Reading:
    """What one pass over the export gathers."""

    wanted: frozenset[int]  # sizes at which the root will be compared
    tree: Tree = field(default_factory=Tree)
    story: Story = field(default_factory=Story)
    findings: Findings = field(default_factory=Findings)
    roots: dict[int, bytes] = field(default_factory=dict)
    whole: bool = True  # false once a line could not be read: what follows it is then not compared
    note: str | None = None  # the signed checkpoint at the end


def verify(lines: Iterable[str], vkey: str, checkpoints: str | None = None) -> Report:
    """Check an export against the log's verifier key and, if given, the checkpoints kept outside the store.

    `lines` are the export's lines, with or without their line feeds; `checkpoints` is the text of every signed note
    ever written outside, each followed by an empty line. Without them a log cut back to an earlier signed checkpoint
    looks whole. Whatever the export holds, the answer is a report.

    Raises:
        ValueError: `vkey` is not a verifier key.
    """
    key = read_key(vkey)
    findings = Findings()
    outside = [] if checkpoints is None else read_checkpoints(checkpoints, key, findings)
    reading = _Reading(frozenset(each.size for each in outside), findings=findings)
    origin = _read(iter(lines), reading)
    held = 0
    if reading.whole:
        held = _check_outside(outside, reading)
        _check_own(reading, origin, key, outside)
    return _report(reading, held)


def _read(lines: Iterator[str], reading: _Reading) -> str:
    """Read header, entries and the closing checkpoint; say what is wrong and where. Returns the header's origin."""
    origin = ""
    try:
        origin = _read_header(next(lines, ""))
        for line in lines:
            _read_line(_object(line), reading)
        _remember_root(reading)
    except UnreadableError as error:
        reading.whole = False
        place = reading.tree.size
        reading.findings.add("line_invalid", place, f"at entry {place}: {error}; what follows was not read")
    return origin


def _read_header(line: str) -> str:
    header = _object(line)
    origin = header.get("origin")
    if header.keys() != {"format", "origin"} or header["format"] != FORMAT or not isinstance(origin, str):
        raise UnreadableError(f"the first line is not the header of a {FORMAT} file")
    return origin


def _read_line(value: JsonObject, reading: _Reading) -> None:
    if reading.note is not None:
        raise UnreadableError("a line after the checkpoint that ends the export")
    note, leaf = value.get("checkpoint"), value.get("leaf")
    if value.keys() == {"checkpoint"} and isinstance(note, str):
        reading.note = note
        return
    if not {"index", "leaf"} <= value.keys() <= {"index", "leaf", "payloads"} or not isinstance(leaf, str):
        raise UnreadableError("a line that is neither an entry nor the checkpoint")
    try:
        exact = leaf.encode()
    except UnicodeEncodeError:
        raise UnreadableError("a leaf that is not UTF-8") from None
    _remember_root(reading)
    check_entry(
        Line(value["index"], leaf, value.get("payloads", [])), reading.tree.size, reading.story, reading.findings
    )
    reading.tree.add(exact)


def _remember_root(reading: _Reading) -> None:
    if reading.tree.size in reading.wanted:
        reading.roots[reading.tree.size] = reading.tree.root()


def _object(line: str) -> JsonObject:
    if len(line) > LINE_CHARACTERS_MAX:
        raise UnreadableError(f"a line of more than {LINE_CHARACTERS_MAX} characters")
    return read_object(line.removesuffix("\n"))


def _check_outside(outside: list[Checkpoint], reading: _Reading) -> int:
    """Compare the export with each outside checkpoint; count those that hold, name the first entry that may differ."""
    size, agreed, held, differing = reading.tree.size, 0, 0, 0
    first: Checkpoint | None = None
    for checkpoint in sorted(outside, key=lambda each: each.size):
        if checkpoint.size > size:
            continue
        if reading.roots.get(checkpoint.size) == checkpoint.root:
            held += 1
            agreed = checkpoint.size if first is None else agreed
        else:
            first, differing = first or checkpoint, differing + 1
    if first is not None:
        message = (
            f"from entry {agreed} on, the export is not what the outside checkpoint of size {first.size} was signed for"
            f" ({differing} checkpoints differ)"
        )
        reading.findings.add("checkpoint_mismatch", agreed, message)
    largest = max((each.size for each in outside), default=0)
    if largest > size:
        message = (
            f"{largest - size} entries are missing: an outside checkpoint says {largest}, the export holds {size};"
            " its end was cut off or an older state was put back"
        )
        reading.findings.add("tail_missing", size, message)
    return held


def _check_own(reading: _Reading, origin: str, key: Key, outside: list[Checkpoint]) -> None:
    """Compare the export with the signed checkpoint it ends in."""
    add, size = reading.findings.add, reading.tree.size
    if size == 0:
        add("export_empty", None, "the export holds no entry, so it proves nothing")
    if origin != key.name:
        add("origin_mismatch", None, f"the export is of the log {shown(origin)}, the key of {shown(key.name)}")
    if reading.note is None:
        add("checkpoint_missing", size, f"the export ends after {size} entries without its signed checkpoint")
        return
    try:
        signed = read_checkpoint(reading.note, key)
    except UnreadableError as error:
        add("signature_invalid", None, f"the export's checkpoint: {error}")
        return
    if signed.size != size:
        at = min(signed.size, size)
        add("size_mismatch", at, f"the signed checkpoint is of {signed.size} entries, the export holds {size}")
    elif signed.root != reading.tree.root():
        agreed = max((each.size for each in outside if reading.roots.get(each.size) == each.root), default=0)
        at_or_none = agreed if outside else None
        add(
            "root_mismatch",
            at_or_none,
            f"from entry {agreed} on, the export is not what its checkpoint was signed for",
        )


def _report(reading: _Reading, held: int) -> Report:
    story, problems = reading.story, reading.findings.all()
    return Report(
        proven=not problems and reading.tree.size > 0,
        entries=reading.tree.size,
        intents=story.intents,
        outcomes=story.outcomes,
        unknown=story.unknown,
        observed=story.observed,
        open=len(story.open),
        erased=story.erased,
        checkpoints=held,
        problems=problems,
        open_calls=story.open_calls(OPEN_MAX),
    )
