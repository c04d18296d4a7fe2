"""Finding BMCs that no inventory names yet: by SSDP, or by asking a bounded range of addresses."""

from .found import Found, document_of, tables_of
from .ssdp import search
from .sweep import MOST_ADDRESSES, addresses, sweep

__all__ = ["MOST_ADDRESSES", "Found", "addresses", "document_of", "search", "sweep", "tables_of"]
