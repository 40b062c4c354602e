"""Outputs of frames: video files, pictures and y4m streams."""
