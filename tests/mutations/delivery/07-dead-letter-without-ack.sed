# file: src/Millrace/Consuming/Settlement.cs
# A dead letter leaves its entry pending.
s/(                return await )CommitAsync\(delivery, dead\.KeepOutputs \? context : null, \[append\]\)/                _held.Remove(delivery);\n\1ApplyAsync(delivery, new() { Changes = [append] })/
