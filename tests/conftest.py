"""Puts tests/ on the import path, so that tests in folders share its modules."""
