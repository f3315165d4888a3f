using Millrace.Streams;

namespace Millrace.Sagas;

/// <summary>Where a saga lives: its streams, its group, and what it keeps beside the first stream.</summary>
/// <remarks>
/// <code>
/// {orders}:state:millrace/saga/checkout/17   the instance
/// {orders}:saga:checkout                     an entry for each instance that has not ended
/// {orders}:saga:checkout:ended               an entry for each end
/// {orders}:again:checkout                    the private stream of the group: time-outs that fired, requests of operators
/// </code>
/// </remarks>
internal sealed record SagaHome(string Saga, IReadOnlyList<string> Streams, string Group, SagaOptions Options)
{
    /// <summary>The field of an index entry that holds the instance's ID.</summary>
    public static ReadOnlySpan<byte> IdField => "id"u8;

    public string Stream => Streams[0];

    public string Active { get; } = StreamNames.Derive(Streams[0], $"saga:{Saga}");

    public string Ended { get; } = StreamNames.Derive(Streams[0], $"saga:{Saga}:ended");

    public string Private { get; } = StreamNames.Again(Streams[0], Group);

    public StateKey Instance(string id) => new(Stream, $"millrace/saga/{Saga}/{id}");

    public static EntryFields Note(string id) => new EntryFieldsWriter().Add(IdField, id).ToFields();
}
