# file: src/Millrace.Embedded/Journal/JournalRecovery.cs
# A record of the journal is applied twice.
s/replay\.Record\(record\);/replay.Record(record);\n                if (_lsn % 50 == 0)\n                    replay.Record(record);/
