using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Tests.Engine.Snapshots;

/// <summary>Every mutation there is, at random, on few keys, so that they meet. What is refused or changes nothing is part of it.</summary>
internal sealed class RandomMutations(int seed, EngineRun run)
{
    private static readonly string[] Streams = ["a", "b", StreamNames.Again("a", "g")];
    private static readonly string[] Others = ["string", "list", "set", "\udcff", "new", StreamNames.State(new("a", "k"))];
    private static readonly string[] Groups = ["g", "h"];
    private static readonly string[] Consumers = ["c", "d", "e"];

    private readonly Random _random = new(seed);

    private string Stream => Pick(Streams);

    private string Key => _random.Next(2) == 0 ? Stream : Pick(Others);

    private string Group => Pick(Groups);

    private string Consumer => Pick(Consumers);

    private bool Coin => _random.Next(2) == 0;

    public void Apply(int count)
    {
        for (var i = 0; i < count; i++)
        {
            run.NowMs += _random.Next(10) switch { < 6 => 0, < 9 => _random.Next(20), _ => -_random.Next(30) };
            try
            {
                Apply();
            }
            catch (StreamException e) when (e.Code != StreamErrorCode.Corrupt)
            {
                // Refused, as some are: nothing changed.
            }
        }
    }

    private void Apply()
    {
        switch (_random.Next(50))
        {
            case < 12: run.Apply<Append, EntryId>(new(Stream, Fields(), Coin ? default : SomeTrim(rarely: true))); break;
            case < 14: run.Apply<AppendMany, IReadOnlyList<EntryId>>(new(Stream, [Fields(), Fields(), Fields()])); break;
            case < 16: run.Apply<AppendOnce, EntryId>(new(Pick(["p", "q"]), $"{_random.Next(20)}", new(Stream, Fields()))); break;
            case < 18: ManageGroup(); break;
            case < 21: run.Apply<ReadGroup, DeliveredRange>(new(Stream, Group, Consumer, _random.Next(1, 9), _random.Next(5) == 0)); break;
            case < 23: Acknowledge(); break;
            case < 26: Claim(); break;
            case < 28: run.Apply<Delete, long>(new(Stream, SomeIds())); break;
            case 28: run.Apply<DeleteReferenced, DeleteOutcome[]>(new(Stream, (ReferencePolicy)_random.Next(3), SomeIds())); break;
            case 29: run.Apply<Trim, long>(new(Stream, SomeTrim(rarely: false))); break;
            case 30: ManageStream(); break;
            case 31 when Coin: run.Apply<SkipTime, bool>(new(_random.Next(5) == 0 ? 1L << 40 : _random.Next(99))); break;
            case 31 or 32: Commit(); break;
            case < 40: ChangeOther(); break;
            default: ChangeKey(); break;
        }
    }

    private void ManageGroup()
    {
        var (stream, group, start) = (Stream, Group, Coin ? GroupStart.Now : GroupStart.After(SomeIds()[0]));
        switch (_random.Next(12))
        {
            case 0: run.Apply<DestroyGroup, bool>(new(stream, group)); break;
            case 1: run.Apply<SetGroup, bool>(new(stream, group, start, Coin ? null : _random.Next(9))); break;
            case 2: run.Apply<DeleteConsumer, long>(new(stream, group, Consumer)); break;
            case 3: run.Apply<CreateConsumer, bool>(new(stream, group, Consumer)); break;
            default: run.Apply<CreateGroup, bool>(new(stream, group, start, Coin ? null : _random.Next(9))); break;
        }
    }

    private void Acknowledge()
    {
        if (Coin)
            run.Apply<Ack, long>(new(Stream, Group, SomeIds()));
        else
            run.Apply<AckAndDelete, DeleteOutcome[]>(new(Stream, Group, SomeIds(), (ReferencePolicy)_random.Next(3)));
    }

    private void Claim()
    {
        var (stream, group, consumer, ids) = (Stream, Group, Consumer, SomeIds());
        switch (_random.Next(6))
        {
            case 0: run.Apply<Claim, ClaimResult>(new(stream, group, consumer, _random.Next(10), ids)); break;
            case 1: run.Apply<AutoClaim, AutoClaimed>(new(stream, group, consumer, _random.Next(10), EntryId.Zero, 3, Coin)); break;
            case 2: run.Apply<Extend, IReadOnlyList<EntryId>>(new(stream, group, consumer, [.. ids.Distinct().Select(id => new HeldEntry(id, 1))])); break;
            case 3: run.Apply<ReadHistory, EntryId[]>(new(stream, group, consumer, EntryId.Zero, 5)); break;
            case 4: run.Apply<Nack, long>(new(stream, group, Coin ? null : _random.NextInt64(), Coin, Coin, ids)); break;
            default:
                run.Apply<ClaimAs, EntryId[]>(new(
                    stream, group, consumer, 0, Coin ? run.NowMs : _random.NextInt64(), Coin ? null : _random.Next(100_000), Coin, Coin, EntryId.Zero, ids));
                break;
        }
    }

