using System.Diagnostics;
using System.Globalization;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Tests.Engine.Snapshots;

/// <summary>
/// An engine, captured, written and read, is the same and goes on the same; what becomes of the original does not reach the image.
/// To repeat a run, put its seed into <see cref="Seeds"/>.
/// </summary>
public sealed class SnapshotTests
{
    private static readonly int[] Seeds = [1, 2, 3, 20261121, 961135065];

    private const string Golden =
        "01C0843D00026464" + // version, newest moment, last version of a document, options
        "010173000564640100010170C0843D03010169C0843D03" + // one key, its producers
        "0201" + // two blocks, the last one open
        "C0843D00C0843D0102020E00000001020176013000010301310101" +
        "C0843D02C0843D0302020E000000010201760132000103013300" +
        "010003" + // the shape of the open one
        "C0843D03C0843D0004" + // counters
        "010167C0843D010102010163C0843DC1843D0102C0843D0001C0843D01C0843D01000007" + // a group with a consumer and two pending entries
        "0000000000000000000000000000" + "01016B81897A010176"; // empty databases, and a string in the last one

    [Fact]
    public void Random_engines_read_back_the_same_and_go_on_the_same()
    {
        foreach (var seed in Seeds)
            Run(seed, rounds: 12);
        Run(1926493518, rounds: 4);

        // A slice of the time a whole run may take, for seeds nobody has tried.
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);
        var end = TimeSpan.FromSeconds(slice / 6);
        var count = 0;
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < end; count++)
            Run(Random.Shared.Next(), rounds: 4);
        TestContext.Current.TestOutputHelper?.WriteLine($"{Seeds.Length + count} seeds.");
    }

    /// <summary>An image is written by another thread, while what it shares with the engine is changed, or rather copied.</summary>
    [Fact]
    public async Task Image_is_written_while_the_engine_changes()
    {
        var run = new EngineRun();
        var mutations = new RandomMutations(7, run);
        for (var round = 0; round < 40; round++)
        {
            mutations.Apply(200);
            var image = run.Engine.Capture();
            var expected = SnapshotParts.Of(run.Engine.Capture());
            var written = Task.Run(() => SnapshotParts.Of(image), TestContext.Current.CancellationToken);
            mutations.Apply(200);
            Assert.Equal(expected, await written);
        }
    }

    [Fact]
    public void Values_larger_than_a_part_are_cut()
    {
        var run = new EngineRun();
        var (large, name) = (new byte[3_000_000], new string('n', 2_000_000));
        Random.Shared.NextBytes(large);
        run.Apply<SetString, bool>(new(name, large, 99_000_000));
        run.Apply<PushList, long>(new("list", false, [large, [], large]));
        run.Apply<AddMembers, long>(new("set", [name, "small"]));
        run.Apply<Append, EntryId>(new("stream", EntryFields.Create((name, name), ("a", "b"))));
        run.Apply<CreateGroup, bool>(new("stream", name, default));
        run.Read("stream", name, group: name);
        run.Commit(new CommitChange.Schedule("stream", EngineRun.Fields(name), TimeSpan.FromDays(1)));

        var parts = SnapshotParts.Of(run.Engine.Capture());

        Assert.InRange(parts.Count, 20, 40);
        Assert.Equal(SnapshotParts.Describe(run.Engine, withSeen: true), SnapshotParts.Describe(SnapshotParts.Read(parts), withSeen: true));
    }

    /// <summary>What is on people's disks must be read for ever: this one was written by the first release.</summary>
    [Fact]
    public void Snapshot_has_the_bytes_that_are_documented()
    {
        var run = new EngineRun();
        run.Apply<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, 2));
        run.CreateGroup("s");
        for (var i = 0; i < 3; i++)
            run.Append("s", $"{i}");
        var read = run.Read("s", "c", 2);
        run.Apply<Nack, long>(new("s", "g", 7, false, false, [read[1].Id]));
        run.Apply<Delete, long>(new("s", [read[0].Id]));
        run.Apply<AppendOnce, EntryId>(new("p", "i", new("s", EngineRun.Fields("3"))));
        run.Apply<SetString, bool>(new("k", "v"u8.ToArray(), 2_000_000));
        run.Apply<MoveKey, bool>(new("k", 15, "k"));

        var parts = SnapshotParts.Of(run.Engine.Capture());

        Assert.Equal(Golden, Convert.ToHexString(Assert.Single(parts)));
        var copy = SnapshotParts.Read([Convert.FromHexString(Golden)]);
        Assert.Equal(SnapshotParts.Describe(run.Engine, withSeen: true), SnapshotParts.Describe(copy, withSeen: true));
    }

    /// <summary>Images of several moments at once, and engines that were read at several of them and follow the records since.</summary>
    private static void Run(int seed, int rounds)
    {
        try
        {
            var run = new EngineRun();
            var mutations = new RandomMutations(seed, run);
            var random = new Random(seed);
            var images = new List<(EngineImage Image, List<byte[]> Parts)>();
            var followers = new List<(StreamEngine Engine, int From)>();
            for (var round = 0; round < rounds; round++)
            {
                mutations.Apply(random.Next(20, 400));
                var image = run.Engine.Capture();
                var parts = SnapshotParts.Of(image);
                images.Add((image, parts));

                var copy = SnapshotParts.Read(random.Next(2) == 0 ? parts : SnapshotParts.Cut(parts, random.Next(1, 50)));
                Assert.Equal(SnapshotParts.Describe(run.Engine, withSeen: true), SnapshotParts.Describe(copy, withSeen: true));
                Assert.Equal(parts, SnapshotParts.Of(copy.Capture()));
                followers.Add((copy, run.Records.Count));
            }

            mutations.Apply(200);
            run.Engine.Verify();
            foreach (var (image, parts) in images)
                Assert.Equal(parts, SnapshotParts.Of(image));
            foreach (var (engine, from) in followers)
            {
                foreach (var record in run.Records.Skip(from))
                    engine.Replay(record);
                engine.Verify();
                Assert.Equal(SnapshotParts.Describe(run.Engine, withSeen: false), SnapshotParts.Describe(engine, withSeen: false));
            }
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Seed {seed}: {e.Message}", e);
        }
    }
}
