"""The command line: a thin face over the library."""

from .app import main

__all__ = ["main"]
