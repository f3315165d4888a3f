# file: src/Millrace.Embedded/Journal/StreamJournal.Snapshots.cs
# A segment goes that the snapshot covers in part only.
s/FirstLsn <= coveredLsn \+ 1\)/FirstLsn <= coveredLsn + 10)/
