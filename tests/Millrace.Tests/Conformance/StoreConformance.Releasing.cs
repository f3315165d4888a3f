using System.Globalization;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Theory]
    [InlineData("{0}:tagged")]
    [InlineData("plain-{0}")]
    public async Task Release_moves_the_entry_to_the_private_stream_and_acknowledges_it(string format)
    {
        var stream = string.Format(CultureInfo.InvariantCulture, format, format[0] == '{' ? $"{{{_tag}}}" : _tag);
        var again = StreamNames.Again(stream, "g");
        await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        var fields = EntryFields.Create(("v", "work"), ("twice", "1"), ("twice", "2"));
        var id = await Store.AppendAsync(stream, fields);
        var delivered = Assert.Single(await DeliverAsync(stream, "c1"));

        var released = await Store.ReleaseAsync(stream, "g", "c1", [Held(delivered)]);

        Assert.Equal([id], released);
        Assert.Empty(await PendingAsync(stream));
        var copy = Assert.Single(await DeliverAsync(again, "c2"));
        Assert.Equal(1, copy.DeliveryCount);
        Assert.Equal(fields, WithoutReleaseFields(copy.Fields));
        Assert.Equal((id.ToString(), null), ReleaseFieldsOf(copy));
        Assert.Equal(fields, Assert.Single(await RangeAsync(stream)).Fields);
    }

    [Fact]
    public async Task Release_keeps_the_deliveries_before_this_one_and_the_first_source()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var again = StreamNames.Again(stream, "g");
        var source = entries[0].Id.ToString();
        await ClaimAsync(stream, "c2", entries[0].Id);
        var third = Assert.Single(await ClaimAsync(stream, "c1", entries[0].Id));

        await Store.ReleaseAsync(stream, "g", "c1", [Held(third)]);
        var first = Assert.Single(await DeliverAsync(again, "c1"));
        Assert.Equal((source, "2"), ReleaseFieldsOf(first));

        await Store.ReleaseAsync(again, "g", "c1", [Held(first)]);
        var second = Assert.Single(await DeliverAsync(again, "c1"));
        Assert.Equal((source, "2"), ReleaseFieldsOf(second));

        var claimed = Assert.Single(await ClaimAsync(again, "c2", second.Id));
        await Store.ReleaseAsync(again, "g", "c2", [Held(claimed)]);
        var last = Assert.Single(await DeliverAsync(again, "c1"));
        Assert.Equal((source, "3"), ReleaseFieldsOf(last));
        Assert.Equal(entries[0].Fields, WithoutReleaseFields(last.Fields));
    }

    [Fact]
    public async Task Release_makes_the_group_on_the_private_stream_only_when_it_is_missing_there()
    {
        var (stream, entries) = await NewPendingAsync(2);
        var again = StreamNames.Again(stream, "g");
        Assert.Empty(await Store.GetGroupsAsync(again));

        await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[0])]);
        Assert.Equal("0", ValueOf(Assert.Single(await DeliverAsync(again, "c1"))));
        await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[1])]);

        Assert.Equal("1", ValueOf(Assert.Single(await DeliverAsync(again, "c1"))));
        Assert.Equal("g", Assert.Single(await Store.GetGroupsAsync(again)).Name);
    }

    [Fact]
    public async Task Release_is_not_seen_by_other_groups()
    {
        var (stream, entries) = await NewPendingAsync(1);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);

        await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[0])]);

        Assert.Equal(entries[0].Id, Assert.Single(await DeliverAsync(stream, "c1", group: "h")).Id);
        Assert.Empty(await DeliverAsync(stream, "c1", group: "h"));
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.Again(stream, "h")));
    }

    [Fact]
    public async Task Release_wakes_a_reader_of_the_group()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var again = StreamNames.Again(stream, "g");
        await Store.CreateGroupAsync(again, "g", GroupStart.Beginning);
        var reading = Store.ReadGroupAsync(
            new() { Group = "g", Consumer = "c2", Streams = [again, stream], Block = Patience }).AsTask();
        await UntilBlockedAsync(1);

        await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[0])]);

        var batch = Assert.Single(await reading);
        Assert.Equal(again, batch.Stream);
        Assert.Equal("0", ValueOf(Assert.Single(batch.Entries)));
    }

    [Fact]
    public async Task Release_with_a_delay_keeps_the_entry_until_it_is_due()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var again = StreamNames.Again(stream, "g");

        Assert.Single(await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[0])], 2 * Moment));

        Assert.Empty(await PendingAsync(stream));
        Assert.Empty(await DeliverAsync(again, "c1"));
        await ReopenAsync();
        var copy = Assert.Single(await DeliverAsync(again, "c1", block: Patience));
        Assert.Equal("0", ValueOf(copy));
        Assert.Equal((entries[0].Id.ToString(), null), ReleaseFieldsOf(copy));
    }

    [Fact]
    public async Task Release_of_a_deleted_entry_only_acknowledges_it()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await Store.DeleteAsync(stream, [entries[0].Id]);

        var released = await Store.ReleaseAsync(stream, "g", "c1", [Held(entries[0])]);

        Assert.Equal([entries[0].Id], released);
        Assert.Equal(entries[1].Id, Assert.Single(await PendingAsync(stream)).Id);
        Assert.Empty(await RangeAsync(StreamNames.Again(stream, "g")));
    }

    [Fact]
    public async Task Release_leaves_alone_what_the_consumer_does_not_hold_any_more()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await ClaimAsync(stream, "c2", entries[0].Id);
        await Store.AckAsync(stream, "g", [entries[1].Id]);

        var released = await Store.ReleaseAsync(stream, "g", "c1", [.. entries.Select(Held)]);

        Assert.Equal([entries[2].Id], released);
        Assert.Equal("c2", Assert.Single(await PendingAsync(stream)).Consumer);
        Assert.Equal(["2"], await ValuesAsync(StreamNames.Again(stream, "g")));
        Assert.Empty(await Store.ReleaseAsync(stream, "g", "c1", []));
    }

    private static (string? SourceId, string? PriorDeliveries) ReleaseFieldsOf(DeliveredEntry entry)
    {
        Assert.InRange(entry.Fields.Count(field => field.Name.Span.SequenceEqual(EntryFieldNames.SourceId)), 0, 1);
        Assert.InRange(entry.Fields.Count(field => field.Name.Span.SequenceEqual(EntryFieldNames.PriorDeliveries)), 0, 1);
        return (entry.Fields.GetText(EntryFieldNames.SourceId), entry.Fields.GetText(EntryFieldNames.PriorDeliveries));
    }

    private static EntryFields WithoutReleaseFields(EntryFields fields)
    {
        var writer = new EntryFieldsWriter();
        foreach (var field in fields)
        {
            if (!field.Name.Span.SequenceEqual(EntryFieldNames.SourceId) && !field.Name.Span.SequenceEqual(EntryFieldNames.PriorDeliveries))
                writer.Add(field.Name.Span, field.Value.Span);
        }

        return writer.ToFields();
    }
}
