using Millrace.Embedded.Inspection;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Tests.Engine;

/// <summary>The bytes of every mutation: what is on people's disks must be read for ever.</summary>
public sealed class MutationRecordTests
{
    private const long NowMs = 1_700_000_000_123;

    private static readonly EntryId Id = new(1_700_000_000_000, 300);
    private static readonly EntryFields Fields = EntryFields.Create(("a", "1"), ("", "é"));

    [Fact]
    public void Every_mutation_reads_back_what_it_wrote()
    {
        var seen = new HashSet<MutationKind>();
        Check(new Append("s", Fields), Append.Read, seen);
        Check(new Append("s", Fields, StreamTrim.ToLength(1_000, approximate: true)), Append.Read, seen);
        Check(new Append("s", Fields, Id: Id), Append.Read, seen);
        Check(new AppendMany("s", [Fields, Fields], StreamTrim.ToMinId(Id)), AppendMany.Read, seen);
        Check(new ReadGroup("s", "g", "c", 100), ReadGroup.Read, seen);
        Check(new ReadGroup("s", "g", "c", int.MaxValue, NoAck: true), ReadGroup.Read, seen);
        Check(new ReadHistory("s", "g", "c", Id, 10), ReadHistory.Read, seen);
        Check(new ClaimAs("s", "g", "c", 5, NowMs, 7, true, true, Id, [Id]), ClaimAs.Read, seen);
        Check(new ClaimAs("s", "g", "c", 0, 0, null, false, false, EntryId.Zero, []), ClaimAs.Read, seen);
        Check(new AutoClaim("s", "g", "c", 5, Id, 100, true), AutoClaim.Read, seen);
        Check(new CreateGroup("s", "g", GroupStart.Now, 0), CreateGroup.Read, seen);
        Check(new SetGroup("s", "g", GroupStart.Now, long.MaxValue), SetGroup.Read, seen);
        Check(new Ack("s", "g", [Id, Id.Next()]), Ack.Read, seen);
        Check(new AckAndDelete("s", "g", [Id]), AckAndDelete.Read, seen);
        Check(new AckAndDelete("s", "g", [Id], ReferencePolicy.Acked), AckAndDelete.Read, seen);
        Check(new Nack("s", "g", long.MaxValue, false, true, [Id]), Nack.Read, seen);
        Check(new Nack("s", "g", null, true, false, []), Nack.Read, seen);
        Check(new Extend("s", "g", "c", [new(Id, 3)]), Extend.Read, seen);
        Check(new Claim("s", "g", "c", 30_000, [Id]), Claim.Read, seen);
        Check(new Delete("s", [EntryId.Max]), Delete.Read, seen);
        Check(new Trim("s", StreamTrim.ToMinId(Id, approximate: true)), Trim.Read, seen);
        Check(new DeleteStream("s"), DeleteStream.Read, seen);
        Check(new CreateGroup("s", "g", GroupStart.Now), CreateGroup.Read, seen);
        Check(new SetGroup("s", "g", GroupStart.After(Id)), SetGroup.Read, seen);
        Check(new DestroyGroup("s", "g"), DestroyGroup.Read, seen);
        Check(new CreateConsumer("s", "g", "c"), CreateConsumer.Read, seen);
        Check(new DeleteConsumer("s", "g", "c"), DeleteConsumer.Read, seen);
        Check(new ApplyCommit(EveryChange()), ApplyCommit.Read, seen);
        Check(new Tick(), (ref RecordReader _) => default, seen);
        Check(new Tick(1_000), Tick.Read, seen);
        Check(new SetOption(EngineOption.StreamIdmpMaxSize, 10_000), SetOption.Read, seen);
        Check(new SkipTime(86_400_000), SkipTime.Read, seen);
        Check(new DeleteKeys(["a", "é"]), DeleteKeys.Read, seen);
        Check(new ClearKeys(true), ClearKeys.Read, seen);
        Check(new SetExpiry("k", NowMs), SetExpiry.Read, seen);
        Check(new SetExpiry("k", null), SetExpiry.Read, seen);
        Check(new MoveKey("k", 15, "other"), MoveKey.Read, seen);
        Check(new CopyKey("k", 15, "other"), CopyKey.Read, seen);
        Check(new SwapDatabases(0, 15), SwapDatabases.Read, seen);
        Check(new SetString("k", new byte[] { 0, 255 }, NowMs), SetString.Read, seen);
        Check(new SetString("k", default, null), SetString.Read, seen);
        Check(new PushList("k", true, [[1], []]), PushList.Read, seen);
        Check(new PopList("k", false, long.MaxValue), PopList.Read, seen);
        Check(new AddMembers("k", ["a", "b"]), AddMembers.Read, seen);
        Check(new RemoveMembers("k", ["a"]), RemoveMembers.Read, seen);
        Check(new RestoreKey("k", ValueRecord.Write(new StringValue("v"u8.ToArray()), 100), NowMs), RestoreKey.Read, seen);

        Check(new Trim("s", new TrimRequest { MaxLength = 7, IsApproximate = true, Limit = 300 }), Trim.Read, seen);
        Check(new Trim("s", new TrimRequest { MinId = Id, References = ReferencePolicy.Acked }), Trim.Read, seen);
        Check(new DeleteReferenced("s", ReferencePolicy.Acked, [Id]), DeleteReferenced.Read, seen);
        Check(new AppendOnce("p", "\udcff", new("s", Fields)), AppendOnce.Read, seen);
        Check(new ConfigureProducers("s", 86_400, null), ConfigureProducers.Read, seen);
        Check(new ConfigureProducers("s", null, 10_000), ConfigureProducers.Read, seen);
        Check(new RecordProduced("s", "p", "i", Id), RecordProduced.Read, seen);
        Check(new SetStreamId("s", Id), SetStreamId.Read, seen);
        Check(new SetStreamId("s", Id, long.MaxValue, EntryId.Max), SetStreamId.Read, seen);

        Assert.Equal(Enum.GetValues<MutationKind>().Where(static kind => kind != MutationKind.Group), seen.Order());
    }

