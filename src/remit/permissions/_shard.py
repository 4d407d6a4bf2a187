"""The compiled form that answers: one per agent and operation, nothing parsed on a call.

1. Rules are asked first; holds only where the rules permit, so a hold never hides a missing permit.
2. Any evaluation error denies: Cedar skips a policy that errs, and a skipped `forbid` would be a hole.
3. Holds are `forbid` policies in a set of their own over one permit of everything; what applies there holds the call.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cedarpy

from remit.core import (
    Allow,
    Decision,
    Deny,
    Hold,
    InputRefusedError,
    Json,
    JsonObject,
    Reason,
    Requirement,
    canonical_bytes,
)
from remit.permissions._flat import Builder, Reads
from remit.permissions._model import Question, Shard

_NO_ENTITIES = cedarpy.Entities.from_json_str("[]")
_DETAIL_CHARS_MAX = 200
_WAIT = "wait for a person to decide, then send exactly the same call again"
_ASK = "ask the agent's owner, who finds the policy by its id"  # the agent hears it: no guide to our files


@dataclass(frozen=True, slots=True, kw_only=True)
class CedarShard:
    """The policies of `agent` that can concern `operation` of `tool`. `holds` is None where there are none."""

    agent: str
    operation: str
    tool: str
    convert: Callable[[Mapping[str, Json]], JsonObject]
    convert_user: Callable[[Question], JsonObject] | None  # None: the policies read nothing of the user
    build: Builder
    reads: Reads | None  # None: the policies need the nested context
    rules: cedarpy.PolicySet
    holds: cedarpy.PolicySet | None
    texts: Mapping[str, str]  # what each policy says of itself, by id
    terms: Mapping[str, tuple[Requirement, ...]]

    def decide(self, question: Question) -> Decision:
        """Answer `question`: rules first, then, only where they permit, holds. Any evaluation error denies.

        Deny codes: `policy_no_permit`, `policy_forbids`, `policy_error`, `policy_wrong_shard`, `argument_type`,
        `argument_not_decimal`, `user_attribute_type`, `label_unknown`, `history_missing`, `history_type`,
        `fact_missing`, `fact_type`, `confidence_invalid`, `json_unwritable`. Hold code: `approval_required`. One
        question has one answer, always.
        """
        if (question.agent, question.operation, question.tool) != (self.agent, self.operation, self.tool):
            return self._wrong_shard(question)
        try:
            request = self._request(question)
        except InputRefusedError as refused:
            return Deny(Reason(refused.code, refused.message, refused.fix))
        ruled = cedarpy.is_authorized(request, self.rules, _NO_ENTITIES)
        if ruled.diagnostics.errors or ruled.decision is cedarpy.Decision.NoDecision:
            return _erred(ruled)
        if ruled.decision is not cedarpy.Decision.Allow:
            return self._refused(sorted(ruled.diagnostics.reasons))
        return self._ask_holds(request) if self.holds is not None else Allow()

    def _request(self, question: Question) -> dict[str, object]:
        arguments = self.convert(question.arguments)
        user = {} if self.convert_user is None else self.convert_user(question)
        return {
            "principal": {"type": "User", "id": question.user},
            "action": {"type": "Action", "id": self.operation},
            "resource": {"type": "Tool", "id": self.tool},
            "context": canonical_bytes(self.build(question, arguments, user)).decode(),
        }

    def _ask_holds(self, request: dict[str, object]) -> Decision:
        if self.holds is None:
            return Allow()
        asked = cedarpy.is_authorized(request, self.holds, _NO_ENTITIES)
        if asked.diagnostics.errors or asked.decision is cedarpy.Decision.NoDecision:
            return _erred(asked)
        if asked.decision is cedarpy.Decision.Allow:
            return Allow()
        return self._held(sorted(asked.diagnostics.reasons))

    def _refused(self, ids: list[str]) -> Deny:
        if not ids:
            return Deny(
                Reason(
                    "policy_no_permit",
                    f"no policy of `{self.agent}` permits `{self.operation}` with these arguments",
                    _ASK,
                )
            )
        return Deny(Reason("policy_forbids", f"`{self.operation}` is forbidden by {self._named(ids)}", _ASK))

    def _held(self, ids: list[str]) -> Hold:
        needs = tuple(dict.fromkeys(need for name in ids for need in self.terms[name]))
        asked = "; ".join(f"{need.quorum} of {', '.join(need.approvers)} within {need.within_s} s" for need in needs)
        message = f"`{self.operation}` needs approval ({asked}), by {self._named(ids)}"
        return Hold(Reason("approval_required", message, _WAIT), needs)

    def _named(self, ids: list[str]) -> str:
        return ", ".join(f"`{name}` ({text})" if (text := self.texts[name]) else f"`{name}`" for name in ids)

    def _wrong_shard(self, question: Question) -> Deny:
        asked = f"`{question.operation}` of `{question.tool}` for `{question.agent}`"
        mine = f"`{self.operation}` of `{self.tool}` for `{self.agent}`"
        return Deny(Reason("policy_wrong_shard", f"asked about {asked}, but compiled for {mine}", "run `remit check`"))


def labels_read(shard: Shard | None) -> frozenset[str] | None:
    """Return the arguments whose origin a shard's policies ask for; None where that is not known, so all of them."""
    if not isinstance(shard, CedarShard) or shard.reads is None:
        return None
    return frozenset(attribute for _, section, attribute in shard.reads if section == "labels")


def _erred(result: cedarpy.AuthzResult) -> Deny:
    said = "; ".join(sorted(result.diagnostics.errors)) or "the policy could not be asked"
    return Deny(
        Reason(
            "policy_error",
            f"a policy could not be evaluated: {' '.join(said.split())[:_DETAIL_CHARS_MAX]}",
            "a policy that errs never permits: mend the policy, or send the argument that it reads",
        )
    )
