using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// What time does by itself, as a mutation like any other: takes away the keys whose time is over and appends the scheduled
/// entries that are due. The result is how many keys were due.
/// </summary>
/// <remarks>
/// No parts: the moment in the record's head says it all. The engine only knows the time it is told, so between ticks an expired document is
/// still there; whoever drives the engine ticks before each operation when <see cref="StreamEngine.NextDueMs"/> has passed.
/// </remarks>
internal readonly record struct Tick : IMutation<int>
{
    /// <summary>
    /// When to try again to append a scheduled entry to a key that holds another type meanwhile, or whose IDs are used up. Somebody has to
    /// repair that by hand; until then nothing is lost.
    /// </summary>
    private const long RetryAfterMs = 60_000;

    public MutationKind Kind => MutationKind.Tick;

    public bool Apply(StreamEngine engine, long nowMs, out int result)
    {
        result = 0;
        var database = engine.Database;
        while (engine.TryGetDue(nowMs, out var value))
        {
            result++;
            if (value.ExpiresMs <= nowMs)
                engine.RemoveKey(value.Key);
            else
                Promote(engine, (ScheduleValue)value, nowMs);
        }

        engine.Select(database);
        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
    }

    private static void Promote(StreamEngine engine, ScheduleValue schedule, long nowMs)
    {
        var canAppend = engine.TryGetStreamWithRoom(schedule.Stream, schedule.Count);
        while (engine.TryTakeDue(schedule, nowMs, out var fields))
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
