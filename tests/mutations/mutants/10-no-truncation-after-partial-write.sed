# file: src/Millrace.Embedded/Journal/JournalSegment.cs
# What a failed write left behind stays, and the next one goes behind it.
s/if \(_isTorn\)\n            File\.SetLength\(Length\);/if (_isTorn)\n            Length = File.Length;/
