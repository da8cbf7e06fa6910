"""Proposers offer candidates and learn from trials: one file, one guest library each."""
