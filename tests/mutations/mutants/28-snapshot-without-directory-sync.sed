# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# What a snapshot replaces is deleted before its name is durable.
s/        _device\.SyncDirectory\(\);\n        \(SnapshotLsn/        (SnapshotLsn/
