"""Reading without latitude: JSON in which no key appears twice, base64 in its one form."""

import base64
import binascii
import json
from typing import NoReturn, TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
JsonObject: TypeAlias = dict[str, Json]


class UnreadableError(ValueError):
    """Text that is not what the export format says. The message is one line and safe to print."""


def read_object(text: str) -> JsonObject:
    """Read one JSON object.

    Raises:
        UnreadableError: it is not JSON, not an object, nested too deep, or holds a duplicate key, a number that JSON
            does not know, or a character without a UTF-8 form.
    """
    try:
        text.encode()
        value: Json = _DECODER.decode(text)
    except UnreadableError:
        raise
    except RecursionError:
        raise UnreadableError("JSON nested too deep") from None
    except UnicodeEncodeError:
        raise UnreadableError("not UTF-8") from None
    except ValueError:  # JSONDecodeError, and an integer of thousands of digits
        raise UnreadableError("not JSON") from None
    if not isinstance(value, dict):
        raise UnreadableError("not a JSON object")
    return value


def read_base64(value: Json) -> bytes:
    """Read standard base64 (RFC 4648, section 4) in its one form.

    Raises:
        UnreadableError: not a text, not base64, or another spelling of the same bytes.
    """
    if not isinstance(value, str):
        raise UnreadableError("not base64")
    try:
        body = base64.b64decode(value.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise UnreadableError("not base64") from None
    if base64.b64encode(body) != value.encode("ascii"):
        raise UnreadableError("base64 not in its one form")
    return body


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise UnreadableError("a key appears twice")
    return value


def _refuse(_constant: str) -> NoReturn:
    raise UnreadableError("a number that JSON does not know")


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse, strict=True)
