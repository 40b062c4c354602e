"""Measure how fast this machine restores video, and where the time goes."""
