# file: src/Millrace/Consuming/DeliveryPipeline.cs
# A handler that was cut off counts as done.
s/(Decide\(Delivery delivery, Exception failure\) => delivery\.Cause != CancelCause\.None\n        \? SettleAction\.)Abandon/\1Ack/
