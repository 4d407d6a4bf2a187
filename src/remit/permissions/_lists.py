"""Lists that an organisation signs: directories of trusted values, classes of data, and what users are entitled to.

A list that is not signed by those whom the trust root asks for counts for nothing: it is as if it were empty.

    payees = Directory("payees", Kind.VALUES, {"GB33BUKB20201555555555": None})
    payees.has("GB33BUKB20201555555555", now)     # True
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from remit.core import Attribute, parse_utc
from remit.permissions._addresses import address_form, host_form, host_of

_DOMAIN_CHARS_MAX = 253  # (RFC 1035, section 2.3.4, without the root's dot)
# Letters, digits and hyphens, at least two labels, the last one no number: an IP address is no domain (RFC 1123, 2.1).
_DOMAIN = re.compile(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?")


class Kind(StrEnum):
    """What a directory lists: whole values, or domains, each with every address and URL there and below."""

    VALUES = "values"
    DOMAINS = "domains"


def is_entry(kind: Kind, entry: str) -> bool:
    """Say whether `entry` may stand in a directory of `kind`, whoever adds it: who signs the list, or an approver.

    A value is any text without blanks around it. A domain has two labels or more, in lower case and in ASCII, and is no
    IP address. Which domains belong to one owner is not known here: `co.uk` is one like any other.
    """
    if kind is Kind.VALUES:
        return bool(entry) and entry == entry.strip()
    return len(entry) <= _DOMAIN_CHARS_MAX and _DOMAIN.fullmatch(entry) is not None


@dataclass(frozen=True, slots=True)
class Directory:
    """Values that may be relied on, each until a time; None: as long as the list stands. `missing`: why it is empty.

    `entries` are what people signed as a list: a domain among them stands for all that is there and below. `added` is
    what approvers added, each for one call's sake: a domain among them stands for that very host, and nothing below it.

    An entry is over from its time on. One with `missing` has nothing, whatever its entries. Values are compared as they
    stand, but for what does not care about case: an e-mail address's domain (RFC 5321, section 2.4), a URL's scheme and
    host (RFC 3986, section 6.2.2.1). Domains are compared in the ASCII form that is looked up (RFC 5890), label by
    label, so a look-alike is never equal; an entry that is no host's name lists nothing.
    """

    name: str
    kind: Kind
    entries: Mapping[str, datetime | None]
    missing: str = ""
    added: Mapping[str, datetime] = field(default_factory=dict)
    _forms: dict[str, datetime | None] = field(init=False, repr=False, compare=False, default_factory=dict)
    _added_forms: dict[str, datetime | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        if not self.missing:
            self._fill(self._forms, self.entries)
            self._fill(self._added_forms, self.added)

    def _fill(self, forms: dict[str, datetime | None], entries: Mapping[str, datetime | None]) -> None:
        for entry, until in entries.items():
            form = host_form(entry) if self.kind is Kind.DOMAINS else address_form(entry)
            if form is not None and (form not in forms or _later(until, forms[form])):
                forms[form] = until

    def has(self, value: str, now: datetime) -> bool:
        """Tell whether the whole of `value` is listed: itself, or, among domains, a mail address or URL at one of them.

        A URL that readers may take for different places (user information, an escape in the host) is at no domain.
        """
        if not self._forms and not self._added_forms:
            return False
        if self.kind is Kind.VALUES:
            forms = (value, address_form(value))
            return any(_counts(listed, form, now) for listed in (self._forms, self._added_forms) for form in forms)
        host = host_of(value)
        return host is not None and self.has_host(host, now)

    def has_host(self, host: str, now: datetime) -> bool:
        """Tell whether `host`, in ASCII form, is at or below a signed domain, or is one that an approver added.

        A list of values has no hosts.
        """
        if self.kind is not Kind.DOMAINS:
            return False
        labels = host.split(".")
        if any(_counts(self._forms, ".".join(labels[place:]), now) for place in range(len(labels))):
            return True
        return _counts(self._added_forms, host, now)


def _counts(listed: Mapping[str, datetime | None], form: str, now: datetime) -> bool:
    if form not in listed:
        return False
    until = listed[form]
    return until is None or now < until


def _later(until: datetime | None, other: datetime | None) -> bool:
    return other is not None and (until is None or until > other)


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


def joined(directory: Directory, added: str) -> Directory:
    """Return `directory` with what approvers `added` to it: canonical JSON, a list of [value, until, person].

    A list that counts for nothing stays so: nobody extends what nobody signed. What it has already stays as it is.
    """
    if not added or directory.missing:
        return directory
    more = {str(value): parse_utc(str(until)) for value, until, _ in json.loads(added)}
    return replace(directory, added={**directory.added, **more})
