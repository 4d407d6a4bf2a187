"""SPIFFE trust bundles as files: the keys of each trust domain (SPIFFE Trust Domain and Bundle, section 4).

They are read afresh at each use, so that whoever rotates them need not tell us.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from remit.core import InputRefusedError, Json, parse_strict

BUNDLE_BYTES_MAX = 64 << 10


class TrustBundles(Mapping[str, Json]):
    """The JWK set of each trust domain, from `files`. A domain whose file cannot be read has no keys."""

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = dict(files)

    def __getitem__(self, domain: str) -> Json:
        """Return what the domain's file says.

        Raises:
            KeyError: there is no such domain.
        """
        file = self._files[domain]
        try:
            with file.open("rb") as bundle:
                body = bundle.read(BUNDLE_BYTES_MAX + 1)
            return None if len(body) > BUNDLE_BYTES_MAX else parse_strict(body)
        except (OSError, InputRefusedError):
            return None

    def __iter__(self) -> Iterator[str]:
        """Name the trust domains."""
        return iter(self._files)

    def __len__(self) -> int:
        """Count the trust domains."""
        return len(self._files)
