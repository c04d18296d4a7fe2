"""Importers: read what vendors publish, in whatever box, and make bundles' sources of it."""

from .capsule import write_capsule
from .hpm1 import write_hpm1
from .package import Image, Package, Release
from .pldm import write_pldm
from .sniff import read
from .source import write_source

__all__ = ["Image", "Package", "Release", "read", "write_capsule", "write_hpm1", "write_pldm", "write_source"]
