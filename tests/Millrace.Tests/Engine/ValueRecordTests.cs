using System.Buffers.Binary;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Tests.Engine;

/// <summary>Values as bytes that come from anywhere.</summary>
public sealed class ValueRecordTests
{
    [Fact]
    public void Records_with_a_right_checksum_and_wrong_parts_give_a_sound_value_or_none()
    {
        var random = new Random(20);
        var refused = 0;
        foreach (var record in Records())
        {
            for (var round = 0; round < 400; round++)
            {
                var changed = record[..^4].ToArray();
                for (var changes = random.Next(1, 4); changes > 0; changes--)
                    changed[random.Next(5, changed.Length)] = (byte)random.Next(256);
                refused += Restore(WithChecksum(changed)) ? 0 : 1;
            }
        }

        Assert.True(refused > 500, $"{refused} were refused.");
    }

    [Fact]
    public void Records_cut_off_anywhere_are_refused()
    {
        foreach (var record in Records())
        {
            for (var length = 6; length < record.Length - 4; length++)
                Assert.False(Restore(WithChecksum(record[..length].ToArray())));
        }
    }

    [Fact]
    public void Record_has_the_bytes_that_are_documented() => Assert.Equal(
        "4D4C5256" + "01" + "01" + "0176" + "070F472C", Convert.ToHexString(ValueRecord.Write(new StringValue("v"u8.ToArray()), 100).Span));

    private static byte[] WithChecksum(byte[] head)
    {
        var record = new byte[head.Length + 4];
        head.CopyTo(record, 0);
        BinaryPrimitives.WriteUInt32LittleEndian(record.AsSpan(head.Length), ~Crc32C.Append(uint.MaxValue, head));
        return record;
    }

    /// <summary>Restores a record into an engine, and uses what came of it. False when it was refused.</summary>
    private static bool Restore(byte[] record)
    {
        var run = new EngineRun();
        try
        {
            run.Apply<RestoreKey, bool>(new("k", record, null));
        }
        catch (StreamException e) when (e.Code == StreamErrorCode.Corrupt)
        {
            Assert.Empty(run.Engine.Keyspace);
            return false;
        }

        run.Engine.Verify();
        if (run.Engine.Keyspace.Find("k") is StreamValue stream)
        {
            if (stream.HasRoomFor(2))
                run.Append("k");
            run.Engine.Range("k", new() { Count = 100 });
            foreach (var group in stream.Groups)
                run.Read("k", "c", group: group.Name);
            run.Apply<Trim, long>(new("k", StreamTrim.ToLength(1)));
        }

        run.Engine.Verify();
        return true;
    }

    /// <summary>An entry without fields stands for one that is no longer there, wherever entries are copied out.</summary>
    [Fact]
    public void Schedule_with_an_entry_without_fields_is_refused()
    {
        var schedule = new ScheduleValue("s");
        schedule.Add(1, EntryFields.Empty);
        var record = ValueRecord.Write(schedule, 1_000);

        Assert.Equal(StreamErrorCode.Corrupt, Assert.Throws<StreamException>(() => ValueRecord.Read(record.Span)).Code);
    }

    private static List<byte[]> Records()
    {
        var run = new EngineRun();
        run.Apply<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, 3));
        run.CreateGroup("s");
        for (var i = 0; i < 8; i++)
            run.Append("s", $"value {i}");
        var read = run.Read("s", "c", 5);
        run.Read("s", "d", 1);
        run.Ack("s", read[0].Id);
        run.Apply<Delete, long>(new("s", [read[1].Id]));
        run.Apply<PushList, long>(new("l", false, ["a"u8.ToArray(), []]));
        run.Apply<AddMembers, long>(new("t", ["a", "b"]));
        run.Commit(new CommitChange.Schedule("s", EngineRun.Fields("later"), TimeSpan.FromDays(1)));
        return [.. run.Engine.Keyspace.Values.Select(static value => ValueRecord.Write(value, 10_000).ToArray())];
    }
}
