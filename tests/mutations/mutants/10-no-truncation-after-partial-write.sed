# file: src/Millrace.Embedded/Journal/JournalSegment.cs
# What a failed write left behind stays, and the next one goes behind it.
s/            return;\n        File\.SetLength\(Length\);\n        _fileLength = Length;/            return;\n        _fileLength = Length = File.Length;/
