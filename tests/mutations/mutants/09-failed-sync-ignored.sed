# file: src/Millrace.Embedded/Journal/StreamJournal.Sync.cs
# A failed sync changes nothing.
s/_syncFailed = true;\n                Latch\(exception\);\n                return;/JournalLog.Latched(_logger, _segment.Path, exception.Message, exception);/
