using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Changes a setting. The result is whether it had another value.</summary>
/// <remarks><code>option byte | value</code></remarks>
internal readonly record struct SetOption(EngineOption Option, long Value) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SetOption;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var options = engine.Options;
        var before = (options.StreamNodeMaxEntries, options.StreamIdmpDurationSeconds, options.StreamIdmpMaxSize);
        switch (Option)
        {
            case EngineOption.StreamNodeMaxEntries:
                options.StreamNodeMaxEntries = Value;
                break;
            case EngineOption.StreamIdmpDurationSeconds:
                options.StreamIdmpDurationSeconds = Value;
                break;
            case EngineOption.StreamIdmpMaxSize:
                options.StreamIdmpMaxSize = Value;
                break;
        }

        return result = before != (options.StreamNodeMaxEntries, options.StreamIdmpDurationSeconds, options.StreamIdmpMaxSize);
    }

    public void Write(RecordWriter writer)
    {
        writer.Byte((byte)Option);
        writer.Number(Value);
    }

    public static SetOption Read(ref RecordReader reader)
    {
        var option = (EngineOption)reader.Byte();
        if (!Enum.IsDefined(option))
            throw EngineErrors.Damaged($"there is no option {(byte)option}", 0);
        return new(option, reader.PositiveNumber());
    }
}
