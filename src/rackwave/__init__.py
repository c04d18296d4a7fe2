"""Keeps racks of unlike machines in a known, validated state."""
