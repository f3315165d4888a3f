namespace Shop.Fakes;

/// <summary>The calls of the payment provider.</summary>
public static class PaymentKinds
{
    public const string Charge = "charge";
    public const string Cancel = "cancel";
}

/// <summary>One call of the payment provider, as it stands in its books.</summary>
public sealed record PaymentRecord
{
    /// <summary>The caller's key: calls with the same key have one effect.</summary>
    public required string Key { get; init; }

    /// <summary>One of <see cref="PaymentKinds"/>.</summary>
    public required string Kind { get; init; }

    public required string OrderId { get; init; }

    /// <summary>Whether money moved in this call.</summary>
    public required bool Applied { get; init; }

    /// <summary>What was charged, or given back; also when a repeated call only answers as before. Zero otherwise.</summary>
    public decimal Amount { get; init; }

    /// <summary>Why a charge was refused.</summary>
    public string? Reason { get; init; }

    public required DateTimeOffset Time { get; init; }
}

/// <summary>The answer to a charge.</summary>
/// <param name="IsCharged">Whether the order is paid.</param>
/// <param name="Amount">How much.</param>
/// <param name="Reason">Why not, for the customer.</param>
public readonly record struct Charge(bool IsCharged, decimal Amount, string Reason);

/// <summary>The provider is down; try again later.</summary>
public sealed class PaymentProviderDownException() : Exception("The payment provider does not answer.");

/// <summary>
/// Stands for a payment provider of another company: outside the store, idempotent by key, with books of its own on disk that several
/// processes share. It can be broken and mended while the shop runs.
/// </summary>
public sealed class PaymentProvider
{
    /// <summary>The provider's books in a fakes directory.</summary>
    public const string FileName = "payments.jsonl";

    private readonly Dictionary<string, PaymentRecord> _firstByKey = [];
    private readonly Dictionary<string, decimal> _chargedByOrder = [];
    private readonly HashSet<string> _cancelledOrders = [];
    private readonly RecordFile<PaymentRecord> _books;
    private readonly TimeProvider _time;

    // A file, so that the switch reaches a payment service in another process and outlives a restart.
    private readonly string _brokenMarker;

    public PaymentProvider(string directory, TimeProvider time)
    {
        _time = time;
        _books = new(Path.Combine(directory, FileName), ShopJson.Default.PaymentRecord, Fold, time);
        _brokenMarker = Path.Combine(directory, "payments.broken");
    }

    /// <summary>Whether every call fails as if the provider were down.</summary>
    public bool IsBroken
    {
        get => File.Exists(_brokenMarker);
        set
        {
            if (value)
                File.WriteAllText(_brokenMarker, "Delete this file to mend the payment provider.\n");
            else
                File.Delete(_brokenMarker);
        }
    }

    /// <summary>Charges an order, once for each key. An order that was cancelled is never charged.</summary>
    /// <exception cref="PaymentProviderDownException">The provider is broken.</exception>
    public async Task<Charge> ChargeAsync(string key, string orderId, string card, decimal amount, CancellationToken cancellationToken)
    {
        ThrowIfBroken();
        var record = await _books.AddAsync(
            () =>
            {
                var call = Call(key, PaymentKinds.Charge, orderId);
                if (_cancelledOrders.Contains(orderId))
                    return call with { Reason = "The order was cancelled before it was paid." };
                if (_firstByKey.TryGetValue(key, out var first))
                    return call with { Amount = first.Amount, Reason = first.Reason };
                if (card == Orders.OrderRequest.DeclinedCard)
                    return call with { Reason = "The card was declined." };
                return call with { Applied = true, Amount = amount };
            },
            cancellationToken);
        return new(record.Reason is null, record.Amount, record.Reason ?? "");
    }

    /// <summary>Gives back what an order was charged, and refuses charges that come later.</summary>
    /// <returns>What was given back under this key; zero when there was nothing to give back.</returns>
    /// <exception cref="PaymentProviderDownException">The provider is broken.</exception>
    public async Task<decimal> CancelAsync(string key, string orderId, CancellationToken cancellationToken)
    {
        ThrowIfBroken();
        var record = await _books.AddAsync(
            () =>
            {
                var call = Call(key, PaymentKinds.Cancel, orderId);
                if (_firstByKey.TryGetValue(key, out var first))
                    return call with { Amount = first.Amount };
                return _chargedByOrder.TryGetValue(orderId, out var charged) ? call with { Applied = true, Amount = charged } : call;
            },
            cancellationToken);
        return record.Amount;
    }

    private PaymentRecord Call(string key, string kind, string orderId) =>
        new() { Key = key, Kind = kind, OrderId = orderId, Applied = false, Time = _time.GetUtcNow() };

    private void Fold(PaymentRecord record)
    {
        _firstByKey.TryAdd(record.Key, record);
        if (record.Kind == PaymentKinds.Cancel)
        {
            _cancelledOrders.Add(record.OrderId);
            _chargedByOrder.Remove(record.OrderId);
        }
        else if (record.Applied)
        {
            _chargedByOrder[record.OrderId] = record.Amount;
        }
    }

    private void ThrowIfBroken()
    {
        if (IsBroken)
            throw new PaymentProviderDownException();
    }
}
