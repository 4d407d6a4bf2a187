r"""Addresses in a text: URLs, e-mail addresses, IBANs. What a reader, or a reader's program, could go, write or pay to.

1. Looked for in what is seen: invisible characters gone, full width made plain (NFKC), escapes, brackets and quotes
   around an address left out.
2. Where it is unclear how far an address goes, it goes further: a longer one is nobody's, and so held.
3. A URL is any `scheme://...`, and a host with a dot whose last label is a top-level domain, bare, with a path or after
   `www.`. Of `README.md` and the like, where a file's ending is a country's too, only what stands alone is a file.
   After `//`, `\\` or the name of a scheme that browsers follow, anything is a host; `data:` with content is a URL too.
4. What is an address only once entities, percent signs or Markdown's backslashes are taken away, or a tab or the end of
   a line inside of it (WHATWG URL, section 4.4), is hidden, and so nobody's.
5. Left alone on purpose, as nothing follows them: `hxxp://evil[.]example`, words that only describe an address.

    [link.written for link in links_in("see [it](https://evil.example/a), or mail eve@evil.example.")]
    # ["https://evil.example/a", "eve@evil.example"]
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from urllib.parse import unquote

from remit.permissions._addresses import Room, mail_form, url_of
from remit.permissions._iban import iban_in, may_have_iban
from remit.permissions._tops import is_top
from remit.permissions._values import plain

_TRAILING_MAX = 8  # characters after an address that are taken for the sentence's
_ESCAPES_MAX = 2_000  # of one text, that are taken away; one with more has an address that nobody gave

# Nor is there an id or a number in a text without one of these.
_WORTH = re.compile(r"[.@:0-9&/\\](?:(?<=[0-9])|(?<=[.@:&])(?=[^\s])|(?<=/)/|(?<=\\)\\)")
# Nothing is an address without one of these.
_MARKS = re.compile(
    r"[.@\u3002:/\\](?:(?<=[.@\u3002])(?=[^\s])|(?<=:)(?=//)|(?<=[A-Za-z]:)(?=[^\s])|(?<=/)/|(?<=\\)\\)"
)
_UNMARKED = re.compile(r"[.@:]|//|\\\\")
_AMOUNT = "0123456789.,"

# Characters of a host's label: letters, digits, hyphen, underscore, and every one beyond ASCII but for punctuation.
_L = (
    "0-9A-Za-z_\\-\u00aa\u00b5\u00b7\u00ba\u00c0-\u1fff\u200c\u200d\u2c00-\u2fff\u3040-\ufdff\ufe20-\ufffd"
    "\U00010000-\U0010ffff"
)
_HOST = rf"(?<![{_L}])(?:[{_L}]++\.)+[{_L}]++\.?+"
_LOCAL = r"0-9A-Za-z.!#$%&'*+\-^_`~\u0080-\U0010ffff"
_ADDRESS = re.compile(
    rf"""(?P<url>[A-Za-z0-9+.\-]{{0,32}}+://(?=[^\s<>"\u201c\u201d]))
    |(?P<mail>(?<![{_LOCAL}])[{_LOCAL}]++@(?:\[[0-9A-Fa-f:.IPpVv]++\]|[{_L}.]++))
    |(?P<host>{_HOST})""",
    re.VERBOSE,
)
_TAIL = re.compile(r"""(?:(?!\]\()[^\s<>"\u201c\u201d])*+""")
_DEFANGED = re.compile(r"[^/?#\[]{0,253}\[\.\]")
_GOES_ON = frozenset("/?#\\:")
_REST = re.compile(r"""(?::[0-9]{1,5})?(?:[/?#\\](?:(?!\]\()[^\s<>"\u201c\u201d])*+)?""")
_IDEOGRAPHIC_DOT = re.compile("(?<=[0-9A-Za-z])[\u3002](?=[0-9A-Za-z])")
_NUMBERS = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}")
# What a browser takes for a host although it is spelled in no ordinary way.
_ODD = re.compile(
    r"""(?:(?<![0-9A-Za-z+.\-])(?:(?:https?|ftps?|wss?):(?!//)[/\\]*|file:(?!//)[/\\]+)
    |(?<![:/\\0-9A-Za-z_])[/\\]{2,})
    (?P<host>\[[0-9A-Fa-f:.]+\]|[^\s/\\?\#<>"'`()\[\]{}|,;]+)(?P<goes_on>[/\\?\#:]?)""",
    re.VERBOSE | re.IGNORECASE,
)
_INSIDE = re.compile(
    r"(?<![0-9a-z])(?:data:(?:[a-z]+/[a-z0-9.+\-]+)?(?:;[a-z0-9.=\-]+)*,|(?:java|vb)script:)(?=[^\s])", re.IGNORECASE
)
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)
# In an attribute: a browser leaves tabs and ends of lines out.
_SPLIT = re.compile(
    r"""(["'])\s*((?:[a-z][a-z0-9+.\-\t\r\n]{0,30}:)?[\t\r\n]*(?:[/\\][\t\r\n]*){2}[^"'<>/\\?# ]{1,253})"""
    r"""(?=[^"']{0,2000}\1)""",
    re.IGNORECASE,
)
_MARKDOWN = re.compile(r"\\([!-/:-@\[-`{-~])")
_NEXT = re.compile(r"""['`();,|*"<>{}\[\]]""")
_MORE_TOPS = frozenset({"onion", "i2p"})  # no domain system knows them, and yet they lead somewhere
# Endings of files that are top-level domains as well.
_FILES = frozenset(
    {
        "ai",
        "app",
        "as",
        "bat",
        "cab",
        "cc",
        "data",
        "docs",
        "md",
        "mov",
        "pl",
        "ps",
        "py",
        "rs",
        "sh",
        "so",
        "st",
        "zip",
    }
)


