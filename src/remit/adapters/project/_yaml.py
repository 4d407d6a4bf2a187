"""YAML, the small part of it on which no two readers disagree.

Taken: mappings with text keys, sequences, text, `true`, `false`, `null`, integers and floats as JSON writes them.
Everything else that is plain is text, also what YAML 1.1 would turn into something else (`on`, `no`, `010`, `12:30:00`,
`2026-11-22`). Refused: duplicate keys, anchors, aliases, merge keys, tags, directives, several documents, files over
1 MiB, nesting deeper than 32. The reader works on events and keeps its own stack, so that nothing can exhaust Python's.

    document = read_yaml("remit.yaml", b"name: desk")
    document.value, document.line(("name",))        # {"name": "desk"}, 1
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from remit.core import DEPTH_MAX, INTEGER_MAX, InputRefusedError, Json, Problem, ProjectInvalidError

FILE_BYTES_MAX = 1 << 20  # one project file
VALUES_MAX = 100_000  # keys and items in one file

Path = tuple[str | int, ...]

_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", re.ASCII)
_CONSTANTS: Mapping[str, Json] = {"": None, "~": None, "null": None, "true": True, "false": False}
_PLAIN_TAGS = frozenset({None, "!"})  # `!` says "text" and changes nothing else


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value, with the line that each part of it stands on."""

    file: str
    value: Json
    positions: Mapping[Path, int]

    def line(self, path: Path) -> int:
        """Return the 1-based line of the value at `path`, or of the nearest part around it that exists."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.positions:
                return self.positions[path[:end]]
        return self.positions.get((), 1)


def read_yaml(file: str, body: bytes) -> Document:
    """Read one YAML document.

    Raises:
        ProjectInvalidError: with one problem, whose code is `file_too_large`, `encoding_invalid`, `yaml_invalid`,
            `yaml_unsupported`, `duplicate_key`, `key_not_text`, `number_invalid`, `too_deep` or `too_many_values`.
    """
    if len(body) > FILE_BYTES_MAX:
        raise _Refused(0, "file_too_large", f"more than {FILE_BYTES_MAX} bytes", "split the file").in_file(file)
    try:
        builder = _Builder()
        for event in _events(body):
            builder.take(event)
    except _Refused as refused:
        raise refused.in_file(file) from refused
    return Document(file, builder.root, builder.positions)


def typed(text: str) -> Json:
    """Return what the plain, unquoted scalar `text` means: a constant, a number, or the text itself.

    Raises:
        InputRefusedError: `number_invalid`, for a number beyond ±(2^53-1).
    """
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        # (Long digit strings never reach int(), whose own limit raises.)
        number = int(text) if len(text) <= 17 else INTEGER_MAX + 1
        return _bounded(number)
    if _FLOAT.fullmatch(text):
        real = float(text)
        return _bounded(int(real)) if real.is_integer() else _bounded(real)
    return text


class _Refused(Exception):  # noqa: N818 - never leaves this module; it becomes a Problem
    """Something this reader does not take, at a line."""

    def __init__(self, line: int, code: str, message: str, fix: str) -> None:
        super().__init__(message)
        self.line, self.code, self.message, self.fix = line, code, message, fix

    def in_file(self, file: str) -> ProjectInvalidError:
        problem = Problem(code=self.code, file=file, line=self.line, message=self.message, fix=self.fix)
        return ProjectInvalidError((problem,))


def _bounded(number: float) -> int | float:
    if not -INTEGER_MAX <= number <= INTEGER_MAX:
        fix = "write large numbers as text, in quotes"
        raise InputRefusedError("number_invalid", "a number beyond ±(2^53-1)", fix)
    return number


def _events(body: bytes) -> Iterator[Event]:
    try:
        text = body.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _Refused(line, "encoding_invalid", "bytes that are not UTF-8", "save the file as UTF-8") from error
    if text.startswith("\ufeff"):
        raise _Refused(1, "encoding_invalid", "a byte-order mark", "save the file as UTF-8 without one")
    try:
        yield from yaml.parse(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = " ".join(part for part in (error.context, error.problem) if part).lower()
        fix = "mend the YAML there: indentation, quotes and brackets are the usual causes"
        raise _Refused(mark.line + 1 if mark else 1, "yaml_invalid", said[:200], fix) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, max(error.position, 0)) + 1
        fix = "remove the character or write it as an escape in double quotes"
        raise _Refused(line, "yaml_invalid", "a control character", fix) from error
    # (PyYAML lets these through for escapes such as "\U00110000" and version numbers of thousands of digits.)
    except (ValueError, OverflowError) as error:
        raise _Refused(1, "yaml_invalid", "an escape that is no character", "write the character itself") from error


@dataclass(slots=True)
class _Frame:
    """A mapping or sequence being read. `key` is the mapping's key whose value comes next."""

    value: dict[str, Json] | list[Json]
    path: Path
    key: str | None = None
    key_line: int = 0