    [Theory]
    [InlineData("read", "030100FBD095FFBC31" + "017301670163" + "6400")]
    [InlineData("append", "010100FBD095FFBC310173" + "0801610131" + "0002C3A9" + "00" + "00")]
    [InlineData("ack", "040100FBD095FFBC31" + "01730167" + "01" + "80D095FFBC31AC02")]
    [InlineData("tick", "110100FBD095FFBC31")]
    public void Records_have_the_bytes_that_are_documented(string name, string hex)
    {
        var record = name switch
        {
            "append" => EngineRun.Encode(new Append("s", Fields), NowMs),
            "read" => EngineRun.Encode(new ReadGroup("s", "g", "c", 100), NowMs),
            "ack" => EngineRun.Encode(new Ack("s", "g", [Id]), NowMs),
            _ => EngineRun.Encode(new Tick(), NowMs),
        };

        Assert.Equal(hex, Convert.ToHexString(record));
    }

    [Fact]
    public void Group_has_the_bytes_that_are_documented_and_replays_each_record_in_order()
    {
        var group = new GroupRecord();
        foreach (var id in (EntryId[])[Id, Id.Next(), Id])
        {
            group.Begin();
            MutationRecord.Write(group, new Append("s", Fields, Id: id), 0, NowMs);
            if (id == Id && group.Count > 0)
                group.Drop();
            else
                group.Keep();
        }

        var first = EngineRun.Encode(new Append("s", Fields, Id: Id), NowMs);
        var second = EngineRun.Encode(new Append("s", Fields, Id: Id.Next()), NowMs);
        Assert.Equal([60, 1, (byte)first.Length, 0, 0, 0, .. first, (byte)second.Length, 0, 0, 0, .. second], group.Written.ToArray());
        var engine = new StreamEngine();
        engine.Replay(group.Written);
        Assert.Equal([Id, Id.Next()], engine.Range("s", new()).Select(entry => entry.Id));
        Assert.Equal("Group", RecordText.Read(group.Written).Kind);

        group.Clear();
        group.Begin();
        MutationRecord.Write(group, new Append("s", Fields, Id: Id), 0, NowMs);
        group.Keep();
        Assert.Equal(first, group.Written.ToArray());
    }

