# file: src/Millrace.Embedded/Journal/StreamJournal.Write.cs
# After a failed write the whole batch is written again, with what had been written.
s/for \(; batch\.WrittenFrames < frames\.Length;/for (batch.WrittenFrames = 0; batch.WrittenFrames < frames.Length;/
