# file: src/Millrace.Embedded/Journal/StreamJournal.Sync.cs
# Under EverySecond nothing is synced.
s/_syncTimer\.Change\(SyncDelay, Timeout\.InfiniteTimeSpan\);/_syncTimer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);/
