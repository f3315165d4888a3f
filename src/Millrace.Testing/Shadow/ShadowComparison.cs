using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>What became of the messages in the replay.</summary>
internal sealed record ShadowOutcomes
{
    /// <summary>Message ID -> why it was given up.</summary>
    public required IReadOnlyDictionary<string, string> Dead { get; init; }

    /// <summary>Messages that failed and were neither handled nor given up when the time was over; or are dead.</summary>
    public required IReadOnlySet<string> Waiting { get; init; }

    /// <summary>Message ID -> what was published because of it.</summary>
    public required ILookup<string, PublishedMessage> Outputs { get; init; }
}

/// <summary>Lays what a replay did beside what really happened.</summary>
internal sealed class ShadowComparison(ShadowReplayOptions options, ShadowOutcomes shadow)
{
    private const int PendingPage = 10_000;

    private readonly List<ShadowDifference> _differences = [];

    // By message ID: outputs that the group really made.
    private readonly Dictionary<string, (string Stream, MessageHeaders Headers)> _live = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<string>> _liveByCause = new(StringComparer.Ordinal);
    private readonly HashSet<string> _dead = new(StringComparer.Ordinal);
    private readonly HashSet<EntryId> _pending = [];
    private EntryId _lastDelivered;
    private bool _retriesWait;

    /// <summary>Reads what the live group did with the entries.</summary>
    public async Task ReadLiveAsync(IStreamStore live, List<StreamEntry> entries, int moreOutputs, CancellationToken cancellationToken)
    {
        var causes = new Dictionary<string, string>(StringComparer.Ordinal);
        var messages = entries.Select(IdOf).ToHashSet(StringComparer.Ordinal);
        foreach (var message in messages)
        {
            var outputs = shadow.Outputs[message].ToList();
            foreach (var output in outputs)
                causes[output.MessageId] = message;
            for (var i = 0; i < outputs.Count + moreOutputs; i++)
                causes[MessageContext.OutputId(message, options.Stream, options.Group, i).ToString()] = message;
        }

        // Nothing is published before what caused it.
        var start = new EntryId(entries[0].Id.Milliseconds, 0);
        var streams = shadow.Outputs.SelectMany(static outputs => outputs).Select(static output => output.Stream);
        foreach (var stream in streams.Concat(options.OutputStreams).Distinct())
        {
            await foreach (var entry in ShadowReplay.ReadAsync(live, stream, start, EntryId.Max, cancellationToken).ConfigureAwait(false))
                Note(stream, new(entry.Id, entry.Fields), causes);
        }

        var letters = StreamNames.DeadLetters(options.Stream, options.Group);
        await foreach (var letter in ShadowReplay.ReadAsync(live, letters, EntryId.Zero, EntryId.Max, cancellationToken).ConfigureAwait(false))
        {
            if (new MessageHeaders(letter.Id, letter.Fields).MessageId is var message && messages.Contains(message))
                _dead.Add(message);
        }

        await ReadProgressAsync(live, entries.Select(static entry => entry.Id).ToHashSet(), cancellationToken).ConfigureAwait(false);
    }

    public ShadowReport Compare(List<StreamEntry> entries)
    {
        var (same, unsettled) = (0, 0);
        foreach (var entry in entries)
        {
            var message = IdOf(entry);
            if (!_dead.Contains(message) && (entry.Id > _lastDelivered || _pending.Contains(entry.Id) || MayWait(message)))
                unsettled++;
            else if (!Differs(entry.Id, message))
                same++;
        }

        return new()
        {
            Replayed = entries.Count,
            Same = same,
            Unsettled = unsettled,
            Differences = [.. _differences.Take(options.MaxDifferences)],
        };
    }

    /// <summary>The message ID by which handlers know an entry of the past.</summary>
    private string IdOf(StreamEntry entry) => new MessageHeaders(
        entry.Id, entry.Fields, isOriginal: !StreamNames.IsDeadLetters(options.Source), options.Lane is null ? null : options.Source).MessageId;

