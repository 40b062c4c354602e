"""Jobs: a run restores a video by segments, so that nothing finished is ever lost.

A segment is a range of frames, restored with its context on either side and encoded into a file of
its own. The journal in the work folder `OUTPUT.vsrdb` lists the finished ones; a run continues with
the others, and an executor has them restored by one worker or many. At the end they are joined by
copying.
"""
