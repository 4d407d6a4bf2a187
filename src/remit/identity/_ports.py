"""What identity needs of the world: someone who verifies tokens and keys, and someone who mints."""

from typing import Protocol

from remit.core import Delegation, RemitError, Task
from remit.identity._model import AuthenticatedAgent, ClientProof, Person, Presented, UserToken


class TokenRefusedError(RemitError):
    """A token that does not authenticate. `delegation` is set where its signature held, so that the caller is known.

    `nonce` is the DPoP nonce to send back, where one is asked for (RFC 9449, section 9).
    """

    def __init__(
        self, code: str, message: str, fix: str, delegation: Delegation | None = None, nonce: str = ""
    ) -> None:
        super().__init__(code, message, fix)
        self.delegation = delegation
        self.nonce = nonce


class Authenticator(Protocol):
    """Verifies tokens. Every method raises `TokenRefusedError` unless signature, issuer, audience and time all hold.

    So it does where a token is bound to a key and no proof of it came along.
    """

    async def delegation(self, presented: Presented) -> Delegation:
        """Return what a token says by which an agent acts: a task token, or a plain client's token of its user."""
        ...

    async def user(self, presented: Presented, audience: str) -> UserToken:
        """Return what a person's token, issued for `audience`, says."""
        ...

    async def person(self, token: str, audience: str) -> Person:
        """Return whom a person's token, issued for `audience`, names."""
        ...


class Users(Protocol):
    """The organisation's own identity providers."""

    def knows(self, token: str) -> bool:
        """Whether `token` says it is of one of these issuers; nothing is proven yet."""
        ...

    async def user(self, presented: Presented, audience: str) -> UserToken:
        """Return what a person's token says (`Authenticator.user`).

        Raises:
            TokenRefusedError: also `issuer_unreachable`, where its keys are not known, or no longer count.
        """
        ...

    async def assertion(self, token: str, audience: str, client_id: str) -> UserToken:
        """Return what an identity assertion grant, issued to `client_id` for `audience`, says (ID-JAG).

        One assertion counts once.
        """
        ...


class Hands(Protocol):
    """What an agent is handed for a task that was opened for it."""

    def has_key(self, agent: str) -> bool:
        """Whether `agent` can prove that it is itself."""
        ...

    def mint(self, task: Task, *, keys: tuple[str, ...] = (), bound: str = "", certificate: str = "") -> str:
        """Return the task token.

        `keys` are the thumbprints of the keys it rests on. `bound` is the thumbprint of the DPoP key (`cnf.jkt`),
        `certificate` that of the TLS certificate (`cnf.x5t#S256`), without which it does not count; without either,
        whoever bears it acts in `task`.
        """
        ...

    def delegate(self, task: Task) -> str:
        """Return the delegation token: the agent of `task` exchanges it for the task token, and nobody else can."""
        ...


class Proofs(Protocol):
    """Verifies DPoP proofs (RFC 9449, section 4.3). One proof counts once."""

    def thumbprint(self, presented: Presented) -> str:
        """Return the thumbprint of the key that proved the request; `ath` must be that of `presented.token`, if any.

        Raises:
            TokenRefusedError: `dpop_proof_invalid`, `dpop_proof_replayed`, `dpop_nonce_required` (with the nonce).
        """
        ...


class Agents(Protocol):
    """Authenticates agents at the token endpoint."""

    async def agent(self, shown: ClientProof) -> AuthenticatedAgent:
        """Return the agent that proved who it is. One assertion counts once.

        Raises:
            TokenRefusedError: `assertion_missing`; `assertion_invalid`, whatever is wrong with it;
                `certificate_unknown`.
        """
        ...


class Exchange(Protocol):
    """What the token endpoint needs (RFC 8693) besides. The ones that verify raise `TokenRefusedError`."""

    async def agent(self, shown: ClientProof) -> AuthenticatedAgent:
        """See `Agents.agent`."""
        ...

    def exchanged(self, subject_token: str) -> Delegation:
        """Return what a delegation token says.

        Raises:
            TokenRefusedError: `subject_token_invalid` for any other token; `token_expired`.
        """
        ...

    def handed_on(self, subject_token: str) -> Delegation:
        """Return what a task token says that another agent hands on; proof of its key is its holder's, and not asked.

        Raises:
            TokenRefusedError: `subject_token_invalid` for any other token; `token_expired`.
        """
        ...

    def mint(self, task: Task, *, keys: tuple[str, ...] = (), bound: str = "", certificate: str = "") -> str:
        """See `Hands.mint`."""
        ...
