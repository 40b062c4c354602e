"""Show what FMA-Net computes for a frame, as pictures, a page or arrays."""
