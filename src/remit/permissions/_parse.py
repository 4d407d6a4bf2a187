"""Parse one policy within bounds, and find the line that Cedar's parser complains of but does not name.

parsed = parse(piece)        # Parsed, or (code, line, message, fix)
"""

import json
import re
from dataclasses import dataclass

import cedarpy
from cedarpy import pst

from remit.core import JsonObject
from remit.permissions._scan import DEPTH_MAX, OPERATORS_MAX, Piece

SAID_CHARS_MAX = 300  # of Cedar's own words in one message
TOKEN_SAID = re.compile(r"`(.+)`", re.DOTALL)
_PLACES_MAX = 64  # occurrences of a token looked at

Found = tuple[str, int, str, str]
"""A problem without its file: code, line, message, fix."""


@dataclass(frozen=True, slots=True)
class Parsed:
    """One policy in Cedar's two forms: `template` to look at, `est` to build a policy set from."""

    template: pst.Template
    est: JsonObject


def parse(piece: Piece) -> Parsed | Found:
    """Parse the one policy in `piece`, or say what keeps it from being one."""
    if piece.depth > DEPTH_MAX or piece.operators > OPERATORS_MAX:
        bounds = f"{DEPTH_MAX} brackets deep and {OPERATORS_MAX} operators"
        found = f"{piece.depth} brackets deep with {piece.operators} operators"
        return "policy_too_large", piece.line, f"{found}, over the bounds of {bounds}", "cut it into several policies"
    try:
        text = cedarpy.policies_to_json_str(piece.text)
    except ValueError as error:
        return _syntax(piece, str(error))
    documents = json.loads(text)
    if documents["templates"]:
        line = piece.line_of(r"\?(principal|resource)\b")
        return (
            "policy_template",
            line,
            "a template slot; templates are not linked here",
            "write the principal or resource out",
        )
    if len(documents["staticPolicies"]) != 1:
        return "policy_syntax", piece.line, "not exactly one policy up to the semicolon", "end each policy with `;`"
    (est,) = documents["staticPolicies"].values()
    try:
        cedarpy.PolicySet.from_json_str(text)
        (template,) = cedarpy.policies_to_pst(piece.text).static_policies.values()
    except ValueError:  # it parsed above, so only the depth of the tree can be wrong
        return (
            "policy_too_large",
            piece.line,
            "conditions nested too deep, as about 60 of them joined by one kind of operator",
            "cut it into several policies or `when` clauses",
        )
    return Parsed(template, est)


def _syntax(piece: Piece, said: str) -> Found:
    said = " ".join(said.split())[:SAID_CHARS_MAX]
    fix = "mend it as Cedar policy text"
    if "end of input" in said:
        fix = "close what is open, and end the policy with `;`"
    elif said.startswith("duplicate annotation"):
        fix = "keep one of them"
    return "policy_syntax", _line_said(piece, said), f"not Cedar: {said}", fix


def _line_said(piece: Piece, said: str) -> int:
    """Find where Cedar stopped: the first occurrence of the token it names after which it already says the same."""
    named = TOKEN_SAID.search(said) or re.search(r": (@?\w+)$", said)
    if named is None:
        return piece.line
    places = [place.end() for place in re.finditer(re.escape(named[1]), piece.text)][:_PLACES_MAX]
    if said.startswith("unexpected token"):
        places = [end for end in places if _says(piece.text[:end], said)] or places[:1]
    return piece.line_at(places[0] - len(named[1])) if places else piece.line


def _says(text: str, said: str) -> bool:
    try:
        cedarpy.policies_to_json_str(text)
    except ValueError as error:
        return " ".join(str(error).split())[:SAID_CHARS_MAX] == said
    return False
