using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Tests.EventSourcing;

/// <summary>
/// Sixteen writers in several processes and the commands they share, from a seed, and what must hold of the events afterwards. Each event says what its
/// writer saw, so that one decided from a stale or forked state shows.
/// </summary>
internal sealed class LedgerChaos(int seed)
{
    public const int Processes = 4;
    public const string Category = "ledger";

    private const int Writers = 16;
    private const int Streams = 4;
    private const int Commands = 30 * Writers;

    /// <summary>All writers begin at once, so often: what is spread out meets nobody.</summary>
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(100);

    /// <summary>What a writer takes between what it read and what it appends: others are faster now and then.</summary>
    private static readonly TimeSpan Thought = TimeSpan.FromMilliseconds(5);

    private readonly ConcurrentQueue<Command> _commands = new(Draw(new(seed)));
    private readonly ConcurrentDictionary<string, long> _acknowledged = new();
    private readonly ConcurrentBag<Task> _writing = [];
    private readonly ConcurrentBag<string> _violations = [];
    private int _left = Commands;
    private int _conflicts;
    private int _unanswered;
    private int _processes;

    private enum Style
    {
        Decide,
        Exactly,
        Any,
    }

    /// <summary>Ends with every writer, also those of processes that were killed.</summary>
    public Task WritersEnded => Task.WhenAll(_writing);

    /// <summary>A process with its share of the writers.</summary>
    public void AddWriters(MillraceBuilder millrace)
    {
        AddStore(millrace);
        millrace.Services.AddHostedService(services => new WriterService(
            this, services.GetRequiredService<EventStore>(), services.GetRequiredService<TimeProvider>()));
    }

    public static void AddStore(MillraceBuilder millrace) => millrace.AddMessage<Booked>().AddEventStore(options => options.AddCategory(Category));

    /// <summary>What is to be waited for, if anything: commands that are neither acknowledged nor given up.</summary>
    /// <exception cref="AggregateException">A writer was told what none may be told.</exception>
    public string? Missing()
    {
        if (_writing.FirstOrDefault(static writer => writer.IsFaulted) is { Exception: { } failure })
            throw failure;
        return Volatile.Read(ref _left) is > 0 and var left ? $"{left} of {Commands} commands are neither acknowledged nor given up" : null;
    }

    /// <summary>Deletes what snapshots cover, of the streams that have them; nothing where the store is away.</summary>
    public static async Task TrimAsync(EventStore events)
    {
        try
        {
            for (var i = 0; i < Streams; i++)
            {
                if (HasSnapshots(i))
                    await events.TrimToSnapshotAsync(NameOf(i));
            }
        }
        catch (StreamException)
        {
            // The next one does it.
        }
    }

    /// <summary>Once all writers have ended.</summary>
    public async Task CheckAsync(EventStore events)
    {
        var all = await events.ReadCategoryAsync(Category).ToListAsync();
        Expect(all.Select(one => one.EntryId).SequenceEqual(all.Select(one => one.EntryId).Distinct().Order()), "the category is not in order");
        var trimmed = 0L;
        for (var i = 0; i < Streams; i++)
        {
            var copies = all.Where(one => one.Stream == NameOf(i)).ToList();
            var state = CheckHistory(NameOf(i), copies);
            var kept = await events.ReadAsync(NameOf(i)).ToListAsync();
            trimmed += copies.Count - kept.Count;
            Expect(HasSnapshots(i) || kept.Count == copies.Count, $"{NameOf(i)} has {kept.Count} events and {copies.Count} copies");
            Expect(copies.Skip(copies.Count - kept.Count).Select(Tell).SequenceEqual(kept.Select(Tell)), $"{NameOf(i)} is not what its category says");
            var loaded = await events.LoadAsync(NameOf(i), FoldOf(i));
            Expect((loaded.State, loaded.Version) == (state, copies.Count), $"{NameOf(i)} is {loaded.State} at {loaded.Version}, its events {state}");
        }

        Expect(all.All(one => Enumerable.Range(0, Streams).Select(NameOf).Contains(one.Stream)), "the category has events of no stream");
        CheckCommands(all);
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"  {all.Count} events, {trimmed} of them trimmed, {_acknowledged.Count} of {Commands} commands acknowledged, {_conflicts} conflicts, "
            + $"{_unanswered} calls without an answer");
        Assert.True(_violations.IsEmpty, $"seed {seed}:\n{string.Join('\n', _violations.Take(20))}");
        Assert.True(_conflicts > 0 && _unanswered > 0 && trimmed > 0, $"seed {seed}: too little happened");

