"""Weights on disk: bundled, imported, proven by their SHA-256."""
