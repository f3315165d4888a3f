# file: src/Millrace/Consuming/Settlement.cs
# A worker settles what it does not hold any more.
# seeds: 200
s/List<CommitCondition> fence = \[CommitCondition\.StillHeld\([^;]*\];/List<CommitCondition> fence = [];/
