"""Streams beside the main video: sound, subtitles, covers, attachments and metadata."""
