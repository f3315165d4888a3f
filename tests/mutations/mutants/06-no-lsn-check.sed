# file: src/Millrace.Embedded/Journal/FrameReader.cs
# Records are taken as they come, also when some between two segments are missing.
s/frame\.FirstLsn != lsn/frame.FirstLsn < lsn/
# file: src/Millrace.Embedded/Journal/JournalRecovery.cs
s/ \|\| \(!isLast && headers\[i \+ 1\]\.FirstLsn != _lsn\)//
s/if \(frame\.Kind == FrameKind\.End\)/_lsn = frame.FirstLsn;\n            if (frame.Kind == FrameKind.End)/
