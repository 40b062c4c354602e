"""Long jobs: restored segment by segment, so that nothing finished is ever lost.

A segment is a range of frames restored with its context on either side and encoded into a file of
its own. The journal in the work folder `OUTPUT.vsrdb` says which are finished; resuming, and
several devices, are both "who takes the next segment". At the end they are joined by copying.
"""
