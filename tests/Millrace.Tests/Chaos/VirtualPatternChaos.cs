using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Server;
using Millrace.Tests.Simulation;

namespace Millrace.Tests.Chaos;

/// <summary>On the embedded store: the process with all hosts in it may die, and time passes when the test says so.</summary>
internal sealed class VirtualPatternChaos : PatternChaos
{
    /// <summary>More than anything takes that ends.</summary>
    private const int MaxFinishSteps = 4_000;

    /// <summary>A process dies in one of so many operations of its device, or between two.</summary>
    private const int MaxOperations = 1_500;

    private static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(25);

    private readonly ManualTimeProvider _manual = new();
    private readonly SimulatedDisk _disk = new();
    private readonly VirtualClock _clock;
    private MortalStore _process;

    public VirtualPatternChaos(int seed, Action<MillraceBuilder> configure, Action<MillraceBuilder> desk, int processes)
        : base(seed, configure, desk, processes)
    {
        _clock = new(_manual);
        _process = new(_disk, Random, crashAt: 0, new(), _clock);
    }

    public override IStreamStore Store => _process.Store;

    public override TimeProvider Time => _clock;

    protected override bool HasDied => !_process.IsAlive;

    protected override void EndTheDoomed() => _process.Kill();

    public override async ValueTask DisposeAsync()
    {
        await base.DisposeAsync();
        await FinishAsync(_process.CloseAsync());
    }

    protected override IStreamStore LineOf(int host) => Store;

    protected override Task LimitMemoryAsync(long maxMemoryBytes)
    {
        _process.Store.LimitMemory(maxMemoryBytes);
        return Task.CompletedTask;
    }

    protected override async Task<string> StrikeStoreAsync()
    {
        if (Random.Next(2) == 0)
        {
            // Back, the clock of the store goes slower until it is right again.
            _clock.Jump(Random.Next(2) == 0 ? TimeSpan.FromHours(1) : TimeSpan.FromSeconds(-Random.Next(1, 600)));
            return "clock set";
        }

        _process.Kill();
        await ReviveAsync();
        return "all killed";
    }

    protected override async Task ReviveAsync()
    {
        while (!_process.IsAlive)
        {
            await AbortHostsAsync();
            await FinishAsync(_process.CloseAsync());
            _disk.Kill(Random, mayDroppedSurvive: false, (_, _) => { });
            _process = new(_disk, Random, IsOn && Random.Next(2) == 0 ? Random.Next(100, MaxOperations) : 0, new(), _clock);
            try
            {
                await StartHostsAsync();
            }
            catch (StreamException) when (!_process.IsAlive)
            {
                // It died while it started.
            }
        }
    }

    protected override async Task PassAsync(TimeSpan time)
    {
        _manual.Advance(time);
        await VirtualRun.LetWorkAsync();
    }

    public override async Task FinishAsync(Task task)
    {
        for (var steps = 0; !task.IsCompleted && steps < MaxFinishSteps; steps++)
            await PassAsync(Moment);
        await task.WaitAsync(Eventually.Deadline);
    }
}
