"""Lists that an organisation signs: directories of trusted values, classes of data, and what users are entitled to.

A list that is not signed by those whom the trust root asks for counts for nothing: it is as if it were empty.

    payees = Directory("payees", Kind.VALUES, {"GB33BUKB20201555555555": None})
    payees.has("GB33BUKB20201555555555", now)     # True
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from remit.core import Attribute, parse_utc
from remit.permissions._addresses import address_form, host_form, host_of


class Kind(StrEnum):
    """What a directory lists: whole values, or domains, each with every address and URL there and below."""

    VALUES = "values"
    DOMAINS = "domains"


@dataclass(frozen=True, slots=True)
class Directory:
    """Values that may be relied on, each until a time; None: as long as the list stands. `missing`: why it is empty.

    An entry is over from its time on. One with `missing` has nothing, whatever its entries. Values are compared as they
    stand, but for what does not care about case: an e-mail address's domain (RFC 5321, section 2.4), a URL's scheme and
    host (RFC 3986, section 6.2.2.1). Domains are compared in the ASCII form that is looked up (RFC 5890), label by
    label, so a look-alike is never equal; an entry that is no host's name lists nothing.
    """

    name: str
    kind: Kind
    entries: Mapping[str, datetime | None]
    missing: str = ""
    _forms: dict[str, datetime | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        for entry, until in () if self.missing else self.entries.items():
            form = host_form(entry) if self.kind is Kind.DOMAINS else address_form(entry)
            if form is not None and (form not in self._forms or _later(until, self._forms[form])):
                self._forms[form] = until

    def has(self, value: str, now: datetime) -> bool:
        """Tell whether the whole of `value` is listed: itself, or, among domains, a mail address or URL at one of them.

        A URL that readers may take for different places (user information, an escape in the host) is at no domain.
        """
        if not self._forms:
            return False
        if self.kind is Kind.VALUES:
            return self._lists(value, now) or self._lists(address_form(value), now)
        host = host_of(value)
        return host is not None and self.has_host(host, now)

    def has_host(self, host: str, now: datetime) -> bool:
        """Tell whether `host`, in ASCII form, is at or below a listed domain. A list of values has no hosts."""
        if self.kind is not Kind.DOMAINS:
            return False
        labels = host.split(".")
        return any(self._lists(".".join(labels[place:]), now) for place in range(len(labels)))

    def _lists(self, form: str, now: datetime) -> bool:
        if form not in self._forms:
            return False
        until = self._forms[form]
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

    A list that counts for nothing stays so: nobody extends what nobody signed.
    """
    if not added or directory.missing:
        return directory
    more = {str(value): parse_utc(str(until)) for value, until, _ in json.loads(added)}
    return replace(directory, entries={**more, **directory.entries})
