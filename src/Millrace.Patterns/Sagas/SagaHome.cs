using Millrace.Streams;

namespace Millrace.Sagas;

/// <summary>Where a saga lives: its streams, its group, and what it keeps beside the first stream.</summary>
/// <remarks>
/// <code>
/// {orders}:state:millrace/saga/checkout/17   the instance
/// {orders}:saga:checkout                     an entry for each instance that has not ended
/// {orders}:saga:checkout:ended               an entry for each end
/// {orders}:saga:checkout:archive             what ended, if that is kept
/// {orders}:again:checkout                    the private stream of the group: time-outs that fired, requests of operators
/// </code>
/// </remarks>
internal sealed record SagaHome(string Saga, IReadOnlyList<string> Streams, string Group, SagaOptions Options)
{
    /// <summary>The field of an index entry that holds the instance's ID.</summary>
    public static ReadOnlySpan<byte> IdField => "id"u8;

    /// <summary>The field of an archive entry that holds the instance, as its document does.</summary>
    public static ReadOnlySpan<byte> DocumentField => "document"u8;

    public string Stream => Streams[0];

    public string Active { get; } = StreamNames.Derive(Streams[0], $"saga:{Saga}");

    public string Ended { get; } = StreamNames.Derive(Streams[0], $"saga:{Saga}:ended");

    public string Archive { get; } = StreamNames.Derive(Streams[0], $"saga:{Saga}:archive");

    public string Private { get; } = StreamNames.Again(Streams[0], Group);

    public StateKey Instance(string id) => new(Stream, $"millrace/saga/{Saga}/{id}");

    public static EntryFields Note(string id) => new EntryFieldsWriter().Add(IdField, id).ToFields();

    public static EntryFields Archived(string id, ReadOnlySpan<byte> document) =>
        new EntryFieldsWriter().Add(IdField, id).Add(DocumentField, document).ToFields();
}
