namespace Millrace.Streams;

/// <summary>Names a state document. It lives in the hash slot of its stream, so that one commit can change both.</summary>
/// <param name="Stream">The stream the document belongs to. The stream itself need not exist.</param>
/// <param name="Name">The document's name within the stream.</param>
public readonly record struct StateKey(string Stream, string Name);

/// <summary>A state document as it was read.</summary>
/// <param name="Version">
/// Given by the store at each put: larger than every earlier version of the key, also after it was deleted and made again, as long as the
/// store's clock does not go back. Compare it, do not count with it.
/// </param>
/// <param name="Payload">The content: any bytes.</param>
public sealed record StateDocument(long Version, ReadOnlyMemory<byte> Payload);