    private void Note(string stream, MessageHeaders output, Dictionary<string, string> causes)
    {
        if (!causes.TryGetValue(output.MessageId, out var cause) || !_live.TryAdd(output.MessageId, (stream, output)))
            return;
        if (!_liveByCause.TryGetValue(cause, out var made))
            _liveByCause.Add(cause, made = []);
        made.Add(output.MessageId);
    }

    /// <summary>How far the group is. What waits for a retry counts as not settled, whatever becomes of it.</summary>
    private async Task ReadProgressAsync(IStreamStore live, HashSet<EntryId> entries, CancellationToken cancellationToken)
    {
        var groups = await live.GetGroupsAsync(options.Source, cancellationToken).ConfigureAwait(false);
        _lastDelivered = groups.FirstOrDefault(group => group.Name == options.Group)?.LastDeliveredId ?? EntryId.Zero;
        var again = StreamNames.Again(options.Source, options.Group);
        await foreach (var copy in ShadowReplay.ReadAsync(live, again, EntryId.Zero, EntryId.Max, cancellationToken).ConfigureAwait(false))
        {
            if (new MessageHeaders(copy.Id, copy.Fields).SourceId is var source && entries.Contains(source))
                _pending.Add(source);
        }

        if (_lastDelivered == EntryId.Zero)
            return;
        _retriesWait = (await live.GetScheduleAsync(again, cancellationToken).ConfigureAwait(false)).Count > 0;
        for (var start = EntryId.Zero; ;)
        {
            var query = new PendingQuery { Start = start, Count = PendingPage };
            var page = await live.PendingAsync(options.Source, options.Group, query, cancellationToken).ConfigureAwait(false);
            _pending.UnionWith(page.Select(static pending => pending.Id).Where(entries.Contains));
            if (page.Count < PendingPage)
                return;
            start = page[^1].Id.Next();
        }
    }

    /// <summary>A retry that waits for its time shows nowhere by name: while there are any, a message without a trace may be one.</summary>
    private bool MayWait(string message) => _retriesWait && !_liveByCause.ContainsKey(message);

    private bool Differs(EntryId id, string message)
    {
        var before = _differences.Count;
        var wasDead = _dead.Contains(message);
        if (shadow.Dead.TryGetValue(message, out var reason))
        {
            if (!wasDead)
                Add(new(ShadowDifferenceKind.NowFails, id, message, reason));
        }
        else if (shadow.Waiting.Contains(message))
        {
            Add(new(ShadowDifferenceKind.NotSettled, id, message, $"It still waits for another attempt {options.Settle} after the last entry."));
        }
        else if (wasDead)
        {
            Add(new(ShadowDifferenceKind.NowSucceeds, id, message, "It is a dead letter of the group."));
        }

        foreach (var output in shadow.Outputs[message])
            CompareOutput(id, message, output);
        var made = shadow.Outputs[message].Select(static output => output.MessageId).ToHashSet(StringComparer.Ordinal);
        foreach (var missing in _liveByCause.GetValueOrDefault(message, []).Where(one => !made.Contains(one)))
        {
            var (stream, headers) = _live[missing];
            Add(new(ShadowDifferenceKind.MissingOutput, id, message, $"{headers.Type} to '{stream}' is not published any more.") { Live = headers });
        }

        return _differences.Count > before;
    }

    private void CompareOutput(EntryId id, string message, PublishedMessage output)
    {
        var now = output.Headers;
        if (!_live.TryGetValue(output.MessageId, out var was))
            Add(new(ShadowDifferenceKind.NewOutput, id, message, $"{now.Type} to '{output.Stream}' was not published.") { Shadow = now });
        else if (was.Stream != output.Stream)
            Add(new(ShadowDifferenceKind.ChangedOutput, id, message, $"{now.Type} went to '{was.Stream}', and goes to '{output.Stream}'.")
            {
                Live = was.Headers,
                Shadow = now,
            });
        else if (!options.IsSame(was.Headers, now))
            Add(new(ShadowDifferenceKind.ChangedOutput, id, message, $"{now.Type} to '{output.Stream}' has other content.")
            {
                Live = was.Headers,
                Shadow = now,
            });
    }

    private void Add(ShadowDifference difference) => _differences.Add(difference);
}
