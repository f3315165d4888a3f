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
    /// <summary>As many as Redis has by default.</summary>
    public const int DatabaseCount = 16;

    private readonly Keyspace[] _databases = [.. Enumerable.Range(0, DatabaseCount).Select(_ => new Keyspace())];
    private readonly DueTimes _due = new();
    private readonly List<KeyRef> _signals = [];
    private readonly HashSet<KeyRef> _touched = [];
    private readonly CommitPlan _plan = new();

    /// <summary>Made by the first record that is replayed.</summary>
    private ReplayBuffers? _replay;

    /// <summary>
    /// The version last given to a state document, which lies in the keyspace as <see cref="StateText"/> draws it. One counter for all keys, so
    /// that a key made again does not repeat one.
    /// </summary>
    private long _lastVersion;

    public StreamEngine() => Keyspace = _databases[0];

    /// <summary>When a <see cref="Tick"/> will change something, in Unix milliseconds; <see cref="long.MaxValue"/>: never.</summary>
    public long NextDueMs => _due.NextMs;

    /// <summary>The latest moment at which a mutation was applied, in Unix milliseconds: after a restart, time goes on from here.</summary>
    public long NewestMs { get; private set; }

    /// <summary>The database that mutations and queries work on. The contract's streams are in database 0.</summary>
    public int Database { get; private set; }

    /// <summary>The keys of the current database.</summary>
    public Keyspace Keyspace { get; private set; }

    /// <summary>All databases by number. A swap exchanges two of them.</summary>
    public IReadOnlyList<Keyspace> Databases => _databases;

    /// <summary>Settings that change what mutations do. Journaled like any other change, by <see cref="SetOption"/>.</summary>
    public EngineOptions Options { get; } = new();

    /// <summary>
    /// Keys whose waiting readers must look again: they got entries, or lost a group or themselves. Whoever drives the engine clears it.
    /// May name a key more than once.
    /// </summary>
    public List<KeyRef> Signals => _signals;

    /// <summary>Whether anybody may wait for a key. While nobody does, <see cref="Signal"/> does nothing.</summary>
    public bool IsAwaited { get; set; } = true;

    /// <summary>Whether anybody waits to claim. While nobody does, <see cref="SignalPending"/> does nothing.</summary>
    public bool IsClaimAwaited { get; set; }

    /// <summary>The keys somebody watches for changes (<c>WATCH</c>), each with the number of watchers. Whoever drives the engine keeps it.</summary>
    public Dictionary<KeyRef, int> Watched { get; } = [];

    /// <summary>
    /// Those of <see cref="Watched"/> whose value changed, as Redis's <c>WATCH</c> sees it. Whoever drives the engine clears it.
    /// </summary>
    public HashSet<KeyRef> Touched => _touched;

    /// <summary>Makes a database the current one.</summary>
    public void Select(int database)
    {
        Database = database;
        Keyspace = _databases[database];
    }

    /// <summary>Applies a mutation at a moment in Unix milliseconds.</summary>
    /// <returns>Whether anything changed: what changed nothing need not be journaled.</returns>
    /// <exception cref="StreamException">Refused; nothing changed.</exception>
    public bool Apply<TMutation, TResult>(in TMutation mutation, long nowMs, out TResult result)
        where TMutation : struct, IMutation<TResult>
    {
        NewestMs = Math.Max(NewestMs, nowMs);
        return mutation.Apply(this, nowMs, out result);
    }

    /// <summary>Applies a record of the journal, exactly as its mutation was applied first.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>.</exception>
    public void Replay(ReadOnlySpan<byte> record)
    {
        _replay ??= new();
        MutationRecord.Replay(this, _replay.Copy(record), _replay);
        _signals.Clear();
        _touched.Clear();
        Select(0);
    }

    /// <summary>Readers that wait for the key must look again.</summary>
    public void Signal(string key)
    {
        if (IsAwaited)
            _signals.Add(new(Database, key));
    }

    /// <summary>Entries of the key became pending, or may be claimed sooner: readers that wait to claim must look again.</summary>
    public void SignalPending(string key)
    {
        if (IsClaimAwaited)
            Signal(key);
    }

    /// <summary>The value of the key changed in a way that ends a transaction that watches it.</summary>
    public void Touch(string key)
    {
        if (Watched.Count > 0)
            TouchWatched(new(Database, key));
    }

    private void TouchWatched(KeyRef key)
    {
        if (Watched.ContainsKey(key))
            _touched.Add(key);
    }

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public StreamValue? FindStream(string stream) => Find<StreamValue>(stream);

    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public StreamValue GetOrAddStream(string stream)
    {
        if (FindStream(stream) is { } found)
            return found;
        var added = new StreamValue(Options.StreamIdmpDurationSeconds, Options.StreamIdmpMaxSize);
        AddKey(stream, added);
        return added;
    }

    /// <summary>Puts a value under a key, which must be free.</summary>
    public void AddKey(string key, KeyspaceValue value)
    {
        Keyspace.Add(key, value);
        LookAt(value);
        _due.Move(Database, value, value.DueMs);
    }

    /// <summary>The value of a key, made when the key is free.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public TValue GetOrAdd<TValue>(string key)
        where TValue : KeyspaceValue, new()
    {
        if (Find<TValue>(key) is { } found)
            return found;
        var added = new TValue();
        AddKey(key, added);
        return added;
    }

    /// <summary>Puts a value under a key, over what is there, and wakes those who wait for it.</summary>
    public void PutKey(string key, KeyspaceValue value)
    {
        if (Keyspace.Find(key) is { } old)
        {
            _due.Move(Database, old, long.MaxValue);
            Uncount(old);
            Keyspace.Replace(old, value);
        }
        else
        {
            Keyspace.Add(key, value);
        }

        LookAt(value);
        _due.Move(Database, value, value.DueMs);
        Signal(key);
        Touch(key);
    }

    /// <summary>Takes a key out of the current database, whatever it holds, and wakes those who wait for it.</summary>
    public KeyspaceValue? RemoveKey(string key)
    {
        if (Keyspace.Remove(key) is not { } removed)
            return null;
        _due.Move(Database, removed, long.MaxValue);
        Uncount(removed);
        Signal(key);
        Touch(key);
        return removed;
    }

    /// <summary>Says when a tick takes a key away; null: never.</summary>
    public void SetExpiry(KeyspaceValue value, long? expiresMs)
    {
        value.ExpiresMs = expiresMs;
        _due.Move(Database, value, value.DueMs);
    }

    /// <summary>Exchanges the keys of two databases.</summary>
    public void SwapDatabases(int first, int second)
    {
        foreach (var number in (int[])[first, second])
        {
            foreach (var (key, value) in _databases[number])
            {
                _due.Move(number, value, long.MaxValue);
                if (IsAwaited)
                    _signals.AddRange([new(first, key), new(second, key)]);
                TouchWatched(new(first, key));
                TouchWatched(new(second, key));
            }
        }

        (_databases[first], _databases[second]) = (_databases[second], _databases[first]);
        foreach (var number in (int[])[first, second])
        {
            foreach (var (_, value) in _databases[number])
                _due.Move(number, value, value.DueMs);
        }

        Select(Database);
    }

    /// <summary>Deletes every key of the current database.</summary>
    /// <returns>How many there were.</returns>
    public int Clear()
    {
        var count = Keyspace.Count;
        foreach (var (key, value) in Keyspace)
        {
            _due.Move(Database, value, long.MaxValue);
            Uncount(value);
            Signal(key);
            Touch(key);
        }

        Keyspace.Clear();
        return count;
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
        Keyspace.Find(stream) switch
        {
            null => true,
            StreamValue found => found.HasRoomFor(count),
            _ => false,
        };

    public bool RemoveStream(string stream) => FindStream(stream) is not null && RemoveKey(stream) is not null;

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
    public StringValue? FindState(string key) => Find<StringValue>(key);

    /// <summary>Stores a state document, whatever was there, with a version above every earlier one of the key.</summary>
    public void PutState(string key, ReadOnlySpan<byte> payload, long? expiresMs, long nowMs)
    {
        var version = _lastVersion = Math.Max(_lastVersion + 1, nowMs);

        // Somebody may have set the string by hand, with a version of the future.
        if (FindState(key) is { } old && StateText.TryRead(old.Bytes.Span, out var earlier, out _) && earlier >= version)
            version = earlier + 1;
        PutKey(key, new StringValue(StateText.Write(version, payload)) { ExpiresMs = expiresMs });
    }

    public bool RemoveState(string key) => FindState(key) is not null && RemoveKey(key) is not null;

    /// <summary>Keeps an entry for a stream until its time has come.</summary>
    /// <param name="key">The key of the stream's schedule.</param>
    /// <param name="stream">The stream.</param>
    /// <param name="dueMs">When it is due, in Unix milliseconds.</param>
    /// <param name="fields">The entry's fields.</param>
    public void AddScheduled(string key, string stream, long dueMs, EntryFields fields)
    {
        if (Find<ScheduleValue>(key) is not { } schedule)
            AddKey(key, schedule = new(stream));
        schedule.Add(dueMs, fields);
        _due.Move(Database, schedule, schedule.DueMs);
    }

    /// <summary>Takes the next due entry of a schedule out; a schedule left empty is deleted.</summary>
    public bool TryTakeDue(ScheduleValue schedule, long nowMs, out EntryFields fields)
    {
        if (!schedule.TryTakeDue(nowMs, out fields))
            return false;
        if (schedule.Count == 0)
        {
            RemoveKey(schedule.Key);
            return true;
        }

        LookAt(schedule);
        _due.Move(Database, schedule, schedule.DueMs);
        return true;
    }

    /// <summary>Leaves a schedule out of what is due, until <see cref="Resume"/> in the same tick.</summary>
    public void Defer(ScheduleValue schedule) => _due.Move(Database, schedule, long.MaxValue);

    /// <summary>Takes a schedule that was left out in again.</summary>
    public void Resume(ScheduleValue schedule) => _due.Move(Database, schedule, schedule.DueMs);

    /// <summary>The key that is due first, if any is due by now. Makes its database the current one.</summary>
    public bool TryGetDue(long nowMs, out KeyspaceValue value)
    {
        value = null!;
        if (!_due.TryPeekDue(nowMs, out var database, out var key))
            return false;
        Select(database);
        value = Find(key)!;
        return true;
    }

    /// <summary>Returns only if every change of a commit will succeed.</summary>
    /// <exception cref="StreamException">Why one would not.</exception>
    public void CheckCommit(Commit commit, long nowMs) => _plan.Check(this, commit, nowMs);

    /// <summary>Asserts the invariants that must hold between any two mutations. Walks everything: after replay, and in tests.</summary>
    [Conditional("DEBUG")]
    public void Verify()
    {
        var due = 0;
        for (var number = 0; number < _databases.Length; number++)
        {
            _databases[number].Verify();
            foreach (var (_, value) in _databases[number])
            {
                (value as StreamValue)?.Verify();
                Debug.Assert(value is not ScheduleValue { Count: 0 }, "An empty schedule is deleted.");
                Debug.Assert(value.RegisteredDueMs == value.DueMs, "A key is registered for the moment it says.");
                if (value.DueMs == long.MaxValue)
                    continue;
                Debug.Assert(_due.Contains(number, value), "What is due is registered.");
                due++;
            }
        }

        Debug.Assert(due == _due.Count, "Nothing else is due.");
        VerifyMemory();
    }

    private TValue? Find<TValue>(string key)
        where TValue : KeyspaceValue =>
        Find(key) switch
        {
            null => null,
            TValue value => value,
            _ => throw EngineErrors.WrongType(key),
        };
}

/// <summary>A key of a database.</summary>
internal readonly record struct KeyRef(int Database, string Key);
