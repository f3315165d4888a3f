# file: src/Millrace.Embedded/Journal/TornTail.cs
# A torn tail is not cut off, and shows when a later frame ends where one in it begins.
# seeds: 100000
s/        file\.SetLength\(offset\);\n//
