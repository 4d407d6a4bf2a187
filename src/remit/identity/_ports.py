"""What identity needs of the world: someone who verifies tokens and keys, and someone who mints."""

from dataclasses import dataclass
from typing import Protocol

from remit.core import Delegation, RemitError, Task


class TokenRefusedError(RemitError):
    """A token that does not authenticate. `delegation` is set where its signature held, so that the caller is known."""

    def __init__(self, code: str, message: str, fix: str, delegation: Delegation | None = None) -> None:
        super().__init__(code, message, fix)
        self.delegation = delegation


@dataclass(frozen=True, slots=True)
class Person:
    """A named human, as an issuer vouches for them. `roles` are what the organisation lets them do here."""

    name: str
    roles: frozenset[str]


class Authenticator(Protocol):
    """Verifies tokens. Every method raises `TokenRefusedError` unless signature, issuer, audience and time all hold."""

    def delegation(self, token: str) -> Delegation:
        """Return what a task token says."""
        ...

    def person(self, token: str, audience: str) -> Person:
        """Return whom a person's token, issued for `audience`, names."""
        ...


class Hands(Protocol):
    """What an agent is handed for a task that was opened for it."""

    def has_key(self, agent: str) -> bool:
        """Whether `agent` can prove that it is itself."""
        ...

    def mint(self, task: Task) -> str:
        """Return the task token: whoever bears it acts in `task`."""
        ...

    def delegate(self, task: Task) -> str:
        """Return the delegation token: the agent of `task` exchanges it for the task token, and nobody else can."""
        ...


class Exchange(Protocol):
    """What the token endpoint needs (RFC 8693). The two that verify raise `TokenRefusedError`."""

    def agent(self, assertion: str) -> str:
        """Return the agent that signed `assertion` (RFC 7523). One assertion counts once.

        Raises:
            TokenRefusedError: `assertion_invalid`, whatever is wrong with it.
        """
        ...

    def exchanged(self, subject_token: str) -> Delegation:
        """Return what a delegation token says.

        Raises:
            TokenRefusedError: `subject_token_invalid` for any other token; `token_expired`.
        """
        ...

    def mint(self, task: Task) -> str:
        """Return the task token."""
        ...
