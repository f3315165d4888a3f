# file: src/Millrace/Consuming/LeaseKeeper.cs
# Nothing is renewed, and nobody notices.
s/(        var now = time\.GetTimestamp\(\);\n        try)/        if (deliveries.Count >= 0)\n            return true;\n\1/
