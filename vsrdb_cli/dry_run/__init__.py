"""Estimate a run without doing it: what it would do, need and leave out."""
