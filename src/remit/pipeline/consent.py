"""A user's recorded consent: this agent may act for me, for so much, until then. An exchange needs it or `may_act`."""

from dataclasses import dataclass
from datetime import datetime

from remit import identity, records
from remit.core import (
    Allow,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    canonical_bytes,
    parse_utc,
    read_canonical,
    strictest,
    utc_text,
)
from remit.identity import Person, UserToken, Wanted, read_details
from remit.pipeline._live import Live, consent_control
from remit.pipeline._ports import Clock, Store


@dataclass(frozen=True, slots=True)
class Consent:
    """What a user agreed to. `wanted` is None where it narrows nothing."""

    given: datetime
    until: datetime
    wanted: Wanted | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentDesk:
    """Keeps consents as controls, on record."""

    live: Live
    store: Store
    clock: Clock

    async def give(self, login: UserToken, agent: str, details: Json, until: datetime) -> Reason | None:
        """Let `agent` have tasks opened for the user, within `details` (`authorization_details`), until `until`.

        Raises:
            InputRefusedError: `authorization_details_invalid`.
            StoreUnavailableError: nothing was kept.
        """
        if agent not in self.live.snapshot.charters:
            return Reason("agent_unknown", f"there is no agent `{agent[:64]}`", "name an agent of this gateway")
        read_details(details)
        now, person = self.clock.now(), login.person
        cut_off = identity.is_cut_off(self.live.user_revocation(person.name, agent, login.issued_at))
        match strictest((identity.may_have_agents_act(person), cut_off)):
            case Deny(reason) | Hold(reason):
                return reason
            case Allow():
                pass
        says = canonical_bytes({"details": details, "given": utc_text(now), "until": utc_text(until)}).decode("utf-8")
        said: JsonObject = {"agent": agent, "details": details, "until": utc_text(until)}
        await self._say(consent_control(agent, person.name), "consented", says, person.name, said)
        return None

    async def withdraw(self, person: Person, agent: str) -> Reason | None:
        """Take a consent back. Tasks that were opened by it go on: `remit users revoke` ends them."""
        if not self.live.says(consent_control(agent, person.name)):
            return Reason("consent_missing", f"there is no consent to `{agent[:64]}`", "nothing needs to be taken back")
        await self._say(consent_control(agent, person.name), "withdrawn", "", person.name, {"agent": agent})
        return None

    async def _say(self, name: str, word: str, says: str, by: str, said: JsonObject) -> None:
        entry = records.control(name, word, at=self.clock.now(), by=by, said=said)
        raised = await self.store.control(name, says, entry)
        self.live.set_control(name, raised[name], says)


def consent_of(live: Live, agent: str, user: str, now: datetime) -> Consent | None:
    """Return a user's consent to an agent where it stands at `now`."""
    says = live.says(consent_control(agent, user))
    said = read_canonical(says.encode("utf-8")) if says else None
    if not isinstance(said, dict):
        return None
    try:
        wanted = read_details(said.get("details"))
        consent = Consent(parse_utc(str(said.get("given"))), parse_utc(str(said.get("until"))), wanted)
    except (InputRefusedError, ValueError):
        return None  # what cannot be read is no consent
    return consent if now < consent.until else None
