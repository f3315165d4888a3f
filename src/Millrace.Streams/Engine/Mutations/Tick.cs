using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// What time does by itself, as a mutation like any other: takes away the keys whose time is over and appends the scheduled
/// entries that are due. The result is how many keys were due.
/// </summary>
/// <param name="MaxEntries">
/// The most that each schedule gives out; the rest stays due, for the next tick. 0: all of them, as ticks did that were written before there
/// was a limit.
/// </param>
/// <remarks>
/// <code>most entries</code> and, without a limit, no parts: the moment in the record's head says it all.
/// <para>The engine only knows the time it is told, so between ticks an expired document is still there; whoever drives the engine ticks before
/// each operation when <see cref="StreamEngine.NextDueMs"/> has passed. Expiry has no limit: what is over must not be seen.</para>
/// </remarks>
internal readonly record struct Tick(long MaxEntries) : IMutation<int>
{
    /// <summary>
    /// When to try again to append a scheduled entry to a key that holds another type meanwhile, or whose IDs are used up. Somebody has to
    /// repair that by hand; until then nothing is lost.
    /// </summary>
    private const long RetryAfterMs = 60_000;

    public MutationKind Kind => MaxEntries == 0 ? MutationKind.Tick : MutationKind.TickSome;

    public bool Apply(StreamEngine engine, long nowMs, out int result)
    {
        result = 0;
        var database = engine.Database;
        List<(int Database, ScheduleValue Schedule)>? left = null;
        while (engine.TryGetDue(nowMs, out var value))
        {
            result++;
            if (value.ExpiresMs <= nowMs)
            {
                engine.RemoveKey(value.Key);
                continue;
            }

            var schedule = (ScheduleValue)value;
            Promote(engine, schedule, nowMs);
            if (schedule.DueMs > nowMs)
                continue;
            engine.Defer(schedule);
            (left ??= []).Add((engine.Database, schedule));
        }

        foreach (var (of, schedule) in left ?? [])
        {
            engine.Select(of);
            engine.Resume(schedule);
        }

        engine.Select(database);
        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        if (MaxEntries > 0)
            writer.Number(MaxEntries);
    }

    /// <summary>Reads one with a limit.</summary>
    public static Tick Read(ref RecordReader reader) => reader.PositiveNumber() is > 0 and var most
        ? new(most)
        : throw EngineErrors.Damaged("a limit is zero", 0);

    private void Promote(StreamEngine engine, ScheduleValue schedule, long nowMs)
    {
        var most = MaxEntries == 0 ? long.MaxValue : MaxEntries;
        var canAppend = engine.TryGetStreamWithRoom(schedule.Stream, (int)Math.Min(most, schedule.Count));
        for (; most > 0 && engine.TryTakeDue(schedule, nowMs, out var fields); most--)
        {
            if (canAppend)
                engine.GetOrAddStream(schedule.Stream).Append(fields, nowMs, engine.Options.BlockEntries);
            else
                engine.AddScheduled(schedule.Key, schedule.Stream, nowMs + RetryAfterMs, fields);
        }

        if (!canAppend)
            return;
        engine.Signal(schedule.Stream);
        engine.Touch(schedule.Stream);
    }
}
