# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# The segments go before the snapshot has its name.
s/            _device\.Rename\(temporary, name\);\n/            DeleteCovered(coveredLsn);\n            _device.Rename(temporary, name);\n/
