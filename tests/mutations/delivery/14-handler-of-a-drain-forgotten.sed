# file: src/Millrace/Consuming/Settlement.cs
# What a drain cut off is not handed back.
s/if \(delivery\.Cause is CancelCause\.DrainDeadline or /if (delivery.Cause is /
