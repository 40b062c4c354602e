"""Compare two versions of a video, and optionally the ground truth, side by side on a page."""
