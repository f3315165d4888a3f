using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// XNACK: takes pending entries from their owners, so that they are pending for nobody and may be claimed at once. The result is how many.
/// </summary>
/// <param name="Stream">The stream.</param>
/// <param name="Group">The group.</param>
/// <param name="DeliveryCount">The count of deliveries they have then; null: as before.</param>
/// <param name="UndoesDelivery">Whether a count that is not given is one less than before.</param>
/// <param name="Force">Whether entries that are not pending become so, never delivered.</param>
/// <param name="Ids">The entries.</param>
/// <remarks><code>stream text | group text | delivery count + 1, or 0 | undoes flag | force flag | count | count × ID</code></remarks>
internal readonly record struct Nack(
    string Stream, string Group, long? DeliveryCount, bool UndoesDelivery, bool Force, IReadOnlyList<EntryId> Ids) : IMutation<long>
{
    public MutationKind Kind => MutationKind.Nack;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        result = 0;
        for (var i = 0; i < Ids.Count; i++)
        {
            var id = Ids[i];
            if (!group.Pending.TryGet(id, out var pending) && !(Force && stream.Entries.Contains(id)))
                continue;
            group.Nack(id, DeliveryCount ?? Math.Max(0, pending.DeliveryCount - (UndoesDelivery ? 1 : 0)));
            result++;
        }

        if (result > 0)
            engine.SignalPending(Stream);
        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.OptionalNumber(DeliveryCount);
        writer.Flag(UndoesDelivery);
        writer.Flag(Force);
        writer.Ids(Ids);
    }

    public static Nack Read(ref RecordReader reader) =>
        new(reader.Text(), reader.Text(), reader.OptionalNumber(), reader.Flag(), reader.Flag(), reader.Ids());
}
