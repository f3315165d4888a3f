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
    SetStreamId = 20,
    DeleteReferenced = 21,
    AppendOnce = 24,
    ConfigureProducers = 25,
    RecordProduced = 26,
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
    private const byte Version = 1;

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
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: no engine of this version wrote it.</exception>
    public static void Replay(StreamEngine engine, ReadOnlySpan<byte> record)
    {
        var reader = new RecordReader(record);
        var kind = (MutationKind)reader.Byte();
        var version = reader.Byte();
        if (version != Version)
            throw EngineErrors.Damaged($"version {version} of {kind} is newer than this program", 1);
        var database = reader.Byte();
        if (database >= StreamEngine.DatabaseCount)
            throw EngineErrors.Damaged($"there is no database {database}", 2);
        engine.Select(database);
        var nowMs = reader.PositiveNumber();
        switch (kind)
        {
            case MutationKind.Append: Apply<Append, EntryId>(engine, Append.Read(ref reader), reader, nowMs); break;
            case MutationKind.AppendMany: Apply<AppendMany, IReadOnlyList<EntryId>>(engine, AppendMany.Read(ref reader), reader, nowMs); break;
            case MutationKind.ReadGroup: Apply<ReadGroup, DeliveredRange>(engine, ReadGroup.Read(ref reader), reader, nowMs); break;
            case MutationKind.Ack: Apply<Ack, long>(engine, Ack.Read(ref reader), reader, nowMs); break;
            case MutationKind.AckAndDelete: Apply<AckAndDelete, DeleteOutcome[]>(engine, AckAndDelete.Read(ref reader), reader, nowMs); break;
            case MutationKind.Extend: Apply<Extend, IReadOnlyList<EntryId>>(engine, Extend.Read(ref reader), reader, nowMs); break;
            case MutationKind.Claim: Apply<Claim, ClaimResult>(engine, Claim.Read(ref reader), reader, nowMs); break;
            case MutationKind.Delete: Apply<Delete, long>(engine, Delete.Read(ref reader), reader, nowMs); break;
            case MutationKind.Trim: Apply<Trim, long>(engine, Trim.Read(ref reader), reader, nowMs); break;
            case MutationKind.DeleteStream: Apply<DeleteStream, bool>(engine, DeleteStream.Read(ref reader), reader, nowMs); break;
            case MutationKind.CreateGroup: Apply<CreateGroup, bool>(engine, CreateGroup.Read(ref reader), reader, nowMs); break;
            case MutationKind.SetGroup: Apply<SetGroup, bool>(engine, SetGroup.Read(ref reader), reader, nowMs); break;
            case MutationKind.DestroyGroup: Apply<DestroyGroup, bool>(engine, DestroyGroup.Read(ref reader), reader, nowMs); break;
            case MutationKind.CreateConsumer: Apply<CreateConsumer, bool>(engine, CreateConsumer.Read(ref reader), reader, nowMs); break;
            case MutationKind.DeleteConsumer: Apply<DeleteConsumer, long>(engine, DeleteConsumer.Read(ref reader), reader, nowMs); break;
            case MutationKind.Commit: Apply<ApplyCommit, CommitResult>(engine, ApplyCommit.Read(ref reader), reader, nowMs); break;
            case MutationKind.Tick: Apply<Tick, int>(engine, default, reader, nowMs); break;
            case MutationKind.SetOption: Apply<SetOption, bool>(engine, SetOption.Read(ref reader), reader, nowMs); break;
            case MutationKind.SetStreamId: Apply<SetStreamId, bool>(engine, SetStreamId.Read(ref reader), reader, nowMs); break;
            case MutationKind.DeleteReferenced:
                Apply<DeleteReferenced, DeleteOutcome[]>(engine, DeleteReferenced.Read(ref reader), reader, nowMs);
                break;
            case MutationKind.AppendOnce: Apply<AppendOnce, EntryId>(engine, AppendOnce.Read(ref reader), reader, nowMs); break;
            case MutationKind.ConfigureProducers: Apply<ConfigureProducers, bool>(engine, ConfigureProducers.Read(ref reader), reader, nowMs); break;
            case MutationKind.RecordProduced: Apply<RecordProduced, EntryId>(engine, RecordProduced.Read(ref reader), reader, nowMs); break;
            case MutationKind.ReadHistory: Apply<ReadHistory, EntryId[]>(engine, ReadHistory.Read(ref reader), reader, nowMs); break;
            case MutationKind.ClaimAs: Apply<ClaimAs, EntryId[]>(engine, ClaimAs.Read(ref reader), reader, nowMs); break;
            case MutationKind.AutoClaim: Apply<AutoClaim, AutoClaimed>(engine, AutoClaim.Read(ref reader), reader, nowMs); break;
            case MutationKind.Nack: Apply<Nack, long>(engine, Nack.Read(ref reader), reader, nowMs); break;
            case MutationKind.DeleteKeys: Apply<DeleteKeys, long>(engine, DeleteKeys.Read(ref reader), reader, nowMs); break;
            case MutationKind.ClearKeys: Apply<ClearKeys, long>(engine, ClearKeys.Read(ref reader), reader, nowMs); break;
            case MutationKind.SetExpiry: Apply<SetExpiry, bool>(engine, SetExpiry.Read(ref reader), reader, nowMs); break;
            case MutationKind.MoveKey: Apply<MoveKey, bool>(engine, MoveKey.Read(ref reader), reader, nowMs); break;
            case MutationKind.CopyKey: Apply<CopyKey, bool>(engine, CopyKey.Read(ref reader), reader, nowMs); break;
            case MutationKind.SwapDatabases: Apply<SwapDatabases, bool>(engine, SwapDatabases.Read(ref reader), reader, nowMs); break;
            case MutationKind.SetString: Apply<SetString, bool>(engine, SetString.Read(ref reader), reader, nowMs); break;
            case MutationKind.PushList: Apply<PushList, long>(engine, PushList.Read(ref reader), reader, nowMs); break;
            case MutationKind.PopList: Apply<PopList, byte[][]>(engine, PopList.Read(ref reader), reader, nowMs); break;
            case MutationKind.AddMembers: Apply<AddMembers, long>(engine, AddMembers.Read(ref reader), reader, nowMs); break;
            case MutationKind.RemoveMembers: Apply<RemoveMembers, long>(engine, RemoveMembers.Read(ref reader), reader, nowMs); break;
            case MutationKind.RestoreKey: Apply<RestoreKey, bool>(engine, RestoreKey.Read(ref reader), reader, nowMs); break;
            default: throw EngineErrors.Damaged($"there is no mutation {(byte)kind}", 0);
        }
    }

    private static void Apply<TMutation, TResult>(StreamEngine engine, TMutation mutation, RecordReader reader, long nowMs)
        where TMutation : struct, IMutation<TResult>
    {
        reader.End();
        var changed = engine.Apply(mutation, nowMs, out TResult _);
        Debug.Assert(changed, "Only what changed something is journaled, so it changes something again.");
    }
}
