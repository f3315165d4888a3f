using System.Buffers;
using System.Diagnostics;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Streams.Engine.Records;

/// <summary>What a mutation is on disk. The numbers are part of the format: never reuse one.</summary>
internal enum MutationKind : byte
{
    Append = 1,
    AppendMany = 2,
    ReadGroup = 3,
    Ack = 4,
    AckAndDelete = 5,
    Extend = 6,
    Claim = 7,
    Delete = 8,
    Trim = 9,
    DeleteStream = 10,
    CreateGroup = 11,
    SetGroup = 12,
    DestroyGroup = 13,
    CreateConsumer = 14,
    DeleteConsumer = 15,
    Commit = 16,
    Tick = 17,
    SetOption = 18,
    SkipTime = 19,
    SetStreamId = 20,
    DeleteReferenced = 21,
    AppendOnce = 24,
    ConfigureProducers = 25,
    RecordProduced = 26,
    TickSome = 27,
    ReadHistory = 30,
    ClaimAs = 31,
    AutoClaim = 32,
    Nack = 33,
    DeleteKeys = 40,
    ClearKeys = 41,
    SetExpiry = 42,
    MoveKey = 43,
    CopyKey = 44,
    SwapDatabases = 45,
    SetString = 46,
    PushList = 47,
    PopList = 48,
    AddMembers = 49,
    RemoveMembers = 50,
    RestoreKey = 51,

    /// <summary>Several records, drawn at <see cref="GroupRecord"/>.</summary>
    Group = 60,
}

/// <summary>A mutation and the moment it was applied, as the journal keeps it.</summary>
/// <remarks>
/// <code>
/// ┌────────┬─────────┬──────────┬────────────────────────┬─────────────────────────────────────────┐
/// │ kind   │ version │ database │ moment                 │ the mutation's parts, drawn in its file │
/// │ 1 byte │ 1 byte  │ 1 byte   │ Unix ms, LEB128 varint │                                         │
/// └────────┴─────────┴──────────┴────────────────────────┴─────────────────────────────────────────┘
/// </code>
/// The version counts for each kind on its own. Length and checksum are the journal's. Replay applies a record through exactly the code that
/// applied it first, at the moment it was first applied. Files that must change with this layout: this one, RecordWriter and RecordReader,
/// and each mutation.
/// </remarks>
internal static class MutationRecord
{
    /// <summary>The only version of every kind so far.</summary>
    public const byte Version = 1;

    public static void Write<TMutation>(IBufferWriter<byte> output, in TMutation mutation, int database, long nowMs)
        where TMutation : struct, IMutation
    {
        var writer = new RecordWriter(output);
        writer.Byte((byte)mutation.Kind);
        writer.Byte(Version);
        writer.Byte((byte)database);
        writer.Number(nowMs);
        mutation.Write(writer);
    }

    /// <summary>Applies a record to the engine it is replayed into.</summary>
    /// <param name="engine">The engine.</param>
    /// <param name="record">The record, which stays as it is until this returns.</param>
    /// <param name="buffers">Of this replay.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: no engine of this version wrote it.</exception>
    public static void Replay(StreamEngine engine, ReadOnlyMemory<byte> record, ReplayBuffers buffers)
    {
        var replay = new Replayer(engine);
        Read(record.Span, new(record.Span, record, buffers), ref replay);
    }

    /// <summary>Reads a record to its end and hands out the mutation, or of a group each one in order.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: no engine of this version wrote it.</exception>
    public static void Read<TTaker>(ReadOnlySpan<byte> record, ref TTaker taker)
        where TTaker : struct, IMutationTaker => Read(record, new(record), ref taker);

    private static void Read<TTaker>(ReadOnlySpan<byte> record, RecordReader reader, ref TTaker taker)
        where TTaker : struct, IMutationTaker
    {
        var kind = (MutationKind)reader.Byte();
        var version = reader.Byte();
        if (version != Version)
            throw EngineErrors.Damaged($"version {version} of {kind} is newer than this program", 1);
        if (kind == MutationKind.Group)
        {
            var group = record[2..];
            do
                Read(GroupRecord.Next(ref group), ref taker);
            while (!group.IsEmpty);
            return;
        }

        var database = reader.Byte();
        if (database >= StreamEngine.DatabaseCount)
            throw EngineErrors.Damaged($"there is no database {database}", 2);
        var at = new RecordMoment(database, reader.PositiveNumber());

        // The many apart: a method with all of them in it clears the room for all of them at each call.
        if (kind == MutationKind.Append)
            Take<TTaker, Append, EntryId>(ref taker, Append.Read(ref reader), reader, at);
        else
            ReadOther(kind, reader, at, ref taker);
    }

