# file: src/Millrace/Consuming/PendingRecovery.cs
# What the dead left is nobody's.
s/while \(next is \{ \} from/while (found.Count < 0 \&\& next is { } from/
