# file: src/Millrace.Embedded/Journal/FrameReader.cs
# A frame is taken whatever record it begins with.
s/frame\.FirstLsn != lsn/frame.FirstLsn < lsn/
