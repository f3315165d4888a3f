# file: src/Millrace.Embedded/Journal/TornTail.cs
# A torn tail is not cut off.
s/        file\.SetLength\(offset\);\n//
