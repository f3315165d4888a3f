using System.Diagnostics;
using Millrace.Embedded.Journal;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Embedded.Inspection;

/// <summary>Makes the state again of what is whole in a directory, and says what it had to leave out.</summary>
internal sealed class StateReplay
{
    private readonly DirectoryReport _report;
    private readonly bool _skipDamage;
    private readonly List<LeftOut> _leftOut = [];

    /// <summary>The record that follows in a whole journal.</summary>
    private long _nextLsn = 1;

    private bool _isOver;

    private StateReplay(DirectoryReport report, bool skipDamage) => (_report, _skipDamage) = (report, skipDamage);

    /// <summary>The state.</summary>
    public StreamEngine Engine { get; private set; } = new();

    /// <summary>Records applied.</summary>
    public long Applied { get; private set; }

    /// <summary>Records left out, in order. Empty: the state is that of a start.</summary>
    public IReadOnlyList<LeftOut> LeftOut => _leftOut;

    /// <summary>Where the first record is that is whole and could not be applied.</summary>
    public Damage? Refused { get; private set; }

    /// <param name="report">The directory.</param>
    /// <param name="skipDamage">Whether to go on behind damage with what still applies; otherwise it ends there.</param>
    public static StateReplay Run(DirectoryReport report, bool skipDamage)
    {
        var replay = new StateReplay(report, skipDamage);
        replay.ReadSnapshot();
        DirectoryRecords.Read(report, replay.Take);
        replay.Miss(report.LastLsn + 1);
        return replay;
    }

    private void ReadSnapshot()
    {
        if (_report.Files.LastOrDefault(static file => file.Kind == "snapshot") is not { } snapshot)
            return;

        using var file = DataDirectory.List(_report.Directory).Open(snapshot.Name);
        var whole = new WholeKeys();
        try
        {
            SnapshotFile.Read(file, Path.Combine(_report.Directory, snapshot.Name), snapshot.LastLsn!.Value, whole);
        }
        catch (StreamException e)
        {
            Refused ??= new(snapshot.Name, 0, 0, 0, e.Message);
            LeaveOut(0, 0, $"The keys of the snapshot '{snapshot.Name}' behind the damage in it are lost: {e.Message}");
        }

        Engine = whole.Engine;
        _nextLsn = snapshot.LastLsn!.Value + 1;
    }

    private void Take(long lsn, ReadOnlySpan<byte> record, string file, long offset)
    {
        if (lsn < _nextLsn)
            return;
        Miss(lsn);
        _nextLsn = lsn + 1;
        if (_isOver)
        {
            LeaveOut(lsn, lsn, "It lies behind the damage; --skip-damage keeps what still applies.");
            return;
        }

        var taker = new Taker(Engine);
        try
        {
            MutationRecord.Read(record, ref taker);
            if (taker.Changes > 0)
                Applied++;
            else
                LeaveOut(lsn, lsn, "It changes nothing any more.");
        }
        catch (StreamException e)
        {
            Refused ??= new(file, offset, lsn, lsn, $"The record is whole and cannot be applied: {e.Message}");
            LeaveOut(lsn, lsn, taker.Changes > 0
                ? $"It is a transaction of which only the first {taker.Changes} changes could be applied: {e.Message}"
                : $"It cannot be applied: {e.Message}");
        }
    }

    /// <summary>Records up to this one should have come.</summary>
    private void Miss(long lsn)
    {
        if (lsn <= _nextLsn)
            return;
        var why = _report.Damages.FirstOrDefault(damage => damage.FirstLsn <= _nextLsn && damage.LastLsn >= _nextLsn);
        LeaveOut(_nextLsn, lsn - 1, why is null ? "No file has them." : $"{why.File} is damaged at offset {why.Offset}: {why.What}");
        _nextLsn = lsn;
    }

    /// <summary>Neighbours with one reason are one.</summary>
    private void LeaveOut(long first, long last, string why)
    {
        _isOver = !_skipDamage;
        if (_leftOut is [.., { } before] && before.Why == why && before.LastLsn == first - 1)
            _leftOut[^1] = before with { LastLsn = last };
        else
            _leftOut.Add(new(first, last, why));
    }

    /// <summary>Takes the keys of a snapshot up to where it is damaged.</summary>
    private sealed class WholeKeys : IJournalReplay
    {
        public StreamEngine Engine { get; private set; } = new();

        public void Snapshot(IEnumerable<ReadOnlyMemory<byte>> parts)
        {
            Engine = SnapshotReader.ReadWhole(parts, out var damage);
            if (damage is not null)
                throw damage;
        }

        public void Record(ReadOnlySpan<byte> record) => throw new UnreachableException("A snapshot holds parts.");
    }

    /// <summary>Not as replay does it: behind damage a record may find that what it changes is not there.</summary>
    private struct Taker(StreamEngine engine) : IMutationTaker
    {
        /// <summary>Mutations that changed something; more than one of a transaction.</summary>
        public int Changes { get; private set; }

        public void Take<TMutation, TResult>(in TMutation mutation, RecordMoment at)
            where TMutation : struct, IMutation<TResult>
        {
            engine.Select(at.Database);
            if (engine.Apply(mutation, at.Milliseconds, out TResult _))
                Changes++;
            engine.Signals.Clear();
        }
    }
}
