# file: src/Millrace.Embedded/Journal/StreamJournal.Sync.cs
# A sync forgets the segments that ended since the last one.
s/foreach \(var file in files\)/foreach (var file in files[^1..])/
