"""The records and documents distill writes, one per file; all msgspec structs with `schema_version` (SPEC 3, SPEC 6)."""
