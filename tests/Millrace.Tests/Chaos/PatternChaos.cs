using System.Collections.Concurrent;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Where a pattern is tried: some hosts that all do the same, on lines that lose calls and answers. Drawn from the seed, hosts are killed, stopped and
/// come back, the store is full for a while or dies, and clocks are set. On the embedded store in virtual time, or on a server in real time.
/// </summary>
/// <remarks>Handlers run on the thread pool, so a seed says which faults there are and about when, not the order of everything.</remarks>
internal abstract class PatternChaos : IAsyncDisposable
{
    public const string Embedded = "embedded";

    private const int StrikeEvery = 12;
    private const int MaxFaultSteps = 20;

    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(25);

    private readonly Action<MillraceBuilder> _configure;
    private readonly Action<MillraceBuilder> _desk;
    private readonly ConsumerHost?[] _hosts;
    private readonly List<(int AtStep, Func<Task> HealAsync)> _healing = [];
    private readonly ConcurrentDictionary<string, int> _faults = new();
    private ConsumerHost? _deskHost;
    private volatile bool _isOn;
    private int _step;

    protected PatternChaos(int seed, Action<MillraceBuilder> configure, Action<MillraceBuilder> desk, int processes)
    {
        (Seed, _configure, _desk, _hosts) = (seed, configure, desk, new ConsumerHost?[processes]);
        Random = new(seed);
    }

    public static TheoryData<string> Places => new(Embedded, ServerOfKind.Redis, ServerOfKind.Millrace);

    public int Seed { get; }

    public Random Random { get; }

    /// <summary>The store, on a good line.</summary>
    public abstract IStreamStore Store { get; }

    /// <summary>The clock of the hosts.</summary>
    public abstract TimeProvider Time { get; }

    /// <summary>A host that consumes nothing, on a good line; another one after its process died.</summary>
    public ConsumerHost Desk => _deskHost!;

    protected bool IsOn => _isOn;

    /// <summary>One of the hosts, after <see cref="HealAsync"/>.</summary>
    public ConsumerHost Host => _hosts[0]!;

    /// <summary>What went wrong so far, and how often.</summary>
    public string Faults => string.Join(", ", _faults.OrderBy(fault => fault.Key, StringComparer.Ordinal).Select(fault => $"{fault.Key} {fault.Value}"));

    /// <summary>Starts the hosts. Nothing goes wrong before <see cref="Begin"/>.</summary>
    /// <param name="place">One of <see cref="Places"/>.</param>
    /// <param name="seed">What faults are drawn from.</param>
    /// <param name="configure">What each host does.</param>
    /// <param name="desk">What <see cref="Desk"/> needs.</param>
    /// <param name="processes">How many hosts.</param>
    public static async Task<PatternChaos> StartAsync(
        string place, int seed, Action<MillraceBuilder> configure, Action<MillraceBuilder> desk, int processes = 3)
    {
        PatternChaos chaos = place == Embedded
            ? new VirtualPatternChaos(seed, configure, desk, processes)
            : new ServedPatternChaos(await ChaosServer.StartAsync(place), seed, configure, desk, processes);
        await chaos.StartHostsAsync();
        return chaos;
    }

    public void Begin() => _isOn = true;

    /// <summary>Nothing goes wrong any more, and every host runs.</summary>
    public async Task HealAsync()
    {
        _isOn = false;
        foreach (var (_, healAsync) in _healing)
            await healAsync();
        _healing.Clear();
        EndTheDoomed();
        await ReviveAsync();
        for (var i = 0; i < _hosts.Length; i++)
            await StartHostAsync(i);
        TestContext.Current.TestOutputHelper?.WriteLine($"  faults: {Faults}");
        Assert.False(_faults.IsEmpty, $"seed {Seed}: nothing went wrong");
    }

    /// <summary>What is to die later dies now: nothing goes wrong any more.</summary>
    protected virtual void EndTheDoomed()
    {
    }

    /// <summary>Whether the process in which the store lives has ended, and with it what was asked of it.</summary>
    protected virtual bool HasDied => false;

    /// <summary>Lets time go by, in which something may go wrong.</summary>
    public async Task StepAsync(TimeSpan? time = null)
    {
        _step++;
        foreach (var due in _healing.Where(healing => healing.AtStep <= _step).ToList())
        {
            _healing.Remove(due);
            await due.HealAsync();
        }

        if (_isOn && Random.Next(StrikeEvery) == 0)
            await StrikeAsync();
        await PassAsync(time ?? Moment);
        await ReviveAsync();
    }

    /// <summary>Steps until something holds, or fails with the reason.</summary>
    public Task UntilAsync(string reason, int maxSteps, Func<Task<bool>> condition, TimeSpan? step = null) =>
        UntilAsync(async () => await condition() ? null : reason, maxSteps, step);

    /// <summary>Steps until nothing is missing any more, or fails with what is.</summary>
    public async Task UntilAsync(Func<Task<string?>> missing, int maxSteps, TimeSpan? step = null)
    {
        for (var steps = 0; await AskAsync() is { } reason; steps++)
        {
            Assert.True(steps < maxSteps, $"seed {Seed}, {maxSteps} steps and not yet: {reason}. Faults: {Faults}");
            await StepAsync(step);
        }

        async Task<string?> AskAsync()
        {
            try
            {
                return await this.AskAsync(missing());
            }
            catch (StreamException) when (HasDied)
            {
                return "the process died while it was asked";
            }
        }
    }

