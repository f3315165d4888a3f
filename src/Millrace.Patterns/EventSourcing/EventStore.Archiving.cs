using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    private static readonly byte[] NewLine = "\n"u8.ToArray();

    /// <summary>
    /// Writes a stream's events to an archive: a line of JSON for each, with its ID and fields as they are. Reads a page at a time; snapshots and the
    /// memory of commands are not part of it.
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
        var last = EntryId.Zero;
        while (true)
        {
            var page = await _store.RangeAsync(stream, range, cancellationToken).ConfigureAwait(false);
            foreach (var entry in page)
            {
                await archive.WriteAsync(ToLine(stream, entry), cancellationToken).ConfigureAwait(false);
                await archive.WriteAsync(NewLine, cancellationToken).ConfigureAwait(false);
                last = entry.Id;
            }

            if (page.Count < PageSize)
                break;
            range = range with { Start = last.Next() };
        }

        await archive.FlushAsync(cancellationToken).ConfigureAwait(false);
        return (long)last.Milliseconds;
    }

    /// <summary>
    /// Moves a stream to an archive: writes its events, then deletes it, if nobody appended meanwhile. After a conflict the archive holds what was there
    /// before; begin anew with an empty one. Make sure the archive is safe where it is before you rely on it: flushed is not synced.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="archive">Where to, see <see cref="ExportAsync"/>.</param>
    /// <param name="reason">Why, in the tombstone. Default: <c>archived</c>.</param>
    /// <param name="cancellationToken">Stops it; events stay in the stream until all were written.</param>
    /// <returns>See <see cref="DeleteAsync"/>. A stream without events is a conflict.</returns>
    /// <exception cref="StreamException">The store failed, see <see cref="DeleteAsync"/>.</exception>
    public async ValueTask<AppendResult> ArchiveAsync(
        string stream, Stream archive, string reason = "archived", CancellationToken cancellationToken = default)
    {
        var version = await ExportAsync(stream, archive, cancellationToken).ConfigureAwait(false);
        return version == 0
            ? AppendResult.Of(AppendOutcome.Conflict, 0)
            : await DeleteAsync(stream, ExpectedVersion.Exactly(version), reason, cancellationToken: cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Reads an archive, as <see cref="ReadAsync"/> reads a stream.</summary>
    /// <param name="archive">What <see cref="ExportAsync"/> wrote.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="FormatException">A line is not one of an archive; the message says which.</exception>
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
    /// <exception cref="FormatException">A line is not one of an archive; the message says which.</exception>
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
        var number = 0;
        while (await reader.ReadLineAsync(cancellationToken).ConfigureAwait(false) is { } line)
        {
            number++;
            (string, StreamEntry) read;
            try
            {
                read = FromLine(line);
            }
            catch (Exception exception) when (exception is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
            {
                throw new FormatException($"Line {number} is not that of an event in an archive: {exception.Message}", exception);
            }

            yield return read;
        }
    }

    private static (string Stream, StreamEntry Entry) FromLine(string line)
    {
        using var json = JsonDocument.Parse(line);
        var fields = new EntryFieldsWriter();
        var parts = json.RootElement.GetProperty("fields"u8);
        if (parts.GetArrayLength() == 0 || parts.GetArrayLength() % 2 != 0)
            throw new FormatException("fields are names and values in turn, at least one of each.");
        for (var i = 0; i < parts.GetArrayLength(); i += 2)
            fields.Add(ReadPart(parts[i]), ReadPart(parts[i + 1]));
        var id = EntryId.Parse(json.RootElement.GetProperty("id"u8).GetString() ?? "", null);
        return (json.RootElement.GetProperty("stream"u8).GetString() ?? "", new(id, fields.ToFields()));
    }

    private static byte[] ReadPart(JsonElement part) => part.ValueKind == JsonValueKind.Object
        ? part.GetProperty("base64"u8).GetBytesFromBase64()
        : Encoding.UTF8.GetBytes(part.GetString() ?? throw new FormatException("a part is null."));
}
