using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    private static readonly byte[] NewLine = "\n"u8.ToArray();

    /// <summary>
    /// Writes a stream's events to an archive: a line of JSON for each, with its ID and fields as they are, and a last line that says how many they are.
    /// Reads a page at a time; snapshots and the memory of commands are not part of it.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="archive">Where to; flushed at the end, and left open.</param>
    /// <param name="cancellationToken">Ends the writing.</param>
    /// <returns>The version of the last event written; 0: there is none.</returns>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<long> ExportAsync(string stream, Stream archive, CancellationToken cancellationToken = default)
    {
        _options.CheckStream(stream);
        ArgumentNullException.ThrowIfNull(archive);
        var range = new StreamRange { Count = PageSize };
        var (last, count) = (EntryId.Zero, 0L);
        await foreach (var entry in _pages.ReadAsync(stream, range, cancellationToken).ConfigureAwait(false))
        {
            await archive.WriteAsync(ToLine(stream, entry), cancellationToken).ConfigureAwait(false);
            await archive.WriteAsync(NewLine, cancellationToken).ConfigureAwait(false);
            (last, count) = (entry.Id, count + 1);
        }

        var end = JsonSerializer.SerializeToUtf8Bytes(new ArchiveEnd(stream, last.ToString(), count), EventSourcingJson.Default.ArchiveEnd);
        await archive.WriteAsync(end, cancellationToken).ConfigureAwait(false);
        await archive.WriteAsync(NewLine, cancellationToken).ConfigureAwait(false);
        await archive.FlushAsync(cancellationToken).ConfigureAwait(false);
        return (long)last.Milliseconds;
    }

    /// <summary>
    /// Moves a stream to an archive: writes its events, waits until they are safe, and deletes it, if nobody appended meanwhile. After a conflict the
    /// archive holds what was there before; begin anew with another one. A stream that was deleted writes nothing: its archive is the one there is.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="archive">Where to, see <see cref="ExportAsync"/>; never over an earlier archive of the stream.</param>
    /// <param name="makeSafe">
    /// Ends when what was written survives a power cut: a file is flushed to the disk, an upload complete. Afterwards the events are deleted.
    /// </param>
    /// <param name="reason">Why, in the tombstone. Default: <c>archived</c>.</param>
    /// <param name="cancellationToken">Stops it; events stay in the stream until all were written.</param>
    /// <returns>See <see cref="DeleteAsync"/>. A stream without events is a conflict.</returns>
    /// <exception cref="StreamException">The store failed, see <see cref="DeleteAsync"/>.</exception>
    public async ValueTask<AppendResult> ArchiveAsync(
        string stream,
        Stream archive,
        Func<CancellationToken, Task> makeSafe,
        string reason = "archived",
        CancellationToken cancellationToken = default)
    {
        _options.CheckStream(stream);
        ArgumentNullException.ThrowIfNull(makeSafe);
        if (await _store.GetStateAsync(EventStoreNames.Deleted(stream), cancellationToken).ConfigureAwait(false) is not null)
            return await DeleteAsync(stream, ExpectedVersion.Any, cancellationToken: cancellationToken).ConfigureAwait(false);
        var version = await ExportAsync(stream, archive, cancellationToken).ConfigureAwait(false);
        if (version == 0)
            return AppendResult.Of(AppendOutcome.Conflict, 0);
        await makeSafe(cancellationToken).ConfigureAwait(false);
        return await DeleteAsync(stream, ExpectedVersion.Exactly(version), reason, cancellationToken: cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Reads an archive, as <see cref="ReadAsync"/> reads a stream.</summary>
    /// <param name="archive">What <see cref="ExportAsync"/> wrote.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="FormatException">A line is not one of an archive, or lines are missing; the message says which.</exception>
    public async IAsyncEnumerable<RecordedEvent> ReadArchiveAsync(
        Stream archive, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await foreach (var (stream, entry) in LinesAsync(archive, cancellationToken).ConfigureAwait(false))
            yield return RecordedEvent.Read(_codec, stream, entry);
    }

    /// <summary>
    /// Brings an archive back as a stream, with the versions, event IDs and times there were; categories get their copies. An import that was cut off
    /// goes on where it was when it is repeated.
    /// </summary>
    /// <param name="stream">The stream; new, or what an import of the same archive began. One that was deleted stays so: take another name.</param>
    /// <param name="archive">What <see cref="ExportAsync"/> wrote.</param>
    /// <param name="cancellationToken">Stops it; events up to some version may be there.</param>
    /// <returns>The version of the last event.</returns>
    /// <exception cref="InvalidOperationException">The stream has other events, somebody appends to it, or it was deleted.</exception>
    /// <exception cref="FormatException">
    /// A line is not one of an archive, or lines are missing; the message says which. Events before it may have been imported: with the whole archive
    /// the import goes on.
    /// </exception>
    /// <exception cref="StreamException">The store failed; import again.</exception>
    public async ValueTask<long> ImportAsync(string stream, Stream archive, CancellationToken cancellationToken = default)
    {
        _options.CheckStream(stream);
        var last = await FindLastAsync(stream, cancellationToken).ConfigureAwait(false);
        var resumeAfter = last ?? EntryId.Zero;
        var isFound = resumeAfter == EntryId.Zero;
        var batch = new List<StreamEntry>(PageSize);
        await foreach (var (_, entry) in LinesAsync(archive, cancellationToken).ConfigureAwait(false))
        {
            if (entry.Id <= resumeAfter)
            {
                isFound |= entry.Id == resumeAfter && await IsThereAsync(stream, entry, cancellationToken).ConfigureAwait(false);
                continue;
            }

            if (!isFound)
                throw new InvalidOperationException($"'{stream}' has other events than the archive.");
            batch.Add(entry);
            if (batch.Count == PageSize)
                last = await ImportBatchAsync(stream, last, batch, cancellationToken).ConfigureAwait(false);
        }

        if (!isFound)
            throw new InvalidOperationException($"'{stream}' has other events than the archive.");
        if (batch.Count > 0)
            last = await ImportBatchAsync(stream, last, batch, cancellationToken).ConfigureAwait(false);
        return (long)(last ?? EntryId.Zero).Milliseconds;
    }

    private async ValueTask<bool> IsThereAsync(string stream, StreamEntry entry, CancellationToken cancellationToken)
    {
        var range = new StreamRange { Start = entry.Id, End = entry.Id, Count = 1 };
        var found = await _store.RangeAsync(stream, range, cancellationToken).ConfigureAwait(false);
        return found is [var there] && there.Fields.Packed.Span.SequenceEqual(entry.Fields.Packed.Span);
    }

    private async ValueTask<EntryId> ImportBatchAsync(string stream, EntryId? last, List<StreamEntry> batch, CancellationToken cancellationToken)
    {
        var category = _options.CategoryOf(stream);
        var changes = new List<CommitChange>();
        foreach (var entry in batch)
        {
            changes.Add(new CommitChange.Append(stream, entry.Fields, entry.Id));
            if (category is not null)
                changes.Add(new CommitChange.Append(category, EventStoreNames.Copy(entry.Fields, stream, (long)entry.Id.Milliseconds)));
        }

        var commit = new Commit
        {
            Conditions =
            [
                CommitCondition.StateAbsent(EventStoreNames.Deleted(stream)),
                last is { } id ? CommitCondition.LastIdIs(stream, id) : CommitCondition.NoStream(stream),
            ],
            Changes = changes,
        };
        var result = await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
        if (!result.IsApplied)
            throw new InvalidOperationException($"'{stream}' was deleted, or somebody else appends to it; nothing after {last ?? EntryId.Zero} was imported.");
        last = batch[^1].Id;
        batch.Clear();
        return last.Value;
    }

    /// <summary><c>{"stream":"points-17","id":"1-0","fields":["type","points.earned",…]}</c>; a value that is no text is <c>{"base64":"…"}</c>.</summary>
    private static byte[] ToLine(string stream, StreamEntry entry)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("stream"u8, stream);
            json.WriteString("id"u8, entry.Id.ToString());
            json.WriteStartArray("fields"u8);
            foreach (var field in entry.Fields)
            {
                WritePart(json, field.Name.Span);
                WritePart(json, field.Value.Span);
            }

            json.WriteEndArray();
            json.WriteEndObject();
        }

        return buffer.ToArray();
    }

    private static void WritePart(Utf8JsonWriter json, ReadOnlySpan<byte> part)
    {
        if (System.Text.Unicode.Utf8.IsValid(part))
        {
            json.WriteStringValue(part);
            return;
        }

        json.WriteStartObject();
        json.WriteBase64String("base64"u8, part);
        json.WriteEndObject();
    }

    private static async IAsyncEnumerable<(string Stream, StreamEntry Entry)> LinesAsync(
        Stream archive, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        ArgumentNullException.ThrowIfNull(archive);
        using var reader = new StreamReader(archive, Encoding.UTF8, leaveOpen: true);
        var (number, last) = (0L, EntryId.Zero);
        while (await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false) is { } line)
        {
            (string Stream, StreamEntry Entry)? read;
            try
            {
                read = FromLine(line, number, last);
            }
            catch (Exception exception) when (exception is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
            {
                throw new FormatException($"Line {number + 1} is not what follows in an archive: {exception.Message}", exception);
            }

            if (read is not { } found)
                yield break;
            (number, last) = (number + 1, found.Entry.Id);
            yield return found;
        }

        throw new FormatException($"The archive ends after line {number} without the line that says so: the rest is missing.");
    }

    /// <summary>The event of a line; <see langword="null"/>: it is the last one, and nothing is missing.</summary>
    private static (string Stream, StreamEntry Entry)? FromLine(string line, long before, EntryId last)
    {
        using var json = JsonDocument.Parse(line);
        if (json.RootElement.TryGetProperty("count"u8, out var count))
        {
            var end = json.Deserialize(EventSourcingJson.Default.ArchiveEnd);
            return end?.Count == before && end.Last == last.ToString()
                ? null
                : throw new FormatException($"it says that there are {count} events up to {end?.Last}; there are {before} up to {last}.");
        }

        var fields = new EntryFieldsWriter();
        var parts = json.RootElement.GetProperty("fields"u8);
        if (parts.GetArrayLength() == 0 || parts.GetArrayLength() % 2 != 0)
            throw new FormatException("fields are names and values in turn, at least one of each.");
        for (var i = 0; i < parts.GetArrayLength(); i += 2)
            fields.Add(ReadPart(parts[i]), ReadPart(parts[i + 1]));
        var id = EntryId.Parse(json.RootElement.GetProperty("id"u8).GetString() ?? "", null);
        return (json.RootElement.GetProperty("stream"u8).GetString() ?? "", new(id, fields.ToFields()));
    }

    /// <summary>The last line.</summary>
    internal sealed record ArchiveEnd(string Stream, string Last, long Count);

    private static byte[] ReadPart(JsonElement part) => part.ValueKind == JsonValueKind.Object
        ? part.GetProperty("base64"u8).GetBytesFromBase64()
        : Encoding.UTF8.GetBytes(part.GetString() ?? throw new FormatException("a part is null."));
}
