# file: src/Millrace.Embedded/Journal/StreamJournal.Sync.cs
# After a failed write, what was acknowledged before is never synced.
s/if \(_syncedLsn >= lsn \|\| _syncFailed\)/if (_syncedLsn >= lsn || _failure is not null)/
