using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Embedded;

/// <summary>
/// Reads that wait to claim, among commands in random order: nobody waits while there is something for it, and nobody polls. To repeat a run,
/// put its seed into <see cref="Seeds"/>.
/// </summary>
public sealed class BlockedClaimTests
{
    private static readonly int[] Seeds = [1, 20261121];

    [Fact]
    public async Task Nobody_waits_while_there_is_something_to_claim()
    {
        foreach (var seed in (int[])[.. Seeds, Random.Shared.Next()])
        {
            var walk = new Walk(seed);
            await using (walk.ConfigureAwait(true))
                walk.Run(steps: 2_000);
        }
    }

    private sealed class Walk(int seed) : IAsyncDisposable
    {
        private readonly Random _random = new(seed);
        private readonly ManualTime _time = new();
        private readonly List<ClaimingRead> _reads = [];
        private readonly List<EntryId> _ids = [];
        private EmbeddedStreamStore _store = null!;

        public ValueTask DisposeAsync() => _store.DisposeAsync();

        public void Run(int steps)
        {
            _store = new(new(), _time);
            InTurn(_ => Apply<CreateGroup, bool>(new("s", "g", GroupStart.Beginning)));
            for (var i = 0; i < steps; i++)
            {
                Step();
                InTurn(Check);
            }

            Assert.True(_reads.Count(read => read.IsServed) > steps / 100, $"Seed {seed}: hardly any read was served.");
        }

        private void Step()
        {
            var id = _ids.Count == 0 ? EntryId.Zero : _ids[_random.Next(Math.Max(0, _ids.Count - 20), _ids.Count)];
            switch (_random.Next(9))
            {
                case 0: InTurn(_ => _ids.Add(Apply<Append, EntryId>(new("s", EntryFields.Create(("f", "v")))))); break;
                case 1: InTurn(_ => Apply<ReadGroup, DeliveredRange>(new("s", "g", "other", _random.Next(1, 3)))); break;
                case 2: InTurn(_ => Apply<Ack, long>(new("s", "g", [id]))); break;
                case 3: InTurn(now => Apply<ClaimAs, EntryId[]>(new("s", "g", "c", 0, now - _random.Next(500), 1, true, true, EntryId.Zero, [id]))); break;
                case 4 when _random.Next(5) == 0: InTurn(_ => Apply<Nack, long>(new("s", "g", null, false, false, [id]))); break;
                case 5 when _random.Next(5) == 0: InTurn(_ => Apply<SetGroup, bool>(new("s", "g", GroupStart.After(id)))); break;
                case 6 when _reads.Count(read => !read.IsServed) < 5: InTurn(Block); break;
                default: _time.Move(TimeSpan.FromMilliseconds(_random.Next(100))); break;
            }
        }

        private void Block(long nowMs)
        {
            var read = new ClaimingRead(_store, $"c{_random.Next(3)}", _random.Next(4) * 100, _random.Next(1, 3), nowMs);
            _reads.Add(read);
            if (!read.TryServe(nowMs))
                _store.BlockNeedsLock(read, null);
        }

        private void Check(long nowMs)
        {
            var group = _store.EngineNeedsLock.GetGroup("s", "g", out _);
            var waiting = _reads.Where(read => !read.IsServed).ToArray();
            Assert.Equal(waiting.Length, _store.BlockedNeedsLock.Count);
            foreach (var read in waiting)
            {
                Assert.True(
                    group.Pending.LongestIdle(nowMs, read.MinIdleMs, 1).Length == 0, $"Seed {seed}: a read waits for what is idle {read.MinIdleMs} ms.");
                Assert.True(_store.BlockedNeedsLock.NextTryMs <= group.Pending.NextIdleMs(nowMs, read.MinIdleMs), $"Seed {seed}: a claim is forgotten.");
            }

            Assert.True(waiting.Length > 0 || _store.BlockedNeedsLock.NextTryMs == long.MaxValue, $"Seed {seed}: nobody waits, and the timer is set.");
        }

        private TResult Apply<TMutation, TResult>(TMutation mutation)
            where TMutation : struct, IMutation<TResult> => _store.ApplyNeedsLock<TMutation, TResult>(mutation, _time.GetUtcNow().ToUnixTimeMilliseconds());

        private void InTurn(Action<long> act)
        {
            var nowMs = _store.BeginTurn();
            try
            {
                act(nowMs);
                _store.LeaveTurnNeedsLock(nowMs);
            }
            finally
            {
                _store.ExitTurn();
            }
        }
    }

    /// <summary>What XREADGROUP with CLAIM does, without a client.</summary>
    private sealed class ClaimingRead : BlockedRead
    {
        private readonly EmbeddedStreamStore _store;
        private readonly string _consumer;
        private readonly int _count;

        public ClaimingRead(EmbeddedStreamStore store, string consumer, long minIdleMs, int count, long nowMs)
            : base(0, ["s"], "g")
        {
            (_store, _consumer, _count, MinIdleMs) = (store, consumer, count, minIdleMs);
            NextTryMs = FindGroup(out _).Pending.NextIdleMs(nowMs, minIdleMs);
        }

        public long MinIdleMs { get; }

        public bool IsServed { get; private set; }

        public override bool TryServe(long nowMs)
        {
            var ids = FindGroup(out var stream).Pending.LongestIdle(nowMs, MinIdleMs, _count, stream.Entries.Contains);
            IsServed = ids.Length > 0
                ? _store.ApplyNeedsLock<ClaimAs, EntryId[]>(
                    new("s", "g", _consumer, MinIdleMs, nowMs, null, false, false, EntryId.Zero, ids), nowMs).Length > 0
                : _store.ApplyNeedsLock<ReadGroup, DeliveredRange>(new("s", "g", _consumer, _count), nowMs).Count > 0;
            NextTryMs = FindGroup(out _).Pending.NextIdleMs(nowMs, MinIdleMs);
            return IsServed;
        }

        public override void Expire() => throw new InvalidOperationException("Nothing limits it.");

        public override void Cancel(CancellationToken cancellationToken) => throw new InvalidOperationException("Nobody cancels it.");

        public override void Fail(StreamException error) => IsServed = true;

        private ConsumerGroup FindGroup(out StreamValue stream) => _store.EngineNeedsLock.GetGroup("s", "g", out stream);
    }
}
