"""Read and write video: the only package that uses PyAV and Pillow.

From the top: `reading` (sources of frames) and `writing` (outputs); `streams` (sound, subtitles and
all else beside the video); `frame` and `info` (what the others exchange); `pictures` (still picture
files); `side_data` (what is attached to frames); `pixels` (colours, conversion, interlacing);
`containers` (opening and demuxing files); `timing` (the clock of a source).
"""