@dataclass(frozen=True, slots=True)
class Address:
    """An address in a text, as `written`. `kind` is `url`, `email` or `iban`.

    `gives` are the forms under which it is remembered as given, `asks` those of which one suffices to have been given;
    `host` is where it leads, in ASCII form, empty when that is not beyond doubt. `hidden`: it stands there only once
    invisible or look-alike characters are seen through, so that it is nobody's.
    """

    kind: str
    written: str
    gives: tuple[str, ...]
    asks: tuple[str, ...]
    host: str = ""
    hidden: bool = False


def may_name(text: str) -> bool:
    """Tell quickly, for most texts, that no address, number or id is in them."""
    return not text.isascii() or _WORTH.search(text) is not None


def links_in(text: str, room: Room | None = None) -> list[Address]:
    """Return every address in `text`, in order of kind and place: as many as there is `room` for, and one hidden one.

    Without `room`, the text has one of its own.
    """
    room = Room() if room is None else room
    shown = plain(text)
    found = _links_in(shown, room)
    escaped = _escaped_in(shown, found, room) if "&" in shown or "%" in shown or "\\" in shown else ()
    if found and shown != text:
        found = _as_written(found, text)
    if escaped or room.out:
        found += escaped
        found += [_nobodys("")] if room.out else []
    return found


def _nobodys(written: str) -> Address:
    return Address("url", written, (), (), hidden=True)


def _as_written(found: list[Address], text: str) -> list[Address]:
    """Hide what does not stand in `text` exactly, as often as it does."""
    there = Counter(one.written for one in _links_in(text, Room()))
    told: list[Address] = []
    for one in found:
        there[one.written] -= 1
        told.append(one if there[one.written] >= 0 else Address(one.kind, one.written, (), (), hidden=True))
    return told


def _links_in(shown: str, room: Room) -> list[Address]:
    found: list[Address] = []
    for chunk in _chunks(shown):
        if not room.look():
            return found
        for one in _in_chunk(chunk, room):
            if not room.take():
                return found
            found.append(one)
    if ("'" in shown or '"' in shown) and not shown.isprintable():
        found += (_nobodys(split[2]) for split in _SPLIT.finditer(shown) if not split[2].strip().isprintable())
    if may_have_iban(shown):
        for iban in iban_in(shown, room):
            if not room.take():
                return found
            found.append(Address("iban", iban, (iban,), (iban,)))
    return found


def _escaped_in(shown: str, found: list[Address], room: Room) -> list[Address]:
    """Return the addresses that are there only once escapes are taken away, from the text or from one `found` there."""
    if shown.count("&") + shown.count("%") + shown.count("\\") > _ESCAPES_MAX:
        room.out = True
        return []
    bare = _unescaped(shown)
    if bare == shown:
        return []
    known = {one.written for one in found}
    for one in found:  # these are looked at whole, with whatever is escaped in them
        if (inner := _unescaped(one.written)) != one.written:
            known.update(other.written for other in _links_in(inner, room))
    return [
        Address(one.kind, one.written, (), (), hidden=True) for one in _links_in(bare, room) if one.written not in known
    ]


def _unescaped(text: str) -> str:
    """Return `text` as a browser has it that was given it as HTML, Markdown or a URL."""
    return plain(unquote(unescape(_MARKDOWN.sub(r"\1", text))))


def further_in(link: Address) -> list[Address]:
    """Return the addresses inside of a URL: behind what may end it, to some reader, and in its path and query."""
    start = link.written.find("://") + 3
    tail = re.search(r"[/?#]", link.written[start if start > 2 else 0 :])
    if link.kind != "url" or tail is None:
        return []
    rest = link.written[(start if start > 2 else 0) + tail.start() :]
    own, *others = _NEXT.split(unquote(unescape(rest)))
    within = [
        one
        for one in links_in(own)
        if "://" in one.written or one.kind != "url" or one.hidden or f"//{one.written}" in own
    ]
    for other in others:
        within += links_in(other)
    return within


