using Millrace.Sagas;
using Millrace.Streams;

namespace Millrace.Tests.Sagas;

/// <summary>What other programs write has no message ID, and two lanes may give it the same entry ID.</summary>
public abstract partial class SagaTests
{
    /// <summary>The second one would pass for the first, which the timeline knows.</summary>
    [Fact]
    public async Task Entries_without_an_id_are_two_messages_of_a_saga_where_two_lanes_give_them_the_same_entry_id()
    {
        var express = StreamNames.Lane(Orders, "express");
        await StartAsync(m => m.AddLanes(Orders, lanes => lanes.Add("express", 8)).AddSaga(new CheckoutSaga(_shop), [Orders], Group));
        await AppendForeignAsync(Orders, 1, "shop.order-placed", """{"orderId":"1","amount":10}""");
        await SentAsync("inventory");

        foreach (var stream in new[] { Orders, express })
        {
            await AppendForeignAsync(stream, 2, "shop.order-touched", """{"orderId":"1","timeout":"","delayMs":0}""");
            await Host.WhenSettledAsync(stream, Group);
        }

        var saga = await Sagas.GetAsync("1");
        Assert.Equal(2, saga!.State.Touched);
        Assert.Equal(
            [$"{Orders}/1700000000001-0", $"{Orders}/1700000000002-0", $"{Orders}/{express}/1700000000002-0"],
            saga.Timeline.Select(entry => entry.MessageId));
    }

    private async Task AppendForeignAsync(string stream, ulong number, string type, string data) => await _store!.CommitAsync(new Commit
    {
        Changes = [new CommitChange.Append(stream, EntryFields.Create(("type", type), ("data", data)), new EntryId(1_700_000_000_000UL + number, 0))],
    });
}
