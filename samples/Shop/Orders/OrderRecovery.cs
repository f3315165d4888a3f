using System.Data.Common;
using Microsoft.EntityFrameworkCore;
using Millrace;
using Millrace.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Shop.Orders;

/// <summary>
/// Places accepted orders again that have not ended: a store may lose what it acknowledged last in a power cut or at a failover, unless it syncs every write,
/// and the outboxes have deleted their rows by then. An order that is lost begins again; of one that waits for a lost answer the services are told again, and
/// they tell what they did. At each start, and when consumers find a loss. Nothing happens twice to an order that is placed twice.
/// </summary>
public sealed class OrderRecovery(
    IServiceScopeFactory scopes, EventStore events, IStreamStore store, StreamLosses losses, TimeProvider time, ILogger<OrderRecovery> logger)
    : BackgroundService
{
    // What is lost is the end: where so many orders in a row have ended, those before them have, or the checkout ends them.
    private const int PageSize = 100;

    // Commands that no handler has come to yet are among the last of their stream. One that is missed is handled twice.
    private const int MaxUnhandled = 10_000;

    private static readonly TimeSpan RetryDelay = TimeSpan.FromSeconds(1);

    private readonly SemaphoreSlim _isWanted = new(1);

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        losses.Detected += OnLoss;
        try
        {
            while (true)
            {
                await _isWanted.WaitAsync(stoppingToken);
                await PlaceAgainAsync(stoppingToken);
            }
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The next start looks again.
        }
        finally
        {
            losses.Detected -= OnLoss;
        }
    }

    /// <summary>Many consumers find the same loss.</summary>
    private void OnLoss(object? sender, StreamLossEventArgs loss)
    {
        if (_isWanted.CurrentCount == 0)
            _isWanted.Release();
    }

    private async Task PlaceAgainAsync(CancellationToken cancellationToken)
    {
        for (var before = long.MaxValue; ;)
        {
            try
            {
                await using var scope = scopes.CreateAsyncScope();
                var db = scope.ServiceProvider.GetRequiredService<OrdersDb>();
                var page = await db.Accepted.AsNoTracking().Where(order => order.Number < before)
                    .OrderByDescending(order => order.Number).Take(PageSize).ToListAsync(cancellationToken);
                if (!await PlaceAgainAsync(db, page, cancellationToken))
                    return;
                before = page[^1].Number;
            }
            catch (Exception broken) when (broken is StreamException { IsTransient: true } or DbException)
            {
                logger.LogWarning("Whether the store has lost orders is looked up in a moment: {Error}", broken.Message);
                await Task.Delay(RetryDelay, time, cancellationToken);
            }
            catch (Exception broken) when (!cancellationToken.IsCancellationRequested)
            {
                logger.LogError(broken, "Whether the store has lost orders cannot be looked up; the next loss or start tries again.");
                return;
            }
        }
    }

    /// <returns>Whether there were any that have not ended.</returns>
    private async Task<bool> PlaceAgainAsync(OrdersDb db, List<AcceptedOrder> orders, CancellationToken cancellationToken)
    {
        var again = new List<AcceptedOrder>();
        var waiting = new List<AcceptedOrder>();
        foreach (var order in orders)
        {
            var known = (await events.LoadAsync(Order.Stream(order.OrderId), Order.Fold, cancellationToken: cancellationToken)).State;
            if (known.Status == OrderStatus.Processing)
                (known.Placed is null ? waiting : again).Add(order);
        }

        if (again.Count + waiting.Count == 0)
            return false;
        if (waiting.Count > 0)
        {
            var onTheirWay = await ReadOnTheirWayAsync(db, cancellationToken);
            again.AddRange(waiting.Where(order => !onTheirWay.Contains(order.OrderId)));
        }

        foreach (var order in again.OrderBy(order => order.Number))
            OrderAcceptance.Place(db, order);
        await db.SaveChangesAsync(cancellationToken);
        if (again.Count > 0)
            logger.LogInformation("{Count} accepted orders had not ended, and are placed again.", again.Count);
        return true;
    }

    /// <summary>The outbox is read before the stream: a row that is relayed meanwhile is found there.</summary>
    private async Task<HashSet<string?>> ReadOnTheirWayAsync(OrdersDb db, CancellationToken cancellationToken)
    {
        var onTheirWay = new HashSet<string?>();
        var rows = db.Set<OutboxRow>().AsNoTracking().Where(row => row.Stream == OrderNames.Placing).Select(row => row.Fields);
        await foreach (var fields in rows.AsAsyncEnumerable().WithCancellation(cancellationToken))
            onTheirWay.Add(SubjectOf(EntryFields.FromPacked(fields)));
        var range = new StreamRange { IsReversed = true, Count = MaxUnhandled };
        foreach (var command in await store.RangeAsync(OrderNames.Placing, range, cancellationToken))
            onTheirWay.Add(SubjectOf(command.Fields));
        return onTheirWay;
    }

    private static string? SubjectOf(EntryFields fields) => new MessageHeaders(default, fields).Subject;
}
