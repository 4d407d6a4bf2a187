"""What can go wrong, as one family.

A refusal is a value (`Deny`, with a `Reason`); these are faults and bad input, and they are raised.

    RemitError                    code, message, fix
    ├── InputRefusedError         bytes from outside that are not what they must be
    ├── ProjectInvalidError       a project that does not load; carries every `Problem` found
    └── StoreUnavailableError     the store did not confirm a write: nothing leaves
"""

from dataclasses import dataclass


class RemitError(Exception):
    """A fault with a stable code and the way to mend it.

    `code` never changes its meaning; `message` is one line, lower case; `fix` names the command or file that mends it.
    """

    def __init__(self, code: str, message: str, fix: str = "") -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.fix = fix


class InputRefusedError(RemitError):
    """Bytes from outside that are not what they must be. Nothing of them has been acted on."""


class StoreUnavailableError(RemitError):
    """The store did not confirm a write. Whoever waits for it must treat the write as not made and send nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in a project's files, said so that its author can mend it at once."""

    code: str
    file: str
    line: int  # 1-based; 0 when the file itself is missing
    message: str  # what was found and what was expected
    fix: str

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.code}: {self.message}\n    fix: {self.fix}"


class ProjectInvalidError(RemitError):
    """A project that does not load. Every problem found is in `problems`; the running release stays."""

    CODE = "project_invalid"

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(
            self.CODE,
            f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in the project's files",
            "mend the lines named, then run `remit check`",
        )
        self.problems = problems