@dataclass(slots=True)
class _Builder:
    """Turns events into plain values, refusing what this reader does not take. Used once."""

    root: Json = None
    positions: dict[Path, int] = field(default_factory=dict)
    frames: list[_Frame] = field(default_factory=list)
    documents: int = 0

    def take(self, event: Event) -> None:
        """Take the next event."""
        line = event.start_mark.line + 1 if event.start_mark else 1
        match event:
            case DocumentStartEvent():
                self._start_document(event, line)
            case AliasEvent():
                raise _Refused(line, "yaml_unsupported", f"an alias `*{event.anchor}`", "write the value out")
            case ScalarEvent():
                _check_plain(event, line)
                self._scalar(event, line)
            case MappingStartEvent():
                _check_plain(event, line)
                self._open({}, line)
            case SequenceStartEvent():
                _check_plain(event, line)
                self._open([], line)
            case MappingEndEvent() | SequenceEndEvent():
                self.frames.pop()
            case _:
                pass  # the stream's and the document's ends carry nothing

    def _start_document(self, event: DocumentStartEvent, line: int) -> None:
        self.documents += 1
        if self.documents > 1:
            raise _Refused(line, "yaml_unsupported", "a second document", "keep one document per file; remove `---`")
        if event.version or event.tags:
            raise _Refused(line, "yaml_unsupported", "a `%` directive", "remove the line")

    def _scalar(self, event: ScalarEvent, line: int) -> None:
        text = _whole(event.value, line)
        frame = self.frames[-1] if self.frames else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            _take_key(frame, frame.value, event, line)
            return
        self._place(_typed_at(text, line) if event.style is None and event.tag is None else text, line)

    def _open(self, value: dict[str, Json] | list[Json], line: int) -> None:
        if len(self.frames) >= DEPTH_MAX:
            raise _Refused(line, "too_deep", f"nesting deeper than {DEPTH_MAX}", "flatten the value")
        frame = self.frames[-1] if self.frames else None
        if frame is not None and isinstance(frame.value, dict) and frame.key is None:
            raise _Refused(line, "key_not_text", "a key that is not text", "use text as key")
        self.frames.append(_Frame(value, self._place(value, line)))

    def _place(self, value: Json, line: int) -> Path:
        """Put `value` where the frame expects it and return its path."""
        if not self.frames:
            self.root = value
            self.positions[()] = line
            return ()
        frame = self.frames[-1]
        if isinstance(frame.value, list):
            path: Path = (*frame.path, len(frame.value))
            frame.value.append(value)
            self.positions[path] = line
        else:
            key, frame.key = frame.key or "", None
            path = (*frame.path, key)
            frame.value[key] = value
            self.positions[path] = frame.key_line
        if len(self.positions) > VALUES_MAX:
            raise _Refused(line, "too_many_values", f"more than {VALUES_MAX} values", "split the file")
        return path


def _take_key(frame: _Frame, siblings: Mapping[str, Json], event: ScalarEvent, line: int) -> None:
    key = event.value
    if event.style is None:
        if key == "<<":
            raise _Refused(line, "yaml_unsupported", "a merge key `<<`", "write the keys out")
        if not isinstance(_typed_at(key, line), str):
            raise _Refused(line, "key_not_text", f"the key `{key[:40]}` is not text", f'put it in quotes: "{key[:40]}"')
    if key in siblings:
        raise _Refused(line, "duplicate_key", f"the key `{key[:40]}` appears twice", "keep one of the two")
    frame.key, frame.key_line = key, line


def _check_plain(event: ScalarEvent | MappingStartEvent | SequenceStartEvent, line: int) -> None:
    if event.anchor is not None:
        raise _Refused(line, "yaml_unsupported", f"an anchor `&{event.anchor}`", "write the value out where it is used")
    if event.tag not in _PLAIN_TAGS:
        raise _Refused(line, "yaml_unsupported", f"a tag `{event.tag}`", "remove the tag")


def _whole(text: str, line: int) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        fix = "write the character itself, or one escape of eight digits"
        raise _Refused(line, "encoding_invalid", "half of a surrogate pair", fix) from error
    return text


def _typed_at(text: str, line: int) -> Json:
    try:
        return typed(text)
    except InputRefusedError as refused:
        raise _Refused(line, refused.code, refused.message, refused.fix) from refused
