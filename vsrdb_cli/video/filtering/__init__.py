"""The filters of FFmpeg that a user has frames pass, before the network and before the encoder."""
