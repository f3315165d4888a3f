# file: src/Millrace/Consuming/Settlement.cs
# Of several acknowledgements one is forgotten.
# seeds: 200
s/(        var ids = new EntryId\[)count(\];\n        var next = 0;\n        foreach \(var delivery in batch)/\1count > 1 ? count - 1 : count\2.Take(count > 1 ? batch.FindLastIndex(delivery => delivery.IsAgain == isAgain) : batch.Count)/
