"""Approvals: what a held call waits for, who has said what, and what became of it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from remit.core import Requirement


class State(StrEnum):
    """What became of an approval. It leaves `waiting` once and for ever; expiry is a matter of time, not of state."""

    WAITING = "waiting"
    DENIED = "denied"
    USED = "used"
    VOID = "void"


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One person's yes: for which kind of requirement, in which of their roles, and when."""

    person: str
    role: str
    kind: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A held call, waiting for persons or decided by them. Bound to one `digest`, usable once, until `expires_at`.

    `binding` is over task, operation and control arguments: what a denial sticks to. `by` is who denied it or why it is
    void; `call` is the call that used it. `version` rises with every change.

    One that a person edited is for the call with the arguments `edited` (canonical JSON), which takes the place of the
    agent's own call `instead_of` (`permissions.same_call`). `editors` are all who changed it on the way from that call
    to this one, the newest last; none of them ever counts for it, whatever is left of what they wrote.
    """

    id: str
    digest: str
    binding: str
    task: str
    user: str
    agent: str
    owner: str
    use_case: str
    operation: str
    requirements: tuple[Requirement, ...]
    code: str
    message: str
    rationale: str
    entry: int  # the `held` entry in the log, which has the arguments
    opened_at: datetime
    expires_at: datetime
    state: State = State.WAITING
    grants: tuple[Grant, ...] = ()
    by: str = ""
    call: str = ""
    version: int = 1
    edited: str = ""
    instead_of: str = ""
    editors: tuple[str, ...] = ()

    @property
    def editor(self) -> str:
        """Who wrote it as it stands; empty: the agent."""
        return self.editors[-1] if self.editors else ""
