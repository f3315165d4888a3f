# file: src/Millrace/Consuming/Settlement.cs
# A dead letter leaves its entry pending.
s/(                return await )CommitAsync\([^;]*\[append\][^;]*\)(\.ConfigureAwait)/                _held.Remove(delivery);\n\1ApplyAsync(delivery, new() { Changes = [append] })\2/
