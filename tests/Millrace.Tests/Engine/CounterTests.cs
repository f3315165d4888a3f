using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Tests.Engine;

/// <summary>Counters that are set by hand, and blocks of which only deleted entries are left.</summary>
public sealed class CounterTests : IDisposable
{
    private readonly EngineRun _run = new();

    public void Dispose()
    {
        _run.Engine.Verify();
        Assert.Equal(Blocks(_run.Engine), Blocks(_run.Replay()));
    }

    /// <summary>The block remembered the deleted entry, and the one with a smaller ID was lost behind it.</summary>
    [Theory]
    [InlineData(100)]
    [InlineData(2)]
    [InlineData(1)]
    public void Id_of_a_deleted_entry_is_given_again_after_the_counters_went_back(int blockEntries)
    {
        _run.Apply<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, blockEntries));
        foreach (var ms in (ulong[])[1, 2, 5, 9])
            Append(ms);
        _run.Apply<Delete, long>(new("s", [new(5, 0), new(9, 0)]));

        _run.Apply<SetStreamId, bool>(new("s", new(9, 0), MaxDeletedId: new(1, 0)));
        _run.Apply<SetStreamId, bool>(new("s", new(2, 0)));
        _run.Engine.Verify();
        foreach (var ms in (ulong[])[3, 4, 5, 7])
            Append(ms);

        Assert.Equal([1UL, 2, 3, 4, 5, 7], Left());
        Assert.Single(_run.Engine.Range("s", new() { Start = new(4, 0), End = new(4, 0), Count = 10 }));
    }

    /// <summary>It changed no entry, but the next entries lie in another block than after a replay without it, where a trim drops others.</summary>
    [Fact]
    public void Trim_that_drops_nothing_but_an_emptied_block_is_journaled()
    {
        _run.Apply<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, 3));
        Append(1);
        Append(2);
        _run.Apply<Delete, long>(new("s", [new(2, 0)]));
        Assert.Equal(1, Trim(new() { MinId = new(2, 0) }));
        Assert.Equal(0, Trim(new() { MinId = new(3, 0) }));
        for (ulong ms = 4; ms <= 8; ms++)
            Append(ms);

        Trim(new() { MaxLength = 1, IsApproximate = true });

        Assert.Equal([7UL, 8], Left());
    }

    /// <summary>It goes on below zero, as in Redis, and a dump of that used to fail.</summary>
    [Fact]
    public void Counts_beyond_the_largest_number_can_be_dumped_and_restored()
    {
        Append(1);
        _run.CreateGroup("s");
        _run.Apply<SetStreamId, bool>(new("s", new(1, 0), EntriesAdded: long.MaxValue));
        _run.Apply<SetGroup, bool>(new("s", "g", GroupStart.After(new(1, 0)), EntriesRead: long.MaxValue));
        Append(2);
        _run.Read("s", "c");

        var stream = Assert.IsType<StreamValue>(ValueRecord.Read(ValueRecord.Write(_run.Engine.FindStream("s")!, 10_000).Span));
        Assert.Equal(long.MinValue, stream.EntriesAdded);
        Assert.Equal(long.MinValue, Assert.Single(stream.Groups).EntriesRead);
    }

    private void Append(ulong ms) => _run.Apply<Append, EntryId>(new("s", EngineRun.Fields("x"), Id: new(ms, 0)));

    private long Trim(TrimRequest keep) => _run.Apply<Trim, long>(new("s", keep));

    private ulong[] Left() => [.. _run.Engine.Range("s", new() { Count = 100 }).Select(static entry => entry.Id.Milliseconds)];

    /// <summary>The stream with its blocks.</summary>
    private static string Blocks(StreamEngine engine) => Convert.ToHexString(ValueRecord.Write(engine.FindStream("s")!, 10_000).Span);
}
