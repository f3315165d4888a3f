# file: src/Millrace.Streams/Engine/Groups/ConsumerGroup.cs
# A renewal takes an entry back from whoever claimed it meanwhile.
# seeds: 300
s/(    public bool Extend\([^)]*\)\n    \{\n        if \()!IsHeld\(consumer, held\)/\1!Pending.TryGet(held.Id, out _) || !_consumers.ContainsKey(consumer)/
