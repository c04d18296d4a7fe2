"""Other tools' inventories, read into ``[[nodes]]`` tables of ours."""

from .ansible import read_ansible
from .netbox import read_netbox
from .node import ForeignNode, written

__all__ = ["ForeignNode", "read_ansible", "read_netbox", "written"]
