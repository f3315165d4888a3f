# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# A snapshot claims the next record, too.
s/return _appendedLsn;/return _appendedLsn + 1;/
