"""Runs the commands of a page as its reader would, and compares what is printed with what the page shows.

A fenced `console` block is a transcript: a line that begins with `$ ` is a command, one with `> ` continues it, and
all else is what it prints. `...` stands for what differs from run to run or is left out: alone on a line for any
lines, inside a line for any text. Ids, digests, times and durations are compared by their form. The blocks of a page
are one story: they run in order, in one scratch folder with a copy of the examples.

A comment before a block says how it runs; without one, every command must exit with 0:

    <!-- exits 1 -->                          the last command of the block does
    <!-- in a terminal of its own -->         it runs until the page's end, and is ready when this is printed
    <!-- not run: the reason -->              for the reader only; the test prints the reason

Ports that a page names are free ones in the test; addresses in what is printed are turned back before comparing.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from selectors import EVENT_READ, DefaultSelector

WAIT_S = 60  # for one command, or for a server to get ready: generous, the machine may be busy
STORY_WAIT_S = 280  # for `remit demo`, which starts some sixty programs one after another

_BLOCK = re.compile(r"(?:^<!-- (?P<note>[^\n]*?) -->\n+)?^```console\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_NOTES = re.compile(r"exits (?P<code>[0-9])|(?P<own>in a terminal of its own)|not run: (?P<reason>\S.*)")

_FORMS = (  # what differs from run to run, by its form
    (re.compile(r"\b([tca])_[0-9a-f]{24}\b"), r"\1_<id>"),
    (re.compile(r"sha256:[0-9a-f]{12,64}"), "sha256:<digest>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\.\d{3}\b"), "<time>"),
    (re.compile(r"\d+\.\d+ ms\b"), "<duration>"),
    (re.compile(r"\d+\.\d+ s\b"), "<duration>"),
    (re.compile(r"http://127\.0\.0\.1:\d+"), "http://127.0.0.1:<port>"),
)


@dataclass(frozen=True, slots=True)
class Command:
    """One command and what the page shows of its answer."""

    line: str
    shown: str
    exits: int


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block. `not_run` is the reason, empty for a block that runs."""

    commands: tuple[Command, ...]
    stays: bool
    not_run: str


class PageError(Exception):
    """A page that cannot be read as told above, or that does not show what happens."""


def blocks_of(page: str) -> list[Block]:
    """Read the console blocks of a page.

    Raises:
        PageError: a block without commands.
    """
    return [_block(found["note"] or "", found["body"]) for found in _BLOCK.finditer(page)]


