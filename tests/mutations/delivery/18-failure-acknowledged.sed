# file: src/Millrace/Consuming/DeliveryPipeline.cs
# A handler that was cut off counts as done.
s/(Decide\(Delivery delivery, Exception failure\)\n    \{\n        if \(delivery\.Cause != CancelCause\.None\)\n            return SettleAction\.)Abandon/\1Ack/
