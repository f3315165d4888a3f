# file: src/Millrace.Embedded/Journal/StreamJournal.Write.cs
# Frames call records synced that are only written.
s/Volatile\.Read\(ref _syncedLsn\)\)\);/frame.FirstLsn - 1));/
