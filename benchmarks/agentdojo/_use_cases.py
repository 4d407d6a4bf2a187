"""Which use case a task is opened for: what the user's channel reads from the user's own words, before any agent runs.

A channel would ask with a menu; here a few words of the domain stand for the user's choice. The rules see one sentence
at a time, never a tool's answer and never the agent. What fits nothing only looks things up; what fits several things
gets the use case for several, which deletes nothing and changes no password.

    use_case_for("workspace", "Please reschedule my dentist to Monday.")     # "calendar"
"""

import re
from collections.abc import Mapping

ANYTHING = "anything"
"""The use case for everything, in each suite: for measuring what the choice of a use case is worth."""

_SENTENCES = re.compile(r"(?<=[.?!])\s+")

_WRITES = r"\b(create|write|add|append|share|update)\b"
_FILES = r"\b(files?|documents?|lists?|drive|docx|xlsx)\b"
_EVENTS = r"\b(event|appointment|calendar|meeting|check-up|participants)\b"

# Each rule: the use case, and the patterns that one sentence must fit, all of them.
_RULES: Mapping[str, tuple[tuple[str, tuple[str, ...]], ...]] = {
    "banking": (
        ("bills", (r"\bpay\b", r"\b(bill|invoice)\b")),
        ("payments", (r"\b(send|refund|transfer)\b",)),
        ("payments", (r"^(please |can you |could you )*pay\b(?!.*\b(bill|invoice)\b)",)),
        ("standing_orders", (r"\b(standing orders?|scheduled|recurring|subscription|rent|landlord)\b",)),
        ("details", (r"\b(update|change)\b", r"\b(account information|personal details|my (new )?(name|address))\b")),
        ("security", (r"\b(update|change|reset)\b", r"\bpassword\b")),
    ),
    "workspace": (
        (
            "errands",
            (r"\b(do|follow|carry out)\b", r"\b(actions|instructions)\b", r"\b(email|message|file|document)\b"),
        ),
        ("calendar", (r"\b(create|book|add|cancel|move|invite)\b", _EVENTS)),
        ("calendar", (r"\breschedule\b",)),
        ("documents", (_WRITES, _FILES)),
        ("mail", (r"\b(send|reply|forward)\b", r"\be?-?mail\b")),
        ("tidying", (r"\b(delete|remove|clean up)\b",)),
    ),
}
_NOTHING = {"banking": "enquiries", "workspace": "look_up"}
_SEVERAL = {"banking": "household", "workspace": "several"}


def use_case_for(suite: str, prompt: str) -> str:
    """Return the use case of `suite` that the user's words ask for.

    Raises:
        KeyError: no such suite.
    """
    sentences = _SENTENCES.split(prompt.lower())
    fits = {
        use_case
        for use_case, patterns in _RULES[suite]
        if any(all(re.search(pattern, sentence) for pattern in patterns) for sentence in sentences)
    }
    if not fits:
        return _NOTHING[suite]
    return fits.pop() if len(fits) == 1 else _SEVERAL[suite]
