# file: src/Millrace/Consuming/Settlement.cs
# A retry goes to the stream, where every group sees it.
s/new CommitChange\.Schedule\(_plan\.Again, copy/new CommitChange.Schedule(_plan.Stream, copy/
