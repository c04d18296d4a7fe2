"""The inventory: which nodes there are, how their BMCs are reached, and which lineage is for which."""

from .reader import load_inventory, parse_inventory
from .selection import select
from .values import GateCommand, Inventory, ManagedNode, Webhook

__all__ = ["GateCommand", "Inventory", "ManagedNode", "Webhook", "load_inventory", "parse_inventory", "select"]
