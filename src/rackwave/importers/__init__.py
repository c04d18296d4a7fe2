"""Importers: read what vendors publish, in whatever box, and make bundles' sources of it."""

from .package import Image, Package, Release
from .sniff import read
from .source import write_source

__all__ = ["Image", "Package", "Release", "read", "write_source"]
