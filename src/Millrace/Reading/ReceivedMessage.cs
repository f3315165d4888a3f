using Millrace.Streams;

namespace Millrace;

/// <summary>A message as a read without a group returns it.</summary>
/// <typeparam name="T">The message type asked for.</typeparam>
/// <param name="Body">The message, brought to its newest version by upcasters.</param>
/// <param name="EntryId">The ID of its entry; go on from it with <see cref="ReadFrom.After"/>.</param>
/// <param name="Headers">What came with the message.</param>
public sealed record ReceivedMessage<T>(T Body, EntryId EntryId, MessageHeaders Headers);
