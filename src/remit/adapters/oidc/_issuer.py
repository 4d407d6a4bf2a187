"""One issuer, as the settings name it."""

from dataclasses import dataclass, field

from remit.identity import ClaimsMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """An identity provider that is believed.

    `name` is what its users' names begin with, `issuer` its identifier, which is an https address, or http on this
    machine. `audiences` count beside our own. `claims` says which claims mean what. `jwks_age_max_s` is for how many
    seconds its keys count after they were fetched. `events`: whether its security events are believed.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...] = ()
    claims: ClaimsMap = field(default_factory=ClaimsMap)
    jwks_age_max_s: int = 3600
    events: bool = False