def _chunks(shown: str) -> Iterator[str]:
    """Return what stands between spaces and may hold an address."""
    hit = _MARKS.search(shown)
    if hit is None:
        return
    flat = shown.replace("\n", " ")
    if not flat.isascii() or not flat.isprintable():
        plainer = shown if shown.isascii() else _IDEOGRAPHIC_DOT.sub(".", shown)
        yield from (chunk for chunk in plainer.split() if _UNMARKED.search(chunk) is not None)
        return
    while hit is not None:
        start, end = flat.rfind(" ", 0, hit.start()) + 1, flat.find(" ", hit.start())
        chunk = flat[start:] if end < 0 else flat[start:end]
        if chunk.strip(_AMOUNT) or chunk.count(".") > 2:
            yield chunk
        hit = None if end < 0 else _MARKS.search(flat, end)


def _in_chunk(chunk: str, room: Room) -> Iterator[Address]:
    place = 0
    if "//" in chunk or "\\" in chunk or ":" in chunk:
        yield from _odd_in(chunk)
    while (found := _ADDRESS.search(chunk, place)) is not None and room.look():
        place = found.end()  # INVARIANT: only what an address was made of is passed over
        if found["url"] is not None:
            if found["url"].lower() in ("hxxp://", "hxxps://") and _DEFANGED.match(chunk, place):
                continue
            tail = _TAIL.match(chunk, place)
            place = place if tail is None else tail.end()
            yield _url(_trimmed(chunk[found.start() : place]))
        elif found["mail"] is not None:
            yield from _mail(found["mail"])
        else:
            goes_on = chunk[place : place + 1] in _GOES_ON
            if _is_place(found["host"].rstrip(".").lower().split("."), goes_on=goes_on):
                rest = _REST.match(chunk, place)
                place = place if rest is None else rest.end()
                yield _bare(_trimmed(chunk[found.start() : place]))


def _odd_in(chunk: str) -> Iterator[Address]:
    for found in _INSIDE.finditer(chunk):
        yield Address("url", chunk[found.start() :], (), ())
    for found in _ODD.finditer(chunk):
        host, goes_on = found["host"].rstrip(".:!"), found["goes_on"] != ""
        if _is_place(host.lower().split("."), goes_on=goes_on) and "%" not in host and "&" not in host:
            continue  # found as a bare host
        named = found[0][:1].isalpha() or host[:1] == "[" or _NUMBER.fullmatch(host) is not None
        if named or goes_on or "." in host or "%" in host:
            yield Address("url", chunk[found.start() :], (), ())


def _trimmed(written: str) -> str:
    """Leave out what follows an address in a sentence, in brackets or in emphasis."""
    end = len(written)
    while end and len(written) - end <= _TRAILING_MAX and written[end - 1] in ".,;:!?'*_~`|)]}\u2019\u00bb":
        if written[end - 1] == ")" and written.count("(", 0, end) >= written.count(")", 0, end):
            break
        end -= 1
    return written[:end] if len(written) - end <= _TRAILING_MAX else written


def _url(written: str) -> Address:
    url = url_of(written)
    if url is None:
        return Address("url", written, (), ())
    web = url.form.startswith(("http:", "https:"))
    asks = (url.form, url.form.partition(":")[2]) if web else (url.form,)
    return Address("url", written, tuple(dict.fromkeys((url.form, url.place))), asks, url.host)


def _mail(written: str) -> Iterator[Address]:
    written = written.lstrip("'*`~").rstrip(".-_")
    name, _, host = written.rpartition("@")
    top = host.rpartition(".")[2]
    if not name or (not host.startswith("[") and ("." not in host or top.isdigit())):
        return
    form = mail_form(written)
    forms = () if form is None else (form,)
    relayed = "%" in name or "!" in name
    yield Address("email", written, forms, forms, "" if form is None or relayed else form.rpartition("@")[2])


def _bare(written: str) -> Address:
    url = None if "\\" in written else url_of(f"http://{written}")
    if url is None or not url.host:
        return Address("url", written, (), ())
    form, place = url.form.partition(":")[2], url.place.partition(":")[2]
    asks = (form, f"https:{form}", url.form)
    return Address("url", written, tuple(dict.fromkeys((form, place))), asks, url.host)


def _is_place(labels: list[str], *, goes_on: bool) -> bool:
    """Tell a host from a file's name, a version or a missing space."""
    if not all(labels):
        labels = [label for label in labels if label]
    top = labels[-1] if labels else ""
    if len(labels) < 2 or top.isdigit():
        return len(labels) == 4 and _NUMBERS.fullmatch(".".join(labels)) is not None
    if labels[0] == "www" and len(labels) > 2:
        return True
    if not is_top(top) and top not in _MORE_TOPS and not (top.isascii() and top.startswith("xn--")):
        return not top.isascii() and _holds_place(labels)
    return not (len(labels) == 2 and top in _FILES and not goes_on)


def _holds_place(labels: list[str]) -> bool:
    """Tell whether a name glued to a text without spaces begins as a place: `example.com` and then Chinese words."""
    start = re.match(r"[0-9a-z-]*", labels[-1])
    return start is not None and is_top(start[0])