    private static void ReadOther<TTaker>(MutationKind kind, RecordReader reader, RecordMoment at, ref TTaker taker)
        where TTaker : struct, IMutationTaker
    {
        switch (kind)
        {
            case MutationKind.AppendMany: Take<TTaker, AppendMany, IReadOnlyList<EntryId>>(ref taker, AppendMany.Read(ref reader), reader, at); break;
            case MutationKind.ReadGroup: Take<TTaker, ReadGroup, DeliveredRange>(ref taker, ReadGroup.Read(ref reader), reader, at); break;
            case MutationKind.Ack: Take<TTaker, Ack, long>(ref taker, Ack.Read(ref reader), reader, at); break;
            case MutationKind.AckAndDelete: Take<TTaker, AckAndDelete, DeleteOutcome[]>(ref taker, AckAndDelete.Read(ref reader), reader, at); break;
            case MutationKind.Extend: Take<TTaker, Extend, IReadOnlyList<EntryId>>(ref taker, Extend.Read(ref reader), reader, at); break;
            case MutationKind.Claim: Take<TTaker, Claim, ClaimResult>(ref taker, Claim.Read(ref reader), reader, at); break;
            case MutationKind.Delete: Take<TTaker, Delete, long>(ref taker, Delete.Read(ref reader), reader, at); break;
            case MutationKind.Trim: Take<TTaker, Trim, long>(ref taker, Trim.Read(ref reader), reader, at); break;
            case MutationKind.DeleteStream: Take<TTaker, DeleteStream, bool>(ref taker, DeleteStream.Read(ref reader), reader, at); break;
            case MutationKind.CreateGroup: Take<TTaker, CreateGroup, bool>(ref taker, CreateGroup.Read(ref reader), reader, at); break;
            case MutationKind.SetGroup: Take<TTaker, SetGroup, bool>(ref taker, SetGroup.Read(ref reader), reader, at); break;
            case MutationKind.DestroyGroup: Take<TTaker, DestroyGroup, bool>(ref taker, DestroyGroup.Read(ref reader), reader, at); break;
            case MutationKind.CreateConsumer: Take<TTaker, CreateConsumer, bool>(ref taker, CreateConsumer.Read(ref reader), reader, at); break;
            case MutationKind.DeleteConsumer: Take<TTaker, DeleteConsumer, long>(ref taker, DeleteConsumer.Read(ref reader), reader, at); break;
            case MutationKind.Commit: Take<TTaker, ApplyCommit, CommitResult>(ref taker, ApplyCommit.Read(ref reader), reader, at); break;
            case MutationKind.Tick: Take<TTaker, Tick, int>(ref taker, default, reader, at); break;
            case MutationKind.TickSome: Take<TTaker, Tick, int>(ref taker, Tick.Read(ref reader), reader, at); break;
            case MutationKind.SetOption: Take<TTaker, SetOption, bool>(ref taker, SetOption.Read(ref reader), reader, at); break;
            case MutationKind.SkipTime: Take<TTaker, SkipTime, bool>(ref taker, SkipTime.Read(ref reader), reader, at); break;
            case MutationKind.SetStreamId: Take<TTaker, SetStreamId, bool>(ref taker, SetStreamId.Read(ref reader), reader, at); break;
            case MutationKind.DeleteReferenced:
                Take<TTaker, DeleteReferenced, DeleteOutcome[]>(ref taker, DeleteReferenced.Read(ref reader), reader, at);
                break;
            case MutationKind.AppendOnce: Take<TTaker, AppendOnce, EntryId>(ref taker, AppendOnce.Read(ref reader), reader, at); break;
            case MutationKind.ConfigureProducers: Take<TTaker, ConfigureProducers, bool>(ref taker, ConfigureProducers.Read(ref reader), reader, at); break;
            case MutationKind.RecordProduced: Take<TTaker, RecordProduced, EntryId>(ref taker, RecordProduced.Read(ref reader), reader, at); break;
            case MutationKind.ReadHistory: Take<TTaker, ReadHistory, EntryId[]>(ref taker, ReadHistory.Read(ref reader), reader, at); break;
            case MutationKind.ClaimAs: Take<TTaker, ClaimAs, EntryId[]>(ref taker, ClaimAs.Read(ref reader), reader, at); break;
            case MutationKind.AutoClaim: Take<TTaker, AutoClaim, AutoClaimed>(ref taker, AutoClaim.Read(ref reader), reader, at); break;
            case MutationKind.Nack: Take<TTaker, Nack, long>(ref taker, Nack.Read(ref reader), reader, at); break;
            case MutationKind.DeleteKeys: Take<TTaker, DeleteKeys, long>(ref taker, DeleteKeys.Read(ref reader), reader, at); break;
            case MutationKind.ClearKeys: Take<TTaker, ClearKeys, long>(ref taker, ClearKeys.Read(ref reader), reader, at); break;
            case MutationKind.SetExpiry: Take<TTaker, SetExpiry, bool>(ref taker, SetExpiry.Read(ref reader), reader, at); break;
            case MutationKind.MoveKey: Take<TTaker, MoveKey, bool>(ref taker, MoveKey.Read(ref reader), reader, at); break;
            case MutationKind.CopyKey: Take<TTaker, CopyKey, bool>(ref taker, CopyKey.Read(ref reader), reader, at); break;
            case MutationKind.SwapDatabases: Take<TTaker, SwapDatabases, bool>(ref taker, SwapDatabases.Read(ref reader), reader, at); break;
            case MutationKind.SetString: Take<TTaker, SetString, bool>(ref taker, SetString.Read(ref reader), reader, at); break;
            case MutationKind.PushList: Take<TTaker, PushList, long>(ref taker, PushList.Read(ref reader), reader, at); break;
            case MutationKind.PopList: Take<TTaker, PopList, byte[][]>(ref taker, PopList.Read(ref reader), reader, at); break;
            case MutationKind.AddMembers: Take<TTaker, AddMembers, long>(ref taker, AddMembers.Read(ref reader), reader, at); break;
            case MutationKind.RemoveMembers: Take<TTaker, RemoveMembers, long>(ref taker, RemoveMembers.Read(ref reader), reader, at); break;
            case MutationKind.RestoreKey: Take<TTaker, RestoreKey, bool>(ref taker, RestoreKey.Read(ref reader), reader, at); break;
            default: throw EngineErrors.Damaged($"there is no mutation {(byte)kind}", 0);
        }
    }

