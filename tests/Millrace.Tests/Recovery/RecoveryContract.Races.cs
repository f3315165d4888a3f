using Millrace.Recovery;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Recovery;

/// <summary>What comes between the looks of one process and its note. Found by chaos.</summary>
public abstract partial class RecoveryContract
{
    /// <summary>Another process notes the new life of the stream, of which nothing is missing, before the one that made the group does.</summary>
    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task Group_made_again_is_told_by_what_was_known_when_it_was_gone(int unsettled)
    {
        var isArmed = false;
        var held = new TaskCompletionSource();
        var release = new TaskCompletionSource();
        var line = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (Volatile.Read(ref isArmed) && NoteIn(member, args) is not null)
            {
                held.TrySetResult();
                await release.Task;
            }
        });
        var end = new TaskCompletionSource();
        await using var reader = await StartAsync(order => order.OrderId == "o1" ? end.Task : Task.CompletedTask, store: line, isOrdered: true);
        var id = unsettled == 0 ? EntryId.Zero : await PublishAsync(reader, "o1");
        await Eventually.TrueAsync("all of it is noted", async () =>
            await NotedAsync() is { } noted && noted.Unsettled == unsettled && noted.StreamLastId == id);
        var isBlind = false;
        await using var other = await StartStandbyAsync(() => Volatile.Read(ref isBlind));

        Volatile.Write(ref isBlind, true);
        Volatile.Write(ref isArmed, true);
        await ForgetAsync();
        await held.Task.WaitAsync(Eventually.Deadline);
        await AppendAsync("o2");
        var last = await AppendAsync("o3");
        Volatile.Write(ref isBlind, false);
        await Eventually.TrueAsync("the other notes first", async () => await NotedAsync() is { } noted && noted.StreamLastId == last);
        release.SetResult();

        var loss = await OnlyLossAsync(reader);
        Assert.Equal(unsettled == 0 ? StreamLossKind.GroupVanished : StreamLossKind.EntriesVanished, loss.Kind);
        Assert.Equal((unsettled == 0 ? id : id.Previous(), id, unsettled), (loss.MissingAfter, loss.MissingThrough, loss.MissingCount));
        end.SetResult();
    }

    [Fact]
    public async Task Group_made_again_by_a_check_that_failed_is_told_all_the_same()
    {
        var stage = 0;
        var line = HookedStore.Wrap(Store, (member, args) =>
        {
            if (member == nameof(IStreamStore.CreateGroupAsync) && (string)args[0]! == _stream)
                Interlocked.CompareExchange(ref stage, 2, 1);
            return member == nameof(IStreamStore.GetStreamInfoAsync) && Interlocked.CompareExchange(ref stage, 3, 2) == 2
                ? throw new StreamException(StreamErrorCode.Unavailable, "The line is dead.")
                : Task.CompletedTask;
        });
        await using var host = await StartAsync(store: line);
        await Eventually.TrueAsync("the group is noted", async () => await NotedAsync() is not null);

        Volatile.Write(ref stage, 1);
        await ForgetAsync();

        var loss = await OnlyLossAsync(host);
        Assert.Equal((StreamLossKind.GroupVanished, EntryId.Zero, EntryId.Zero), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
        Assert.Equal(3, stage);
    }

    [Fact]
    public async Task Loss_whose_note_arrives_after_it_was_asked_for_is_told()
    {
        var isArmed = 0;
        IReadOnlyList<Commit>? late = null;
        var line = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (NoteIn(member, args) is null)
                return;
            if (Interlocked.Exchange(ref isArmed, 0) == 1)
            {
                late = (IReadOnlyList<Commit>)args[0]!;
                throw new StreamException(StreamErrorCode.OutcomeUnknown, "The line broke.");
            }

            if (Interlocked.Exchange(ref late, null) is { } commits)
                Assert.Null(Assert.Single(await Store.CommitAsync(commits)).Conflict);
        });
        await using var host = await StartAsync(store: line);
        var id = await PublishAsync(host, "o1");
        await WhenNotedAsync(id);

        Volatile.Write(ref isArmed, 1);
        await ForgetAsync();

        var loss = await OnlyLossAsync(host);
        Assert.Equal((StreamLossKind.EntriesVanished, id, id), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
    }

    [Fact]
    public async Task Loss_that_could_not_be_noted_is_told_even_when_the_stream_has_grown_as_long_again()
    {
        var isArmed = 0;
        var line = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (NoteIn(member, args) is null || Interlocked.Exchange(ref isArmed, 0) == 0)
                return;
            await AppendAsync("o3");
            await AppendAsync("o4");
            throw new StreamException(StreamErrorCode.Unavailable, "The line is dead.");
        });
        await using var host = await StartAsync(store: line);
        var first = await PublishAsync(host, "o1");
        var last = await PublishAsync(host, "o2");
        var entries = await Store.RangeAsync(_stream, new());
        await WhenNotedAsync(last);

        // As after a failover to a replica that had not seen the second one.
        Volatile.Write(ref isArmed, 1);
        await Store.DeleteStreamAsync(_stream);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Append(_stream, entries[0].Fields, first)] });
        await Store.CreateGroupAsync(_stream, Group, GroupStart.After(first));

        var loss = await OnlyLossAsync(host);
        Assert.Equal((StreamLossKind.EntriesVanished, last, last), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
    }

    /// <summary>
    /// It has read the note, and looks at the stream of the next life already. What it tells must be of the life that others know, or they tell it again.
    /// </summary>
    [Fact]
    public async Task What_is_forgotten_while_a_process_begins_is_told_once()
    {
        var told = new TaskCompletionSource();
        var isForgotten = 0;
        var held = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (NoteIn(member, args) is not null && Volatile.Read(ref isForgotten) == 1)
                await told.Task;
        });
        await using var host = await StartAsync(store: held);
        await PublishAsync(host, "o1");
        var id = await PublishAsync(host, "o2");
        await WhenNotedAsync(id);

        var listens = new TaskCompletionSource();
        var begins = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (member != nameof(IStreamStore.GetStreamInfoAsync) || (string)args[0]! != _stream || Interlocked.Exchange(ref isForgotten, 1) == 1)
                return;
            await listens.Task;
            await ForgetAsync();
            await AppendAsync("o3");
        });
        await using var other = await StartAsync(instance: "b", store: begins);
        listens.SetResult();
        try
        {
            await Eventually.TrueAsync("the other notes a loss", async () => await NotedAsync() is { Losses: 1, ToldBy: "b" });
        }
        finally
        {
            told.SetResult();
        }

        var loss = await OnlyLossAsync(host);
        Assert.Equal((StreamLossKind.EntriesVanished, id, id), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
    }

    /// <summary>Two entries come between what is asked of the group and of the stream, on a machine that stalls; no later note puts it right.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task What_is_appended_while_a_group_is_noted_is_counted(bool isRead)
    {
        // 1: the group is asked for next, 2: then the stream, 3: then it is noted, 4: no more.
        var stage = 0;
        var last = EntryId.Zero;
        GroupLedger? note = null;
        var forgotten = new TaskCompletionSource();
        var line = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (member == nameof(IStreamStore.GetGroupsAsync) && (await Store.GetGroupsAsync(_stream)).Count > 0)
                Interlocked.CompareExchange(ref stage, 2, 1);
            if (member == nameof(IStreamStore.GetStreamInfoAsync) && (string)args[0]! == _stream && Interlocked.CompareExchange(ref stage, 3, 2) == 2)
            {
                await AppendAsync("between1");
                last = await AppendAsync("between2");
            }

            if (NoteIn(member, args) is not { } written)
                return;
            if (Interlocked.CompareExchange(ref stage, 4, 3) == 3)
                note = written;
            else if (Volatile.Read(ref stage) == 4)
                await forgotten.Task;
        });
        var end = new TaskCompletionSource();
        Volatile.Write(ref stage, isRead ? 0 : 1);
        await AppendAsync("o1");
        await using var host = await StartAsync(_ => end.Task, store: line);
        if (isRead)
        {
            await Eventually.TrueAsync("the first is pending", async () =>
                await NotedAsync() is { Unsettled: 1 } noted && noted.LastDelivered == noted.StreamLastId);
            Volatile.Write(ref stage, 1);
            await AppendAsync("o2");
        }

        await Eventually.TrueAsync("it is noted", async () =>
            Volatile.Read(ref stage) == 4 && await NotedAsync() is { } noted && noted.StreamLastId == last);
        var all = await Store.RangeAsync(_stream, new());
        Assert.Equal((isRead ? 4 : 3, last), (all.Count, all[^1].Id));
        Assert.Equal((all.Count, last), (note!.Unsettled, note.StreamLastId));

        await ForgetAsync();
        forgotten.SetResult();

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, all.Count, last), (loss.Kind, loss.MissingCount, loss.MissingThrough));
        end.SetResult();
    }

    /// <summary>Chaos was told of one entry more than there were in the range that was told.</summary>
    [Fact]
    public async Task What_is_settled_while_a_group_is_noted_is_not_counted_in_what_is_behind_it()
    {
        // 1: what is pending is asked for next, 2: then it is noted, 3: no more.
        var stage = 0;
        GroupLedger? note = null;
        var first = new TaskCompletionSource();
        var end = new TaskCompletionSource();
        var settled = EntryId.Zero;
        var line = HookedStore.Wrap(Store, async (member, args) =>
        {
            if (member == nameof(IStreamStore.PendingSummaryAsync) && (string)args[0]! == _stream && Interlocked.CompareExchange(ref stage, 2, 1) == 1)
            {
                first.SetResult();
                await Eventually.TrueAsync("the first is settled", async () => (await Store.PendingSummaryAsync(_stream, Group)).MinId > settled);
            }

            if (NoteIn(member, args) is { } written && Interlocked.CompareExchange(ref stage, 3, 2) == 2)
                note = written;
        });
        await using var host = await StartAsync(order => order.OrderId == "o1" ? first.Task : end.Task, store: line);
        settled = await PublishAsync(host, "o1");
        await PublishAsync(host, "o2");
        await Eventually.TrueAsync("both are pending", async () => await NotedAsync() is { Unsettled: 2 } noted && noted.LastDelivered > settled);

        Volatile.Write(ref stage, 1);
        await PublishAsync(host, "o3");

        await Eventually.TrueAsync("it is noted", () => ValueTask.FromResult(Volatile.Read(ref stage) == 3));
        var behind = await Store.RangeAsync(_stream, new() { Start = note!.SettledThrough.Next(), End = note.StreamLastId });
        Assert.True(note.SettledThrough >= settled, $"It is noted to have settled through {note.SettledThrough}, and {settled} was settled.");
        Assert.Equal(behind.Count, note.Unsettled);
        end.SetResult();
    }

    private async Task<EntryId> AppendAsync(string order) => await Store.AppendAsync(
        _stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", $$"""{"orderId":"{{order}}"}""")));

    /// <summary>The loss that is told, and none is after it.</summary>
    private async Task<StreamLossEventArgs> OnlyLossAsync(ConsumerHost host)
    {
        await LossAsync();
        for (var i = 0; i < 2; i++)
            await WhenNotedAsync(await PublishAsync(host, $"later{i}"), atLeast: true);
        return Assert.Single(_losses);
    }

    /// <summary>The note that such a call writes.</summary>
    private GroupLedger? NoteIn(string member, object?[] args)
    {
        var commits = member == nameof(IStreamStore.CommitAsync) ? (IReadOnlyList<Commit>)args[0]! : [];
        var puts = commits.SelectMany(commit => commit.Changes).OfType<CommitChange.PutState>();
        return puts.FirstOrDefault(put => put.Key == Ledger) is { } note ? GroupLedger.Read(new(0, note.Payload)) : null;
    }
}
