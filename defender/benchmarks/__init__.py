"""Benchmarks ask and grade: one file each; the only room that loads datasets."""
