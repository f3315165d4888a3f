using System.Diagnostics;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>
/// Redis Streams as a deterministic state machine: a typed keyspace, changed only by the closed set of mutations. Time is an argument;
/// there are no files, threads or clocks. What was applied once gives the same state when it is replayed, which is all the journal does.
/// </summary>
/// <remarks>
/// Not thread-safe: one caller at a time, in one order. The queries are in <c>StreamEngine.Queries.cs</c>, each mutation is a file of
/// <c>Mutations/</c>, their bytes are drawn in <see cref="MutationRecord"/>.
/// </remarks>
internal sealed partial class StreamEngine
{
    private readonly Dictionary<string, KeyspaceValue> _keyspace = new(StringComparer.Ordinal);
    private readonly DueTimes _due = new();
    private readonly List<string> _signals = [];
    private readonly CommitPlan _plan = new();

    /// <summary>The version last given to a state document. One counter for all keys, so that a key made again does not repeat one.</summary>
    private long _lastVersion;

    /// <summary>When a <see cref="Tick"/> will change something, in Unix milliseconds; <see cref="long.MaxValue"/>: never.</summary>
    public long NextDueMs => _due.NextMs;

    /// <summary>
    /// Streams whose waiting readers must look again: they got entries, or lost a group or themselves. Whoever drives the engine clears it.
    /// May name a stream more than once.
    /// </summary>
    public List<string> Signals => _signals;

    /// <summary>Every key with its value. For snapshots, digests and tests.</summary>
    public IReadOnlyDictionary<string, KeyspaceValue> Keyspace => _keyspace;

    /// <summary>Applies a mutation at a moment in Unix milliseconds.</summary>
    /// <returns>Whether anything changed: what changed nothing need not be journaled.</returns>
    /// <exception cref="StreamException">Refused; nothing changed.</exception>
    public bool Apply<TMutation, TResult>(in TMutation mutation, long nowMs, out TResult result)
        where TMutation : struct, IMutation<TResult> => mutation.Apply(this, nowMs, out result);

    /// <summary>Applies a record of the journal, exactly as its mutation was applied first.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>.</exception>
    public void Replay(ReadOnlySpan<byte> record)
    {
        MutationRecord.Replay(this, record);
        _signals.Clear();
    }

    public void Signal(string stream) => _signals.Add(stream);

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public StreamValue? FindStream(string stream) => Find<StreamValue>(stream);

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public StreamValue GetOrAddStream(string stream)
    {
        if (FindStream(stream) is { } found)
            return found;
        var added = new StreamValue(stream);
        _keyspace.Add(stream, added);
        return added;
    }

    /// <summary>A stream in which this many appends cannot fail.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>, <see cref="StreamErrorCode.IdNotIncreasing"/>.</exception>
    public StreamValue GetOrAddStreamWithRoom(string stream, int count)
    {
        var found = GetOrAddStream(stream);
        return found.HasRoomFor(count) ? found : throw EngineErrors.IdsUsedUp(stream);
    }

    /// <summary>Whether this many entries can be appended to a stream that exists or can be made.</summary>
    public bool TryGetStreamWithRoom(string stream, int count) =>
        _keyspace.GetValueOrDefault(stream) switch
        {
            null => true,
            StreamValue found => found.HasRoomFor(count),
            _ => false,
        };

    public bool RemoveStream(string stream)
    {
        if (FindStream(stream) is null)
            return false;
        Signal(stream);
        return _keyspace.Remove(stream);
    }

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public ConsumerGroup? FindGroup(string stream, string group, out StreamValue? found)
    {
        found = FindStream(stream);
        return found?.FindGroup(group);
    }

    /// <exception cref="StreamException"><see cref="StreamErrorCode.NoGroup"/>, <see cref="StreamErrorCode.WrongType"/>.</exception>
    public ConsumerGroup GetGroup(string stream, string group, out StreamValue found) =>
        FindGroup(stream, group, out found!) ?? throw EngineErrors.NoGroup(stream, group);

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public StateValue? FindState(string key) => Find<StateValue>(key);

