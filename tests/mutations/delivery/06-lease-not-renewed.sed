# file: src/Millrace/Consuming/LeaseKeeper.cs
# Nothing is renewed, and nobody notices.
s/if \(deliveries\.Count == 0\)\n            return;/if (deliveries.Count >= 0)\n            return;/