    private void ManageStream()
    {
        var stream = Stream;
        switch (_random.Next(5))
        {
            case 0: run.Apply<ConfigureProducers, bool>(new(stream, _random.Next(1, 3), _random.Next(1, 5))); break;
            case 1: run.Apply<RecordProduced, EntryId>(new(stream, "p", $"{_random.Next(20)}", SomeIds()[0])); break;
            case 2: run.Apply<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, _random.Next(6) * _random.Next(6))); break;
            case 3: run.Apply<SetOption, bool>(new(EngineOption.StreamIdmpMaxSize, _random.Next(1, 9))); break;
            default:
                if (run.Engine.FindStream(stream)?.Entries is not { } entries)
                    break;
                var added = Coin ? (long?)null : entries.Count + _random.Next(1_000);
                run.Apply<SetStreamId, bool>(new(stream, Coin ? entries.LastId : entries.LastId.Next(), added, Coin ? null : entries.LastId));
                break;
        }
    }

    private void Commit() => run.Commit(
        new CommitChange.Append(Stream, Fields()),
        Coin
            ? new CommitChange.PutState(new("a", "k"), new byte[_random.Next(99)], Coin ? null : TimeSpan.FromMilliseconds(_random.Next(1, 40)))
            : new CommitChange.DeleteState(new("a", "k")),
        Coin
            ? new CommitChange.Schedule(Stream, Fields(), TimeSpan.FromMilliseconds(_random.Next(200)))
            : new CommitChange.Release(Stream, Group, new(SomeIds()[0], 1), TimeSpan.FromMilliseconds(_random.Next(3) * 10)));

    private void ChangeOther()
    {
        switch (_random.Next(6))
        {
            case 0: run.Apply<PushList, long>(new("list", Coin, [Bytes(9), Bytes(0), Bytes(30)])); break;
            case 1: run.Apply<PopList, byte[][]>(new("list", Coin, _random.Next(4))); break;
            case 2: run.Apply<AddMembers, long>(new("set", [$"{_random.Next(30)}", $"{_random.Next(30)}"])); break;
            case 3: run.Apply<RemoveMembers, long>(new("set", [$"{_random.Next(30)}"])); break;
            default: run.Apply<SetString, bool>(new(Pick(["string", "\udcff"]), Bytes(_random.Next(50)), Coin ? null : run.NowMs + _random.Next(99))); break;
        }
    }

    private void ChangeKey()
    {
        var (from, to) = (Key, Key);
        switch (_random.Next(40))
        {
            case < 12: run.Apply<SetExpiry, bool>(new(from, Coin ? null : run.NowMs + _random.Next(1, 900))); break;
            case < 14: run.Apply<MoveKey, bool>(new(from, _random.Next(2), to)); break;
            case < 18: run.Apply<CopyKey, bool>(new(from, _random.Next(2), to)); break;
            case 18: run.Apply<SwapDatabases, bool>(new(0, 1)); break;
            case 19: run.Apply<DeleteKeys, long>(new([from])); break;
            case 20 when _random.Next(10) == 0: run.Apply<ClearKeys, long>(new(Coin)); break;
            case 21 when run.Engine.Keyspace.Find(from) is { } value:
                run.Apply<RestoreKey, bool>(new(to, ValueRecord.Write(value, int.MaxValue), Coin ? null : run.NowMs + 100));
                break;
        }
    }

    private TrimRequest SomeTrim(bool rarely)
    {
        if (rarely && _random.Next(8) > 0)
            return default;
        var trim = Coin ? new TrimRequest { MaxLength = _random.Next(60) } : new TrimRequest { MinId = SomeIds()[0] };
        return trim with { IsApproximate = Coin, Limit = _random.Next(2) * _random.Next(30), References = (ReferencePolicy)_random.Next(3) };
    }

    /// <summary>A few IDs of a stream, pending or not, and one that is not there.</summary>
    private EntryId[] SomeIds()
    {
        var found = run.Engine.Keyspace.Find(Stream) as StreamValue;
        var ids = new List<EntryId> { new((ulong)run.NowMs, 1) };
        foreach (var entry in (found?.Entries ?? new()).From(EntryId.Zero, EntryId.Max))
        {
            if (_random.Next(8) == 0)
                ids.Add(entry.Id);
        }

        foreach (var (id, _) in found?.FindGroup(Group)?.Pending.From(EntryId.Zero, EntryId.Max) ?? default)
        {
            if (_random.Next(4) == 0)
                ids.Add(id);
        }

        var wanted = ids.ToArray();
        _random.Shuffle(wanted);
        return wanted[..Math.Min(wanted.Length, 4)];
    }

    /// <summary>A few shapes again and again, now and then a new one or a large value.</summary>
    private EntryFields Fields()
    {
        var writer = new EntryFieldsWriter();
        var shape = _random.Next(10) < 8 ? _random.Next(3) : _random.Next(40);
        for (var i = 0; i <= shape % 4; i++)
            writer.Add(new byte[(shape + i) % 7], Bytes(_random.Next(30) == 0 ? _random.Next(9_000) : _random.Next(20)));
        return writer.ToFields();
    }

    private byte[] Bytes(int count)
    {
        var bytes = new byte[count];
        _random.NextBytes(bytes);
        return bytes;
    }

    private T Pick<T>(T[] items) => items[_random.Next(items.Length)];
}
