using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task CreateGroup_without_a_stream_makes_an_empty_one()
    {
        var stream = NewStream();

        Assert.True(await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning));

        var info = await Store.GetStreamInfoAsync(stream);
        Assert.Equal((0, EntryId.Zero, 1), (info!.Length, info.LastGeneratedId, info.GroupCount));
    }

    [Fact]
    public async Task CreateGroup_that_exists_leaves_it_as_it_is()
    {
        var (stream, _) = await NewPendingAsync(2);
        var before = await SnapshotAsync();

        Assert.False(await Store.CreateGroupAsync(stream, "g", GroupStart.Now));
        Assert.False(await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning));

        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task CreateGroup_starts_where_it_is_told()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 3);
        await Store.CreateGroupAsync(stream, "beginning", GroupStart.Beginning);
        await Store.CreateGroupAsync(stream, "after", GroupStart.After(ids[1]));
        await Store.CreateGroupAsync(stream, "now", GroupStart.Now);
        await AppendAsync(stream, "later");

        Assert.Equal(["0", "1", "2", "later"], (await DeliverAsync(stream, "c1", "beginning")).Select(ValueOf));
        Assert.Equal(["2", "later"], (await DeliverAsync(stream, "c1", "after")).Select(ValueOf));
        Assert.Equal(["later"], (await DeliverAsync(stream, "c1", "now")).Select(ValueOf));
    }

    [Fact]
    public async Task CreateGroup_now_without_a_stream_gets_the_first_entry()
    {
        var stream = NewStream();
        await Store.CreateGroupAsync(stream, "g", GroupStart.Now);
        await AppendAsync(stream, "first");

        Assert.Equal(["first"], (await DeliverAsync(stream, "c1")).Select(ValueOf));
    }

    [Fact]
    public async Task SetGroup_forward_skips_and_back_reads_again()
    {
        var (stream, ids) = await NewGroupAsync(3);

        await Store.SetGroupAsync(stream, "g", GroupStart.Now);
        Assert.Empty(await DeliverAsync(stream, "c1"));

        await Store.SetGroupAsync(stream, "g", GroupStart.After(ids[1]));
        Assert.Equal(["2"], (await DeliverAsync(stream, "c1")).Select(ValueOf));

        await Store.SetGroupAsync(stream, "g", GroupStart.Beginning);
        Assert.Equal(["0", "1", "2"], (await DeliverAsync(stream, "c1")).Select(ValueOf));
    }

    [Fact]
    public async Task SetGroup_leaves_pending_entries_pending()
    {
        var (stream, entries) = await NewPendingAsync(2);

        await Store.SetGroupAsync(stream, "g", GroupStart.Beginning);
        await ReopenAsync();

        Assert.Equal(entries.Select(entry => entry.Id), (await PendingAsync(stream)).Select(pending => pending.Id));
        Assert.Equal(EntryId.Zero, (await GroupAsync(stream)).LastDeliveredId);
    }

    [Fact]
    public async Task DestroyGroup_takes_its_pending_entries_along()
    {
        var (stream, _) = await NewPendingAsync(2);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);

        Assert.True(await Store.DestroyGroupAsync(stream, "g"));
        Assert.False(await Store.DestroyGroupAsync(stream, "g"));

        Assert.Equal("h", Assert.Single(await Store.GetGroupsAsync(stream)).Name);
        Assert.True(await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning));
        Assert.Empty(await PendingAsync(stream));
        Assert.Equal(2, (await DeliverAsync(stream, "c1")).Count);
    }

    [Fact]
    public async Task CreateConsumer_makes_it_once()
    {
        var (stream, _) = await NewGroupAsync(0);

        Assert.True(await Store.CreateConsumerAsync(stream, "g", "c1"));
        Assert.False(await Store.CreateConsumerAsync(stream, "g", "c1"));
        await ReopenAsync();

        var consumer = Assert.Single(await Store.GetConsumersAsync(stream, "g"));
        Assert.Equal(("c1", 0), (consumer.Name, consumer.PendingCount));
    }

    [Fact]
    public async Task CreateConsumer_that_a_read_has_made_exists()
    {
        var (stream, _) = await NewPendingAsync(1);

        Assert.False(await Store.CreateConsumerAsync(stream, "g", "c1"));
    }

    [Fact]
    public async Task DeleteConsumer_takes_its_pending_entries_along()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await ClaimAsync(stream, "c2", entries[1].Id);

        Assert.Equal(2, await Store.DeleteConsumerAsync(stream, "g", "c1"));
        Assert.Equal(0, await Store.DeleteConsumerAsync(stream, "g", "c1"));
        Assert.Equal(0, await Store.DeleteConsumerAsync(stream, "g", "nobody"));

        Assert.Equal(entries[1].Id, Assert.Single(await PendingAsync(stream)).Id);
        Assert.Equal("c2", Assert.Single(await Store.GetConsumersAsync(stream, "g")).Name);
        Assert.Empty(await DeliverAsync(stream, "c2"));
    }
}
