"""What Remit promises, as data: the ledger. Each row is one promise with a stable id.

A row is kept when a test tagged with its id proves the whole of it through the real surfaces; until then it is
pending, and says which step of the plan brings it and what is missing today. The pending rows only become fewer.
`tests/docs/test_requirements.py` proves both directions.

    kept = [row.id for row in REQUIREMENTS if not row.pending]
"""

from dataclasses import dataclass

PLAN = {
    1: "skeleton",
    2: "the bounded agent in first form",
    3: "identity",
    4: "permissions, approvals, provenance",
    5: "catalogue and wire",
    6: "limits, money, store",
    7: "model gateway and records",
    8: "charter and fallbacks",
    9: "releases",
    10: "drills and readiness",
    11: "console, docs, packaging",
}


@dataclass(frozen=True, slots=True)
class Requirement:
    """One promise. `pending` is `step N: what is missing`, N of `PLAN`; empty means kept."""

    id: str
    promise: str
    pending: str = ""


REQUIREMENTS = (
    # 1 charter
    Requirement(
        "R1.1",
        (
            "An agent exists only with a charter: a named accountable owner, the business process it "
            "supports, a purpose. A charter without them is refused with the line that is missing."
        ),
    ),
    Requirement(
        "R1.2",
        (
            "Approved use cases are listed; a task names one, and each use case closes the list of operations "
            "it may use. Anything else is denied."
        ),
    ),
    Requirement(
        "R1.3",
        (
            "Prohibited use cases are listed and enforced: a task or call that matches one is denied and "
            "escalated, with the charter's own reason."
        ),
        "step 8: prohibited use cases are neither listed nor enforced",
    ),
    Requirement(
        "R1.4",
        (
            "Input bounds: what an agent may be given (schema, size, data classes). Input outside them never "
            "reaches the agent's model or tools."
        ),
        (
            "step 8: a task's input is recorded, not checked; only the size of a request and the arguments of "
            "a call are bounded"
        ),
    ),
    Requirement(
        "R1.5",
        "Output bounds: what it may hand back. Output outside them never leaves through Remit.",
        "step 8: an agent's answer does not pass Remit",
    ),
    Requirement(
        "R1.6",
        (
            "Escalation is a feature: out of scope, over a bound, under the confidence threshold, or asked "
            "for by the agent: the task goes to a named queue with a deadline, a fallback person and the full "
            "context; a person resolves it, and the user gets a clear answer."
        ),
        "step 8: there is no queue, deadline or fallback person",
    ),
    Requirement(
        "R1.7",
        (
            "Success and failure criteria are measured from the records, per business process: tool-selection "
            "accuracy, completion without a person, out-of-bounds requests, and the charter's own measures; "
            "each with a target, a window and an alarm."
        ),
        "step 8: nothing is measured from the records",
    ),
    Requirement(
        "R1.8",
        (
            "The whole charter is testable: `remit check` proves it consistent and generates boundary cases "
            "for every bound."
        ),
        (
            "step 8: `remit check` proves a charter consistent with catalogue and policies; no boundary cases "
            "are generated"
        ),
    ),
    # 2 identity
    Requirement(
        "R2.1",
        (
            "Users come from the organisation's own identity provider (OIDC discovery, JWKS, rotation); none "
            "is invented by an agent."
        ),
    ),
    Requirement(
        "R2.2",
        "Every agent has its own machine identity (key pair or workload identity), never shared, never the user's.",
        (
            "step 3: a key, a certificate or a workload identity is demanded of every agent but those whose file says "
            "`bearer: true`; a plain client is known by a `client_id` that it need not have proven, and only reads"
        ),
    ),
    Requirement(
        "R2.3",
        ("Every tool has an identity: a call carries a credential minted for that tool alone (audience), short-lived."),
        (
            "step 3: each call carries a credential for its tool alone; that a minted one is over after 120 seconds is "
            "not shown through a real surface, and a tool may be given a secret that does not end"
        ),
    ),
    Requirement(
        "R2.4",
        (
            "On behalf of: OAuth 2.0 Token Exchange (RFC 8693) with `sub` = user, `act` = agent, and rich "
            "authorization details (RFC 9396) for the task."
        ),
    ),
    Requirement(
        "R2.5",
        (
            "Authority is the intersection of what the user may do, what the agent may do and what the task "
            "needs; never the union."
        ),
    ),
    Requirement(
        "R2.6",
        (
            "No confused deputy: a low-privileged user cannot get more through a high-privileged agent; tokens "
            "are never passed through; every audience and issuer is checked."
        ),
    ),
    Requirement(
        "R2.7",
        "Agents are tracked, audited and limited on their own, independently of their users.",
        (
            "step 3: caps, keys, cuts, figures and refusals are by agent; that they are so whoever its users are is "
            "shown through a real surface of caps alone"
        ),
    ),
    Requirement(
        "R2.8",
        "A malicious user and a looping agent can be told apart from the records, by one command.",
    ),
    Requirement(
        "R2.9",
        (
            "Chain of custody: every request and state change names user, agent, tool, approver and the "
            "delegation that joined them."
        ),
    ),
    Requirement(
        "R2.10",
        ("Downstream services can apply their own policy: they receive a verifiable token with who asks and who acts."),
    ),
    Requirement(
        "R2.11",
        (
            "One agent's credentials can be revoked at once, everywhere (in-flight work, pending approvals, "
            "cached tokens, minted tool tokens), without touching any user or other agent; the time it took is "
            "measured and recorded."
        ),
        (
            "step 3: tasks, approvals, calls under way, caches and keys end at once, and the time is recorded; a tool "
            "token that was sent is good at its tool for the rest of its 120 seconds"
        ),
    ),
    # 3 permissions
    Requirement("R3.1", "Permission is per operation (read an account, change a phone number), never per system."),
    Requirement(
        "R3.2",
        (
            "Every call is evaluated against fine-grained rules over user, agent, operation, resource, arguments "
            "and context; read, write, execute and irreversible are distinct."
        ),
    ),
    Requirement(
        "R3.3",
        "Operations carry an impact tier; each tier has its scrutiny.",
    ),
    Requirement(
        "R3.4",
        "Thresholds: automatic below an amount, a person above it, never above another.",
    ),
    Requirement(
        "R3.5",
        "Approval requirements differ per operation: who, how many, how soon, and who may not (no self-approval).",
    ),
    Requirement(
        "R3.6",
        "Least privilege per task: only the authority the task at hand needs, for as long as it runs.",
    ),
    Requirement(
        "R3.7",
        (
            "Rules live in the authorization layer and are deterministic: the same call and facts give the "
            "same answer, for ever, whatever the model says."
        ),
    ),
    Requirement(
        "R3.8",
        (
            "A rule cannot fail open: it is typed against the tool's own schema; an unknown attribute, a "
            "missing value or an engine error is a load error or a denial."
        ),
    ),
    Requirement(
        "R3.9",
        (
            "Where a value came from counts: an argument taken from untrusted content cannot steer a "
            "consequential call without a person."
        ),
        (
            "step 4: a text or number from untrusted content is held, in this task and every later one; true and false "
            "have no origin"
        ),
    ),
    # 4 catalogue
    Requirement(
        "R4.1", "Only declared tools exist; everything else is denied, also when an agent discovers it by itself."
    ),
    Requirement(
        "R4.2",
        (
            "Every entry is signed, versioned and reviewed, by security and by engineering (N of M signatures by "
            "distinct persons, by role; the author cannot sign)."
        ),
        (
            "step 5: N of M distinct persons by role, never the author, are asked for on every call; in the only "
            "profile one signer is enough, and `remit init` signs by itself"
        ),
    ),
    Requirement(
        "R4.3",
        (
            "The catalogue is a policy file: it lives in version control, changes by review, and `remit` shows a "
            "readable diff."
        ),
        (
            "step 5: files, signatures and manifests change by review, and `remit tools` shows how servers and "
            "pins differ; no command shows a diff of the catalogue itself"
        ),
    ),
    Requirement(
        "R4.4",
        "Gate 1 on every call: the tool is on the list for this agent and this user.",
        "step 5: the list is per agent and use case and the same for every user; policies may name a user",
    ),
    Requirement(
        "R4.5",
        (
            "Gate 2 on every call: the descriptor's signatures hold, and the tool served is the tool reviewed "
            "(name, description, schemas, annotations, endpoint or artefact)."
        ),
        (
            "step 5: signatures are asked for on every call; what is served is compared on new connections and "
            "every ten seconds, and not at all where nothing of it was kept"
        ),
    ),
    Requirement(
        "R4.6",
        "Gate 3 on every call: the version equals the deployed manifest's, exactly.",
    ),
    Requirement(
        "R4.7",
        "A changed tool is quarantined until reviewed, never silently refreshed.",
        "step 5: a changed tool is quarantined; one of which nothing was kept is not compared, only warned of",
    ),
    Requirement(
        "R4.8",
        "A tool's security parameters change without touching prompt, model or agent.",
        (
            "step 5: controls are signed and deployed apart from the interface, also for running tasks; tiers do "
            "not exist yet"
        ),
    ),
    # 5 records
    Requirement(
        "R5.1",
        (
            "Operational: each call's request, decision with every gate's answer, response, timing, attempts. "
            "Intent is durable before the effect; an outcome follows; a crash leaves a visible unknown."
        ),
        "step 6: attempts are missing: no entry holds them; request, gates, response, timing and unknown stand",
    ),
    Requirement(
        "R5.2",
        (
            "Cognitive: the plan, reasoning and reflections that led to it, captured at the model gateway, "
            "not on the agent's word, and joined to the call they justified."
        ),
        "step 7: model calls do not pass Remit",
    ),
    Requirement(
        "R5.3",
        (
            "Contextual: versions of retrieved documents, limit and rate state (ours and the upstream's own "
            "rate-limit headers), the resource's state, user, release, at that moment."
        ),
        (
            "step 7: user, task, bundle, approvals, origins of values and a full cap are recorded; documents, "
            "the upstream's own limits and the resource's state are not"
        ),
    ),
    Requirement(
        "R5.4",
        "All three share trace and span ids (W3C), also across agents and tools, and flow to OpenTelemetry.",
        "step 7: calls carry W3C trace ids, also to the tool server; nothing flows to OpenTelemetry",
    ),
    Requirement(
        "R5.5",
        "The whole decision chain is rebuilt with one command and one screen, from prompt to effect.",
        "step 7: `remit records explain` tells a task's tool calls; prompts and model output are not recorded",
    ),
    Requirement(
        "R5.6",
        (
            "Tamper-evident and independent of the agent: Merkle log, signed checkpoints, witnesses, a "
            "verifier that shares no code with the product."
        ),
        "step 7: Merkle log, signed checkpoints and a separate verifier stand; there are no witnesses",
    ),
    Requirement(
        "R5.7",
        (
            "No secret or undue personal datum in records: redaction, and erasure of payloads that leaves the "
            "proofs intact."
        ),
        "step 7: payloads sit apart from the proofs; no redaction, and no command that erases",
    ),
    # 6 limits
    Requirement(
        "R6.1",
        "Concurrency caps per agent, user, tool.",
        (
            "step 6: caps at once count by agent, and by user or tool within one agent; nothing caps a user or a "
            "tool over all agents"
        ),
    ),
    Requirement(
        "R6.2",
        (
            "Retries with exponential backoff and jitter, only where a retry is safe; circuit breakers; a "
            "write happens once."
        ),
        "step 6: nothing is retried",
    ),
    Requirement(
        "R6.3",
        (
            "Money: hard budgets per task, agent, user, day, over model calls and tool calls together; "
            "reserve, then settle; never a cent over, proven under concurrency and crash."
        ),
        "step 6: no budgets",
    ),
    Requirement(
        "R6.4",
        "Asymmetric: reads and writes have their own limits (500 reads, 5 writes a day).",
    ),
    Requirement(
        "R6.5",
        "Limits live outside the agent: nothing it sends can change, reset or evade them.",
    ),
    Requirement(
        "R6.6",
        "Loops are seen and stopped: the same failing call, ping-pong between tools, no progress.",
        "step 6: loops are not looked for",
    ),
    Requirement(
        "R6.7",
        (
            "Cost is held against value: cost per completed task beside its declared business value, with an "
            "alarm when automation costs more than it gives."
        ),
        "step 6: no cost is known",
    ),
    # 7 fallbacks
    Requirement(
        "R7.1",
        "Every agent answer and tool result is checked against its schema.",
        "step 8: a tool's result is checked against the protocol, not against its schema",
    ),
    Requirement(
        "R7.2",
        (
            "On failure: a templated answer or a simpler deterministic path, declared in advance; never a "
            "blind retry of the same prompt."
        ),
        "step 8: no declared fallbacks",
    ),
    Requirement(
        "R7.3", "Below the confidence threshold: to a person, not executed.", "step 8: no confidence threshold"
    ),
    Requirement(
        "R7.4",
        "Irreversible actions are confirmed out of band by a person, outside the agent's autonomy, always.",
    ),
    Requirement(
        "R7.5",
        "The user gets clear feedback on what happened and what is next.",
        (
            "step 8: every refusal has a code and a fix for the agent, and users see held calls made for them; "
            "nothing tells them how it ended"
        ),
    ),
    Requirement(
        "R7.6",
        "A dead model, tool, store or policy engine has a defined, tested answer.",
        "step 8: a dead tool or store has a defined, tested answer; a dead model has none",
    ),
    # 8 releases
    Requirement(
        "R8.1",
        (
            "Code reference, model version, tool manifest, prompts, policies, limits and fallbacks are one "
            "content-addressed, signed bundle; deployed, tested and reverted as one."
        ),
        (
            "step 9: charters, limits, manifests, catalogue, reviews, policies and trust root are one digest, "
            "deployed and reverted as one; it is not signed and holds no code, model or prompt"
        ),
    ),
    Requirement(
        "R8.2",
        "What ran when, for whom, is history that cannot be rewritten.",
        ("step 9: every bundle that ran is kept and every deployment is logged; there are no releases per user"),
    ),
    Requirement(
        "R8.3",
        "Canary: a controlled share of users, sticky, with automatic abort on statistically sound evidence.",
        "step 9: no canary",
    ),
    Requirement(
        "R8.4",
        "Shadow: the new version sees live input and decides, and nothing it decides is executed.",
        "step 9: no shadow",
    ),
    Requirement(
        "R8.5", "Decisions of shadow and live are compared, and regressions shown.", "step 9: no shadow to compare with"
    ),
    Requirement(
        "R8.6",
        "Rollback in seconds, complete, under load, with no request ever seeing a mix.",
        "step 9: one command brings back a whole bundle and says how long it took; it is not shown under load",
    ),
    Requirement(
        "R8.7",
        "Recorded traffic is replayed against a bundle before it is deployed.",
        "step 9: recorded decisions are replayed on the bundle they were made on, not on a new one",
    ),
    # 9 drills
    Requirement("R9.1", "Direct prompt injection.", "step 10: there are no drills yet"),
    Requirement("R9.2", "Indirect prompt injection.", "step 10: there are no drills yet"),
    Requirement("R9.3", "Memory poisoning.", "step 10: there are no drills yet"),
    Requirement("R9.4", "Plan-of-thought backdoors.", "step 10: there are no drills yet"),
    Requirement("R9.5", "Tool timeouts.", "step 10: there are no drills yet"),
    Requirement("R9.6", "Malformed data.", "step 10: there are no drills yet"),
    Requirement("R9.7", "Missing tool, slow network.", "step 10: there are no drills yet"),
    Requirement("R9.8", "Model drift.", "step 10: there are no drills yet"),
    Requirement("R9.9", "High concurrency, shared resources, deadlock.", "step 10: there are no drills yet"),
    Requirement(
        "R9.10",
        (
            "All of these run before production against the bundle, and their results gate it; the worst case "
            "is an agent that is fully compromised."
        ),
        "step 10: there are no drills yet",
    ),
    # 10 readiness
    Requirement(
        "R10.1", "Role defined, with a closed list of operations.", "step 10: there is no readiness review yet"
    ),
    Requirement(
        "R10.2",
        "User, agent and tool identity propagated end to end, shown on a real call.",
        "step 10: there is no readiness review yet",
    ),
    Requirement(
        "R10.3",
        (
            "Every tool call logged independently of the agent, tamper-evident, checkpoints witnessed outside "
            "the operator's reach."
        ),
        "step 10: there is no readiness review yet",
    ),
    Requirement(
        "R10.4",
        "All limits, caps and fallbacks governed by external deterministic code.",
        "step 10: there is no readiness review yet",
    ),
    Requirement(
        "R10.5",
        (
            "Runs in CI/CD with honest exit codes (an empty directory fails), SARIF and JUnit, and a signed "
            "attestation without which nothing goes live."
        ),
        "step 10: `remit check` fails on an empty folder; no SARIF, no JUnit, no attestation",
    ),
    Requirement(
        "R10.6",
        (
            "No way around: upstreams refuse direct calls, agents hold no tool or provider credentials, "
            "direct egress is closed; shown by trying."
        ),
        "step 10: there is no readiness review yet",
    ),
    Requirement(
        "R10.7",
        (
            "Integrated into the enterprise's management: alerts, SIEM, on-call and ticket delivery proven by "
            "a real delivery."
        ),
        "step 10: there is no readiness review yet",
    ),
)
