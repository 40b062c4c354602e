"""The pipeline of a frame: windows over shots, tiles, the network, and its use of memory."""
