# file: src/Millrace/Consuming/Settlement.cs
# A retry leaves the failed entry pending.
s/(                return await )CommitAsync\(delivery, action, context, \[schedule\], keepsEffects: false\)/                _held.Remove(delivery);\n\1ApplyAsync(delivery, new() { Changes = [schedule] })/
