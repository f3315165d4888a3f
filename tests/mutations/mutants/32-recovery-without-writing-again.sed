# file: src/Millrace.Embedded/Journal/UnsyncedTail.cs
# What a failed sync left clean in the page cache is synced as if that wrote it.
s/file\.Write\(gathered\.WrittenSpan, offset\);//
