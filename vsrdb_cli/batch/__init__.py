"""Batches: finding several inputs, and recording the outcome of each."""
