# file: src/Millrace/Consuming/Settlement.cs
# A worker settles what it does not hold any more.
s/List<CommitCondition> fence = \[CommitCondition\.StillHeld\([^;]*\];/List<CommitCondition> fence = [];/
