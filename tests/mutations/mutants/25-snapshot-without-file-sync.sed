# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# A snapshot gets its name before its bytes are durable.
s/            file\.Sync\(\);\n//
