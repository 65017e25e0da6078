"""One kernel a file for tests of odd hosts and answers; the file's ``ROWS`` make its frame."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kernels import Kernel, kernel


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for the file."""
    with kernel({"LLM_MAGICS_HOME": str(tmp_path_factory.mktemp("home")), "ODD_KEY": "odd-key"}) as made:
        made.run(f"%load_ext llm_magics\n{request.module.ROWS}")
        yield made


@pytest.fixture
def k(running: Kernel) -> Kernel:
    """The kernel, its store empty."""
    running.run("%llm_config responses clear")
    return running
