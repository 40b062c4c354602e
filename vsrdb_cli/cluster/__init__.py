"""Segments restored on the nodes of a Ray cluster. The only code that imports Ray.

Ray is imported when a cluster is asked for, never before; a segment's bytes go to its node and
come back through Ray's object store, so that nodes need no folder in common.
"""