def _block(note: str, body: str) -> Block:
    known = _NOTES.fullmatch(note)
    exits = int(known["code"]) if known and known["code"] else 0
    parts: list[tuple[list[str], list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            parts.append(([line[2:]], []))
        elif line.startswith("> ") or line == ">":
            parts[-1][0].append(line[2:])
        elif parts:
            parts[-1][1].append(line)
        else:
            raise PageError(f"a console block begins with `$ `, not with `{line}`")
    if not parts:
        raise PageError("a console block without commands")
    last = len(parts) - 1
    commands = tuple(
        Command("\n".join(typed), "\n".join(shown), exits if at == last else 0)
        for at, (typed, shown) in enumerate(parts)
    )
    return Block(commands, bool(known and known["own"]), (known["reason"] or "") if known else "")


def agrees(shown: str, printed: str) -> bool:
    """Tell whether a page shows what was printed."""
    lines = _normal(printed).splitlines()
    first, *others = _parts(_normal(shown))
    if not _stands(first, lines, 0) or (not others and len(lines) != len(first)):
        return False
    at = len(first)
    for part in others[:-1]:
        # (The first place where a part stands leaves the most room for those after it.)
        found = next((place for place in range(at, len(lines)) if _stands(part, lines, place)), None)
        if found is None:
            return False
        at = found + len(part)
    return not others or (len(lines) - len(others[-1]) >= at and _stands(others[-1], lines, -len(others[-1])))


def _normal(text: str) -> str:
    lines = (line.rstrip() for line in text.strip("\n").splitlines())
    text = "\n".join(lines)
    for form, word in _FORMS:
        text = form.sub(word, text)
    return text


def _parts(shown: str) -> list[list[re.Pattern[str]]]:
    """Return what is shown as lines that follow one another; between two such parts any lines may stand."""
    parts: list[list[re.Pattern[str]]] = [[]]
    for line in shown.splitlines():
        if line.strip() == "...":
            parts.append([])
        else:
            parts[-1].append(re.compile("[^\n]*?".join(re.escape(piece) for piece in line.split("..."))))
    return parts


def _stands(part: list[re.Pattern[str]], lines: list[str], place: int) -> bool:
    here = lines[place:] if part else []
    return len(here) >= len(part) and all(want.fullmatch(line) for want, line in zip(part, here, strict=False))


@dataclass(slots=True)
class Terminal:
    """A scratch folder and the programs that run in it."""

    folder: Path
    ports: dict[str, str]  # as the page names them -> free ones
    stack: ExitStack
    wait_s: int = WAIT_S
    here: Path = field(init=False)

    def __post_init__(self) -> None:
        self.here = self.folder

    def run(self, block: Block) -> None:
        """Run a block.

        Raises:
            PageError: something other than shown was printed, or the exit code is another.
        """
        for command in block.commands:
            if block.stays:
                self._start(command)
            else:
                self._run(command)
            self._move_ports()

    def _run(self, command: Command) -> None:
        typed = f"{self._inward(command.line)}\ncode=$?; pwd > {self.folder}/.here; exit $code"
        done = subprocess.run(
            ["bash", "-c", typed],
            cwd=self.here,
            env=_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=self.wait_s,
            check=False,
        )
        self.here = Path((self.folder / ".here").read_text("utf-8").strip())
        said = self._outward(done.stdout)
        if done.returncode != command.exits:
            raise PageError(f"$ {command.line}\nexits with {done.returncode}, not {command.exits}; it printed:\n{said}")
        if not agrees(command.shown, said):
            raise PageError(f"$ {command.line}\n--- the page shows\n{command.shown}\n--- it printed\n{said}")

    def _start(self, command: Command) -> None:
        process = self.stack.enter_context(_staying(["bash", "-c", f"exec {self._inward(command.line)}"], self.here))
        said = ""
        with DefaultSelector() as selector:
            assert process.stdout is not None
            selector.register(process.stdout, EVENT_READ)
            while not agrees(command.shown, self._outward(said)):
                if not selector.select(WAIT_S):
                    raise PageError(f"$ {command.line}\nis not ready; it printed:\n{self._outward(said)}")
                part = os.read(process.stdout.fileno(), 65_536).decode("utf-8")
                said += part
                if not part and not agrees(command.shown, self._outward(said)):
                    raise PageError(f"$ {command.line}\nended; it printed:\n{self._outward(said)}")

    def _inward(self, text: str) -> str:
        for named, free in self.ports.items():
            text = re.sub(rf"\b{named}\b", free, text)
        return text

    def _outward(self, text: str) -> str:
        for named, free in self.ports.items():
            text = re.sub(rf"\b{free}\b", named, text)
        return text

    def _move_ports(self) -> None:
        """Give a project that listens on the usual ports free ones."""
        for settings in self.folder.rglob("remit.yaml"):
            text = settings.read_text("utf-8")
            if not re.search(r"^data:", text, re.MULTILINE):
                ports = f"\ndata: {{port: {self.ports['8700']}}}\nadmin: {{port: {self.ports['8701']}}}\n"
                settings.write_text(text + ports, "utf-8")
        for catalogue in self.folder.rglob("catalogue/*.yaml"):
            catalogue.write_text(self._inward(catalogue.read_text("utf-8")), "utf-8")


def _environment() -> dict[str, str]:
    """The reader's environment: this interpreter's programs first, no colours, no wide terminal."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, "PATH": path, "COLUMNS": "120", "PYTHONUNBUFFERED": "1"}


@contextmanager
def _staying(command: list[str], folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, bufsize=0
    )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
