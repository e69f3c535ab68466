"""A source described by the config alone (SPEC 2): `reader` puts together what the other modules find; formats are in `distill.formats`."""
