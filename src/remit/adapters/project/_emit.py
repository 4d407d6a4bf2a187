"""Write YAML that `_yaml` reads back as exactly the same value."""

import re

import yaml

from remit.adapters.project._yaml import typed
from remit.core import InputRefusedError, JsonObject

WIDTH = 110  # columns before a long text is folded

_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*(:[A-Za-z0-9_./-]+)*", re.ASCII)


class _Dumper(yaml.SafeDumper):
    """Quotes every text that our reader would take for something else, and never writes an alias."""

    def ignore_aliases(self, data: object) -> bool:
        """Say that no value is ever written as a reference to another."""
        del data
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None
    if _is_prose(text):
        style = "|"  # (The emitter falls back to quotes where a block cannot carry the text.)
    elif not text.isprintable() or not _stays_text(text):
        style = '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _is_prose(text: str) -> bool:
    """Tell whether `text` is several lines, visible from the first to the last."""
    body = text.removesuffix("\n")
    return "\n" in text and body.replace("\n", "").isprintable() and bool(body) and body.strip() == body


def _stays_text(text: str) -> bool:
    try:
        return typed(text) == text and text != "<<"
    except InputRefusedError:
        return False


_Dumper.add_representer(str, _text)


def block(value: JsonObject, indent: int = 0) -> str:
    """Write `value` as block YAML, each line indented by `indent` spaces, with a final line feed."""
    text: str = yaml.dump(
        value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=WIDTH, default_flow_style=False
    )
    margin = " " * indent
    return "".join(f"{margin}{line}" if line.strip() else line for line in text.splitlines(keepends=True))


def scalar(text: str) -> str:
    """Write the one-line `text` as it may stand before or after `: `."""
    if _WORD.fullmatch(text) and _stays_text(text):
        return text
    quoted: str = yaml.dump(text, Dumper=_Dumper, allow_unicode=True, width=1 << 30, default_style='"')
    return quoted.strip()
