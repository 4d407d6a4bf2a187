"""What identity needs of the world: someone who verifies a token's signature, audience and issuer."""

from dataclasses import dataclass
from typing import Protocol

from remit.core import Delegation, RemitError


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