        static (string, long, object) Tell(RecordedEvent one) => (one.Headers.MessageId, one.Version, one.Event);
    }

    /// <summary>From the first version on, without a gap; each event is decided from what the ones before it say.</summary>
    private Ledger CheckHistory(string stream, List<RecordedEvent> history)
    {
        var state = Ledger.Fold.Initial();
        foreach (var one in history)
        {
            var booked = (Booked)one.Event;
            Expect(one.Version == state.Events + 1, $"{stream} has version {one.Version} after {state.Events}");
            Expect((booked.Seen ?? state.Sum) == state.Sum, $"version {one.Version} of {stream} was decided from {booked.Seen}, and it was {state.Sum}");
            state = Ledger.Fold.Evolve(state, booked);
        }

        return state;
    }

    /// <summary>All events of a command, side by side and once, or none; and all of them if that was said.</summary>
    private void CheckCommands(List<RecordedEvent> all)
    {
        var found = new Dictionary<string, long>();
        for (var at = 0; at < all.Count;)
        {
            var id = all[at].Headers.CausationId!;
            var events = all.Skip(at).TakeWhile(one => one.Headers.CausationId == id).ToList();
            at += events.Count;
            var command = Draw(new(seed)).Single(command => command.Id == id);
            Expect(found.TryAdd(id, events[^1].Version), $"{id} was applied twice");
            Expect(
                events.Select(one => ((Booked)one.Event).Amount).SequenceEqual(command.Amounts) && events.All(one => one.Stream == NameOf(command.Stream)),
                $"{id} made {string.Join(", ", events.Select(one => $"{one.Stream} {one.Event}"))} of {string.Join(", ", command.Amounts)}");
        }

        foreach (var (id, version) in _acknowledged)
        {
            Expect(found.TryGetValue(id, out var last), $"{id} was acknowledged and is lost");
            Expect(version == 0 || version == last, $"{id} was acknowledged as version {version} and is {last}");
        }
    }

    /// <summary>Tries commands until none is left: what is not answered is mostly tried again, by whoever comes first, and now and then given up.</summary>
    private async Task WriteAsync(EventStore events, TimeProvider time, Random random, CancellationToken dies)
    {
        while (Volatile.Read(ref _left) > 0)
        {
            await Task.Delay(Tick - TimeSpan.FromTicks(time.GetUtcNow().Ticks % Tick.Ticks), time, dies).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await Task.Yield(); // Not one after the other on the thread of the clock.
            if (dies.IsCancellationRequested)
                return;
            if (!_commands.TryDequeue(out var command))
                continue;
            try
            {
                _acknowledged[command.Id] = await AppendAsync(events, time, command, dies);
                Interlocked.Decrement(ref _left);
            }
            catch (Exception exception) when (IsNoAnswer(exception))
            {
                Interlocked.Increment(ref _unanswered);
                if (random.Next(4) > 0)
                    _commands.Enqueue(command);
                else
                    Interlocked.Decrement(ref _left);
            }
        }
    }

    /// <returns>The version of the command's last event; 0: it was decided before.</returns>
    private async Task<long> AppendAsync(EventStore events, TimeProvider time, Command command, CancellationToken dies)
    {
        var (stream, fold, options) = (NameOf(command.Stream), FoldOf(command.Stream), new AppendOptions { CommandId = command.Id });
        switch (command.Style)
        {
            case Style.Decide:
                var decided = await events.DecideAsync(stream, new Decider<Ledger, Command>(Decide, fold), command, options, dies);
                return decided.Events.Count == 0 ? 0 : decided.Version;
            case Style.Any:
                List<Booked> unseen = [.. command.Amounts.Select(amount => new Booked(amount, null))];
                return (await events.AppendAsync(stream, ExpectedVersion.Any, unseen, options, dies)).Version;
            default:
                for (; ; Interlocked.Increment(ref _conflicts))
                {
                    var loaded = await events.LoadAsync(stream, fold, cancellationToken: dies);
                    await Task.Delay(Thought, time, dies);
                    var result = await events.AppendAsync(stream, ExpectedVersion.Exactly(loaded.Version), Decide(loaded.State, command), options, dies);
                    if (result.IsRecorded)
                        return result.Version;
                    var between = result.Between.Select(one => (int)one.Version).ToList();
                    var missing = Enumerable.Range((int)loaded.Version + 1, (int)(result.Version - loaded.Version)).Except(between);
                    Expect(
                        HasSnapshots(command.Stream) || !missing.Any(),
                        $"{stream} came from {loaded.Version} to {result.Version} by {string.Join(' ', between)}");
                }
        }
    }

    /// <summary>The store of a process that died is closed.</summary>
    private static bool IsNoAnswer(Exception exception) =>
        exception is OperationCanceledException or StreamException { IsTransient: true } or StreamException { Code: StreamErrorCode.Closed };

    private static IReadOnlyList<object> Decide(Ledger ledger, Command command)
    {
        List<object> events = [];
        foreach (var amount in command.Amounts)
        {
            events.Add(new Booked(amount, ledger.Sum));
            ledger = Ledger.Fold.Evolve(ledger, events[^1]);
        }

        return events;
    }

    private static List<Command> Draw(Random random) =>
    [
        .. Enumerable.Range(0, Commands).Select(number => new Command(
            $"c{number}",
            random.Next(Streams),
            (Style)random.Next(3),
            [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => random.Next(1, 1_000_000))])),
    ];

    private static string NameOf(int stream) => $"{Category}-{stream}";

    private static bool HasSnapshots(int stream) => stream % 2 == 0;

    private static EventFold<Ledger> FoldOf(int stream) => HasSnapshots(stream) ? Ledger.WithSnapshots : Ledger.Fold;

    private int SeedOf(int process, int writer) => seed + (process * Writers) + writer;

    private void Expect(bool holds, string otherwise)
    {
        if (!holds)
            _violations.Add(otherwise);
    }

    [Message("ledger.booked")]
    private sealed record Booked(int Amount, long? Seen);

    private sealed record Command(string Id, int Stream, Style Style, IReadOnlyList<int> Amounts);

    private sealed record Ledger(long Sum, int Events)
    {
        public static EventFold<Ledger> Fold { get; } = new(
            static () => new(0, 0),
            static (ledger, one) => new(ledger.Sum + ((Booked)one).Amount, ledger.Events + 1));

        public static EventFold<Ledger> WithSnapshots { get; } = Fold with { Snapshots = new() { Every = 7 } };
    }

    private sealed class WriterService(LedgerChaos chaos, EventStore events, TimeProvider time) : BackgroundService
    {
        protected override Task ExecuteAsync(CancellationToken stoppingToken)
        {
            var process = Interlocked.Increment(ref chaos._processes);
            foreach (var writer in Enumerable.Range(0, Writers / Processes))
            {
                var random = new Random(chaos.SeedOf(process, writer));
                chaos._writing.Add(Task.Run(() => chaos.WriteAsync(events, time, random, stoppingToken), CancellationToken.None));
            }

            return Task.CompletedTask;
        }
    }
}
