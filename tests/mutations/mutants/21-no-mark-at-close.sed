# file: src/Millrace.Embedded/Journal/StreamJournal.cs
# A closed journal does not say so, and damage to its end is not noticed.
s/        MarkClose\(\);\n//
