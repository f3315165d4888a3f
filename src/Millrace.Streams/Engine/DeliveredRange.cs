namespace Millrace.Streams.Engine;

/// <summary>
/// The entries a group was just delivered, which follow each other in the stream: who journals or replays a delivery copies none of them.
/// Valid until the stream changes.
/// </summary>
/// <param name="First">The first entry's ID.</param>
/// <param name="Count">How many; 0 is nothing.</param>
/// <param name="PackedBytes">What their fields take when they are packed.</param>
internal readonly record struct DeliveredRange(EntryId First, int Count, long PackedBytes);
