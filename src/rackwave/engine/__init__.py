"""Durable turns: journal, leases and the embedded engine."""
