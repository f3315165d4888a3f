using System.Text.Json;
using Millrace;
using Millrace.Streams;
using Shop.Fakes;
using Shop.Inventory;
using Shop.Payments;

namespace Shop.Driver;

/// <summary>
/// Checks a run against the books of those who had the effects: the payment provider's and the mail gateway's files, and the stock's own
/// ledger; and the payment service's ledger against the provider's books. What the orders service believes is not asked.
/// </summary>
internal sealed class Audit
{
    private readonly HashSet<string> _completed = [];
    private readonly HashSet<string> _cancelled = [];
    private readonly HashSet<string> _deadLettered = [];
    private readonly List<string> _findings = [];

    private Audit()
    {
    }

    public int Completed => _completed.Count;

    public int Cancelled => _cancelled.Count;

    public int DeadLettered => _deadLettered.Count;

    /// <summary>Orders nobody was told the end of.</summary>
    public int Lost { get; private set; }

    /// <summary>Effects that happened more than once.</summary>
    public int Doubled { get; private set; }

    public bool IsStockBalanced { get; private set; } = true;

    /// <summary>Whether those who paid got their goods, and nobody else paid.</summary>
    public bool IsMoneyBalanced { get; private set; } = true;

    /// <summary>What is wrong, one sentence each.</summary>
    public IReadOnlyList<string> Findings => _findings;

    /// <summary>Audits the orders of a run, which had a warehouse of its own.</summary>
    public static async Task<Audit> RunAsync(
        IReadOnlySet<string> orders,
        string warehouse,
        string fakesDirectory,
        IReadOnlyDictionary<string, Payment> ledger,
        MessageReader reader,
        IStreamStore store)
    {
        var audit = new Audit();
        audit.CheckMails(orders, fakesDirectory);
        audit.CheckPayments(orders, ledger, fakesDirectory);
        await audit.CheckStockAsync(warehouse, reader, store);
        return audit;
    }

    private void CheckMails(IReadOnlySet<string> orders, string fakesDirectory)
    {
        var mails = RecordFile<MailRecord>.ReadAll(Path.Combine(fakesDirectory, MailGateway.FileName), ShopJson.Default.MailRecord)
            .Where(mail => mail.Applied && orders.Contains(mail.About) && MailKinds.OrderEnds.Contains(mail.Kind));
        foreach (var ends in mails.GroupBy(mail => mail.About))
        {
            var end = ends.First().Kind;
            var ended = end switch { MailKinds.Completed => _completed, MailKinds.Cancelled => _cancelled, _ => _deadLettered };
            ended.Add(ends.Key);
            var kinds = string.Join(", ", ends.Select(mail => mail.Kind));
            CountDoubled(ends.Count(), $"{ends.Key} was told its end {ends.Count()} times: {kinds}.");
        }

        foreach (var lost in orders.Except(_completed).Except(_cancelled).Except(_deadLettered))
        {
            Lost++;
            _findings.Add($"{lost} has no end.");
        }
    }

    private void CheckPayments(IReadOnlySet<string> orders, IReadOnlyDictionary<string, Payment> ledger, string fakesDirectory)
    {
        var books = Path.Combine(fakesDirectory, PaymentProvider.FileName);
        var applied = RecordFile<PaymentRecord>.ReadAll(books, ShopJson.Default.PaymentRecord)
            .Where(record => record.Applied && orders.Contains(record.OrderId))
            .ToLookup(record => (record.OrderId, record.Kind), record => record.Amount);
        foreach (var effects in applied)
            CountDoubled(effects.Count(), $"{effects.Key.OrderId} had {effects.Count()} times the payment effect '{effects.Key.Kind}'.");

        foreach (var order in orders)
        {
            var (charges, refunds) = (applied[(order, PaymentKinds.Charge)].ToList(), applied[(order, PaymentKinds.Cancel)].ToList());
            var end = _completed.Contains(order) ? "completed" : "did not complete";
            CheckMoney(
                charges.Count - refunds.Count == (_completed.Contains(order) ? 1 : 0),
                $"{order} was charged {charges.Count} times and refunded {refunds.Count} times, but {end}.");
            var (charged, refunded) = ledger.GetValueOrDefault(order) switch
            {
                { State: PaymentState.Charged } payment => (payment.Amount, 0m),
                { State: PaymentState.Refunded } payment => (payment.Amount, payment.Amount),
                _ => (0m, 0m),
            };
            CheckMoney(
                (charged, refunded) == (charges.Sum(), refunds.Sum()),
                $"{order} was charged {charges.Sum()} and refunded {refunds.Sum()}, but the ledger says {charged} and {refunded}.");
        }
    }

    private void CheckMoney(bool holds, string finding)
    {
        if (holds)
            return;
        IsMoneyBalanced = false;
        _findings.Add(finding);
    }

    private async Task CheckStockAsync(string warehouse, MessageReader reader, IStreamStore store)
    {
        var reserved = new List<StockReserved>();
        var released = new List<StockReleased>();
        await foreach (var entry in reader.ReadAsync<object>(InventoryNames.Stream, ReadFrom.Start, follow: false))
        {
            if (entry.Body is StockReserved reservation && reservation.Warehouse == warehouse)
                reserved.Add(reservation);
            else if (entry.Body is StockReleased release && release.Warehouse == warehouse)
                released.Add(release);
        }

        foreach (var orders in reserved.GroupBy(entry => entry.OrderId))
            CountDoubled(orders.Count(), $"The stock was reserved {orders.Count()} times for {orders.Key}.");
        foreach (var orders in released.GroupBy(entry => entry.OrderId))
            CountDoubled(orders.Count(), $"The stock was released {orders.Count()} times for {orders.Key}.");

        var holding = reserved.Select(entry => entry.OrderId).Except(released.Select(entry => entry.OrderId)).ToHashSet();
        CheckStock(holding.SetEquals(_completed), $"{holding.Count} orders hold goods, {_completed.Count} completed: not the same ones.");
        await CheckLevelsAsync(warehouse, reserved.SelectMany(entry => entry.Lines), released.SelectMany(entry => entry.Lines), store);
    }

    private async Task CheckLevelsAsync(
        string warehouse, IEnumerable<StockLine> reserved, IEnumerable<StockLine> released, IStreamStore store)
    {
        var taken = reserved.Concat(released.Select(line => line with { Quantity = -line.Quantity }))
            .GroupBy(line => line.Sku)
            .ToDictionary(lines => lines.Key, lines => lines.Sum(line => line.Quantity));
        foreach (var product in Catalog.All)
        {
            var document = await store.GetStateAsync(StockLevel.Key(warehouse, product.Sku));
            var level = document is null
                ? StockLevel.Initial(product.Sku)
                : JsonSerializer.Deserialize(document.Payload.Span, ShopJson.Default.StockLevel)!;
            var expected = product.InitialStock - taken.GetValueOrDefault(product.Sku);
            CheckStock(
                level.Available == expected && expected >= 0,
                $"The stock of '{product.Sku}' is {level.Available}, its ledger says {expected}.");
        }
    }

    private void CheckStock(bool holds, string finding)
    {
        if (holds)
            return;
        IsStockBalanced = false;
        _findings.Add(finding);
    }

    private void CountDoubled(int times, string finding)
    {
        if (times <= 1)
            return;
        Doubled += times - 1;
        _findings.Add(finding);
    }
}
