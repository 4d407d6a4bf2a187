"""Cutting off: what a revocation is about, and what it says of a user (R2.11).

    Cut(agent="refunds")                        # an agent, and whatever it handed on
    Cut(user="tom", agent="refunds")            # a user's delegation to one agent
    Cut(user="tom"), Cut(task="t_1"), Cut(key="<thumbprint>")

What is cut off is said by a control each: `agent/<agent>`, `user/<user>`, `task/<task>`, `key/<thumbprint>`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from remit.core import InputRefusedError, Json, JsonObject, canonical_bytes, parse_strict, parse_utc, utc_text

EVERY_AGENT = ""
"""Among what is said of a user: whichever agent acts for them."""


ISSUER = "issuer "
"""What the name begins with of an issuer that cuts its users off: `issuer corp`. No person is named so."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Whose authority is cut off: everything that agrees with every part that is named."""

    agent: str = ""
    user: str = ""
    task: str = ""
    key: str = ""

    def concerns(
        self, *, user: str, agent: str, task: str, chain: tuple[str, ...] = (), keys: tuple[str, ...] = ()
    ) -> bool:
        """Whether the cut goes through a delegation: through any agent of its chain, too."""
        return (
            (not self.user or self.user == user)
            and (not self.task or self.task == task)
            and (not self.agent or self.agent == agent or self.agent in chain)
            and (not self.key or self.key in keys)
        )


@dataclass(frozen=True, slots=True)
class UserCut:
    """Why a user's authority is gone. `out`: all of it, until it is restored; `before`: what rests on an older login.

    What was before stays cut off for good: to be let in again revives no old login.
    """

    why: str
    before: datetime | None = None
    out: bool = False

    def joined(self, other: "UserCut") -> "UserCut":
        """Return what both cut off, and why: as the one says that keeps the user out, a person before an issuer."""
        moments = [each.before for each in (self, other) if each.before is not None]
        stays = self.out and not (other.out and self.why.startswith(f"by {ISSUER}"))
        return UserCut(self.why if stays else other.why, max(moments, default=None), self.out or other.out)


UserCuts = Mapping[str, UserCut]
"""What is cut off of a user's authority, by agent; `EVERY_AGENT` for all of them."""


def read_user_cuts(says: str) -> UserCuts:
    """Read what the control `user/<user>` says; nothing where it is empty.

    Raises:
        InputRefusedError: it is not what `with_user_cut` wrote.
    """
    if not says:
        return {}
    said = parse_strict(says.encode("utf-8", "surrogatepass"))
    if not isinstance(said, dict):
        raise _damaged()
    return {agent: _cut(each) for agent, each in said.items()}


def with_user_cut(says: str, agent: str, cut: UserCut) -> str:
    """Return what the control says once this is cut off as well."""
    cuts = read_user_cuts(says)
    return _written({**cuts, agent: cuts[agent].joined(cut) if agent in cuts else cut})


def without_user_cut(says: str, agent: str) -> str:
    """Return what the control says once the user is let in again; empty when nothing is cut off any more."""
    cuts = dict(read_user_cuts(says))
    cut = cuts.pop(agent, None)
    if cut is not None and cut.before is not None:
        cuts[agent] = UserCut(cut.why, cut.before)
    return _written(cuts) if cuts else ""


def user_cut(cuts: UserCuts, agent: str, since: datetime) -> str:
    """Return why what the user does with `agent` on a login of `since` is cut off; empty where it is not."""
    for name in (EVERY_AGENT, agent):
        cut = cuts.get(name)
        if cut is not None and (cut.out or (cut.before is not None and since < cut.before)):
            return cut.why
    return ""


def _written(cuts: UserCuts) -> str:
    said: JsonObject = {
        agent: {"why": cut.why, "before": None if cut.before is None else utc_text(cut.before), "out": cut.out}
        for agent, cut in cuts.items()
    }
    return canonical_bytes(said).decode("utf-8")


def _cut(said: Json) -> UserCut:
    if not isinstance(said, dict):
        raise _damaged()
    before = said.get("before")
    return UserCut(
        str(said.get("why")), parse_utc(before) if isinstance(before, str) else None, said.get("out") is True
    )


def _damaged() -> InputRefusedError:
    return InputRefusedError("control_damaged", "what is cut off of a user cannot be read", "restore the store")
