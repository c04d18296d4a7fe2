"""Adapters to management controllers."""
