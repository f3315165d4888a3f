# file: src/Millrace.Embedded/Journal/JournalRecovery.cs
# What a killed process left in the page cache is shown without being synced.
s/file\.SyncData\(\);//g
