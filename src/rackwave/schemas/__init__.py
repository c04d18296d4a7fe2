"""JSON Schemas (draft 2020-12) of what ``--json`` prints; ``docs/json.md`` describes them.

They are files in this package: ``importlib.resources.files("rackwave.schemas") / "plan.schema.json"``.
Within a major version fields are added, never renamed or removed.
"""
