using Millrace.Streams;
using Shop.Inventory;
using Shop.Loyalty;
using Shop.Notifications;
using Shop.Orders;
using Shop.Payments;
using Shop.Users;

namespace Shop.Page;

/// <summary>A consumer group in the table of streams.</summary>
/// <param name="Name">The group.</param>
/// <param name="Pending">Delivered and not yet acknowledged.</param>
/// <param name="Lag">Not yet delivered; <see langword="null"/> when the store cannot know.</param>
/// <param name="Retrying">Entries in the group's private stream: retried ones, handled or not.</param>
/// <param name="Dead">Entries the group gave up on.</param>
public sealed record GroupRow(string Name, long Pending, long? Lag, long Retrying, long Dead);

/// <summary>A stream in the table of streams.</summary>
/// <param name="Stream">The stream.</param>
/// <param name="Length">Entries in it.</param>
/// <param name="Groups">Its groups.</param>
public sealed record StreamRow(string Stream, long Length, IReadOnlyList<GroupRow> Groups);

/// <summary>What the streams of the shop hold and how far their groups are, as <c>XINFO</c> tells it.</summary>
internal sealed class StreamTable(IStreamStore store)
{
    /// <summary>The shop's streams.</summary>
    public static IReadOnlyList<string> Streams { get; } =
    [
        OrderNames.Placing, OrderNames.Stream, OrderNames.Express, OrderNames.Checkout, PaymentNames.Stream, InventoryNames.Stream,
        NotificationNames.Stream, NotificationNames.Mails, LoyaltyNames.Stream, UserNames.Stream,
    ];

    public async Task<IReadOnlyList<StreamRow>> ReadAsync(CancellationToken cancellationToken)
    {
        var rows = new List<StreamRow>();
        foreach (var stream in Streams)
        {
            if (await ReadAsync(stream, cancellationToken) is { } row)
                rows.Add(row);
        }

        return rows;
    }

    /// <summary>One stream, or <see langword="null"/> when the shop has none of the name.</summary>
    public async Task<StreamRow?> ReadAsync(string stream, CancellationToken cancellationToken)
    {
        if (!Streams.Contains(stream))
            return null;

        var groups = new List<GroupRow>();
        foreach (var group in await store.GetGroupsAsync(stream, cancellationToken))
        {
            groups.Add(new(
                group.Name,
                group.PendingCount,
                group.Lag,
                await LengthAsync(StreamNames.Again(stream, group.Name), cancellationToken),
                await LengthAsync(StreamNames.DeadLetters(stream, group.Name), cancellationToken)));
        }

        return new(stream, await LengthAsync(stream, cancellationToken), groups);
    }

    private async Task<long> LengthAsync(string stream, CancellationToken cancellationToken) =>
        await store.GetStreamInfoAsync(stream, cancellationToken) is { } info ? info.Length : 0;
}
