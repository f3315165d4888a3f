using System.Globalization;
using Millrace.Embedded;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Sagas;

/// <summary>
/// Many checkouts whose services refuse, are slow and say nothing, in processes that are killed again and again, on lines that lose calls and answers.
/// In virtual time on the embedded store. A tenth of <c>MILLRACE_SLICE_SECONDS</c> (default 30), and one run at least, from the seed
/// <c>MILLRACE_SAGA_SEED</c> or a new one.
/// </summary>
public abstract partial class SagaTests
{
    private const int Checkouts = 50;
    private const int Processes = 3;

    // What time-outs, leases and retries of all checkouts take, many times over.
    private const int MaxSteps = 4_000;
    private const int LookEvery = 8;

    private static readonly TimeSpan Step = TimeSpan.FromMilliseconds(25);

    [Fact]
    public async Task Checkouts_in_chaos_all_end_with_money_and_stock_balanced_and_no_command_sent_twice()
    {
        var started = TimeProvider.System.GetTimestamp();
        var slice = TimeSpan.FromSeconds((Number("MILLRACE_SLICE_SECONDS") ?? 30) / 10d);
        var seed = Number("MILLRACE_SAGA_SEED") ?? Random.Shared.Next(1_000_000);
        do
        {
            await RunCheckoutsAsync(seed++);
        }
        while (TimeProvider.System.GetElapsedTime(started) < slice);

        static int? Number(string variable) =>
            Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
    }

    private async Task RunCheckoutsAsync(int seed)
    {
        var random = new Random(seed);
        var virtualTime = endpoint is null ? new ManualTimeProvider() : null;
        if (virtualTime is not null)
        {
            await _store!.DisposeAsync();
            _store = new EmbeddedStreamStore(new(), virtualTime);
        }

        var shop = new SagaShop($"{_shop}-{seed}", seed);
        await using var desk = await ConsumerHost.StartAsync(millrace => millrace.AddMessage<OrderPlaced>(), _store, virtualTime, instance: "desk");
        for (var i = 0; i < Processes; i++)
            await StartProcessAsync();
        using var tick = new PeriodicTimer(virtualTime is null ? Step : Step / 3);
        for (var step = 0; step < Checkouts || step % LookEvery > 0 || !await IsQuietAsync(shop); step++)
        {
            Assert.True(step < MaxSteps, $"seed {seed}: not everything ended");
            if (step < Checkouts)
                await desk.Publisher.PublishAsync(shop.Orders, new OrderPlaced($"{step}", SagaShop.Price));
            if (step < 2 * Checkouts && random.Next(12) == 0)
                await KillAsync();
            await tick.WaitForNextTickAsync();
            virtualTime?.Advance(Step);
        }

        await CheckAsync(shop, desk, seed);
        Assert.True(_hosts.Count > Processes, $"seed {seed}: nobody was killed");
        foreach (var host in _hosts)
            await host.DisposeAsync();
        _hosts.Clear();

        async Task StartProcessAsync()
        {
            var faults = new Random(random.Next());
            var line = FaultyStore.Wrap(_store!, member => Fault(faults, member));
            _hosts.Add(await ConsumerHost.StartAsync(shop.AddTo, line, virtualTime, instance: $"process{_hosts.Count}"));
        }

        // The living are the last ones of the list.
        async Task KillAsync()
        {
            var victim = _hosts[random.Next(_hosts.Count - Processes, _hosts.Count)];
            _hosts.Remove(victim);
            _hosts.Insert(0, victim);
            await victim.AbortAsync();
            await StartProcessAsync();
        }

        static FaultyStore.Fault Fault(Random random, string member)
        {
            lock (random)
            {
                return random.Next(100) switch
                {
                    < 3 when member == nameof(IStreamStore.CommitAsync) => FaultyStore.Fault.Before,
                    < 6 when member == nameof(IStreamStore.CommitAsync) => FaultyStore.Fault.After,
                    _ => FaultyStore.Fault.None,
                };
            }
        }
    }

    /// <summary>Whether every saga has ended and nothing is on its way any more; sagas that need attention get it.</summary>
    private async Task<bool> IsQuietAsync(SagaShop shop)
    {
        var isQuiet = true;
        await foreach (var saga in Sagas.ListActiveAsync())
        {
            isQuiet = false;
            if (saga.Status == SagaStatus.NeedsAttention)
                await Sagas.RetryAsync(saga.Id, "once more");
        }

        foreach (var stream in shop.Streams.TakeWhile(_ => isQuiet))
        {
            var again = StreamNames.Again(stream, SagaShop.Group);
            isQuiet = (await _store!.GetGroupsAsync(stream)).All(group => group is { PendingCount: 0, Lag: 0 }) &&
                (await _store.GetStreamInfoAsync(again))?.Length is null or 0 &&
                (await _store.GetScheduleAsync(stream)).Count + (await _store.GetScheduleAsync(again)).Count == 0;
        }

        return isQuiet;
    }

    private async Task CheckAsync(SagaShop shop, ConsumerHost desk, int seed)
    {
        var ended = await Sagas.ListEndedAsync().ToDictionaryAsync(saga => saga.Id);
        var completed = ended.Values.Count(saga => saga.Status == SagaStatus.Completed);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"seed {seed}: {completed} completed, {Checkouts - completed} compensated, {_hosts.Count - Processes} processes killed");
        Assert.Equal(Checkouts, ended.Count);
        Assert.All(ended.Values, saga => Assert.True(saga.EndedAt is not null, $"seed {seed}: {saga.Id} is {saga.Status}"));

        var commit = desk.Publisher.NewCommit(shop.Orders);
        foreach (var saga in ended.Values)
        {
            var order = await shop.ReadOrderAsync(commit, saga.Id);
            var isDone = saga.Status == SagaStatus.Completed;
            Assert.True((isDone, isDone) == (order.IsReserved, order.IsCharged), $"seed {seed}: {saga.Id} is {saga.Status}, and {order}");
            Assert.All(order.Commands.Where(command => command != "refund").CountBy(command => command), command =>
                Assert.True(command.Value == 1, $"seed {seed}: {command.Key} of {saga.Id} came {command.Value} times"));
        }

        var book = await shop.ReadBookAsync(commit);
        Assert.Equal((completed, completed * SagaShop.Price), (book.Reserved, book.Money));
        var told = (await _store!.RangeAsync(shop.Out, new()))
            .Select(entry => new MessageHeaders(entry.Id, entry.Fields).Type)
            .CountBy(type => type)
            .ToDictionary();
        Assert.Equal(completed, told.GetValueOrDefault("shop.order-completed"));
        Assert.Equal(Checkouts - completed, told.GetValueOrDefault("shop.order-cancelled"));
    }
}
