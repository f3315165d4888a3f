using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>What all members have in common: missing streams and groups, keys of the wrong type, opening and closing.</summary>
public abstract partial class StoreConformance
{
    public static TheoryData<string> MembersOnStream => [.. StoreMember.OnStream.Keys.Order(StringComparer.Ordinal)];

    public static TheoryData<string> AllMembers => [.. StoreMember.All.Keys.Order(StringComparer.Ordinal)];

    public static TheoryData<string> MembersWithGroup => [.. StoreMember.WithGroup];

    [Fact]
    public void Members_of_the_contract_are_all_tested()
    {
        var members = typeof(IStreamStore).GetMethods().Select(method => method.Name);

        Assert.Equal(members.Order(), StoreMember.All.Keys.Append(nameof(IStreamStore.OpenAsync)).Order());
    }

    [Theory]
    [MemberData(nameof(MembersOnStream))]
    public async Task Member_on_a_state_document_is_refused_and_leaves_it(string member)
    {
        var key = NewState();
        await PutAsync(key, "untouched");

        await FailsAsync(StreamErrorCode.WrongType, () => StoreMember.OnStream[member](Store, StreamNames.State(key), default));

        Assert.Equal("untouched", await TextAsync(key));
    }

    [Theory]
    [MemberData(nameof(MembersWithGroup))]
    public async Task Member_that_needs_a_group_is_refused_without_and_makes_nothing(string member)
    {
        var missing = NewStream();
        var (other, _) = await NewGroupAsync(1);
        await Store.CreateGroupAsync(other, "h", GroupStart.Beginning);
        await Store.DestroyGroupAsync(other, "g");
        var before = await SnapshotAsync();

        await FailsAsync(StreamErrorCode.NoGroup, () => StoreMember.All[member](Store, missing, default));
        await FailsAsync(StreamErrorCode.NoGroup, () => StoreMember.All[member](Store, other, default));

        Assert.Equal(before, await SnapshotAsync());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Members_that_need_nothing_find_nothing_on_a_missing_stream_or_group_and_make_nothing(bool streamExists)
    {
        var stream = NewStream();
        if (streamExists)
            await AppendAsync(stream);
        var before = await SnapshotAsync();
        EntryId[] ids = [new(1, 1)];

        Assert.Equal(0, await Store.AckAsync(stream, "g", ids));
        Assert.Equal(0, await Store.AckAndDeleteAsync(stream, "g", ids));
        Assert.Empty(await Store.ExtendAsync(stream, "g", "c1", [new(ids[0], 1)]));
        Assert.Empty(await Store.ReleaseAsync(stream, "g", "c1", [new(ids[0], 1)]));
        Assert.Equal(0, await Store.DeleteAsync(stream, ids));
        Assert.Equal(0, await Store.TrimAsync(stream, StreamTrim.ToLength(1)));
        Assert.False(await Store.DestroyGroupAsync(stream, "g"));
        Assert.Empty(await Store.GetGroupsAsync(stream));
        Assert.Null(await Store.GetStateAsync(new(stream, "d")));
        Assert.Equal(streamExists, await Store.GetStreamInfoAsync(stream) is not null);
        Assert.Equal(streamExists, (await RangeAsync(stream)).Count == 1);
        Assert.Equal(before, await SnapshotAsync());
    }

    [Theory]
    [MemberData(nameof(AllMembers))]
    public async Task Member_of_a_closed_store_is_refused(string member)
    {
        var stream = NewStream();
        await Store.DisposeAsync();
        await Store.DisposeAsync();

        await FailsAsync(StreamErrorCode.Closed, () => StoreMember.All[member](Store, stream, default));

        await InitializeAsync();
        Assert.Null(await Store.GetStreamInfoAsync(stream));
    }

    [Fact]
    public async Task Open_again_is_nothing_and_after_closing_is_refused()
    {
        await Store.OpenAsync();
        await Store.OpenAsync();
        await Store.DisposeAsync();

        await FailsAsync(StreamErrorCode.Closed, () => Store.OpenAsync().AsTask());

        await InitializeAsync();
    }

    [Fact]
    public async Task Closing_ends_blocked_reads()
    {
        var (stream, _) = await NewGroupAsync(0);
        var reading = Store.ReadAsync([new(stream, default)], 1, Patience).AsTask();
        var delivering = DeliverAsync(stream, "c1", block: Patience);
        await UntilBlockedAsync(2);

        await Store.DisposeAsync();

        await FailsAsync(StreamErrorCode.Closed, () => reading);
        await FailsAsync(StreamErrorCode.Closed, () => delivering);
        await InitializeAsync();
    }

    [Fact]
    public async Task Members_open_the_store_by_themselves()
    {
        await Store.DisposeAsync();
        Store = await CreateStoreAsync();
        var stream = NewStream();

        await AppendAsync(stream, "unopened");

        Assert.Equal(["unopened"], await ValuesAsync(stream));
    }
}
