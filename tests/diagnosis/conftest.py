"""The bench's checkouts, for the command."""

from tests.harness.conftest import bare_lab, begun_lab, lab, new

__all__ = ["bare_lab", "begun_lab", "lab", "new"]
