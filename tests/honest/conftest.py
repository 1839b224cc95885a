"""A preparation for all edits."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.honest import lab


@pytest.fixture(scope="session")
def preparation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lab.make_preparation(tmp_path_factory.mktemp("preparation"))
