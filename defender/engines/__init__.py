"""Engines answer chat completions: one file, one guest library each."""
