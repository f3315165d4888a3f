using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

public sealed class AppendOnceTests
{
    private readonly EngineRun _run = new();

    [Fact]
    public void Repetitions_limits_and_records_are_the_same_after_a_replay()
    {
        _run.Apply<SetOption, bool>(new(EngineOption.StreamIdmpMaxSize, 3));
        var random = new Random(20261121);
        for (var i = 0; i < 2_000; i++)
        {
            _run.NowMs += random.Next(-1_000, 3_000);
            var (producer, id) = ($"p{random.Next(4)}", $"i{random.Next(6)}");
            switch (random.Next(20))
            {
                case 0:
                    _run.Apply<ConfigureProducers, bool>(new("s", random.Next(1, 4), null));
                    break;
                case 1 when _run.Engine.FindStream("s") is { Entries: { Count: > 0 } entries }:
                    _run.Apply<RecordProduced, EntryId>(new("s", producer, id, entries.FirstId));
                    break;
                default:
                    _run.Apply<AppendOnce, EntryId>(new(producer, id, new("s", EngineRun.Fields("x"), StreamTrim.ToLength(5))));
                    break;
            }
        }

        var producers = _run.Engine.FindStream("s")!.Producers;
        Assert.True(producers.Duplicates > 100 && producers.Added > 100, $"{producers.Duplicates} repetitions of {producers.Added}");
        Assert.Equal(EngineRun.Dump(_run.Engine), EngineRun.Dump(_run.Replay()));
    }

    [Fact]
    public void Refused_append_remembers_nothing()
    {
        _run.Append("s");
        _run.Apply<SetStreamId, bool>(new("s", EntryId.Max));

        Assert.Throws<StreamException>(() => _run.Apply<AppendOnce, EntryId>(new("p", "i", new("s", EngineRun.Fields("x")))));
        Assert.Empty(_run.Engine.FindStream("s")!.Producers.InOrder);
    }
}
