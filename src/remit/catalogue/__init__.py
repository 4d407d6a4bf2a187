"""Room 4, the catalogue: only what is declared here exists.

Promises: an operation that is not in the catalogue and on the agent's list is denied (R4.1); one that is not signed by
the persons the trust root asks for, or is served otherwise than reviewed, or is not the version pinned, is denied too
(R4.2, R4.5, R4.6); arguments that do not fit the reviewed schema never leave; the digests cover everything an agent is
shown, everything that is called, and how it is governed.

    signatures = sign_parts(descriptor, None, private_key_pem)
    review = review_of(descriptor, signatures, read_trust(trust_file))
    signatures_hold(review, quarantined="")        # Allow()
    version_matches(None, descriptor)              # Deny(Reason("manifest_missing", ...))
    is_listed(None, "close_account", frozenset())  # Deny(Reason("operation_not_listed", ...))
"""

from remit.catalogue._credentials import credential_header_wrong, credential_scheme_wrong
from remit.catalogue._lists import (
    LIST_KINDS,
    Extension,
    extension_signer,
    review_list,
    sign_extension,
    sign_list,
)
from remit.catalogue._model import (
    TIERS,
    Controls,
    Descriptor,
    Effect,
    Exchanged,
    LookUp,
    Minted,
    Pin,
    Review,
    SchemaCheck,
    Secret,
    Tier,
    Tool,
    ToolCredential,
)
from remit.catalogue._rules import Part, arguments_fit, is_listed, sealed, signatures_hold, version_matches
from remit.catalogue._schemas import (
    VIOLATIONS_MAX,
    SchemaProblem,
    closed_inside,
    compile_check,
    format_is_known,
    schema_problems,
    without_unknown_keywords,
)
from remit.catalogue._served import DIFFERENCES_MAX, differences, served_digest
from remit.catalogue._signatures import payload_type, public_key_of, review_of, sign, sign_parts, statement
from remit.catalogue._text import unsafe_character, unsafe_text, visible_text
from remit.catalogue._trust import DEVELOPMENT_ROLE, Signer, TrustRoot, keyid_of, read_trust, trust_json

__all__ = [
    "DEVELOPMENT_ROLE",
    "DIFFERENCES_MAX",
    "LIST_KINDS",
    "TIERS",
    "VIOLATIONS_MAX",
    "Controls",
    "Descriptor",
    "Effect",
    "Exchanged",
    "Extension",
    "LookUp",
    "Minted",
    "Part",
    "Pin",
    "Review",
    "SchemaCheck",
    "SchemaProblem",
    "Secret",
    "Signer",
    "Tier",
    "Tool",
    "ToolCredential",
    "TrustRoot",
    "arguments_fit",
    "closed_inside",
    "compile_check",
    "credential_header_wrong",
    "credential_scheme_wrong",
    "differences",
    "extension_signer",
    "format_is_known",
    "is_listed",
    "keyid_of",
    "payload_type",
    "public_key_of",
    "read_trust",
    "review_list",
    "review_of",
    "schema_problems",
    "sealed",
    "served_digest",
    "sign",
    "sign_extension",
    "sign_list",
    "sign_parts",
    "signatures_hold",
    "statement",
    "trust_json",
    "unsafe_character",
    "unsafe_text",
    "version_matches",
    "visible_text",
    "without_unknown_keywords",
]
