# file: src/Millrace/Consuming/Settlement.cs
# A retry leaves the failed entry pending.
s/(                return await )CommitAsync\(delivery, null, \[schedule\]\)/                _held.Remove(delivery);\n\1ApplyAsync(delivery, new() { Changes = [schedule] })/
