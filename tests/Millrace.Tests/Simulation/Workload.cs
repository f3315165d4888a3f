using System.Text;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Simulation;

/// <summary>Takes a mutation of the workload.</summary>
internal interface IMutationTarget
{
    void Apply<TMutation, TResult>(TMutation mutation)
        where TMutation : struct, IMutation<TResult>;
}

/// <summary>Draws mutations of every kind, on few names so that they meet. What exists is looked up in the store.</summary>
internal sealed class Workload(int seed, EmbeddedStreamStore store)
{
    private static readonly string[] StreamNamesUsed = ["a", "b", "{t}:c"];
    private static readonly string[] Groups = ["g", "h"];
    private static readonly string[] Consumers = ["c", "d", "e"];
    private static readonly string[] OtherKeys = ["list", "set", "text", "a"];
    private readonly Random _random = new(seed);
    private int _values;

    public Random Random => _random;

    /// <summary>The database of the next mutation: mostly the first, where the contract's streams are.</summary>
    public int NextDatabase() => _random.Next(5) == 0 ? _random.Next(1, 3) : 0;

    public string NextStream() => Pick(StreamNamesUsed);

    /// <summary>Draws one mutation for the database that is selected in the engine.</summary>
    public void Next(IMutationTarget target)
    {
        var (stream, group, consumer) = (Pick(StreamNamesUsed), Pick(Groups), Pick(Consumers));
        switch (_random.Next(24))
        {
            case < 6:
                target.Apply<Append, EntryId>(new(stream, NextFields(), NextTrim()));
                break;
            case 6:
                var entries = Enumerable.Range(0, _random.Next(1, 6)).Select(_ => NextFields()).ToArray();
                target.Apply<AppendMany, IReadOnlyList<EntryId>>(new(stream, entries, NextTrim()));
                break;
            case < 9:
                target.Apply<CreateGroup, bool>(new(stream, group, _random.Next(2) == 0 ? GroupStart.Beginning : GroupStart.Now));
                break;
            case < 13:
                target.Apply<ReadGroup, DeliveredRange>(new(stream, group, consumer, _random.Next(1, 6), _random.Next(8) == 0));
                break;
            case < 16:
                Settle(target, stream, group, consumer);
                break;
            case 16:
                target.Apply<Delete, long>(new(stream, SomeIds(stream)));
                break;
            case 17:
                target.Apply<Trim, long>(new(stream, NextTrim() is { IsNone: false } trim ? trim : new() { MaxLength = 3 }));
                break;
            case < 21:
                target.Apply<ApplyCommit, CommitResult>(new(NextCommit(stream, group, consumer)));
                break;
            case 21:
                Manage(target, stream, group, consumer);
                break;
            case 22:
                Produce(target, stream);
                break;
            default:
                ChangeKeys(target, stream);
                break;
        }
    }

    private void Settle(IMutationTarget target, string stream, string group, string consumer)
    {
        var ids = SomeIds(stream);
        switch (_random.Next(6))
        {
            case 0:
                target.Apply<Ack, long>(new(stream, group, ids));
                break;
            case 1:
                target.Apply<AckAndDelete, DeleteOutcome[]>(new(stream, group, ids));
                break;
            case 2:
                target.Apply<Extend, IReadOnlyList<EntryId>>(
                    new(stream, group, consumer, [.. ids.Distinct().Select(id => new HeldEntry(id, _random.Next(1, 3)))]));
                break;
            case 3:
                target.Apply<Claim, ClaimResult>(new(stream, group, consumer, _random.Next(3) * 500, ids));
                break;
            case 4:
                target.Apply<Nack, long>(new(stream, group, null, _random.Next(2) == 0, _random.Next(3) == 0, ids));
                break;
            default:
                target.Apply<AutoClaim, AutoClaimed>(
                    new(stream, group, consumer, _random.Next(3) * 500, EntryId.Zero, _random.Next(1, 5), _random.Next(2) == 0));
                break;
        }
    }

