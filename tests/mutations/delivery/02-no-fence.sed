# file: src/Millrace/Consuming/Settlement.cs
# A worker settles what it does not hold any more.
s/List<CommitCondition> conditions = \[StillHeld\(delivery\)\];/List<CommitCondition> conditions = [];/
