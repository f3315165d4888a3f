# file: src/Millrace/Consuming/LeaseKeeper.cs
# Only what came first is renewed.
s/deliveries\.Select\(delivery => delivery\.Held\)\.ToList\(\)/deliveries.Take(1).Select(delivery => delivery.Held).ToList()/