    /// <summary>Waits for what may take time of its own, as a write does whose disk is tried again: in virtual time that passes only here.</summary>
    public async Task<T> AskAsync<T>(Task<T> asking)
    {
        await FinishAsync(asking);
        return await asking;
    }

    /// <summary>Does what may be done twice, again and again, until the store says that it is done.</summary>
    public async Task InsistAsync(Func<Task> act)
    {
        while (true)
        {
            try
            {
                await FinishAsync(act());
                return;
            }
            catch (StreamException exception) when (HasDied || (_isOn && exception.IsTransient))
            {
                await StepAsync();
            }
        }
    }

    public virtual async ValueTask DisposeAsync()
    {
        await AbortHostsAsync();
    }

    /// <summary>The line of a host, which is asked for once.</summary>
    protected abstract IStreamStore LineOf(int host);

    protected abstract Task LimitMemoryAsync(long maxMemoryBytes);

    /// <summary>Does harm to the store, its lines or its clock.</summary>
    /// <returns>What it is called.</returns>
    protected abstract Task<string> StrikeStoreAsync();

    /// <summary>Lets time go by.</summary>
    protected abstract Task PassAsync(TimeSpan time);

    /// <summary>Brings the store back if it is dead.</summary>
    protected abstract Task ReviveAsync();

    /// <summary>Lets time go by while something ends.</summary>
    public virtual Task FinishAsync(Task task) => task.WaitAsync(2 * Eventually.Deadline);

    /// <summary>Starts what a process runs: all hosts, and the desk.</summary>
    protected async Task StartHostsAsync()
    {
        _deskHost = await AskAsync(ConsumerHost.StartAsync(_desk, Store, Time, instance: "desk"));
        for (var i = 0; i < _hosts.Length; i++)
            await StartHostAsync(i);
    }

    /// <summary>Ends all hosts as a killed process would.</summary>
    protected async Task AbortHostsAsync()
    {
        _healing.Clear();
        for (var i = 0; i < _hosts.Length; i++)
            await EndHostAsync(i, host => host.AbortAsync());
        if (_deskHost is not { } desk)
            return;
        _deskHost = null;
        await FinishAsync(desk.AbortAsync());
        await FinishAsync(desk.DisposeAsync().AsTask());
    }

    protected void Count(string fault) => _faults.AddOrUpdate(fault, 1, (_, count) => count + 1);

    private async Task StartHostAsync(int i)
    {
        if (_hosts[i] is not null)
            return;
        var dice = new Random(Random.Next());

        // What the tests cannot wait for: a lease of half a minute, in real time.
        var configuration = new Dictionary<string, string?> { ["Millrace:Consumers:millrace:Lease"] = "00:00:01" };
        _hosts[i] = await AskAsync(ConsumerHost.StartAsync(
            _configure, FaultyStore.Wrap(LineOf(i), member => FaultOf(member, dice)), Time, configuration, $"process{i}"));
    }

    private async Task EndHostAsync(int i, Func<ConsumerHost, Task> endAsync)
    {
        if (_hosts[i] is not { } host)
            return;
        _hosts[i] = null;
        await FinishAsync(endAsync(host));
        await FinishAsync(host.DisposeAsync().AsTask());
    }

    private async Task StrikeAsync()
    {
        var victim = Random.Next(_hosts.Length);
        switch (Random.Next(6))
        {
            case < 2:
                Count("killed");
                await EndHostAsync(victim, host => host.AbortAsync());
                Later(() => StartHostAsync(victim));
                break;
            case 2:
                Count("stopped");
                await EndHostAsync(victim, host => host.StopAsync());
                Later(() => StartHostAsync(victim));
                break;
            case 3:
                Count("full");
                await LimitMemoryAsync(1);
                Later(() => LimitMemoryAsync(0));
                break;
            default:
                Count(await StrikeStoreAsync());
                break;
        }
    }

    private void Later(Func<Task> healAsync) => _healing.Add((_step + Random.Next(1, MaxFaultSteps), healAsync));

    private FaultyStore.Fault FaultOf(string member, Random dice)
    {
        if (!_isOn)
            return FaultyStore.Fault.None;
        int roll;
        lock (dice)
            roll = dice.Next(100);
        var fault = member switch
        {
            nameof(IStreamStore.CommitAsync) when roll < 6 => roll < 3 ? FaultyStore.Fault.Before : FaultyStore.Fault.After,
            nameof(IStreamStore.ReadGroupAsync) when roll < 2 => FaultyStore.Fault.After,
            nameof(IStreamStore.GetStatesAsync) or nameof(IStreamStore.RangeAsync) or nameof(IStreamStore.ExtendAsync) when roll < 2 =>
                FaultyStore.Fault.Before,
            _ => FaultyStore.Fault.None,
        };
        if (fault != FaultyStore.Fault.None)
            Count("calls lost");
        return fault;
    }
}
