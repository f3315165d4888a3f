# file: src/Millrace.Embedded/Journal/JournalSegment.cs
# The name of a new segment is not made durable.
s/        device\.SyncDirectory\(\);\n//
