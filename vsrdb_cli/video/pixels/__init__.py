"""Colours and pixel formats, exact conversion to RGB and back, and interlacing."""