    /// <summary>Stores a state document, whatever was there, with a version above every earlier one.</summary>
    public void PutState(string key, ReadOnlyMemory<byte> payload, long? expiresMs, long nowMs)
    {
        var previous = FindState(key);
        _lastVersion = Math.Max(_lastVersion + 1, nowMs);
        _keyspace[key] = new StateValue(_lastVersion, payload.ToArray(), expiresMs);
        _due.Move(key, previous?.ExpiresMs, expiresMs);
    }

    public bool RemoveState(string key)
    {
        if (FindState(key) is not { } found)
            return false;
        _due.Move(key, found.ExpiresMs, null);
        return _keyspace.Remove(key);
    }

    /// <summary>Keeps an entry for a stream until its time has come.</summary>
    /// <param name="key">The key of the stream's schedule.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="dueMs">When it is due, in Unix milliseconds.</param>
    /// <param name="fields">The entry's fields.</param>
    public void AddScheduled(string key, string stream, long dueMs, EntryFields fields)
    {
        if (Find<ScheduleValue>(key) is not { } schedule)
            _keyspace.Add(key, schedule = new(stream));
        long? head = schedule.Count == 0 ? null : schedule.FirstDueMs;
        schedule.Add(dueMs, fields);
        _due.Move(key, head, schedule.FirstDueMs);
    }

    /// <summary>Takes the next due entry of a schedule out; a schedule left empty is deleted.</summary>
    public bool TryTakeDue(string key, ScheduleValue schedule, long nowMs, out EntryFields fields)
    {
        var head = schedule.Count == 0 ? long.MaxValue : schedule.FirstDueMs;
        if (!schedule.TryTakeDue(nowMs, out fields))
            return false;
        _due.Move(key, head, schedule.Count == 0 ? null : schedule.FirstDueMs);
        if (schedule.Count == 0)
            _keyspace.Remove(key);
        return true;
    }

    /// <summary>The key that is due first, if any is due by now.</summary>
    public bool TryGetDue(long nowMs, out string key, out KeyspaceValue value)
    {
        var isDue = _due.TryPeekDue(nowMs, out key);
        value = isDue ? _keyspace[key] : null!;
        return isDue;
    }

    /// <summary>Returns only if every change of a commit will succeed.</summary>
    /// <exception cref="StreamException">Why one would not.</exception>
    public void CheckCommit(Commit commit, long nowMs) => _plan.Check(this, commit, nowMs);

    /// <summary>Asserts the invariants that must hold between any two mutations. Walks everything: after replay, and in tests.</summary>
    [Conditional("DEBUG")]
    public void Verify()
    {
        var due = 0;
        foreach (var (key, value) in _keyspace)
        {
            switch (value)
            {
                case StreamValue stream:
                    stream.Verify();
                    break;
                case StateValue state:
                    Debug.Assert(state.Version <= _lastVersion, "Versions come from one counter.");
                    Debug.Assert(state.ExpiresMs is null || _due.Contains(state.ExpiresMs.Value, key), "What expires is due.");
                    due += state.ExpiresMs is null ? 0 : 1;
                    break;
                case ScheduleValue schedule:
                    Debug.Assert(schedule.Count > 0, "An empty schedule is deleted.");
                    Debug.Assert(_due.Contains(schedule.FirstDueMs, key), "The head of a schedule is due.");
                    due++;
                    break;
            }
        }

        Debug.Assert(due == _due.Count, "Nothing else is due.");
    }

    private TValue? Find<TValue>(string key)
        where TValue : KeyspaceValue =>
        _keyspace.GetValueOrDefault(key) switch
        {
            null => null,
            TValue value => value,
            _ => throw EngineErrors.WrongType(key),
        };
}
