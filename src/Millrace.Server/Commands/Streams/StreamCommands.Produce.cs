using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>XCFGSET and XIDMPRECORD: what a stream remembers of its producers.</summary>
internal static partial class StreamCommands
{
    private static void Configure(ref CommandCall call)
    {
        if (call.Count == 2)
        {
            call.Error("ERR At least one parameter must be specified");
            return;
        }

        long? durationSeconds = null, maxSize = null;
        for (var i = 2; i < call.Count; i += 2)
        {
            var isDuration = call.Is(i, "IDMP-DURATION"u8);
            if (i + 1 == call.Count || (!isDuration && !call.Is(i, "IDMP-MAXSIZE"u8)))
            {
                call.Error(Errors.Syntax);
                return;
            }

            if (!call.TryInteger(i + 1, out var value))
                return;
            var error = isDuration && value is < 1 or > EngineOptions.LongestIdmpDurationSeconds
                ? $"ERR IDMP-DURATION must be between 1 and {EngineOptions.LongestIdmpDurationSeconds} seconds"
                : !isDuration && value is < 1 or > EngineOptions.LargestIdmpMaxSize
                ? $"ERR IDMP-MAXSIZE must be between 1 and {EngineOptions.LargestIdmpMaxSize} entries"
                : null;
            if (error is not null)
            {
                call.Error(error);
                return;
            }

            if (isDuration)
                durationSeconds = value;
            else
                maxSize = value;
        }

        if (!call.TryFind<StreamValue>(1, out var stream))
            return;
        if (stream is null)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        call.Apply<ConfigureProducers, bool>(new(stream.Key, durationSeconds, maxSize));
        call.Ok();
    }

    private static void RecordProduced(ref CommandCall call)
    {
        if (call[2].IsEmpty || call[3].IsEmpty)
        {
            call.Error(call[2].IsEmpty ? "ERR producer ID must be non-empty" : "ERR idempotent ID must be non-empty");
            return;
        }

        if (!call.TryId(4, out var id) || !call.TryFind<StreamValue>(1, out var stream))
            return;
        var error = stream is null ? Errors.NoSuchKey
            : !stream.Entries.Contains(id) ? "ERR No such message in stream"
            : call.Apply<RecordProduced, EntryId>(new(stream.Key, call.Text(2), call.Text(3), id)) != id
            ? "ERR IID already exists for this producer with a different stream ID"
            : null;
        if (error is null)
            call.Ok();
        else
            call.Error(error);
    }
}
