"""What is attached to frames: captions, HDR metadata, orientation, 3D and 360 degree views."""
