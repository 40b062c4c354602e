"""Sources of frames: video files, pictures and y4m streams, whole or in part."""
