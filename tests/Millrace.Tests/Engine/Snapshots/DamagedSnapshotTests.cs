using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Tests.Engine.Snapshots;

/// <summary>Snapshots whose checksums are right and whose bytes are wrong: refused, or a sound engine.</summary>
public sealed class DamagedSnapshotTests
{
    [Fact]
    public void Changed_bytes_give_a_sound_engine_or_none()
    {
        var random = new Random(20261121);
        var (refused, sound) = (0, 0);
        for (var seed = 0; seed < 8; seed++)
        {
            var bytes = Bytes(seed);
            for (var round = 0; round < 800; round++)
            {
                var changed = (byte[])bytes.Clone();
                for (var changes = random.Next(1, 4); changes > 0; changes--)
                    changed[random.Next(changed.Length)] = random.Next(3) == 0 ? (byte)random.Next(256) : (byte)(changed[random.Next(changed.Length)] ^ 1);
                if (TryUse(changed, seed, round))
                    sound++;
                else
                    refused++;
            }
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{refused} damaged snapshots refused, {sound} sound by chance.");
        Assert.True(refused > 500, $"{refused} were refused.");
    }

    [Fact]
    public void Snapshot_cut_off_anywhere_is_refused()
    {
        var bytes = Bytes(3);
        for (var length = 0; length < bytes.Length; length += length < 300 ? 1 : 37)
            Assert.False(TryRead(bytes[..length], out _));
        Assert.True(TryRead(bytes, out _));
        Assert.False(TryRead([.. bytes, 0], out _));
    }

    /// <summary>The keys of the first database, behind the same head as the sound ones. What only a damaged, or a foreign, writer would write.</summary>
    [Theory]
    [InlineData("nothing", "00", true)]
    [InlineData("two keys", "02" + "016B000100" + "016C000100", true)]
    [InlineData("the same key twice", "02" + "016B000100" + "016B000100", false)]
    [InlineData("a kind that is none", "01" + "016B000600", false)]
    [InlineData("an empty list", "01" + "016B000200", false)]
    [InlineData("gigabytes that do not come", "01" + "016B0001FFFFFFFF07", false)]
    [InlineData("items that do not come", "01" + "016B0002FFFFFFFF07", false)]
    [InlineData("a number of eleven bytes", "01" + "016B0001FFFFFFFFFFFFFFFFFFFF01", false)]
    public void Keys_are_read_or_refused(string what, string hex, bool isSound)
    {
        byte[] bytes = [SnapshotWriter.Version, 0, 0, 100, 100, 100, .. Convert.FromHexString(hex), .. new byte[StreamEngine.DatabaseCount - 1]];
        Assert.True(isSound == TryRead(bytes, out _), what);
        bytes[0]++;
        Assert.False(TryRead(bytes, out _));
    }

    /// <summary>A group with one consumer and two entries that were handed back; then what could not be.</summary>
    [Theory]
    [InlineData("02" + "02" + "0101000007" + "0102000107", true)]
    [InlineData("02" + "02" + "0101010007" + "0102000107", true)]
    [InlineData("02" + "02" + "0102000007" + "0101000107", false)]
    [InlineData("02" + "02" + "0101000007" + "0101000107", false)]
    [InlineData("02" + "02" + "0101000007" + "0102020107", false)]
    [InlineData("01" + "02" + "0101000007" + "0102000107", false)]
    [InlineData("02" + "03" + "0101000007" + "0102000107", false)]
    public void Pending_entry_has_one_place_and_one_owner(string pending, bool isSound)
    {
        // Producers, entries, three counters, a group with a consumer.
        var stream = "6464000000" + "0000" + "0105" + "0000" + "00" + "01" + "0167000000" + "01" + "01630000" + pending;
        Keys_are_read_or_refused(pending, "01" + "017300" + "05" + stream, isSound);
    }

    private static byte[] Bytes(int seed)
    {
        var run = new EngineRun();
        new RandomMutations(seed, run).Apply(150);
        return [.. SnapshotParts.Of(run.Engine.Capture()).SelectMany(static part => part)];
    }

    private static bool TryUse(byte[] bytes, int seed, int round)
    {
        try
        {
            if (!TryRead(bytes, out var engine))
                return false;
            engine!.Verify();
            foreach (var stream in engine.Keyspace.Values.OfType<StreamValue>().ToArray())
                Use(engine, stream);
            engine.Verify();
            SnapshotParts.Read(SnapshotParts.Of(engine.Capture()));
            return true;
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Seed {seed}, round {round}: {e.Message}", e);
        }
    }

    private static void Use(StreamEngine engine, StreamValue stream)
    {
        foreach (var group in stream.Groups)
            engine.Pending(stream.Key, group.Name, new() { Count = 1_000 }, 0);
        if (stream.HasRoomFor(1))
            engine.Apply(new Append(stream.Key, EngineRun.Fields("x")), 1_000_000, out EntryId _);
        engine.Range(stream.Key, new() { Count = 100 });
        engine.Range(stream.Key, new() { Count = 100, IsReversed = true });
        engine.Apply(new Trim(stream.Key, StreamTrim.ToLength(stream.Entries.Count / 2)), 1_000_000, out long _);
        engine.Apply(new DeleteKeys([stream.Key]), 1_000_000, out long _);
    }

    private static bool TryRead(byte[] bytes, out StreamEngine? engine)
    {
        engine = null;
        try
        {
            engine = SnapshotParts.Read([bytes]);
            return true;
        }
        catch (StreamException e) when (e.Code == StreamErrorCode.Corrupt)
        {
            return false;
        }
    }
}
