"""A frame's way: windows over shots, tiles, the network, and what that takes of memory."""
