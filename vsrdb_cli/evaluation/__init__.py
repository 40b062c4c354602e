"""How near a restored video is to the truth."""
