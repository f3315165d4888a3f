# file: src/Millrace/Consuming/Settlement.cs
# A failed message is acknowledged, and its retry forgotten.
s/CommitAsync\(delivery, null, \[schedule\]\)/CommitAsync(delivery, null, [])/
