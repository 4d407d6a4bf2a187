"""Addresses as they are compared: the parts that do not care about case in lower case, hosts in ASCII, the rest as is.

address_form("Ana@Example.ORG")                   # "Ana@example.org": a mailbox's own name may care (RFC 5321, 2.4)
address_form("HTTPS://Shop.Example/A")            # "https://shop.example/A" (RFC 3986, section 6.2.2.1)
host_form("bücher.example")                       # "xn--bcher-kva.example" (RFC 5890): what is looked up
host_of("https://good.example@evil.example/")     # None: who is meant depends on who reads it
"""

import re
import unicodedata
from dataclasses import dataclass
from typing import NamedTuple

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")  # RFC 1034, 3.5; an underscore is met in practice
_PLAIN_HOST = re.compile(rf"{_LABEL.pattern}(?:\.{_LABEL.pattern})*")
_HOST_CHARS_MAX = 253  # RFC 1035, section 2.3.4
_MAIL = re.compile(r"([^\s\x00-\x20\"(),:;<>@\[\\\]\x7f]{1,64})@([^\s@/:?#\[\]]{1,253})")
_URL = re.compile(r"([a-z][a-z0-9+.-]{0,30})://([^/?#]*)(.*)", re.IGNORECASE | re.ASCII)
_AUTHORITY = re.compile(r"([^@:%\[\]\\\s]+)(?::([0-9]{1,5}))?")
_PORTS = {"http": "80", "https": "443"}
# Where the host says who is spoken to. Not `javascript`, `data` and the like, in whose "host" anything may stand.
_SCHEMES = frozenset({"http", "https", "ftp", "ftps", "sftp", "ws", "wss"})
_RELAYED = frozenset("%!")  # a mailbox name that some servers pass on to another host (RFC 5321, appendix F.2)


LINKS_MAX = 500  # addresses of one call or result that are told apart
LOOKS_MAX = 5_000  # places in them where one could begin that are looked at


@dataclass(slots=True)
class Room:
    """How much more is looked for in one call or result. `out`: there was more, of which nothing is known."""

    links: int = LINKS_MAX
    looks: int = LOOKS_MAX
    out: bool = False

    def look(self) -> bool:
        """Take a look, or tell that there is no room for it."""
        self.looks -= 1
        self.out |= self.looks < 0
        return not self.out

    def take(self) -> bool:
        """Take an address, or tell that there is no room for it."""
        self.links -= 1
        self.out |= self.links < 0
        return not self.out


class Url(NamedTuple):
    """A URL apart: `form` is how it is compared, `place` the same without query and fragment, `host` in ASCII.

    An empty `host` is one that readers could take for different ones: user information, escapes, brackets.
    """

    form: str
    place: str
    host: str


def host_form(host: str) -> str | None:
    """Return a host's name in the ASCII form that is looked up, lower case; None: it is none.

    A look-alike has another one. Nothing is folded that two generations of IDNA read differently (`ß` stays).
    """
    if not host.isascii():
        if not unicodedata.is_normalized("NFKC", host):
            return None  # whether a full-width letter or dot is a plain one depends on who reads it
        host = unicodedata.normalize("NFKC", host.lower())
    host = host.lower().removesuffix(".")
    if not host or len(host) > _HOST_CHARS_MAX:
        return None
    if _PLAIN_HOST.fullmatch(host) is not None:  # (the shortest way for what there is most of)
        return host
    labels = [label if label.isascii() else _ascii_label(label) for label in host.split(".")]
    return ".".join(labels) if all(len(one) <= 63 and _LABEL.fullmatch(one) for one in labels) else None


def _ascii_label(label: str) -> str:
    if not all(char.isalnum() or char == "-" or unicodedata.category(char) in ("Mn", "Mc") for char in label):
        return ""  # (no label at all: nothing that is no letter, digit or mark is in a name)
    return "xn--" + label.encode("punycode").decode("ascii")


def mail_form(text: str) -> str | None:
    """Return an e-mail address as it is compared, or None."""
    found = _MAIL.fullmatch(text)
    host = None if found is None else host_form(found[2])
    return None if found is None or host is None or "." not in host else f"{found[1]}@{host}"


def url_of(text: str) -> Url | None:
    """Take a URL apart; None: it is none."""
    found = _URL.fullmatch(text)
    if found is None:
        return None
    scheme, authority, rest = found[1].lower(), found[2], found[3]
    if rest[:1] != "/":
        rest = f"/{rest}"  # RFC 3986, section 6.2.3
    start = f"{scheme}://{authority}"
    named = _AUTHORITY.fullmatch(authority)
    host = None if named is None or "\\" in text else host_form(named[1])
    if named is not None and host is not None:
        port = "" if named[2] in (None, _PORTS.get(scheme)) else f":{named[2]}"
        start = f"{scheme}://{host}{port}"
    return Url(
        start + rest, start + rest.partition("?")[0].partition("#")[0], host if host and scheme in _SCHEMES else ""
    )


def address_form(text: str) -> str:
    """Return a whole value as it is compared in a list: an e-mail address or URL by its form, all else as it stands."""
    if "@" in text and (mail := mail_form(text)) is not None:
        return mail
    if "://" in text and (url := url_of(text)) is not None:
        return url.form
    return text


def host_of(text: str) -> str | None:
    """Return the host of a whole e-mail address or URL, where there is no doubt about it."""
    if "://" in text:
        url = url_of(text) if text.isprintable() and " " not in text else None
        return url.host or None if url is not None else None
    mail = mail_form(text)
    if mail is None or not _RELAYED.isdisjoint(text) or not text.isprintable():
        return None
    return mail.rpartition("@")[2]
