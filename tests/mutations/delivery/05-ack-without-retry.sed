# file: src/Millrace/Consuming/Settlement.cs
# A failed message is acknowledged, and its retry forgotten.
s/CommitAsync\(delivery, action, context, \[schedule\]/CommitAsync(delivery, action, context, []/
