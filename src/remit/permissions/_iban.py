"""IBANs (ISO 13616-1), in a text or alone, however they are grouped.

list(iban_in("pay DE89 3704 0044 0532 0130 00, please"))     # ["DE89370400440532013000"]
"""

import re
from collections.abc import Iterator

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
# Two digits after two letters, looked for by the digits: there are fewer of them.
_CHECK_DIGITS = re.compile(r"[0-9][0-9](?:(?<=[A-Za-z]{2}[0-9]{2})|(?<=[A-Za-z]{2}[ .\-][0-9]{2}))")
_GROUPED = re.compile(r"[A-Za-z]{2}[ .\-]?[0-9]{2}(?:[ .\-]?[0-9A-Za-z]){11,30}", re.ASCII)
_GROUPING = {ord(char): None for char in " .-/()+"}


def may_have_iban(shown: str) -> bool:
    """Tell quickly, for most texts, that no IBAN is in them."""
    return _CHECK_DIGITS.search(shown) is not None


def iban_in(shown: str) -> Iterator[str]:
    """Return each IBAN in `shown`, without its grouping, in capitals."""
    end = 0
    for digits in _CHECK_DIGITS.finditer(shown):
        at = digits.start() - (3 if shown[max(digits.start() - 1, 0)] in " .-" else 2)
        if at < end or not shown[at : at + 2].isalpha() or (at and shown[at - 1].isascii() and shown[at - 1].isalnum()):
            continue
        match = _GROUPED.match(shown, at)
        length = _LENGTHS.get(shown[at : at + 2].upper(), 0)
        if match is None or not length:
            continue
        compact = match[0].translate(_GROUPING).upper()[:length]
        if is_iban(compact):
            end = match.start() + length
            yield compact


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
