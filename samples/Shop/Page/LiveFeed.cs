using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using Shop.Fakes;
using Shop.Orders;

namespace Shop.Page;

/// <summary>What changed since the last update of a page.</summary>
/// <param name="Orders">The orders that changed, oldest change first.</param>
/// <param name="Counts">How many orders stand where.</param>
/// <param name="Streams">The table of streams.</param>
/// <param name="IsPaymentBroken">Whether the payment provider fails.</param>
public sealed record LiveUpdate(
    IReadOnlyList<OrderView> Orders, OrderCounts Counts, IReadOnlyList<StreamRow> Streams, bool IsPaymentBroken);

/// <summary>
/// Tells a page what happens, while it happens: an update when something changed, at most a few a second. While nothing changes nothing
/// is asked and nothing sent, but for one last look at the streams after the last change, when the acknowledgements are in.
/// </summary>
internal sealed class LiveFeed(OrderBoard board, StreamTable streams, PaymentProvider payments, TimeProvider time)
{
    private const int MaxOrdersPerUpdate = 400;
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(150);
    private static readonly TimeSpan LastLookAfter = TimeSpan.FromMilliseconds(700);

    public async IAsyncEnumerable<SseItem<LiveUpdate>> FollowAsync([EnumeratorCancellation] CancellationToken cancellationToken)
    {
        var seen = 0L;
        var isFirst = true;
        while (true)
        {
            var current = board.LastChange;
            var orders = board.ChangedSince(seen, MaxOrdersPerUpdate).Where(order => order.Placed is not null).Reverse().ToArray();
            yield return new(await UpdateAsync(orders, cancellationToken), isFirst ? "snapshot" : "update");
            (seen, isFirst) = (current, false);

            await Task.Delay(Pause, time, cancellationToken);
            var changed = board.WaitForChangeAsync(seen, cancellationToken);
            if (await Task.WhenAny(changed, Task.Delay(LastLookAfter, time, cancellationToken)) != changed)
            {
                yield return new(await UpdateAsync([], cancellationToken), "update");
                await changed;
            }
        }
    }

    private async Task<LiveUpdate> UpdateAsync(IReadOnlyList<OrderView> orders, CancellationToken cancellationToken) =>
        new(orders, board.Counts, await streams.ReadAsync(cancellationToken), payments.IsBroken);
}
