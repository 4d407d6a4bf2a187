"""What is decided on where a call's values came from, and how that is said to whoever reads the hold.

provenance_suffices(send_flow, memory.origins(arguments, send_flow, directories={}, classes={}, now=now))   # Allow()
"""

from remit.core import Allow, Decision, Deny, Hold, Reason, Requirement
from remit.permissions._flow import Flow, Label, Link, Origins, Source, Sourced
from remit.permissions._said import SAID_MAX, WITHIN_S, listing, shown

_WORST = (Label.USER, Label.DIRECTORY, Label.RECORD, Label.NOWHERE, Label.UNTRUSTED)  # the worst last
_SAID = tuple(label.value for label in _WORST)
RANKS = {label: place for place, label in enumerate(_WORST)}
_KINDS = {"url": "the link", "email": "the e-mail address", "iban": "the account number"}


def provenance_suffices(flow: Flow | None, origins: Origins) -> Decision:
    """Say whether every value that steers a consequential call, and every address in it, comes from where it may.

    Deny codes: `provenance_unknown` (no controls), `marks_full` (what it writes could not be known again). Hold codes:
    `provenance_untrusted`, `provenance_unknown_source`, `provenance_link`.
    """
    if flow is None:
        message = "nothing says where the values of this operation may come from"
        return Deny(Reason("provenance_unknown", message, "ask the agent's owner to have its controls reviewed"))
    if not flow.consequential:
        return Allow()
    if origins.unkept:
        message = "the call writes more values of unknown origin than can be remembered as such"
        return Deny(Reason("marks_full", message, "write it in several smaller calls, or ask who runs the gateway"))
    refused = [one for one in origins.sourced if not one.accepted]
    if not refused and not origins.links:
        return Allow()
    refused.sort(key=lambda one: one.source.label is not Label.UNTRUSTED)  # (stable: the worst first)
    message = listing([*map(_said_of_value, refused), *map(_said_of_link, origins.links)], SAID_MAX)
    fix = "use a value that the user gave or an accepted source holds, or wait for a reviewer"
    need = Requirement(kind="provenance", approvers=flow.reviewers, quorum=1, within_s=WITHIN_S)
    return Hold(Reason(_code(refused), message, fix), (need,))


def _code(refused: list[Sourced]) -> str:
    if not refused:
        return "provenance_link"
    return "provenance_untrusted" if refused[0].source.label is Label.UNTRUSTED else "provenance_unknown_source"


def labels_of(origins: Origins) -> tuple[tuple[str, str], ...]:
    """Return by top-level argument the worst label of its values, sorted. One that says nothing is left out.

    From best to worst: `user`, `directory`, `system_of_record`, `nowhere`, `untrusted`.
    """
    worst: dict[str, int] = {}
    for one in origins.sourced:
        name = one.pointer[1:].partition("/")[0]
        rank = RANKS[one.source.label]
        if rank >= worst.get(name, 0):
            worst[name] = rank
    return tuple(sorted([(_unescaped(name) if "~" in name else name, _SAID[rank]) for name, rank in worst.items()]))


def _unescaped(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def _said_of_value(one: Sourced) -> str:
    return f"`{shown(one.pointer)}` {_said(one.source)}"


def _said_of_link(one: Link) -> str:
    return f"{_KINDS.get(one.kind, 'the address')} in `{shown(one.pointer)}` {_said(one.source)}"


def _said(source: Source) -> str:
    result = f"the result of `{source.operation}` (call `{source.call}`), field `{shown(source.field)}`"
    match source.label:
        case Label.UNTRUSTED if not source.operation:
            return "was written by an earlier call that had it from untrusted content or from nowhere"
        case Label.UNTRUSTED:
            return f"was first seen in {result}, which is untrusted"
        case Label.NOWHERE:
            return "was never seen in this task: neither the user nor a record gave it"
        case Label.USER:
            return "was given by the user, which is not a source it accepts"
        case Label.RECORD:
            return f"comes from {result}, which is not a source it accepts"
        case Label.DIRECTORY:
            return f"is in `{source.operation}`, which is not a source it accepts"
