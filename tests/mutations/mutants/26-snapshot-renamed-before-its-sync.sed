# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# A snapshot gets its name first, and its bytes are synced then.
s/                file\.Sync\(\);\n            \}\n\n            _device\.Rename\(temporary, name\);/                _device.Rename(temporary, name);\n                file.Sync();\n            }/