    private static void Take<TTaker, TMutation, TResult>(ref TTaker taker, TMutation mutation, RecordReader reader, RecordMoment at)
        where TTaker : struct, IMutationTaker
        where TMutation : struct, IMutation<TResult>
    {
        reader.End();
        taker.Take<TMutation, TResult>(mutation, at);
    }

    private readonly struct Replayer(StreamEngine engine) : IMutationTaker
    {
        public void Take<TMutation, TResult>(in TMutation mutation, RecordMoment at)
            where TMutation : struct, IMutation<TResult>
        {
            engine.Select(at.Database);
            var changed = engine.Apply(mutation, at.Milliseconds, out TResult _);
            Debug.Assert(changed, "Only what changed something is journaled, so it changes something again.");
        }
    }
}

/// <summary>Where and when a mutation was applied.</summary>
/// <param name="Database">The database.</param>
/// <param name="Milliseconds">The moment, in Unix milliseconds.</param>
internal readonly record struct RecordMoment(int Database, long Milliseconds);

/// <summary>What becomes of the mutation of a record: replay applies it, the journal's tools print it. A struct, so that replay costs no call.</summary>
internal interface IMutationTaker
{
    void Take<TMutation, TResult>(in TMutation mutation, RecordMoment at)
        where TMutation : struct, IMutation<TResult>;
}
