using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Projections;

/// <summary>Targets of the application, and processes that lost the projection. What is killed: <see cref="ProjectionChaosTests"/>.</summary>
public abstract partial class ProjectionTests
{
    [Fact]
    public async Task Target_of_the_application_gets_each_event_once_and_keeps_the_checkpoint()
    {
        var target = new MemoryTarget();
        var first = await TargetHostAsync(target);
        await AppendAsync(1, [.. Enumerable.Range(1, 30)]);
        await ControlOf(first).WaitForAsync(Name, null, Long);
        await first.AbortAsync();
        await AppendAsync(1, [.. Enumerable.Range(31, 30)]);

        // Its answer is lost once, it fails once as a database that is away, and another process has it once.
        target.Faults.Enqueue(() => throw new InvalidOperationException("saved, but nobody knows"));
        target.FaultsBefore.Enqueue(() => throw new TimeoutException("away"));
        var second = await TargetHostAsync(target);
        await ControlOf(second).WaitForAsync(Name, null, Long);
        Assert.Equal(Enumerable.Range(1, 60), target.Amounts(1));

        await ControlOf(second).RebuildAsync(Name);
        await WhenGenerationAsync(second, 2);
        await Eventually.TrueAsync("the first generation is removed", () => new(target.Amounts(1).Count == 0));
        Assert.Equal(Enumerable.Range(1, 60), target.Amounts(2));
        await Assert.ThrowsAsync<InvalidOperationException>(() => ControlOf(second).RebuildStreamAsync(Name, $"{_category}-1").AsTask());
    }

    [Fact]
    public async Task Target_says_which_event_it_cannot_take_and_is_given_those_before_it()
    {
        var target = new MemoryTarget { Poison = 7 };
        var host = await TargetHostAsync(target);
        await AppendAsync(1, [.. Enumerable.Range(1, 10)]);

        await WhenAsync(host, ProjectionState.Stopped);
        Assert.Equal(Enumerable.Range(1, 6), target.Amounts(1));
        target.Poison = null;
        await ControlOf(host).ResumeAsync(Name);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal(Enumerable.Range(1, 10), target.Amounts(1));
    }

    /// <summary>Two processes that both think the projection is theirs: the one whose lease is over saves nothing.</summary>
    [Fact]
    public async Task Process_that_lost_its_lease_without_knowing_writes_nothing()
    {
        using var held = new SemaphoreSlim(0);
        var isHeld = 0;
        var first = await HostAsync(
            Tally.FoldsOf("old", one =>
            {
                if (Interlocked.Exchange(ref isHeld, 1) == 0)
                    held.Wait(Long);
            }),
            options => options.Lease = TimeSpan.FromHours(1));
        await AppendAsync(1, 1, 2, 3);
        await Eventually.TrueAsync("the first process hangs in a fold", () => new(Volatile.Read(ref isHeld) == 1));
        var second = await HostAsync(Tally.FoldsOf("new"), ShortLease);
        await WhenAsync(second, ProjectionState.StandingBy);

        // As if an hour had passed.
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new(_category, $"millrace/projection/{Name}/pulse"))] });
        await ControlOf(second).WaitForAsync(Name, null, Long);
        held.Release();
        await WhenAsync(first, ProjectionState.StandingBy);

        Assert.Equal(new Tally(6, 3, "new"), await ReaderOf(second).GetAsync($"{_category}-1"));
    }

    private async Task<ConsumerHost> TargetHostAsync(MemoryTarget target)
    {
        var host = await ConsumerHost.StartAsync(
            m =>
            {
                Messages(m);
                m.AddProjection(Name, _category, _ => target, options =>
                {
                    ShortLease(options);
                    options.BatchSize = 8;
                });
            },
            _store);
        _hosts.Add(host);
        await WhenBegunAsync();
        return host;
    }

    /// <summary>A database with one table, whose rows and checkpoint change together.</summary>
    private sealed class MemoryTarget : IProjectionTarget
    {
        private readonly Lock _lock = new();
        private readonly Dictionary<int, (ProjectionCheckpoint Checkpoint, List<int> Amounts)> _generations = [];
        private readonly List<int> _numbers = [];

        /// <summary>What goes wrong before a batch is saved, and after; each once.</summary>
        public Queue<Action> FaultsBefore { get; } = new();

        public Queue<Action> Faults { get; } = new();

        public int? Poison { get; set; }

        /// <summary>Whether it does not even say how far it is.</summary>
        public bool IsAway { get; set; }

        /// <summary>A generation that no batch can be saved in, counted from 1.</summary>
        public int? Broken { get; set; }

        /// <summary>Whether nothing can be removed.</summary>
        public bool KeepsAll { get; set; }

        public int Removals { get; private set; }

        /// <summary>What each batch waits for, whatever its token says.</summary>
        public Func<Task>? Hang { get; init; }

        /// <summary>What was saved in a generation, counted from 1.</summary>
        public IReadOnlyList<int> Amounts(int ordinal)
        {
            lock (_lock)
                return _numbers.Count >= ordinal && _generations.TryGetValue(_numbers[ordinal - 1], out var found) ? [.. found.Amounts] : [];
        }

        /// <summary>What was saved in each generation, under its number.</summary>
        public IReadOnlyDictionary<int, List<int>> All
        {
            get
            {
                lock (_lock)
                    return _generations.ToDictionary(one => one.Key, one => one.Value.Amounts);
            }
        }

        public ValueTask<ProjectionCheckpoint> LoadAsync(int generation, CancellationToken cancellationToken)
        {
            lock (_lock)
            {
                if (IsAway)
                    throw new TimeoutException("away");
                if (!_numbers.Contains(generation))
                    _numbers.Add(generation);
                return new(_generations.GetValueOrDefault(generation).Checkpoint);
            }
        }

        public async ValueTask<bool> ApplyAsync(ProjectionBatch batch, CancellationToken cancellationToken)
        {
            if (Hang is not null)
                await Hang();
            lock (_lock)
            {
                if (_numbers.IndexOf(batch.Generation) + 1 == Broken)
                    throw new InvalidOperationException("no such table");
                if (FaultsBefore.TryDequeue(out var before))
                    before();
                var (checkpoint, amounts) = _generations.GetValueOrDefault(batch.Generation, (ProjectionCheckpoint.Start, []));
                if (checkpoint != batch.After)
                    return false;
                if (batch.Events.FirstOrDefault(one => ((PointsEarned)one.Event).Amount == Poison) is { } poison)
                    throw new ProjectionEventException(poison, new FormatException("bad"));
                _generations[batch.Generation] = (batch.Checkpoint, [.. amounts, .. batch.Events.Select(one => ((PointsEarned)one.Event).Amount)]);
                if (Faults.TryDequeue(out var after))
                    after();
                return true;
            }
        }

        public ValueTask<bool> RemoveAsync(int generation, CancellationToken cancellationToken)
        {
            lock (_lock)
            {
                Removals++;
                if (KeepsAll)
                    throw new InvalidOperationException("may not drop tables");
                _generations.Remove(generation);
            }

            return new(true);
        }
    }
}
