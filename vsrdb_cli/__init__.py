"""vsrdb: restore blurry, low-resolution video, sharp and four times as large."""

__version__ = "0.1.0"
