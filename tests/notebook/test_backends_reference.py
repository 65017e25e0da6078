"""The reference page of the backends says what the code does."""

from pathlib import Path

import pytest

from llm_magics.backends.namespaces import BUILT_IN
from llm_magics.notebook.reference import backends

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date():
    """It is made from the code: ``python -m llm_magics.notebook.reference.backends > docs/reference/backends.md``."""
    page = ROOT / backends.PAGE
    assert page.read_text(encoding="utf-8") == backends.render()


@pytest.mark.parametrize("namespace", BUILT_IN)
def test_every_namespace_says_how_it_is_tested_and_added(namespace):
    """A namespace can't come in without a line on both."""
    assert backends.TESTED[namespace] and backends.ADD[namespace]
