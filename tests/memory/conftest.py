"""The checkouts of tests/harness, for commands that remember."""

from __future__ import annotations

from tests.harness.conftest import bare_lab, begun_lab, lab

__all__ = ["bare_lab", "begun_lab", "lab"]
