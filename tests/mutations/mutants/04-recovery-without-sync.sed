# file: src/Millrace.Embedded/Journal/UnsyncedTail.cs
# What a killed process left in the page cache is shown without being synced.
s/file\.SyncData\(\);//g
