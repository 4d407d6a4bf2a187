"""Room 5, records: every call, decided and done, in a log that nobody can quietly change.

Promises: an intent is durable before its effect and an outcome follows (R5.1); every entry names user, agent, task and
trace; arguments and results stand in the log only as commitments, so payloads can be erased (R5.7); the log is a
Merkle tree whose signed checkpoints a stranger can verify (R5.6).

    draft = ruled("intent", call, ruling, basis, random)
    frontier = Frontier()
    frontier.append(leaf_hash(draft.leaf))
    note = sign_note(checkpoint_text(Checkpoint(origin, frontier.size, frontier.root())), origin, key)
"""

from remit.records._activity import AgentTotals, Figures, Pair, Seen, UserTotals, figures, sightings, told
from remit.records._entries import (
    Random,
    answered,
    control,
    evaluated,
    event,
    outcome,
    refused,
    ruled,
    spoken,
    task_closed,
    task_opened,
    unknown,
)
from remit.records._explain import explain, printable, who
from remit.records._merkle import (
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of,
    verify_consistency,
    verify_inclusion,
)
from remit.records._model import Basis, Draft, Ending, Entry, Payload
from remit.records._note import (
    Checkpoint,
    checkpoint_text,
    open_note,
    parse_checkpoint,
    sign_note,
    verifier_key,
)
from remit.records._refusals import Refusal, refusals

__all__ = [
    "AgentTotals",
    "Basis",
    "Checkpoint",
    "Draft",
    "Ending",
    "Entry",
    "Figures",
    "Frontier",
    "Pair",
    "Payload",
    "Random",
    "Refusal",
    "Seen",
    "UserTotals",
    "answered",
    "checkpoint_text",
    "consistency_proof",
    "control",
    "evaluated",
    "event",
    "explain",
    "figures",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "open_note",
    "outcome",
    "parse_checkpoint",
    "printable",
    "refusals",
    "refused",
    "root_of",
    "ruled",
    "sightings",
    "sign_note",
    "spoken",
    "task_closed",
    "task_opened",
    "told",
    "unknown",
    "verifier_key",
    "verify_consistency",
    "verify_inclusion",
    "who",
]
