using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Moves rows to the store, page by page, in the order of their numbers. One at a time; what it keeps between two pages only saves work.
/// </summary>
/// <remarks>
/// <para>Nothing is lost, since a row is deleted only when it is known to be in the store. Nothing goes out twice, since each commit that appends rows of a
/// stream also writes which ones, under the condition that nobody wrote that document since it was read. In this order:</para>
/// <list type="number">
/// <item>read the documents of the streams;</item>
/// <item>settle in the database what they name: another relay may have died before it did;</item>
/// <item>read the rows that wait; none of them was relayed before, or a document has changed;</item>
/// <item>commit them to the store, with the documents; one that changed is a conflict, and its rows are read again;</item>
/// <item>settle them in the database.</item>
/// </list>
/// <para>The order 1, 3 is the point: a document that is read after the rows could be a later one, which no longer names them.</para>
/// </remarks>
internal sealed class OutboxDrain(OutboxOptions options, IStreamStore store, OutboxMeter meter, TimeProvider time, ILogger logger)
{
    // Documents that are read before it is known whose rows there are: those of the last pages.
    private const int MaxStreams = 1_000;

    // How long a store remembers what it took last. It matters only while no relay works after one died; and streams that are not used any more must not
    // leave their documents for ever.
    private static readonly TimeSpan Memory = TimeSpan.FromDays(30);

    private readonly HashSet<string> _streams = new(StringComparer.Ordinal);

    // Streams whose last batch was refused go on with smaller ones, until the row at fault is alone.
    private readonly Dictionary<string, int> _limits = new(StringComparer.Ordinal);

    // What this process relayed last and has settled, by stream: that need not be done again.
    private readonly Dictionary<string, byte[]> _settled = new(StringComparer.Ordinal);

    private readonly RelayHolds _holds = new(time);

    /// <summary>What a page led to.</summary>
    public enum Outcome
    {
        /// <summary>There was nothing to relay.</summary>
        Empty,

        /// <summary>There may be more.</summary>
        Progress,

        /// <summary>Another relay is at work.</summary>
        Overtaken,
    }

    /// <summary>When rows that were refused are to be tried again, or <see langword="null"/>: there are none.</summary>
    public TimeSpan? NextRetry() => _holds.NextExpiry();

    /// <summary>Relays a page.</summary>
    /// <exception cref="StreamException">The store failed. What it took is found by the next page.</exception>
    public async Task<Outcome> RelayPageAsync(OutboxTable table, CancellationToken cancellationToken)
    {
        try
        {
            return await RelayPageCoreAsync(table, cancellationToken).ConfigureAwait(false);
        }
        catch
        {
            Distrust();
            throw;
        }
    }

    /// <summary>The database failed, and may have come back without what it acknowledged last: what the documents name is settled once more.</summary>
    public void Distrust() => _settled.Clear();

    private async Task<Outcome> RelayPageCoreAsync(OutboxTable table, CancellationToken cancellationToken)
    {
        _holds.Expire();
        var (documents, refusals) = await ReadMemoryAsync(cancellationToken).ConfigureAwait(false);
        await SettleRememberedAsync(table, documents, cancellationToken).ConfigureAwait(false);

        var page = await table.ReadAsync(options.BatchSize, _holds.Keys, _holds.Streams, cancellationToken).ConfigureAwait(false);
        if (page.Count == 0)
            return Outcome.Empty;

        var streams = page.GroupBy(row => row.Stream, StringComparer.Ordinal).ToList();
        var batches = streams.Where(rows => documents.ContainsKey(rows.Key))
            .Select(rows => new Batch([.. rows.Take(_limits.GetValueOrDefault(rows.Key, int.MaxValue))], documents[rows.Key])).ToList();
        RememberStreams(streams.Select(rows => rows.Key).Where(stream => !refusals.ContainsKey(stream)));
        var outcome = await RelayAsync(table, batches, cancellationToken).ConfigureAwait(false);
        foreach (var rows in streams.Where(rows => refusals.ContainsKey(rows.Key)))
            await RefusedAsync(table, new([rows.First()], last: null), refusals[rows.Key], isOfStream: true, cancellationToken).ConfigureAwait(false);
        return outcome;
    }

