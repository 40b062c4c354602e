"""What FMA-Net saw in a frame and what it made of it, as pictures, a page, or arrays."""
