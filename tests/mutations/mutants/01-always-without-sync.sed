# file: src/Millrace.Embedded/Journal/StreamJournal.Write.cs
# Under Always, a write counts as durable before it is synced.
s/if \(_policy != SyncPolicy\.Always\)\n            return null;/return null;/
