"""Judge whether restoring a video is worth the time, from its measures and a trial restoration."""
