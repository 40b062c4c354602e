"""Still picture files: their formats, colours and metadata."""