    [Fact]
    public void Record_cut_off_anywhere_is_corrupt_and_changes_nothing()
    {
        var record = EngineRun.Encode(new ApplyCommit(EveryChange()), NowMs);
        var engine = new StreamEngine();
        for (var length = 0; length < record.Length; length++)
        {
            var corrupt = Assert.Throws<StreamException>(() => engine.Replay(record.AsSpan(0, length)));
            Assert.Equal(StreamErrorCode.Corrupt, corrupt.Code);
        }

        Assert.Empty(engine.Keyspace);
    }

    [Theory]
    [InlineData("0001000A")]
    [InlineData("FF01000A")]
    [InlineData("1102000A")]
    [InlineData("1101100A")]
    [InlineData("1101000A00")]
    [InlineData("040100010173" + "0167" + "FFFFFFFF07")]
    [InlineData("010100010173" + "FFFFFFFF07")]
    [InlineData("3C01")]
    [InlineData("3C0100000000")]
    [InlineData("3C0105000000" + "1101000A")]
    [InlineData("3C0106000000" + "3C0100000000")]
    public void Record_of_nonsense_is_corrupt(string hex)
    {
        var corrupt = Assert.Throws<StreamException>(() => new StreamEngine().Replay(Convert.FromHexString(hex)));
        Assert.Equal(StreamErrorCode.Corrupt, corrupt.Code);
    }

    private delegate TMutation Read<TMutation>(ref RecordReader reader);

    private static void Check<TMutation>(TMutation mutation, Read<TMutation> read, HashSet<MutationKind> seen)
        where TMutation : struct, IMutation
    {
        var record = EngineRun.Encode(mutation, NowMs);
        var reader = new RecordReader(record);
        Assert.Equal(mutation.Kind, (MutationKind)reader.Byte());
        Assert.Equal(1, reader.Byte());
        Assert.Equal(0, reader.Byte());
        Assert.Equal(NowMs, reader.PositiveNumber());

        var copy = read(ref reader);

        reader.End();
        Assert.Equal(record, EngineRun.Encode(copy, NowMs));
        var text = RecordText.Read(record);
        Assert.Equal((mutation.Kind.ToString(), NowMs, 0), (text.Kind, text.Moment.ToUnixTimeMilliseconds(), text.Database));
        Assert.NotEqual("", text.Key + text.Details);
        seen.Add(mutation.Kind);
    }

    private static Commit EveryChange() => new()
    {
        Changes =
        [
            new CommitChange.Append("s", Fields),
            new CommitChange.Append("s", Fields, EntryId.Max),
            new CommitChange.PutState(new("s", "a"), new byte[] { 1, 2 }),
            new CommitChange.PutState(new("s", "b"), default, TimeSpan.FromSeconds(5)),
            new CommitChange.DeleteState(new("s", "a")),
            new CommitChange.Ack("s", "g", Id),
            new CommitChange.AckAndDelete("s", "g", Id),
            new CommitChange.Delete("s", Id),
            new CommitChange.DeleteConsumer("s", "g", "c"),
            new CommitChange.DestroyGroup("s", "g"),
            new CommitChange.Release("s", "g", new(Id, 2), TimeSpan.FromSeconds(1)),
            new CommitChange.Schedule("s", Fields, TimeSpan.FromDays(3650)),
        ],
    };
}
