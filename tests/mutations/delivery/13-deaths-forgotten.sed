# file: src/Millrace/Consuming/MovedEntry.cs
# A retry does not know how often the message was delivered in vain.
s/if \(deaths > 0\)/if (deaths > 1_000_000)/
