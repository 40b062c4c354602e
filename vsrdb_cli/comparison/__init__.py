"""Two versions of a video, and perhaps the truth, side by side on a page of their own."""
