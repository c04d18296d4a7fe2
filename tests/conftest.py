"""What holds for all tests."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from fresh_metadata import show_as_declared


def pytest_configure(config: pytest.Config) -> None:
    """Test the checkout as its pyproject.toml files say it is, also where it was installed before they changed."""
    folder = tempfile.TemporaryDirectory(prefix="rackwave-metadata-")
    config.add_cleanup(folder.cleanup)
    show_as_declared(Path(folder.name))
