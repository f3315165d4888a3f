using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>What changes the entries of a stream.</summary>
public sealed partial class EmbeddedStreamStore
{
    /// <inheritdoc/>
    public ValueTask<EntryId> AppendAsync(
        string stream, EntryFields fields, StreamTrim? trim = null, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        StreamArguments.CheckFields(fields);
        return ApplyAsync<Append, EntryId>(new(stream, fields, trim), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<EntryId>> AppendManyAsync(
        string stream, IReadOnlyList<EntryFields> entries, StreamTrim? trim = null, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        StreamArguments.CheckBatch(entries);
        for (var i = 0; i < entries.Count; i++)
            StreamArguments.CheckFields(entries[i], nameof(entries));
        return ApplyAsync<AppendMany, IReadOnlyList<EntryId>>(new(stream, entries, trim), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<long> DeleteAsync(string stream, IReadOnlyList<EntryId> ids, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        StreamArguments.CheckBatch(ids);
        return ApplyAsync<Delete, long>(new(stream, ids), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<long> TrimAsync(string stream, StreamTrim trim, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        ArgumentNullException.ThrowIfNull(trim);
        return ApplyAsync<Trim, long>(new(stream, trim), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<bool> DeleteStreamAsync(string stream, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckName(stream);
        return ApplyAsync<DeleteStream, bool>(new(stream), cancellationToken);
    }
}
