# file: src/Millrace.Embedded/Journal/UnsyncedTail.cs
# A frame that its successor does not yet call synced is not written again.
s/_syncedLsn \+ 1/_syncedLsn + 2/g
