# file: src/Millrace/Consuming/Settlement.cs
# What is handed back stays pending with its count, and the next owner claims it.
s/(    public async Task HandBackAsync\([^)]*\)\n    \{\n        foreach \(var batch in )deliveries\.Chunk/\1Array.Empty<Delivery>().Chunk/
