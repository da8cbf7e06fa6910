"""JSON Schemas of the files people write: run files, search spaces, identity sets."""
