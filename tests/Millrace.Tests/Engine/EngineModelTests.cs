using System.Diagnostics;
using System.Globalization;
using System.Text;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

/// <summary>
/// Random operations on the engine and on the model: same answers, same state; and an engine made of the records alone is the same again.
/// The clock stands still, jumps, and goes back. To repeat a run, put its seed into <see cref="Seeds"/>.
/// </summary>
public sealed class EngineModelTests
{
    private static readonly int[] Seeds = [1, 20261120, 961135065];

    [Fact]
    public void Random_operations_match_the_model_and_their_own_replay()
    {
        foreach (var seed in Seeds)
            new Walk(seed).Run(1_500);

        // A slice of the time a whole run may take, for seeds nobody has tried.
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);
        var end = TimeSpan.FromSeconds(Math.Min(slice / 10, 5));
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < end;)
            new Walk(Random.Shared.Next()).Run(500);
    }

    private sealed class Walk(int seed)
    {
        private static readonly string[] StreamNamesUsed = ["a", "b", StreamNames.Again("a", "g")];
        private static readonly string[] Groups = ["g", "h"];
        private static readonly string[] Consumers = ["c", "d"];

        private readonly Random _random = new(seed);
        private readonly EngineRun _run = new();
        private readonly EngineModel _model = new();
        private int _values;

        public void Run(int steps)
        {
            var step = 0;
            try
            {
                for (; step < steps; step++)
                {
                    MoveClock();
                    _run.Tick();
                    _model.Tick(_run.NowMs);
                    Step();
                    _model.Tick(_run.NowMs);
                    if (step % 50 == 0)
                        CheckAll();
                }

                CheckAll();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"Seed {seed}, step {step}: {e.Message}", e);
            }
        }

        private void MoveClock() => _run.NowMs += _random.Next(10) switch
        {
            < 5 => 0,
            < 9 => _random.Next(20),
            _ => -_random.Next(30),
        };

        private void CheckAll()
        {
            _run.Tick();
            _run.Engine.Verify();
            Assert.Equal(_model.Dump(), InWordsOfTheModel(_run.Engine));
            Assert.Equal(EngineRun.Dump(_run.Engine), EngineRun.Dump(_run.Replay()));
        }

        private void Step()
        {
            var (stream, group, consumer) = (Pick(StreamNamesUsed), Pick(Groups), Pick(Consumers));
            var found = _model.Streams.GetValueOrDefault(stream);
            var foundGroup = _model.FindGroup(stream, group);
            switch (_random.Next(20))
            {
                case < 5:
                    var fields = NextFields();
                    Assert.Equal(
                        _model.GetStream(stream).Append(fields, _run.NowMs), _run.Apply<Append, EntryId>(new(stream, fields, null)));
                    break;
                case < 9:
                    ReadGroup(stream, group, consumer, foundGroup);
                    break;
                case 9:
                    var ids = SomeIds(stream);
                    Assert.Equal(
                        ids.Count(id => foundGroup?.Pending.Remove(id) ?? false), _run.Apply<Ack, long>(new(stream, group, ids)));
                    break;
                case 10:
                    Claim(stream, group, consumer, found, foundGroup);
                    break;
                case 11:
                    var deleted = SomeIds(stream);
                    Assert.Equal(deleted.Count(id => found?.Delete(id) ?? false), _run.Apply<Delete, long>(new(stream, deleted)));
                    break;
                case 12:
                    Trim(stream, found);
                    break;
                case 13:
                    ManageGroup(stream, group, consumer, foundGroup);
                    break;
                case 14:
                    Extend(stream, group, consumer, foundGroup);
                    break;
                default:
                    Commit(stream, group, consumer);
                    break;
            }
        }

        private void ReadGroup(string stream, string group, string consumer, EngineModel.Group? found)
        {
            var count = _random.Next(1, 6);
            if (found is null)
            {
                Assert.Equal(StreamErrorCode.NoGroup, Assert.Throws<StreamException>(() => _run.Read(stream, consumer, count, group)).Code);
                return;
            }

            found.Consumers.Add(consumer);
            var expected = _model.Streams[stream].Entries.Where(entry => entry.Key > found.Last).Take(count).ToArray();
            foreach (var (id, _) in expected)
            {
                found.Pending[id] = (consumer, _run.NowMs, 1);
                found.Last = id;
            }

            Assert.Equal(
                expected.Select(entry => new DeliveredEntry(entry.Key, entry.Value, 1)), _run.Read(stream, consumer, count, group));
        }

        private void Claim(string stream, string group, string consumer, EngineModel.Stream? found, EngineModel.Group? foundGroup)
        {
            if (foundGroup is null)
                return;

            var (ids, minIdleMs) = (SomeIds(stream), _random.Next(0, 15));
            foundGroup.Consumers.Add(consumer);
            var claimed = new List<(EntryId, long)>();
            var deleted = new List<EntryId>();
            foreach (var id in ids)
            {
                if (!foundGroup.Pending.TryGetValue(id, out var pending) || Math.Max(0, _run.NowMs - pending.DeliveredMs) < minIdleMs)
                    continue;
                if (found!.Entries.ContainsKey(id))
                {
                    foundGroup.Pending[id] = (consumer, _run.NowMs, pending.Count + 1);
                    claimed.Add((id, pending.Count + 1));
                }
                else
                {
                    foundGroup.Pending.Remove(id);
                    deleted.Add(id);
                }
            }

            var result = _run.Apply<Claim, ClaimResult>(new(stream, group, consumer, minIdleMs, ids));
            Assert.Equal(claimed, result.Entries.Select(entry => (entry.Id, entry.DeliveryCount)));
            Assert.Equal(deleted, result.Deleted);
        }

        private void Extend(string stream, string group, string consumer, EngineModel.Group? found)
        {
            HeldEntry[] held = [.. SomeIds(stream).Distinct().Select(id => new HeldEntry(id, _random.Next(1, 3)))];
            var expected = held.Where(entry => found is not null && found.Pending.TryGetValue(entry.Id, out var pending) &&
                (pending.Consumer, pending.Count) == (consumer, entry.DeliveryCount)).ToArray();
            foreach (var entry in expected)
                found!.Pending[entry.Id] = (consumer, _run.NowMs, entry.DeliveryCount);
            Assert.Equal(
                expected.Select(entry => entry.Id), _run.Apply<Extend, IReadOnlyList<EntryId>>(new(stream, group, consumer, held)));
        }

        private void Trim(string stream, EngineModel.Stream? found)
        {
            var drop = found is null ? [] : found.Entries.Keys.Take(_random.Next(0, 4)).ToArray();
            var trim = _random.Next(2) == 0 || drop.Length == 0
                ? StreamTrim.ToLength((found?.Entries.Count ?? 0) - drop.Length)
                : StreamTrim.ToMinId(drop[^1].Next());
            foreach (var id in drop)
                found!.Entries.Remove(id);
            Assert.Equal(drop.Length, _run.Apply<Trim, long>(new(stream, trim)));
        }

        private void ManageGroup(string stream, string group, string consumer, EngineModel.Group? found)
        {
            switch (_random.Next(12))
            {
                case 0:
                    Assert.Equal(_model.Streams.Remove(stream), _run.Apply<DeleteStream, bool>(new(stream)));
                    break;
                case 1:
                    var isThere = found is not null && _model.Streams[stream].Groups.Remove(group);
                    Assert.Equal(isThere, _run.Apply<DestroyGroup, bool>(new(stream, group)));
                    break;
                case 2 when found is not null:
                    var gone = found.Pending.Where(entry => entry.Value.Consumer == consumer).Select(entry => entry.Key).ToArray();
                    foreach (var id in gone)
                        found.Pending.Remove(id);
                    found.Consumers.Remove(consumer);
                    Assert.Equal(gone.Length, _run.Apply<DeleteConsumer, long>(new(stream, group, consumer)));
                    break;
                case 3 when found is not null:
                    found.Last = SomeIds(stream)[0];
                    _run.Apply<SetGroup, bool>(new(stream, group, GroupStart.After(found.Last)));
                    break;
                default:
                    Assert.Equal(_model.GetStream(stream).Groups.TryAdd(group, new()), _run.CreateGroup(stream, group));
                    break;
            }
        }

        private void Commit(string stream, string group, string consumer)
        {
            var entry = new HeldEntry(SomeIds(stream)[0], _random.Next(1, 3));
            CommitCondition[] conditions = _random.Next(4) switch
            {
                0 => [CommitCondition.StillHeld(stream, group, consumer, entry)],
                1 => [CommitCondition.LastIdIs(stream, _model.Streams.GetValueOrDefault(stream)?.Last ?? EntryId.Zero)],
                _ => [],
            };
            var changes = Enumerable.Range(0, _random.Next(1, 4)).Select(_ => NextChange(stream, group, entry)).ToArray();

            var result = _run.Commit(conditions, changes);

            var conflict = conditions.FirstOrDefault(condition => !_model.Holds(condition));
            Assert.Same(conflict, result.Conflict);
            if (conflict is not null)
                return;
            var ids = new List<EntryId>();
            foreach (var change in changes)
                _model.Apply(change, _run.NowMs, ids);
            Assert.Equal(ids, result.Ids);
        }

        private CommitChange NextChange(string stream, string group, HeldEntry entry) => _random.Next(7) switch
        {
            0 => new CommitChange.Append(Pick(StreamNamesUsed), NextFields()),
            1 => new CommitChange.PutState(
                NextKey(),
                Encoding.UTF8.GetBytes($"{_values++}"),
                _random.Next(2) == 0 ? null : TimeSpan.FromMilliseconds(_random.Next(1, 40))),
            2 => new CommitChange.DeleteState(NextKey()),
            3 => new CommitChange.Ack(stream, group, entry.Id),
            4 => new CommitChange.AckAndDelete(stream, group, entry.Id),
            5 => new CommitChange.Release(stream, group, entry, TimeSpan.FromMilliseconds(_random.Next(3) * 10)),
            _ => new CommitChange.Schedule(Pick(StreamNamesUsed), NextFields(), TimeSpan.FromMilliseconds(_random.Next(40))),
        };

        private StateKey NextKey() => new("a", $"k{_random.Next(3)}");

        private EntryFields NextFields() => EngineRun.Fields($"{_values++}");

        /// <summary>A few IDs of a stream, pending or not, and one that is not there.</summary>
        private EntryId[] SomeIds(string stream)
        {
            var known = _model.Streams.TryGetValue(stream, out var found)
                ? found.Entries.Keys.Concat(found.Groups.Values.SelectMany(group => group.Pending.Keys)).ToArray()
                : [];
            return [.. Enumerable.Range(0, 3).Select(_ => known.Length == 0 ? new EntryId(1, 1) : Pick(known)), new(1, 1)];
        }

        private T Pick<T>(T[] items) => items[_random.Next(items.Length)];

        private static string InWordsOfTheModel(StreamEngine engine)
        {
            var (streams, states, schedules) = (new StringBuilder(), new StringBuilder(), new StringBuilder());
            foreach (var (key, value) in engine.Keyspace.OrderBy(item => item.Key, StringComparer.Ordinal))
            {
                if (value is StreamValue stream)
                    Describe(streams, stream);
                else if (value is StringValue)
                    states.AppendLine($"{key}: {Encoding.UTF8.GetString(engine.State(key)!.Payload.Span)} {value.ExpiresMs}");
            }

            var inOrder = engine.Keyspace.Values.OfType<ScheduleValue>().OrderBy(schedule => schedule.Stream, StringComparer.Ordinal);
            foreach (var schedule in inOrder)
            {
                foreach (var (dueMs, fields) in schedule.InOrder)
                    schedules.AppendLine($"{schedule.Stream} at {dueMs}: {fields}");
            }

            return $"{streams}{states}{schedules}";
        }

        private static void Describe(StringBuilder text, StreamValue stream)
        {
            text.AppendLine($"{stream.Name}: {stream.LastGeneratedId} {stream.MaxDeletedId} {stream.EntriesAdded}");
            foreach (var entry in stream.Entries.Read(EntryId.Zero, EntryId.Max, int.MaxValue))
                text.AppendLine($" {entry.Id} {entry.Fields}");
            foreach (var group in stream.Groups.OrderBy(group => group.Name, StringComparer.Ordinal))
            {
                var consumers = group.Consumers.Select(consumer => consumer.Name).Order(StringComparer.Ordinal);
                text.AppendLine($" {group.Name} {group.LastDeliveredId} {string.Join(',', consumers)}");
                foreach (var (id, pending) in group.Pending)
                    text.AppendLine($"  {id} {pending.Owner!.Name} {pending.DeliveredMs} {pending.DeliveryCount}");
            }
        }
    }
}
