"""Whether a restoration is worth its hours: what a video is, and what the network makes of it."""