    /// <summary>
    /// Reads the documents of the streams. One that cannot be read is the matter of its own rows: the stream is forgotten until rows of it are seen again.
    /// </summary>
    private async Task<(Dictionary<string, StateDocument?> Documents, Dictionary<string, StreamException> Refusals)> ReadMemoryAsync(
        CancellationToken cancellationToken)
    {
        var refusals = new Dictionary<string, StreamException>(StringComparer.Ordinal);
        foreach (var stream in _streams)
        {
            if (RefusalOf(stream) is { } refusal)
                refusals.Add(stream, refusal);
        }

        _streams.ExceptWith(refusals.Keys);
        if (_streams.Count == 0)
            return ([], refusals);
        List<string> streams = [.. _streams];
        var keys = streams.ConvertAll(stream => OutboxNames.Memory(options.Name!, stream));
        try
        {
            var read = await store.GetStatesAsync(keys, cancellationToken).ConfigureAwait(false);
            return (streams.Zip(read).ToDictionary(one => one.First, one => one.Second, StringComparer.Ordinal), refusals);
        }
        catch (StreamException exception) when (!IsOfTheStore(exception))
        {
            // One of them is at fault, and the store does not say which.
        }

        var documents = new Dictionary<string, StateDocument?>(StringComparer.Ordinal);
        for (var i = 0; i < streams.Count; i++)
        {
            try
            {
                documents[streams[i]] = await store.GetStateAsync(keys[i], cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (!IsOfTheStore(exception))
            {
                refusals.Add(streams[i], exception);
                _streams.Remove(streams[i]);
            }
        }

        return (documents, refusals);
    }

    /// <summary>Why a stream cannot have a document: a row that somebody else wrote, or an earlier version of us with other limits.</summary>
    private StreamException? RefusalOf(string stream)
    {
        try
        {
            StreamArguments.Check(OutboxNames.Memory(options.Name!, stream));
            return null;
        }
        catch (ArgumentException exception)
        {
            return new(StreamErrorCode.LimitExceeded, exception.Message, exception);
        }
    }

    private async Task SettleRememberedAsync(
        OutboxTable table, Dictionary<string, StateDocument?> documents, CancellationToken cancellationToken)
    {
        foreach (var (stream, document) in documents)
        {
            if (document is null || (_settled.TryGetValue(stream, out var settled) && document.Payload.Span.SequenceEqual(settled)))
                continue;
            await table.SettleAsync(RelayMemory.Read(document.Payload.Span), IsKept, cancellationToken).ConfigureAwait(false);
            _settled[stream] = document.Payload.ToArray();
        }
    }

    private bool IsKept => options.KeepRelayed > TimeSpan.Zero;

    /// <summary>The streams of this page come next, too; their documents are then read before their rows.</summary>
    private void RememberStreams(IEnumerable<string> streams)
    {
        if (_streams.Count > MaxStreams)
        {
            _streams.Clear();
            _settled.Clear();
        }

        _streams.UnionWith(streams);
    }

    private async Task<Outcome> RelayAsync(OutboxTable table, List<Batch> batches, CancellationToken cancellationToken)
    {
        var results = await CommitAsync(batches, cancellationToken).ConfigureAwait(false);
        var applied = batches.Where((_, i) => results[i].IsApplied).ToList();

        // Also while the host stops: a stop leaves nothing behind that the next relay has to find out. The command time-out of the context bounds it.
        await table.SettleAsync([.. applied.SelectMany(batch => batch.Relayed)], IsKept, CancellationToken.None).ConfigureAwait(false);
        foreach (var batch in applied)
            Applied(batch);

        var outcome = Outcome.Progress;
        for (var i = 0; i < batches.Count; i++)
        {
            if (results[i].Conflict is not null)
                outcome = Outcome.Overtaken;
            else if (results[i].Failure is { } failure)
                await RefusedAsync(table, batches[i], failure, failure.Code != StreamErrorCode.LimitExceeded, cancellationToken).ConfigureAwait(false);
        }

        return outcome;
    }

    private void Applied(Batch batch)
    {
        _settled[batch.Stream] = batch.Memory;
        if (_limits.TryGetValue(batch.Stream, out var limit) && batch.Rows.Count == limit)
            _limits[batch.Stream] = Math.Min(limit * 2, options.BatchSize);
        meter.Relayed(batch.Stream, batch.Rows.Count);
    }

    /// <summary>Commits the batches, each on its own, in one round trip. What the store would not even be sent is a refusal like any other.</summary>
    private async Task<CommitResult[]> CommitAsync(List<Batch> batches, CancellationToken cancellationToken)
    {
        var results = new CommitResult[batches.Count];
        List<int> sent = [];
        List<Commit> commits = [];
        for (var i = 0; i < batches.Count; i++)
        {
            try
            {
                var commit = batches[i].ToCommit(options.Name!);
                StreamArguments.CheckCommit(commit);
                commits.Add(commit);
                sent.Add(i);
            }
            catch (Exception exception) when (exception is ArgumentException or FormatException)
            {
                // A row that somebody else wrote, or a later version of us with other limits.
                results[i] = CommitResult.Failed(new(StreamErrorCode.LimitExceeded, exception.Message, exception));
            }
        }

        if (commits.Count > 0)
        {
            var answers = await store.CommitAsync(commits, cancellationToken).ConfigureAwait(false);
            for (var i = 0; i < sent.Count; i++)
                results[sent[i]] = answers[i];
        }

        return results;
    }

    /// <summary>Not the row's fault, nor the stream's: nothing can be relayed at the moment.</summary>
    private static bool IsOfTheStore(StreamException failure) => failure.IsTransient ||
        failure.Code is StreamErrorCode.AuthenticationFailed or StreamErrorCode.Closed or StreamErrorCode.Corrupt or StreamErrorCode.Locked;

    private async Task RefusedAsync(
        OutboxTable table, Batch batch, StreamException failure, bool isOfStream, CancellationToken cancellationToken)
    {
        if (IsOfTheStore(failure))
            throw failure;
        if (batch.Rows.Count > 1)
        {
            _limits[batch.Stream] = batch.Rows.Count / 2;
            return;
        }

        _limits[batch.Stream] = 1;
        var row = batch.Rows[0];
        var attempts = row.Attempts + 1;
        var isParked = attempts >= options.MaxAttempts;
        await table.RefuseAsync(RelayedRow.Of(row), $"{failure.Code}: {failure.Message}", isParked, cancellationToken).ConfigureAwait(false);
        if (isParked)
        {
            meter.Parked(row.Stream);
            LogMessages.RowParked(logger, failure, row.Id, row.Stream, attempts);
            return;
        }

        LogMessages.RowRefused(logger, failure, row.Id, row.Stream, attempts);
        var wait = Wait(attempts, options);
        if (isOfStream)
            _holds.HoldStream(row.Stream, wait);
        else
            _holds.HoldKey(row, wait);
    }

    /// <summary>The wait after so many failures.</summary>
    public static TimeSpan Wait(int failures, OutboxOptions options)
    {
        // As a number: a TimeSpan of the largest product would not exist.
        var seconds = options.RetryBaseDelay.TotalSeconds * Math.Pow(2, Math.Min(failures - 1, 30));
        return seconds < options.RetryMaxDelay.TotalSeconds ? TimeSpan.FromSeconds(seconds) : options.RetryMaxDelay;
    }

    /// <summary>Rows of one stream that go out together.</summary>
    private sealed class Batch(List<OutboxRow> rows, StateDocument? last)
    {
        public string Stream => Rows[0].Stream;

        public List<OutboxRow> Rows { get; } = rows;

        public RelayedRow[] Relayed { get; } = [.. rows.Select(RelayedRow.Of)];

        public byte[] Memory => field ??= RelayMemory.Write(Relayed);

        /// <exception cref="FormatException">The fields of a row are none.</exception>
        public Commit ToCommit(string outbox)
        {
            var key = OutboxNames.Memory(outbox, Stream);
            return new()
            {
                Conditions = [last is null ? CommitCondition.StateAbsent(key) : CommitCondition.StateIs(key, last.Version)],
                Changes = [.. Rows.Select(ToChange), new CommitChange.PutState(key, Memory, OutboxDrain.Memory)],
            };
        }

        private static CommitChange ToChange(OutboxRow row)
        {
            var fields = EntryFields.FromPacked(row.Fields);
            return row.DelayMilliseconds is { } delay
                ? new CommitChange.Schedule(row.Stream, fields, TimeSpan.FromMilliseconds(delay))
                : new CommitChange.Append(row.Stream, fields);
        }
    }
}
