# file: src/Millrace.Embedded/Journal/JournalSegment.cs
# Room is made one place too early: over the end of the last frame.
s/, _fileLength\);\n        \}/, Math.Max(0, _fileLength - 8));\n        }/
