using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Info_of_a_stream_describes_it()
    {
        var (stream, ids) = await NewGroupAsync(5);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Now);
        await Store.DeleteAsync(stream, [ids[2]]);
        await Store.TrimAsync(stream, StreamTrim.ToLength(3));
        await ReopenAsync();

        var info = await Store.GetStreamInfoAsync(stream);

        Assert.Equal(
            new StreamInfo
            {
                Length = 3,
                LastGeneratedId = ids[4],
                MaxDeletedId = ids[2],
                EntriesAdded = 5,
                GroupCount = 2,
                FirstEntry = new(ids[1], Fields("1")),
                LastEntry = new(ids[4], Fields("4")),
            },
            info);
    }

    [Fact]
    public async Task Info_of_groups_is_in_byte_order_of_their_names()
    {
        var stream = NewStream();
        string[] names = ["b", "Z", "ä", "a", "a1"];
        foreach (var name in names)
            await Store.CreateGroupAsync(stream, name, GroupStart.Beginning);

        Assert.Equal(["Z", "a", "a1", "b", "ä"], (await Store.GetGroupsAsync(stream)).Select(group => group.Name));
    }

    [Fact]
    public async Task Info_of_a_group_follows_what_it_reads()
    {
        var (stream, ids) = await NewGroupAsync(5);

        var before = await GroupAsync(stream);
        await DeliverAsync(stream, "c1", count: 2);
        await DeliverAsync(stream, "c2", count: 1);
        await Store.AckAsync(stream, "g", [ids[0]]);
        await ReopenAsync();
        var after = await GroupAsync(stream);

        Assert.Equal((5, EntryId.Zero, 0, 0), (before.Lag, before.LastDeliveredId, before.PendingCount, before.ConsumerCount));
        Assert.Equal(
            new GroupInfo { Name = "g", ConsumerCount = 2, PendingCount = 2, LastDeliveredId = ids[2], EntriesRead = 3, Lag = 2 },
            after);
    }

    [Fact]
    public async Task Info_of_a_group_that_has_read_everything_has_no_lag()
    {
        var (stream, _) = await NewPendingAsync(3);

        var group = await GroupAsync(stream);

        Assert.Equal((3, 0), (group.EntriesRead, group.Lag));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task Info_of_a_group_that_starts_now_lags_by_what_comes_later(int later)
    {
        var stream = NewStream();
        await AppendAsync(stream, 3);
        await Store.CreateGroupAsync(stream, "g", GroupStart.Now);
        Assert.Equal(0, (await GroupAsync(stream)).Lag);

        await AppendAsync(stream, later);
        await DeliverAsync(stream, "c1");

        Assert.Equal(0, (await GroupAsync(stream)).Lag);
    }

    [Fact]
    public async Task Info_of_a_group_that_starts_in_the_middle_knows_no_lag()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 3);

        await Store.CreateGroupAsync(stream, "g", GroupStart.After(ids[1]));

        Assert.Equal((null, null), ((await GroupAsync(stream)).EntriesRead, (await GroupAsync(stream)).Lag));
    }

    [Fact]
    public async Task Info_of_a_group_with_a_deletion_ahead_knows_no_lag()
    {
        var (stream, ids) = await NewGroupAsync(4);
        await DeliverAsync(stream, "c1", count: 1);

        await Store.DeleteAsync(stream, [ids[2]]);

        Assert.Null((await GroupAsync(stream)).Lag);
    }

    [Fact]
    public async Task Info_of_consumers_is_in_byte_order_of_their_names()
    {
        var (stream, _) = await NewGroupAsync(3);
        await DeliverAsync(stream, "b", count: 2);
        await DeliverAsync(stream, "A", count: 1);
        await Store.CreateConsumerAsync(stream, "g", "a");

        var consumers = await Store.GetConsumersAsync(stream, "g");

        Assert.Equal([("A", 1L), ("a", 0L), ("b", 2L)], consumers.Select(consumer => (consumer.Name, consumer.PendingCount)));
        Assert.All(consumers, consumer => Assert.InRange(consumer.IdleTime, TimeSpan.Zero, Patience));
    }

    [Fact]
    public async Task Info_of_a_consumer_that_does_not_read_grows_idle()
    {
        var (stream, _) = await NewPendingAsync(1);

        await PassAsync(Moment);

        var idle = Assert.Single(await Store.GetConsumersAsync(stream, "g")).IdleTime;
        Assert.True(idle >= Moment - TimeSpan.FromMilliseconds(5), $"{idle}");
    }
}
