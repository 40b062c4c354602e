"""The kinds of file that are opened: those that hold all of themselves.

FFmpeg knows others, which name further files or addresses: playlists, lists of parts, manifests,
descriptions of sessions, numbered pictures. A name's ending does not tell them; of these here,
none opens anything but the file that was named.
"""

from __future__ import annotations

_VIDEO = (
    *("mov", "matroska", "avi", "mpegts", "mpeg", "asf", "flv", "live_flv", "ogg", "mxf", "nut"),
    *("dv", "wtv", "gxf", "ivf", "rm", "nsv", "swf", "yuv4mpegpipe", "av1", "obu", "lxf", "r3d"),
    *("cine", "ser", "dhav", "luodat", "kux", "ivr", "ty", "nuv", "pmp", "mtv", "mv"),
    *("smjpeg", "mpjpeg", "film_cpk", "filmstrip", "flic", "4xm", "roq", "smk", "bink", "thp"),
    *("wc3movie", "vmd", "yop", "bethsoftvid", "ipmovie", "dxa", "ea", "mvi", "rl2", "vivo"),
    *("vividas", "moflex", "rpl", "sga", "gdv", "bmv", "psxstr", "xmv", "siff", "cdxl", "jv"),
)
# One stream with nothing around it.
_RAW = (
    *("h261", "h263", "h264", "hevc", "vvc", "evc", "m4v", "mpegvideo", "mjpeg", "mjpeg_2000"),
    *("vc1", "vc1test", "dirac", "dnxhd", "cavsvideo", "avs2", "avs3", "apv", "ipu", "ingenient"),
)
# image2 is one picture, because its patterns are turned off. Of svg_pipe a picture may name others.
_PICTURES = (
    *("image2", "gif", "apng", "ico", "fits", "iff", "jpegxl_anim", "alias_pix", "xbin"),
    *("bmp_pipe", "cri_pipe", "dds_pipe", "dpx_pipe", "exr_pipe", "gem_pipe", "gif_pipe"),
    *("hdr_pipe", "j2k_pipe", "jpeg_pipe", "jpegls_pipe", "jpegxl_pipe", "jpegxs_pipe"),
    *("pam_pipe", "pbm_pipe", "pcx_pipe", "pfm_pipe", "pgm_pipe", "pgmyuv_pipe", "pgx_pipe"),
    *("phm_pipe", "photocd_pipe", "pictor_pipe", "png_pipe", "ppm_pipe", "psd_pipe"),
    *("qdraw_pipe", "qoi_pipe", "sgi_pipe", "sunrast_pipe", "tiff_pipe", "vbn_pipe"),
    *("webp_pipe", "xbm_pipe", "xpm_pipe", "xwd_pipe"),
)
# Opened to be told that there is no video in them, or within others.
_SOUND = (
    *("mp3", "aac", "flac", "wav", "w64", "aiff", "au", "caf", "amr", "ape", "ac3", "eac3"),
    *("dts", "dtshd", "truehd", "mlp", "tta", "tak", "wv", "mpc", "mpc8", "oma", "dsf", "loas"),
    *("sox", "voc", "sbc", "iamf", "spdif", "ilbc", "gsm", "qcp", "aa"),
)
_TEXT = ("srt", "ass", "webvtt", "sup", "lrc", "microdvd", "sami", "mpl2", "subviewer", "stl")

# Options of FFmpeg for whatever is opened by a name.
AS_NAMED = {
    "format_whitelist": ",".join((*_VIDEO, *_RAW, *_PICTURES, *_SOUND, *_TEXT)),
    "protocol_whitelist": "file",
    "pattern_type": "none",  # else a % or * in a picture's name stands for other pictures
}
