"""The fallbacks gate, pure."""

from collections.abc import Mapping

from remit.core import REQUESTER, Allow, Decision, Deny, Hold, Json, Reason, Requirement

IRREVERSIBLE = "irreversible"
WITHIN_S = 3_600  # seconds a confirmation is waited for
TYPED_MAX = 200  # characters a person can be asked to type


def irreversible_is_confirmed(effect: str, confirm: str, operation: str, arguments: Mapping[str, Json]) -> Decision:
    """Hold what cannot be undone until the user for whom it is done types what it is done to (R7.4).

    What is typed is the text of the argument `confirm`, or the operation's own name where `confirm` is empty. A text
    that nobody could read and type makes a confirmation impossible, and the call with it.
    """
    if effect != IRREVERSIBLE:
        return Allow()
    typed = arguments.get(confirm) if confirm else operation
    if not isinstance(typed, str) or not _can_be_typed(typed):
        return Deny(
            Reason(
                "confirmation_impossible",
                f"`{operation}` is confirmed by typing its argument `{confirm}`, which is no text that can be typed",
                f"give `{confirm}` as a short text",
            )
        )
    return Hold(
        Reason(
            "confirmation_required",
            f"`{operation}` cannot be undone, so the user confirms it",
            "ask the user to confirm it, then send the same call again",
        ),
        (Requirement(kind="confirmation", approvers=(REQUESTER,), quorum=1, within_s=WITHIN_S, typed=typed),),
    )


def _can_be_typed(text: str) -> bool:
    """Whether a person sees all of it; an empty `Requirement.typed` would mean that nothing is typed."""
    return 0 < len(text) <= TYPED_MAX and text.isprintable() and text == text.strip()
