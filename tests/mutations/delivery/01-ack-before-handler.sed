# file: src/Millrace/Consuming/ConsumerWorker.cs
# The message is acknowledged before its handler runs.
s/(        for \(var run = 1; ; run\+\+\)\n        \{\n)/        await _settlement.SettleAsync(delivery, null, SettleAction.Ack.Instance).ConfigureAwait(false);\n\1/
