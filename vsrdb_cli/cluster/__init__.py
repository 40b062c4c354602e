"""Restores segments on the nodes of a Ray cluster; the only code that imports Ray.

Ray is imported when a cluster is asked for, never before. A segment's bytes go to its node and
come back through Ray's object store, so that nodes need not share a folder.
"""
