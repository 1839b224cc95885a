"""The checkouts of tests/harness, with the stand-in bench."""

from tests.harness.conftest import bare_lab, begun_lab, lab

__all__ = ["bare_lab", "begun_lab", "lab"]
