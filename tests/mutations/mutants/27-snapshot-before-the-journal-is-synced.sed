# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# A snapshot is published although the device may lack the records it covers.
s/            await SyncAsync\(coveredLsn\)\.ConfigureAwait\(false\);\n/            await Task.CompletedTask.ConfigureAwait(false);\n/
