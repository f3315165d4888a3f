using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    /// <summary>
    /// Each way a commit can be refused, as the last of many changes: by then a store that checks as it goes has changed the others.
    /// </summary>
    public static TheoryData<string, StreamErrorCode> Refusals => new()
    {
        { "append to a document", StreamErrorCode.WrongType },
        { "ack on a document", StreamErrorCode.WrongType },
        { "ack and delete on a document", StreamErrorCode.WrongType },
        { "delete of a consumer on a document", StreamErrorCode.WrongType },
        { "release on a document", StreamErrorCode.WrongType },
        { "release to a private stream that is a document", StreamErrorCode.WrongType },
        { "delayed release to a private stream that is a document", StreamErrorCode.WrongType },
        { "schedule to a document", StreamErrorCode.WrongType },
        { "schedule kept in a stream", StreamErrorCode.WrongType },
        { "put on a stream", StreamErrorCode.WrongType },
        { "delete on a stream", StreamErrorCode.WrongType },
        { "append at the last ID", StreamErrorCode.IdNotIncreasing },
        { "append below the last ID", StreamErrorCode.IdNotIncreasing },
        { "append at zero", StreamErrorCode.IdNotIncreasing },
        { "append below an append of the same commit", StreamErrorCode.IdNotIncreasing },
        { "append after the largest ID of the same commit", StreamErrorCode.IdNotIncreasing },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public async Task Commit_refused_by_its_last_change_changes_nothing(string refusal, StreamErrorCode code)
    {
        var (changes, held) = await NewChangesAsync();
        var refused = await NewRefusedChangesAsync(refusal);
        var before = await SnapshotAsync();

        var results = await Store.CommitAsync([new() { Conditions = held, Changes = [.. changes, .. refused] }]);

        var result = Assert.Single(results);
        Assert.Equal((false, code), (result.IsApplied, result.Failure?.Code));
        Assert.Equal((null, 0), (result.Conflict, result.Ids.Count));
        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Commit_that_conflicts_in_its_last_condition_changes_nothing()
    {
        var (changes, held) = await NewChangesAsync();
        var conflict = CommitCondition.StateIs(NewState(), 1);
        var before = await SnapshotAsync();

        var result = await Store.CommitAsync(new Commit { Conditions = [.. held, conflict], Changes = changes });

        Assert.Equal(conflict, result.Conflict);
        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Commit_refused_between_others_leaves_them_applied()
    {
        var stream = NewStream();
        var refused = await NewRefusedChangesAsync("put on a stream");

        var results = await Store.CommitAsync(
        [
            Change(new CommitChange.Append(stream, Fields("first"))),
            Change([new CommitChange.Append(stream, Fields("refused")), .. refused]),
            Change(new CommitChange.Append(stream, Fields("last"))),
        ]);

        Assert.Equal([true, false, true], results.Select(result => result.IsApplied));
        Assert.Equal(["first", "last"], await ValuesAsync(stream));
    }

    [Fact]
    public async Task Commit_refused_does_not_use_up_ids_or_wake_readers()
    {
        var (stream, _) = await NewGroupAsync(0);
        var refused = await NewRefusedChangesAsync("put on a stream");
        var reading = DeliverAsync(stream, "c1", block: Patience);
        await UntilBlockedAsync(1);

        await Store.CommitAsync([Change([new CommitChange.Append(stream, Fields("refused"), new EntryId(5, 0)), .. refused])]);
        Assert.False(reading.IsCompleted);
        var result = await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("applied"), new EntryId(5, 0))));

        Assert.True(result.IsApplied);
        Assert.Equal("applied", ValueOf(Assert.Single(await reading)));
    }

    /// <summary>One change of every kind, each of which would be applied, with the conditions that hold for them.</summary>
    private async Task<(IReadOnlyList<CommitChange> Changes, IReadOnlyList<CommitCondition> Held)> NewChangesAsync()
    {
        var (stream, entries) = await NewPendingAsync(4);
        var output = NewStream();
        StateKey put = NewState(), deleted = NewState(), made = NewState();
        await PutAsync(put, "old");
        await PutAsync(deleted, "old");
        return (
        [
            new CommitChange.Append(output, Fields("output")),
            new CommitChange.Append(stream, Fields("output")),
            new CommitChange.PutState(put, Utf8("new")),
            new CommitChange.PutState(made, Utf8("new"), TimeSpan.FromHours(1)),
            new CommitChange.DeleteState(deleted),
            new CommitChange.Schedule(output, Fields("scheduled"), TimeSpan.Zero),
            new CommitChange.Release(stream, "g", Held(entries[0])),
            new CommitChange.Release(stream, "g", Held(entries[1]), TimeSpan.FromHours(1)),
            new CommitChange.Ack(stream, "g", entries[2].Id),
            new CommitChange.AckAndDelete(stream, "g", entries[3].Id),
            new CommitChange.DeleteConsumer(stream, "g", "c1"),
        ],
        [.. entries.Select(entry => CommitCondition.StillHeld(stream, "g", "c1", Held(entry)))]);
    }

    private async Task<IReadOnlyList<CommitChange>> NewRefusedChangesAsync(string refusal)
    {
        var (stream, entries) = await NewPendingAsync(2);
        StateKey document = NewState(), broken = NewState();
        await PutAsync(document);
        await AppendAsync(StreamNames.State(broken));
        var documentAsStream = StreamNames.State(document);
        if (refusal.Contains("private stream", StringComparison.Ordinal))
            stream = await NewStreamWithPrivateDocumentAsync();
        if (refusal == "schedule kept in a stream")
            await AppendAsync(StreamNames.Schedule(stream));

        CommitChange Append(EntryId? id) => new CommitChange.Append(stream, Fields("refused"), id);

        return refusal switch
        {
            "append to a document" => [new CommitChange.Append(documentAsStream, Fields("refused"))],
            "ack on a document" => [new CommitChange.Ack(documentAsStream, "g", entries[0].Id)],
            "ack and delete on a document" => [new CommitChange.AckAndDelete(documentAsStream, "g", entries[0].Id)],
            "delete of a consumer on a document" => [new CommitChange.DeleteConsumer(documentAsStream, "g", "c1")],
            "release on a document" => [new CommitChange.Release(documentAsStream, "g", Held(entries[0]))],
            "release to a private stream that is a document" => [new CommitChange.Release(stream, "g", new(new(1, 1), 1))],
            "delayed release to a private stream that is a document" =>
                [new CommitChange.Release(stream, "g", new(new(1, 1), 1), TimeSpan.FromHours(1))],
            "schedule to a document" => [new CommitChange.Schedule(documentAsStream, Fields("refused"), TimeSpan.FromHours(1))],
            "schedule kept in a stream" => [new CommitChange.Schedule(stream, Fields("refused"), TimeSpan.FromHours(1))],
            "put on a stream" => [new CommitChange.PutState(broken, Utf8("refused"))],
            "delete on a stream" => [new CommitChange.DeleteState(broken)],
            "append at the last ID" => [Append(entries[1].Id)],
            "append below the last ID" => [Append(entries[0].Id)],
            "append at zero" => [new CommitChange.Append(NewStream(), Fields("refused"), EntryId.Zero)],
            "append below an append of the same commit" => [Append(null), Append(entries[1].Id.Next()), Append(new(1, 1))],
            "append after the largest ID of the same commit" => [Append(EntryId.Max), Append(null)],
            _ => throw new ArgumentOutOfRangeException(nameof(refusal), refusal, "No such refusal."),
        };
    }

    /// <summary>A stream whose group <c>g</c> holds the entry 1-1, and whose private stream for it is a state document.</summary>
    private async Task<string> NewStreamWithPrivateDocumentAsync()
    {
        // The name of the group is part of the key of a document when the document's name looks like a private stream.
        var stream = NewStream() + ":state:x";
        _streams.Add(stream);
        await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("held"), new EntryId(1, 1))));
        await DeliverAsync(stream, "c1");
        var document = new StateKey(stream[..^":state:x".Length], "x:again:g");
        Assert.Equal(StreamNames.Again(stream, "g"), StreamNames.State(document));
        _states.Add(document);
        await PutAsync(document);
        return stream;
    }
}
