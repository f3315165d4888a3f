using Millrace.Server.Commands.Streams;
using Millrace.Streams;

namespace Millrace.Server.Commands.Commits;

/// <summary>Reads the arguments of MILLRACE.COMMIT.</summary>
/// <remarks>
/// <code>
/// MILLRACE.COMMIT  count key*  salt  count fence*  count commit*
///
/// key        every key named below by its index, from 1
/// salt       any bytes     \ what a script on Redis needs: bytes that make what it schedules unique,
/// fence      6 arguments   / and hints for its lookups. Read over here
/// commit     count condition*  count change*
/// condition  last  key  id, or '' for no stream
///            state key  version, or '' for no document
///            held  key  group  consumer  id  deliveries
///            entry key  id
///            unread key  id
///            upkeep                                          the last one: always holds, and says that the commit is upkeep
/// change     append   key  id, or *  count part*              parts: name, value, name, value …
///            schedule key  schedule-key  delay-ms  count part*
///            put      key  payload  time-to-live-ms, or '' for none
///            delete   key
///            remove   key  id
///            ack      key  group  id
///            ackdel   key  group  id
///            leave    key  group  consumer
///            release  key  again-key  schedule-key  group  id  deliveries  delay-ms
/// </code>
/// The same as <c>commit_arguments.lua</c> of Millrace.Redis reads, and <c>CommitCommand.cs</c> there writes: they change together.
/// <para>The first mistake is kept and ends the reading; until then every step goes on with something harmless.</para>
/// </remarks>
internal ref struct CommitArguments(CommandCall call)
{
    private const int FenceParts = 6;

    private static readonly long MaxDurationMs = (long)StreamLimits.MaxDuration.TotalMilliseconds;

    private readonly CommandCall _call = call;
    private readonly EntryFieldsWriter _fields = new();
    private string[] _keys = [];

    /// <summary>The argument to read next.</summary>
    private int _at = 1;

    /// <summary>What is wrong, or null.</summary>
    private string? _error;

    /// <summary>Reads all commits and checks them against the limits of the contract; otherwise the error is written.</summary>
    public bool TryRead(out Commit[] commits)
    {
        commits = [];
        try
        {
            commits = ReadCommits();
        }
        catch (ArgumentException e)
        {
            Fail(e.Message);
        }

        if (_error is null)
            return true;
        _call.Error($"ERR {_error}");
        return false;
    }

    /// <exception cref="ArgumentException">A name or a size is against the contract.</exception>
    private Commit[] ReadCommits()
    {
        _keys = new string[TakeCount()];
        for (var i = 0; i < _keys.Length; i++)
            _keys[i] = TakeText();
        Take();
        for (var fences = TakeCount(); fences > 0; fences--)
            _at += FenceParts;

        var commits = new Commit[TakeCount()];
        StreamArguments.CheckBatch(commits);
        for (var i = 0; i < commits.Length && _error is null; i++)
        {
            var conditions = ReadConditions(out var isUpkeep);
            commits[i] = new Commit { Conditions = conditions, Changes = ReadChanges(), IsUpkeep = isUpkeep };
            if (_error is null)
                StreamArguments.CheckCommit(commits[i]);
        }

        if (_error is null && _at != _call.Count)
            Fail("there are more arguments than commits");
        return commits;
    }

    private CommitCondition[] ReadConditions(out bool isUpkeep)
    {
        isUpkeep = false;
        var conditions = new CommitCondition[TakeCount()];
        for (var i = 0; i < conditions.Length && _error is null; i++)
        {
            isUpkeep = i == conditions.Length - 1 && _at < _call.Count && _call[_at].SequenceEqual("upkeep"u8);
            if (isUpkeep)
            {
                _at++;
                return conditions[..^1];
            }

            conditions[i] = Take() switch
            {
                var kind when kind.SequenceEqual("last"u8) => new CommitCondition.LastId(TakeKey(), TakeId(""u8)),
                var kind when kind.SequenceEqual("state"u8) => new CommitCondition.State(TakeStateKey(), TakeOptionalNumber()),
                var kind when kind.SequenceEqual("held"u8) => new CommitCondition.Held(TakeKey(), TakeText(), TakeText(), TakeHeld()),
                var kind when kind.SequenceEqual("entry"u8) => new CommitCondition.Exists(TakeKey(), TakeId()),
                var kind when kind.SequenceEqual("unread"u8) => new CommitCondition.Unread(TakeKey(), TakeId()),
                var kind when kind.SequenceEqual("group"u8) => ReadStands(),
                _ => Fail<CommitCondition>("expected a condition: last, state, held, entry, unread or group, or at last upkeep"),
            };
        }

        return conditions;
    }

    private CommitChange[] ReadChanges()
    {
        var changes = new CommitChange[TakeCount()];
        for (var i = 0; i < changes.Length && _error is null; i++)
        {
            changes[i] = Take() switch
            {
                var kind when kind.SequenceEqual("append"u8) => ReadAppend(),
                var kind when kind.SequenceEqual("schedule"u8) => ReadSchedule(),
                var kind when kind.SequenceEqual("put"u8) => ReadPut(),
                var kind when kind.SequenceEqual("delete"u8) => new CommitChange.DeleteState(TakeStateKey()),
                var kind when kind.SequenceEqual("ack"u8) => new CommitChange.Ack(TakeKey(), TakeText(), TakeId()),
                var kind when kind.SequenceEqual("ackdel"u8) => new CommitChange.AckAndDelete(TakeKey(), TakeText(), TakeId()),
                var kind when kind.SequenceEqual("remove"u8) => new CommitChange.Delete(TakeKey(), TakeId()),
                var kind when kind.SequenceEqual("leave"u8) => new CommitChange.DeleteConsumer(TakeKey(), TakeText(), TakeText()),
                var kind when kind.SequenceEqual("destroy"u8) => ReadDestroy(),
                var kind when kind.SequenceEqual("release"u8) => ReadRelease(),
                _ => Fail<CommitChange>("expected a change: append, schedule, put, delete, remove, ack, ackdel, leave, destroy or release"),
            };
        }

        return changes;
    }

    private CommitCondition.Stands ReadStands()
    {
        var (stream, group, last) = (TakeKey(), TakeText(), TakeId());
        return new(stream, group, last, TakeNumber(), (int)Math.Min(TakeNumber(), int.MaxValue));
    }

    private CommitChange.Append ReadAppend()
    {
        var stream = TakeKey();
        var id = TakeId("*"u8);
        return new(stream, TakeFields(), id);
    }

    private CommitChange.Schedule ReadSchedule()
    {
        var stream = TakeKey();
        Expect(StreamNames.Schedule(stream));
        var delay = TakeDuration();
        return new(stream, TakeFields(), delay);
    }

    private CommitChange.PutState ReadPut()
    {
        var key = TakeStateKey();
        var payload = Take().ToArray();
        return new(key, payload, TakeOptionalNumber() is { } ms ? ToDuration(ms) : null);
    }

    private CommitChange.DestroyGroup ReadDestroy()
    {
        var stream = TakeKey();
        var (again, schedule, order, group) = (TakeKey(), TakeKey(), TakeKey(), TakeText());
        ExpectPrivate(stream, group, again, schedule);
        if (_error is null && order != StreamNames.Order(stream, group))
            Fail($"the notes on order of group '{group}' are '{StreamNames.Order(stream, group)}', not '{order}'");
        return new(stream, group);
    }

    private CommitChange.Release ReadRelease()
    {
        var stream = TakeKey();
        var (again, schedule, group) = (TakeKey(), TakeKey(), TakeText());
        ExpectPrivate(stream, group, again, schedule);
        var held = TakeHeld();
        return new(stream, group, held, TakeDuration());
    }

    private void ExpectPrivate(string stream, string group, string again, string schedule)
    {
        if (_error is null && again != StreamNames.Again(stream, group))
            Fail($"the private stream of group '{group}' is '{StreamNames.Again(stream, group)}', not '{again}'");
        if (_error is null && schedule != StreamNames.Schedule(again))
            Fail($"the schedule of '{again}' is '{StreamNames.Schedule(again)}', not '{schedule}'");
    }

    private ReadOnlySpan<byte> Take()
    {
        if (_error is null && _at < _call.Count)
            return _call[_at++];
        Fail("the arguments end too early");
        return default;
    }

    /// <summary>A name. Its length is checked at once, because errors quote it.</summary>
    private string TakeText()
    {
        var at = _at;
        if (Take().Length > StreamLimits.MaxNameBytes)
            Fail($"a name has at most {StreamLimits.MaxNameBytes} bytes");
        return _error is null ? _call.Text(at) : "";
    }

    /// <summary>How many things follow. Each takes an argument at least, so that no number makes us reserve more than was sent.</summary>
    private int TakeCount()
    {
        var count = TakeNumber();
        if (count <= _call.Count - _at)
            return (int)count;
        Fail("the arguments end too early");
        return 0;
    }

    private long TakeNumber()
    {
        if (Numbers.TryParseInt64(Take(), out var number) && number >= 0)
            return number;
        Fail("expected a number");
        return 0;
    }

    private long? TakeOptionalNumber()
    {
        if (_at < _call.Count && !_call[_at].IsEmpty)
            return TakeNumber();
        Take();
        return null;
    }

    private TimeSpan TakeDuration() => ToDuration(TakeNumber());

    private TimeSpan ToDuration(long ms)
    {
        if (ms <= MaxDurationMs)
            return TimeSpan.FromMilliseconds(ms);
        Fail($"a time is at most {MaxDurationMs} ms");
        return default;
    }

    private EntryId TakeId()
    {
        if (IdArguments.TryParse(Take(), 0, out var id))
            return id;
        Fail("expected an entry ID");
        return default;
    }

    /// <summary>An ID, or null for the word that stands for none.</summary>
    private EntryId? TakeId(ReadOnlySpan<byte> none)
    {
        if (_at >= _call.Count || !_call[_at].SequenceEqual(none))
            return TakeId();
        _at++;
        return null;
    }

    private HeldEntry TakeHeld()
    {
        var id = TakeId();
        return new(id, TakeNumber());
    }

    private string TakeKey()
    {
        var index = TakeNumber();
        if (_error is null && index >= 1 && index <= _keys.Length)
            return _keys[index - 1];
        Fail($"expected the number of a key, from 1 to {_keys.Length}");
        return "";
    }

    private StateKey TakeStateKey()
    {
        var key = TakeKey();
        if (StreamNames.TryParseState(key, out var state))
            return state;
        Fail($"'{key}' is no state document's key, such as {{orders}}:state:name");
        return default;
    }

    private EntryFields TakeFields()
    {
        var count = TakeCount();
        if (count % 2 != 0)
            Fail("expected as many values as names");
        for (; count > 0 && _error is null; count -= 2)
            _fields.Add(Take(), Take());
        return _fields.ToFields();
    }

    private void Expect(string key)
    {
        var given = TakeKey();
        if (given != key)
            Fail($"expected the key '{key}', not '{given}'");
    }

    private T Fail<T>(string error)
        where T : class
    {
        Fail(error);
        return null!;
    }

    /// <summary>Keeps the first mistake, with the number of the argument that was read last.</summary>
    private void Fail(string error) => _error ??= $"argument {_at - 1} of MILLRACE.COMMIT: {error}";
}
