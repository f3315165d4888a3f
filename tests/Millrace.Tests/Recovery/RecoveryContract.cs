using System.Collections.Concurrent;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Recovery;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Recovery;

/// <summary>What a store forgets under running consumers, the same on every store: where they go on, and what they report.</summary>
public abstract partial class RecoveryContract
{
    private const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<StreamLossEventArgs> _losses = [];

    protected abstract IStreamStore Store { get; }

    private string Done => $"{_stream}-done";

    private StateKey Ledger => new(_stream, $"millrace/ledger/{Group}");

    [Fact]
    public async Task Group_that_vanishes_goes_on_behind_what_it_had_settled()
    {
        await using var host = await StartAsync();
        var id = await PublishAsync(host, "o1");
        await WhenNotedAsync(id);

        await Store.DestroyGroupAsync(_stream, Group);
        await PublishAsync(host, "o2");

        Assert.Equal(["o1", "o2"], await HandledAsync(host, 2));
        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.GroupVanished, _stream, Group), (loss.Kind, loss.Stream, loss.Group));
        Assert.Equal((loss.MissingAfter, 0L, 0L), (loss.MissingThrough, loss.MissingCount, loss.MissingRetries));
    }

    [Fact]
    public async Task Pending_entries_of_a_group_that_vanishes_are_handled_again()
    {
        var end = new TaskCompletionSource();
        var runs = 0;
        await using var host = await StartAsync(async order =>
        {
            if (order.OrderId == "o2" && Interlocked.Increment(ref runs) == 1)
                await end.Task;
        });
        var first = await PublishAsync(host, "o1");
        await PublishAsync(host, "o2");
        await WhenNotedAsync(first, atLeast: true);

        await Store.DestroyGroupAsync(_stream, Group);

        Assert.Equal(["o1", "o2"], await HandledAsync(host, 2));
        end.SetResult();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Stream_that_vanishes_is_read_from_its_beginning_and_what_is_missing_is_told(bool withLedger)
    {
        var end = new TaskCompletionSource();
        await using var host = await StartAsync(order => order.OrderId is "o2" or "o3" ? end.Task : Task.CompletedTask);
        Losses(host).Detected += (_, _) => throw new InvalidOperationException("The handler of the event fails.");
        var first = await PublishAsync(host, "o1");
        var second = await PublishAsync(host, "o2");
        var last = await PublishAsync(host, "o3");
        await Eventually.TrueAsync("all of it is noted", async () =>
            await NotedAsync() is { Unsettled: 2 } noted && noted.SettledThrough == second.Previous() && noted.StreamLastId == last);

        if (!withLedger)
            await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(Ledger)] });
        await Store.DeleteStreamAsync(_stream);
        await PublishAsync(host, "o4");

        Assert.Equal(["o1", "o4"], await HandledAsync(host, 2));
        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, second.Previous(), last), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
        Assert.Equal((2L, 0L), (loss.MissingCount, loss.MissingRetries));
        end.SetResult();
    }

    [Fact]
    public async Task Stream_whose_ids_went_back_is_noticed_and_its_new_entries_are_handled()
    {
        await using var host = await StartAsync();
        List<EntryId> ids = [];
        for (var i = 1; i <= 3; i++)
            ids.Add(await PublishAsync(host, $"o{i}"));
        var entries = await Store.RangeAsync(_stream, new());
        await WhenNotedAsync(ids[2]);

        // As after a failover to a replica that had not seen the last two.
        await Store.DeleteStreamAsync(_stream);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Append(_stream, entries[0].Fields, ids[0])] });
        await Store.CreateGroupAsync(_stream, Group, GroupStart.After(ids[0]));
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Append(_stream, entries[1].Fields, ids[0].Next())] });

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, ids[2], ids[2]), (loss.Kind, loss.MissingAfter, loss.MissingThrough));
        await Eventually.TrueAsync("the new entry is handled", async () =>
            (await Store.RangeAsync(Done, new())).Count(entry => entry.Fields.GetText("data"u8)!.Contains("o2", StringComparison.Ordinal)) == 2);
    }

    [Fact]
    public async Task Entries_that_were_not_settled_before_ids_went_back_are_told_behind_those_that_are_left()
    {
        var end = new TaskCompletionSource();
        await using var host = await StartAsync(_ => end.Task);
        List<EntryId> ids = [];
        for (var i = 1; i <= 3; i++)
            ids.Add(await PublishAsync(host, $"o{i}"));
        var entries = await Store.RangeAsync(_stream, new());
        await Eventually.TrueAsync("all of it is noted", async () => await NotedAsync() is { Unsettled: 3 } noted && noted.StreamLastId == ids[2]);

        await Store.DeleteStreamAsync(_stream);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Append(_stream, entries[0].Fields, ids[0])] });

        var loss = await LossAsync();
        Assert.Contains((loss.MissingAfter, loss.MissingCount), new (EntryId, long?)[] { (ids[0], null), (ids[0].Previous(), 3) });
        Assert.Equal((StreamLossKind.EntriesVanished, ids[2]), (loss.Kind, loss.MissingThrough));
        end.SetResult();
    }

    [Fact]
    public async Task Group_that_vanished_while_nobody_ran_skips_nothing_even_if_new_groups_start_now()
    {
        await using (var host = await StartAsync())
        {
            await WhenNotedAsync(await PublishAsync(host, "o1"));
            await host.StopAsync();
            await PublishAsync(host, "o2");
        }

        await Store.DestroyGroupAsync(_stream, Group);
        await using var next = await StartAsync(start: GroupStart.Now);

        Assert.Equal(["o1", "o2"], await HandledAsync(next, 2));
    }

    [Fact]
    public async Task Of_two_processes_one_tells_of_a_loss()
    {
        await using var host = await StartAsync();
        await using var other = await StartAsync(instance: "b");
        await WhenNotedAsync(await PublishAsync(host, "o1"));

        await Store.DeleteStreamAsync(_stream);
        await PublishAsync(host, "o2");
        await LossAsync();
        for (var i = 3; i < 6; i++)
            await WhenNotedAsync(await PublishAsync(host, $"o{i}"), atLeast: true);

        Assert.Single(_losses);
    }

    [Fact]
    public async Task Loss_whose_note_had_no_answer_is_told_all_the_same()
    {
        var isBroken = 0;
        var line = FaultyStore.Wrap(Store, member =>
            member == nameof(IStreamStore.CommitAsync) && Interlocked.Exchange(ref isBroken, 0) == 1 ? FaultyStore.Fault.After : FaultyStore.Fault.None);
        await using var host = await StartAsync(store: line);
        await WhenNotedAsync(await PublishAsync(host, "o1"));

        Volatile.Write(ref isBroken, 1);
        await Store.DeleteStreamAsync(_stream);

        Assert.Equal(StreamLossKind.EntriesVanished, (await LossAsync()).Kind);
    }

    [Fact]
    public async Task Process_that_stands_by_knows_what_is_missing_when_everything_is_gone_with_the_reader()
    {
        await using var reader = await StartAsync(isOrdered: true);
        var id = await PublishAsync(reader, "o1");
        await WhenNotedAsync(id); // So that it is the first that reads.
        await using var other = await StartStandbyAsync();

        await reader.AbortAsync();
        await ForgetAsync();

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, id), (loss.Kind, loss.MissingThrough));
    }

    [Fact]
    public async Task Process_that_stands_by_tells_what_is_missing_when_one_that_knows_nothing_took_the_lease()
    {
        await using var reader = await StartAsync(isOrdered: true);
        var id = await PublishAsync(reader, "o1");
        await WhenNotedAsync(id);
        await using var other = await StartStandbyAsync();

        // The new reader takes the lease of the old one at once, as it has its name, and had read nothing before the store forgot.
        await reader.AbortAsync();
        await ForgetAsync();
        await using var knowsNothing = await StartAsync(isOrdered: true);

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, id), (loss.Kind, loss.MissingThrough));
    }

    /// <summary>Found by chaos (seed 128575): the stream had as many entries again before those that stood by looked.</summary>
    [Fact]
    public async Task Process_that_stands_by_tells_what_is_missing_even_when_the_stream_has_grown_as_long_again()
    {
        await using var reader = await StartAsync(isOrdered: true);
        var id = await PublishAsync(reader, "o1");
        await WhenNotedAsync(id);
        var isBlind = false;
        await using var other = await StartStandbyAsync(() => Volatile.Read(ref isBlind));

        Volatile.Write(ref isBlind, true);
        await reader.AbortAsync();
        await ForgetAsync();
        await using var knowsNothing = await StartAsync(isOrdered: true);
        await PublishAsync(knowsNothing, "o2");
        await WhenNotedAsync(await PublishAsync(knowsNothing, "o3"));
        Assert.Empty(_losses);
        Volatile.Write(ref isBlind, false);

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, id), (loss.Kind, loss.MissingThrough));
        await Eventually.TrueAsync("both lives are noted", async () => (await NotedAsync())?.Lives.Count == 2);
    }

    [Fact]
    public async Task Process_that_reads_alone_tells_what_is_missing_even_when_the_stream_has_grown_as_long_again()
    {
        var isAway = false;
        var line = FaultyStore.Wrap(Store, _ => Volatile.Read(ref isAway) ? FaultyStore.Fault.Before : FaultyStore.Fault.None);
        await using var reader = await StartAsync(store: line);
        var id = await PublishAsync(reader, "o1");
        await WhenNotedAsync(id);

        Volatile.Write(ref isAway, true);
        await ForgetAsync();
        for (var i = 0; i < 3; i++)
            await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o2\"}")));
        Volatile.Write(ref isAway, false);

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.EntriesVanished, id), (loss.Kind, loss.MissingThrough));
    }

    /// <summary>Such a one has no marks. It was read with none at all, which ended the group.</summary>
    [Fact]
    public async Task Note_of_an_earlier_release_is_gone_on_with()
    {
        await using (var before = await StartAsync())
            await WhenNotedAsync(await PublishAsync(before, "o1"));
        var note = JsonNode.Parse((await Store.GetStateAsync(Ledger))!.Payload.Span)!.AsObject();
        Assert.True(note.Remove("lives"));
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(Ledger, Encoding.UTF8.GetBytes(note.ToJsonString()))] });

        await using var host = await StartAsync();
        await WhenNotedAsync(await PublishAsync(host, "o2"));

        Assert.Empty(_losses);
        Assert.Single((await NotedAsync())!.Lives);
    }

    [Fact]
    public async Task Note_that_vanishes_alone_is_no_loss()
    {
        await using var reader = await StartAsync(isOrdered: true);
        var id = await PublishAsync(reader, "o1");
        await WhenNotedAsync(id);
        var isBlind = false;
        await using var other = await StartStandbyAsync(() => Volatile.Read(ref isBlind));

        Volatile.Write(ref isBlind, true);
        await reader.AbortAsync();
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(Ledger)] });
        await using var knowsNothing = await StartAsync(isOrdered: true);
        await WhenNotedAsync(await PublishAsync(knowsNothing, "o2"));
        Volatile.Write(ref isBlind, false);

        await Eventually.TrueAsync("both lives are noted", async () => (await NotedAsync())?.Lives.Count == 2);
        Assert.Empty(_losses);
    }

    [Fact]
    public async Task Entry_that_is_deleted_while_it_is_pending_is_told()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        var id = await Store.AppendAsync(_stream, EntryFields.Create(("type", "x")));
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = "dead", Streams = [_stream] });
        await Store.DeleteAsync(_stream, [id]);

        await using var host = await StartAsync();

        var loss = await LossAsync();
        Assert.Equal((StreamLossKind.PendingDeleted, id.Previous(), id, 1L), (loss.Kind, loss.MissingAfter, loss.MissingThrough, loss.MissingCount));
    }

    /// <summary>A process that stands by, and has seen what was noted.</summary>
    /// <param name="isBlind">Whether its looks fail, from when it has seen that.</param>
    private async Task<ConsumerHost> StartStandbyAsync(Func<bool>? isBlind = null)
    {
        var looks = 0;
        var line = FaultyStore.Wrap(Store, member =>
        {
            if (member == nameof(IStreamStore.GetStatesAsync))
                Interlocked.Increment(ref looks);
            return isBlind?.Invoke() == true ? FaultyStore.Fault.Before : FaultyStore.Fault.None;
        });
        var host = await StartAsync(instance: "b", store: line, isOrdered: true);
        var seen = Volatile.Read(ref looks);
        await Eventually.TrueAsync("the other has looked since", () => ValueTask.FromResult(Volatile.Read(ref looks) >= seen + 3));
        return host;
    }

    private async Task ForgetAsync()
    {
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(Ledger)] });
        await Store.DeleteStreamAsync(_stream);
    }

    private static StreamLosses Losses(ConsumerHost host) => host.Host.Services.GetRequiredService<StreamLosses>();

    private async Task<EntryId> PublishAsync(ConsumerHost host, string order) =>
        await host.Publisher.PublishAsync(_stream, new OrderCreated(order, 1));

    private async Task<GroupLedger?> NotedAsync() => GroupLedger.Read(await Store.GetStateAsync(Ledger));

    private Task WhenNotedAsync(EntryId settledThrough, bool atLeast = false) => Eventually.TrueAsync(
        $"the group is noted to have settled through {settledThrough}",
        async () => await NotedAsync() is { } noted && (noted.SettledThrough == settledThrough || (atLeast && noted.SettledThrough > settledThrough)));

    private async Task<StreamLossEventArgs> LossAsync()
    {
        await Eventually.TrueAsync("a loss is told", () => ValueTask.FromResult(!_losses.IsEmpty));
        return Assert.Single(_losses);
    }

    private async Task<List<string>> HandledAsync(ConsumerHost host, int count) =>
        [.. (await host.ReadAsync(Done, count)).Select(entry => entry.Fields.GetText("data"u8)!.Split('"')[3])];

    private async Task<ConsumerHost> StartAsync(
        Func<OrderCreated, Task>? handle = null, GroupStart start = default, string instance = "local", IStreamStore? store = null,
        bool isOrdered = false)
    {
        var host = await ConsumerHost.StartAsync(
            millrace => millrace.AddConsumer<OrderCreated>(_stream, Group, async (order, context, token) =>
            {
                if (handle is not null)
                    await handle(order).WaitAsync(token);
                context.Publish(Done, new OrderPaid(order.OrderId));
            },
            options =>
            {
                (options.Start, options.Lease) = (start, TimeSpan.FromSeconds(2));
                options.OrderedBy = isOrdered ? nameof(OrderCreated.OrderId) : null;
            }),
            store ?? Store,
            instance: instance);
        Losses(host).Detected += (_, loss) => _losses.Enqueue(loss);
        return host;
    }
}
