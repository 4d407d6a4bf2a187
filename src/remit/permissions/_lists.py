"""Lists that an organisation signs: directories of trusted values, classes of data, and what users are entitled to.

A list that is not signed by those whom the trust root asks for counts for nothing: it is as if it were empty.

    payees = Directory("payees", Kind.VALUES, {"GB33BUKB20201555555555": None})
    payees.has("GB33BUKB20201555555555", now)     # True
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from remit.core import Attribute


class Kind(StrEnum):
    """What a directory lists: whole values, or domains, each with every address and URL there and below."""

    VALUES = "values"
    DOMAINS = "domains"


@dataclass(frozen=True, slots=True)
class Directory:
    """Values that may be relied on, each until a time; None: as long as the list stands. `missing`: why it is empty."""

    name: str
    kind: Kind
    entries: Mapping[str, datetime | None]
    missing: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DataClass:
    """A class of confidential data: the `receivers` who may know it, by source, and the roles that may let others.

    A source is `user`, `records`, `<operation>`, `<operation>/<pointer>` or `directory/<name>`.
    """

    name: str
    receivers: tuple[str, ...]
    reviewers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Entitlements:
    """What users may do beyond what their issuer says: `groups` by user, every group above included; `attributes`."""

    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)
    attributes: Mapping[str, tuple[tuple[str, Attribute], ...]] = field(default_factory=dict)


NOBODY = Entitlements()
"""What an organisation without such a file says."""
