using System.Reflection;
using System.Text.Json;
using Millrace.Streams;

namespace Millrace.ChaosWorker;

/// <summary>A store that writes down to whom it gives an entry, and of each settlement that it leaves and what the store said of it.</summary>
public class RecordingStore : DispatchProxy
{
    private IStreamStore _store = null!;
    private string _worker = "";
    private IHistory _history = null!;

    /// <summary>Makes one.</summary>
    /// <param name="store">Does the work.</param>
    /// <param name="worker">Who calls it.</param>
    /// <param name="history">Where it writes.</param>
    public static IStreamStore Wrap(IStreamStore store, string worker, IHistory history)
    {
        var proxy = Create<IStreamStore, RecordingStore>();
        var recording = (RecordingStore)(object)proxy;
        (recording._store, recording._worker, recording._history) = (store, worker, history);
        return proxy;
    }

    /// <inheritdoc/>
    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        return (targetMethod!.Name, args) switch
        {
            (nameof(IStreamStore.ReadGroupAsync), [GroupRead read, ..]) =>
                ReadAsync(read.Group, (ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>>)Call()!),
            (nameof(IStreamStore.ClaimAsync), [string stream, string group, ..]) => ClaimAsync(stream, group, (ValueTask<ClaimResult>)Call()!),
            (nameof(IStreamStore.AckAsync) or nameof(IStreamStore.AckAndDeleteAsync), [string stream, string group, IReadOnlyList<EntryId> ids, ..]) =>
                AckAsync(stream, group, ids, () => (ValueTask<long>)Call()!),
            (nameof(IStreamStore.CommitAsync), [IReadOnlyList<Commit> commits, ..]) =>
                CommitAsync(commits, () => (ValueTask<IReadOnlyList<CommitResult>>)Call()!),
            _ => Call(),
        };

        object? Call() => targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);
    }

    private async ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadAsync(
        string group, ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> reading)
    {
        var batches = await reading;
        foreach (var batch in batches)
            NoteDelivered(batch.Stream, group, batch.Entries);
        return batches;
    }

    private async ValueTask<ClaimResult> ClaimAsync(string stream, string group, ValueTask<ClaimResult> claiming)
    {
        var claimed = await claiming;
        NoteDelivered(stream, group, claimed.Entries);
        return claimed;
    }

    /// <summary>How many were acknowledged is all that is said: where it is not all or nothing, nobody knows of each.</summary>
    private async ValueTask<long> AckAsync(string stream, string group, IReadOnlyList<EntryId> ids, Func<ValueTask<long>> call)
    {
        var name = NewName();
        var settles = ids.Select(id => Settle(name, stream, group, id)).ToList();
        settles.ForEach(_history.Add);
        var count = await call();
        if (count == ids.Count || count == 0)
            settles.ForEach(settle => NoteEnd(settle, isApplied: count > 0));
        return count;
    }

    private async ValueTask<IReadOnlyList<CommitResult>> CommitAsync(
        IReadOnlyList<Commit> commits, Func<ValueTask<IReadOnlyList<CommitResult>>> call)
    {
        var settles = commits.Select(commit => ToSettles(commit).ToList()).ToList();
        foreach (var settle in settles.SelectMany(settle => settle))
            _history.Add(settle);
        var results = await call();
        foreach (var (ofCommit, result) in settles.Zip(results))
            ofCommit.ForEach(settle => NoteEnd(settle, result.IsApplied));
        return results;
    }

    /// <summary>One for each entry it takes from a group.</summary>
    private IEnumerable<HistoryEvent> ToSettles(Commit commit)
    {
        var name = NewName();
        var output = commit.Changes.OfType<CommitChange.Append>().Select(append => append.Fields)
            .Where(fields => fields.GetText("type"u8) == "chaos.done")
            .Select(fields => JsonSerializer.Deserialize<Done>(fields.GetText("data"u8)!, JsonSerializerOptions.Web)!).FirstOrDefault();
        foreach (var change in commit.Changes)
        {
            (string Stream, string Group, EntryId Id)? settled = change switch
            {
                CommitChange.Ack ack => (ack.Stream, ack.Group, ack.Id),
                CommitChange.AckAndDelete ack => (ack.Stream, ack.Group, ack.Id),
                CommitChange.Release release => (release.Stream, release.Group, release.Entry.Id),
                _ => null,
            };
            if (settled is not { } entry)
                continue;
            var fence = commit.Conditions.OfType<CommitCondition.Held>()
                .FirstOrDefault(held => (held.Stream, held.Group, held.Entry.Id) == (entry.Stream, entry.Group, entry.Id));
            yield return Settle(name, entry.Stream, entry.Group, entry.Id) with
            {
                IsFenced = true,
                Count = fence?.Entry.DeliveryCount ?? 0,
                Message = output?.Message ?? "",
                Deliveries = output?.Deliveries ?? 0,
                Attempt = output?.Attempt ?? 0,
            };
        }
    }

    private void NoteDelivered(string stream, string group, IReadOnlyList<DeliveredEntry> entries)
    {
        foreach (var entry in entries)
        {
            _history.Add(new(_history.NowMs, Happened.Delivered)
            {
                Who = _worker, Stream = stream, Group = group, Entry = entry.Id.ToString(), Count = entry.DeliveryCount,
            });
        }
    }

    private void NoteEnd(HistoryEvent settle, bool isApplied) =>
        _history.Add(settle with { AtMs = _history.NowMs, What = isApplied ? Happened.Settled : Happened.SettleRefused });

    private HistoryEvent Settle(string name, string stream, string group, EntryId id) => new(_history.NowMs, Happened.Settle)
    {
        Who = _worker, Commit = name, Stream = stream, Group = group, Entry = id.ToString(),
    };

    private static string NewName() => Guid.NewGuid().ToString("N");
}
