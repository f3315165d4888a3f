# file: src/Millrace/Consuming/Ordered/ReaderLease.cs
# Whoever stands by takes an ordered group from a reader that gives signs of life.
s/return time\.GetElapsedTime\(_seenSince\) >= plan\.Options\.Lease;/return true;/