    private void Manage(IMutationTarget target, string stream, string group, string consumer)
    {
        switch (_random.Next(6))
        {
            case 0:
                target.Apply<DeleteStream, bool>(new(stream));
                break;
            case 1:
                target.Apply<DestroyGroup, bool>(new(stream, group));
                break;
            case 2:
                target.Apply<DeleteConsumer, long>(new(stream, group, consumer));
                break;
            case 3:
                target.Apply<CreateConsumer, bool>(new(stream, group, consumer));
                break;
            case 4:
                target.Apply<SetGroup, bool>(new(stream, group, GroupStart.After(SomeIds(stream)[0])));
                break;
            default:
                target.Apply<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, _random.Next(1, 20)));
                break;
        }
    }

    private void Produce(IMutationTarget target, string stream)
    {
        if (_random.Next(4) == 0)
            target.Apply<ConfigureProducers, bool>(new(stream, _random.Next(1, 100), _random.Next(1, 5)));
        else
            target.Apply<AppendOnce, EntryId>(new(Pick(Consumers), $"{_random.Next(6)}", new(stream, NextFields())));
    }

    private void ChangeKeys(IMutationTarget target, string stream)
    {
        var key = Pick(OtherKeys);
        switch (_random.Next(12))
        {
            case < 2:
                target.Apply<PushList, long>(new("list", _random.Next(2) == 0, [NextBytes(), NextBytes()]));
                break;
            case 2:
                target.Apply<PopList, byte[][]>(new("list", _random.Next(2) == 0, 1));
                break;
            case 3:
                target.Apply<AddMembers, long>(new("set", [$"{_random.Next(9)}", $"{_random.Next(9)}"]));
                break;
            case 4:
                target.Apply<RemoveMembers, long>(new("set", [$"{_random.Next(9)}"]));
                break;
            case < 7:
                target.Apply<SetString, bool>(new("text", NextBytes(), null));
                break;
            case 7:
                target.Apply<SetExpiry, bool>(new(key, _random.Next(2) == 0 ? null : 1_728_000_000_000 + _random.Next(60_000)));
                break;
            case 8:
                target.Apply<MoveKey, bool>(new(stream, _random.Next(3), Pick(StreamNamesUsed)));
                break;
            case 9:
                target.Apply<CopyKey, bool>(new(stream, _random.Next(3), Pick(StreamNamesUsed)));
                break;
            case 10:
                target.Apply<SwapDatabases, bool>(new(_random.Next(3), _random.Next(3)));
                break;
            default:
                if (_random.Next(4) == 0)
                    target.Apply<ClearKeys, long>(new(EveryDatabase: false));
                else
                    target.Apply<DeleteKeys, long>(new([key]));
                break;
        }
    }

    private Commit NextCommit(string stream, string group, string consumer)
    {
        var held = new HeldEntry(SomeIds(stream)[0], _random.Next(1, 3));
        CommitCondition[] conditions = _random.Next(5) switch
        {
            0 => [CommitCondition.StillHeld(stream, group, consumer, held)],
            1 => [CommitCondition.StateAbsent(NextKey())],
            _ => [],
        };
        return new()
        {
            Conditions = conditions,
            Changes = [.. Enumerable.Range(0, _random.Next(1, 5)).Select(_ => NextChange(stream, group, held))],
        };
    }

    private CommitChange NextChange(string stream, string group, HeldEntry held) => _random.Next(9) switch
    {
        0 or 1 => new CommitChange.Append(Pick(StreamNamesUsed), NextFields()),
        2 => new CommitChange.PutState(NextKey(), NextBytes(), _random.Next(2) == 0 ? null : TimeSpan.FromMilliseconds(_random.Next(1, 4_000))),
        3 => new CommitChange.DeleteState(NextKey()),
        4 => new CommitChange.Ack(stream, group, held.Id),
        5 => new CommitChange.AckAndDelete(stream, group, held.Id),
        6 => new CommitChange.Release(stream, group, held, TimeSpan.FromMilliseconds(_random.Next(3) * 700)),
        7 when _random.Next(8) == 0 => new CommitChange.DestroyGroup(stream, group),
        7 => new CommitChange.DeleteConsumer(stream, group, Pick(Consumers)),
        _ => new CommitChange.Schedule(Pick(StreamNamesUsed), NextFields(), TimeSpan.FromMilliseconds(_random.Next(4_000))),
    };

    private StateKey NextKey() => new("a", $"k{_random.Next(3)}");

    /// <summary>Each value is another one, so that no entry passes for one that was lost.</summary>
    private EntryFields NextFields() =>
        EntryFields.Create(("v", $"{seed}/{_values++}"), ("f", new string('x', _random.Next(12) == 0 ? _random.Next(3_000) : _random.Next(40))));

    private byte[] NextBytes() => Encoding.UTF8.GetBytes($"{seed}/{_values++}");

    private TrimRequest NextTrim() => _random.Next(8) switch
    {
        0 => new() { MaxLength = _random.Next(12) },
        1 => new() { MaxLength = _random.Next(12), IsApproximate = true },
        _ => default,
    };

    /// <summary>A few IDs of a stream, pending or not, and one that is not there.</summary>
    private EntryId[] SomeIds(string stream)
    {
        if (store.EngineNeedsLock.Keyspace.Find(stream) is not StreamValue found)
            return [new(1, 1)];
        List<EntryId> known = [.. found.Entries.Read(EntryId.Zero, EntryId.Max, 50).Select(entry => entry.Id)];
        foreach (var group in found.Groups)
        {
            foreach (var (id, _) in group.Pending)
                known.Add(id);
        }

        return known.Count == 0 ? [new(1, 1)] : [Pick(known), Pick(known), Pick(known), new(1, 1)];
    }

    private T Pick<T>(IReadOnlyList<T> items) => items[_random.Next(items.Count)];
}
