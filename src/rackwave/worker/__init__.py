"""The worker orchestrator (132-172): one node, one turn at a time."""
