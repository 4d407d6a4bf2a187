"""One gateway with a foreign identity provider, for every test here that changes neither's settings."""

from collections.abc import Iterator

import pytest
from tests.conftest import Gateway
from tests.foreign.guarded import guarded
from tests.foreign.provider import Provider


@pytest.fixture(scope="session")
def org(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Provider]]:
    with guarded(tmp_path_factory.mktemp("org")) as both:
        yield both
