using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>The largest of everything that is still allowed.</summary>
public abstract partial class StoreConformance
{
    [Fact]
    public async Task Extreme_batches_pass_every_member()
    {
        var (stream, entries) = await NewPendingAsync(StreamLimits.MaxBatch);
        EntryId[] ids = [.. entries.Select(entry => entry.Id)];

        var extended = await Store.ExtendAsync(stream, "g", "c1", [.. entries.Select(Held)]);
        var claimed = await ClaimAsync(stream, "c2", ids);
        var pending = await PendingAsync(stream);

        Assert.Equal(ids, extended);
        Assert.Equal(ids, claimed.Select(entry => entry.Id));
        Assert.Equal(ids, pending.Select(entry => entry.Id));
        Assert.Equal(ids.Length, await Store.AckAndDeleteAsync(stream, "g", ids));
        Assert.Empty(await RangeAsync(stream));
    }

    [Fact]
    public async Task Extreme_lists_of_commits_and_documents_pass()
    {
        StateKey[] keys = [.. Enumerable.Range(0, StreamLimits.MaxBatch).Select(i => new StateKey($"{{{_tag}}}:many", $"{i}"))];

        var results = await Store.CommitAsync([.. keys.Select(key => Change(new CommitChange.PutState(key, Utf8(key.Name))))]);
        var states = await Store.GetStatesAsync(keys);

        Assert.All(results, result => Assert.True(result.IsApplied));
        Assert.Equal(keys.Select(key => key.Name), states.Select(TextOf));
    }

    [Fact]
    public async Task Extreme_commit_of_many_keys_and_conditions_passes()
    {
        StateKey[] keys = [.. Enumerable.Range(0, StreamLimits.MaxCommitChanges).Select(i => new StateKey($"{{{_tag}}}:one", $"{i}"))];

        var result = await Store.CommitAsync(new Commit
        {
            Conditions = [.. keys.Select(CommitCondition.StateAbsent)],
            Changes = [.. keys.Select(key => new CommitChange.PutState(key, Utf8(key.Name)))],
        });

        Assert.True(result.IsApplied);
        Assert.Equal(keys.Select(key => key.Name), (await Store.GetStatesAsync(keys)).Select(TextOf));
    }

    [Fact]
    public async Task Extreme_entry_and_document_keep_every_byte()
    {
        var stream = NewStream();
        var key = NewState();
        // Two names and values of a length that takes four bytes, and of one byte.
        var value = new byte[StreamLimits.MaxEntryBytes - 6];
        Random.Shared.NextBytes(value);
        var fields = new EntryFieldsWriter().Add("v"u8, value).ToFields();
        Assert.Equal(StreamLimits.MaxEntryBytes, fields.Packed.Length);

        await Store.AppendAsync(stream, fields);
        await Store.CommitAsync(Change(new CommitChange.PutState(key, fields.Packed)));

        var document = await Store.GetStateAsync(key);
        Assert.Equal(fields, Assert.Single(await RangeAsync(stream)).Fields);
        Assert.Equal(fields.Packed.Span, document!.Payload.Span);
    }

    [Fact]
    public async Task Extreme_number_of_fields_passes_every_way_an_entry_is_made()
    {
        var (stream, _) = await NewGroupAsync(0);
        var fields = ManyFields(StreamLimits.MaxFields);
        await Store.CommitAsync(Change(
            new CommitChange.Append(stream, fields), new CommitChange.Schedule(stream, fields, TimeSpan.Zero)));
        await FollowAsync(stream, 2);

        var entries = await DeliverAsync(stream, "c1");
        await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[0])]);
        await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[1])], Moment);

        var again = StreamNames.Again(stream, "g");
        await FollowAsync(again, 2);
        Assert.All(entries, entry => Assert.Equal(fields, entry.Fields));
        Assert.All(await RangeAsync(again), entry => Assert.Equal(fields, WithoutReleaseFields(entry.Fields)));
    }

    [Fact]
    public async Task Extreme_waits_end_with_the_entry()
    {
        var (stream, _) = await NewGroupAsync(0);
        var reading = Store.ReadAsync([new(stream, default)], 1, StreamLimits.MaxDuration).AsTask();
        var delivering = DeliverAsync(stream, "c1", block: StreamLimits.MaxDuration);
        await UntilBlockedAsync(2);

        await AppendAsync(stream);

        Assert.Single(await reading);
        Assert.Single(await delivering);
    }

    [Fact]
    public async Task Extreme_delays_are_kept()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var key = NewState();

        var result = await Store.CommitAsync(Change(
            new CommitChange.Schedule(stream, Fields("x"), StreamLimits.MaxDuration),
            new CommitChange.PutState(key, Utf8("kept"), StreamLimits.MaxDuration),
            new CommitChange.Release(stream, "g", Held(entries[0]), StreamLimits.MaxDuration)));

        Assert.True(result.IsApplied);
        Assert.Equal("kept", await TextAsync(key));
        Assert.Empty(await DeliverAsync(stream, "c1", block: Moment));
    }

    [Fact]
    public async Task Extreme_ids_are_like_any_other()
    {
        var (stream, ids) = await NewGroupAsync(1);
        await Store.CreateGroupAsync(stream, "h", GroupStart.After(EntryId.Max));

        Assert.Empty(await Store.ReadAsync([new(stream, EntryId.Max)], 1, TimeSpan.Zero));
        Assert.Empty(await Store.RangeAsync(stream, new() { Start = EntryId.Max }));
        Assert.Empty(await Store.RangeAsync(stream, new() { End = EntryId.Zero, IsReversed = true }));
        Assert.Empty(await DeliverAsync(stream, "c1", group: "h"));
        Assert.Equal(0, await Store.DeleteAsync(stream, [EntryId.Zero, EntryId.Max]));
        await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("last"), EntryId.Max)));
        Assert.Equal([ids[0], EntryId.Max], (await DeliverAsync(stream, "c1")).Select(entry => entry.Id));
        Assert.Empty(await Store.ReadAsync([new(stream, EntryId.Max)], 1, TimeSpan.Zero));
        Assert.Empty(await DeliverAsync(stream, "c1"));
        Assert.Equal("last", ValueOf(Assert.Single(await Store.RangeAsync(stream, new() { Start = EntryId.Max }))));
    }

    [Fact]
    public async Task Extreme_names_are_kept_as_they_are()
    {
        const string odd = " a:b\r\n*\0\"'ü🙂 ";
        var stream = NewStream() + odd;
        _streams.Add(stream);
        var key = new StateKey(stream, odd);
        await Store.CreateGroupAsync(stream, odd, GroupStart.Beginning);
        await AppendAsync(stream, "found");
        await PutAsync(key, "found");

        var entry = Assert.Single(await DeliverAsync(stream, odd, odd));
        Assert.Equal([entry.Id], await Store.ReleaseAsync(stream, odd, odd, [Held(entry)]));

        Assert.Equal("found", await TextAsync(key));
        Assert.Equal(odd, Assert.Single(await Store.GetGroupsAsync(stream)).Name);
        Assert.Equal(odd, Assert.Single(await Store.GetConsumersAsync(stream, odd)).Name);
        Assert.Equal("found", ValueOf(Assert.Single(await DeliverAsync(StreamNames.Again(stream, odd), odd, odd))));
    }
}
