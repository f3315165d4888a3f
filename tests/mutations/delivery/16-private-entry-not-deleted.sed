# file: src/Millrace/Consuming/Settlement.cs
# Retries that are done stay in the private stream for ever.
s/new CommitChange\.AckAndDelete\(delivery\.Stream/new CommitChange.Ack(delivery.Stream/
