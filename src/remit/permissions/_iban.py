"""IBANs (ISO 13616-1), in a text or alone, however they are grouped.

A single space, dot, dash, slash, comma or underscore may stand anywhere; longer gaps and lines only between groups of
four and between single characters, as words of a sentence would pass for an account number by chance.

list(iban_in("pay DE89 3704 0044 0532 0130 00, please"))     # ["DE89370400440532013000"]
"""

import re
from collections.abc import Iterator

from remit.permissions._addresses import Room

# Lengths by country (SWIFT, IBAN Registry).
_COUNTRIES = (
    "15:NO 16:BE 18:DK,FI,FK,FO,GL,NL,SD 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,MN,XK 21:CH,HR,LI,LV "
    "22:BG,BH,CR,DE,GB,GE,IE,ME,RS,VA 23:AE,GI,IL,IQ,OM,SO,TL 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG "
    "25:LY,PT,ST 26:IS,TR 27:BI,DJ,FR,GR,IT,MC,MR,SM 28:AL,AZ,BY,CY,DO,GT,HN,HU,LB,NI,PL,SV "
    "29:BR,EG,PS,QA,UA 30:JO,KW,MU,YE 31:MT,SC 32:LC 33:RU"
)
_LENGTHS = {
    country: int(length)
    for length, _, countries in (entry.partition(":") for entry in _COUNTRIES.split())
    for country in countries.split(",")
}
_B = r"[A-Za-z .\-/_,\t\r\n\u2010-\u2015\u2212]"
_S = r"[ .\-/_,\t\r\n\u2010-\u2015\u2212]"
# Two digits after two letters, looked for by the digits: there are fewer of them.
_CHECK_DIGITS = re.compile(
    rf"[0-9](?<={_B}[0-9])(?:[0-9](?:(?<=[A-Za-z]{{2}}[0-9]{{2}})|(?<=[A-Za-z]{{2}}{_S}[0-9]{{2}})|(?<=[A-Za-z]{{2}}{_S}{_S}[0-9]{{2}}))"
    rf"|{_S}[0-9](?<=[A-Za-z]{_S}[A-Za-z]{_S}[0-9]{_S}[0-9]))"
)
_START = re.compile(rf"[A-Za-z]{_S}?[A-Za-z]{_S}{{0,2}}[0-9]{_S}?[0-9]")
_START_CHARS_MAX = 8  # of what `_START` takes
_WAYS = (
    re.compile(r"[A-Za-z]{2}[ .\-/_,\u2010-\u2015\u2212]?[0-9]{2}(?:[ .\-/_,\u2010-\u2015\u2212]?[0-9A-Za-z]){11,30}"),
    re.compile(
        rf"[A-Za-z]{{2}}{_S}{{0,3}}[0-9]{{2}}(?:{_S}{{1,3}}[0-9A-Za-z]{{4}}){{2,7}}(?:{_S}{{1,3}}[0-9A-Za-z]{{1,4}})?"
    ),
    re.compile(rf"[A-Za-z](?:{_S}[0-9A-Za-z]){{14,33}}"),
)
_NO_PART = re.compile(_S)
_GROUPING = {ord(char): None for char in " .-/()+"}


def may_have_iban(shown: str) -> bool:
    """Tell quickly, for most texts, that no IBAN is in them."""
    return _CHECK_DIGITS.search(shown) is not None


def iban_in(shown: str, room: Room) -> Iterator[str]:
    """Return each IBAN in `shown`, without its grouping, in capitals, as far as there is `room` to look."""
    end = 0
    for digits in _CHECK_DIGITS.finditer(shown):
        if not room.look():
            return
        for at in range(max(digits.end() - _START_CHARS_MAX, end), digits.end() - 3):
            start = _START.match(shown, at)
            if start is None or start.end() != digits.end() or not _begins(shown, at):
                continue
            found = _iban_at(shown, at)
            if found:
                end = at + len(found)
                yield found
                break


def _begins(shown: str, at: int) -> bool:
    """Tell whether no word goes on at `at`, but for the word itself."""
    before = shown[at - 1] if at else " "
    return not (before.isascii() and before.isalnum()) or shown[max(at - 4, 0) : at].upper() == "IBAN"


def _iban_at(shown: str, at: int) -> str:
    for way in _WAYS:
        match = way.match(shown, at)
        if match is not None:
            compact = _NO_PART.sub("", match[0]).upper()
            compact = compact[: _LENGTHS.get(compact[:2], 0)]
            if is_iban(compact):
                return compact
    return ""


def is_iban(compact: str) -> bool:
    """Tell whether `compact`, in capitals, is an IBAN: a country's length, and ISO 7064 MOD 97-10 over the whole."""
    if len(compact) != _LENGTHS.get(compact[:2]) or not compact.isascii() or not compact.isalnum():
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def joined(folded: str) -> str:
    """Return an IBAN or a long run of digits, folded and alone, without its grouping; anything else as it is."""
    if not 8 <= len(folded) <= 48 or not (folded[0] in "+(0123456789" or folded[2:5].strip(" .-")[:1].isdigit()):
        return folded
    compact = folded.translate(_GROUPING)
    if compact == folded or not compact.isascii():
        return folded
    if compact.isdigit() and len(compact) >= 8 and folded.count(".") != 1:
        return compact
    return compact if is_iban(compact.upper()) else folded
