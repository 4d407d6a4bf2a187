"""Signed lists of a project on this machine: what each is worth, and one more signature on it."""

from collections.abc import Callable, Mapping
from pathlib import Path

from remit.adapters.project import SignedList, signed_lists
from remit.catalogue import TrustRoot, review_list, sign_list
from remit.core import RemitError
from remit.surfaces.cli import Listed


def listed(sources: Mapping[str, bytes], trust: TrustRoot | None) -> tuple[Listed, ...]:
    """Return every list of the bundle, by path, with what its signatures are worth."""
    return tuple(_listed(each, each.envelope, trust) for each in signed_lists(sources))


def with_signature(
    sources: Mapping[str, bytes],
    names: tuple[str, ...],
    trust: TrustRoot,
    private_key: bytes,
    keep: Callable[[Path, str], None],
) -> tuple[Listed, ...]:
    """Sign the lists called `names`, or all of them, and let `keep` write the signature files that change.

    Raises:
        RemitError: `list_unknown`, with nothing signed.
    """
    found = {each.name: each for each in signed_lists(sources)}
    for name in names:
        if name not in found:
            known = ", ".join(f"`{each}`" for each in sorted(found)) or "none"
            fix = "name a directory, or `entitlements`: write the file under organisation/ first"
            raise RemitError("list_unknown", f"there is no list `{name[:64]}`; there are: {known}", fix)
    done: list[Listed] = []
    for name in names or sorted(found):
        each = found[name]
        envelope = sign_list(each.kind, each.name, each.body, each.envelope, private_key)
        if envelope != each.envelope:
            keep(Path(each.signature_file), envelope.decode("ascii"))
        done.append(_listed(each, envelope, trust))
    return tuple(done)


def _listed(each: SignedList, envelope: bytes | None, trust: TrustRoot | None) -> Listed:
    review = review_list(each.kind, each.name, each.body, envelope, trust)
    return Listed(
        name=each.name,
        kind=each.kind,
        file=each.file,
        entries=each.entries,
        signers=review.signers,
        missing=review.missing,
        changed=envelope != each.envelope,
    )
