# file: src/Millrace.Embedded/Journal/JournalRecovery.cs
# A name that a killed process left is relied on without being made durable.
s/(List<FileHeader> covered\)\n    \{\n)        device\.SyncDirectory\(\);\n/\1/
