# file: src/Millrace.Embedded/Journal/FrameReader.cs
# A frame whose payload fails its checksum is replayed.
s/ \|\| JournalFormat\.PayloadCrc\(payload\) != frame\.PayloadCrc//
