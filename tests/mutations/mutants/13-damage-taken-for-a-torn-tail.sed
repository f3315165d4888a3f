# file: src/Millrace.Embedded/Journal/TornTail.cs
# Acknowledged records that are damaged are cut off like a torn write.
s/if \(reader\.FindSynced\(lsn\) is \{ \} here\)/if (lsn < 0 \&\& reader.FindSynced(lsn) is { } here)/
