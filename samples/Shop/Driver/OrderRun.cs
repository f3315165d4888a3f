using System.Collections.Concurrent;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.EntityFrameworkCore;
using Millrace;
using Millrace.Streams;
using Shop.Orders;
using Shop.Payments;

namespace Shop.Driver;

/// <summary>
/// A run with orders: places them over real HTTP against this process, waits until all are settled, checks the books, and reports.
/// </summary>
internal sealed class OrderRun
{
    private const int Clients = 16;

    // Keeps the services busy and the wait of an order short; every order waits for those before it.
    private const int OrdersOnTheirWay = 128;

    // Without any order getting settled. Generous: a killed service's work is taken over after two seconds.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly ShopOptions _options;
    private readonly WebApplication _app;
    private readonly OrderTracker _tracker;
    private readonly TimeProvider _time = TimeProvider.System;

    // A warehouse of its own makes the figures of a run independent of every other run on the same store.
    private readonly string _warehouse = $"run-{RandomNumberGenerator.GetHexString(12, lowercase: true)}";
    private readonly ConcurrentBag<string> _refused = [];

    private OrderRun(ShopOptions options, WebApplication app)
    {
        (_options, _app) = (options, app);
        _tracker = new(app.Services.GetRequiredService<OrderBoard>(), OrdersOnTheirWay, _time);
    }

    /// <summary>Runs, prints the report as the last line of standard output, and returns the exit code.</summary>
    public static async Task<int> RunAsync(ShopOptions options)
    {
        Role[] roles = options.KillsWorkers ? [] : options.Role is { } only ? [only] : Enum.GetValues<Role>();
        await using var app = ShopHost.BuildWeb(options, roles);
        await app.StartAsync();
        var isGood = await new OrderRun(options, app).RunAsync();
        await app.StopAsync();
        return isGood ? ExitCodes.Success : ExitCodes.Failure;
    }

    private async Task<bool> RunAsync()
    {
        using var tracker = _tracker;
        using var patience = new CancellationTokenSource(Patience, _time);
        tracker.Settled += () => patience.CancelAfter(Patience);
        var started = _time.GetTimestamp();
        var isInTime = await DriveAsync(patience.Token);
        var elapsed = _time.GetElapsedTime(started);

        var services = _app.Services;
        var audit = await Audit.RunAsync(
            tracker.Orders,
            _warehouse,
            _options.FakesDirectory,
            await ReadLedgerAsync(),
            services.GetRequiredService<MessageReader>(),
            services.GetRequiredService<IStreamStore>());
        var report = Report(audit, elapsed);
        Print(report, audit, elapsed);
        return isInTime && IsGood(report, audit);
    }

    private async Task<Dictionary<string, Payment>> ReadLedgerAsync()
    {
        await using var scope = _app.Services.CreateAsyncScope();
        return await scope.ServiceProvider.GetRequiredService<PaymentsDb>().Ledger.ToDictionaryAsync(payment => payment.OrderId);
    }

    /// <summary>Places all orders and waits for them. Returns whether all were settled, and all that was to be killed was.</summary>
    private async Task<bool> DriveAsync(CancellationToken cancellationToken)
    {
        await using var workers = new MortalWorkers(_options, _app.Services.GetRequiredService<IStreamStore>());
        try
        {
            var placing = PlaceAllAsync(cancellationToken);
            if (_options.KillsWorkers)
            {
                await workers.StartAsync();
                await workers.KillAsync(placing, _time, cancellationToken);
                Console.Error.WriteLine($"Killed {workers.Kills} services.");
            }

            await placing;
            await _tracker.AllSettled.WaitAsync(cancellationToken);
            return true;
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            Console.Error.WriteLine($"No order was settled for {Patience.TotalSeconds:0} s; giving up.");
            return false;
        }
    }

    private async Task PlaceAllAsync(CancellationToken cancellationToken)
    {
        using var http = new HttpClient { BaseAddress = new($"http://127.0.0.1:{new Uri(OpenShop.Address(_app)).Port}") };
        var orders = OrderMix.Draw(_options.Orders!.Value, _options.Seed, _warehouse);
        await Parallel.ForEachAsync(
            orders,
            new ParallelOptions { MaxDegreeOfParallelism = Clients, CancellationToken = cancellationToken },
            async (order, token) =>
            {
                await _tracker.WaitForRoomAsync(token);
                if (!await PlaceAsync(http, order, token))
                    _tracker.GiveRoomBack();
            });
        _tracker.CompleteAdding();
    }

    /// <summary>Places an order; returns whether it was accepted.</summary>
    private async Task<bool> PlaceAsync(HttpClient http, OrderRequest order, CancellationToken cancellationToken)
    {
        var posted = _time.GetTimestamp();
        using var response = await http.PostAsJsonAsync("/orders", order, ShopJson.Default.OrderRequest, cancellationToken);
        if (response.IsSuccessStatusCode)
        {
            var accepted = await response.Content.ReadFromJsonAsync(ShopJson.Default.OrderAccepted, cancellationToken);
            _tracker.Add(accepted!.Id, posted);
            return true;
        }

        _refused.Add($"{(int)response.StatusCode}: {await response.Content.ReadAsStringAsync(cancellationToken)}");
        return false;
    }

    private RunReport Report(Audit audit, TimeSpan elapsed)
    {
        var latencies = _tracker.Latencies;
        return new()
        {
            Store = _options.StoreName,
            Placed = _tracker.Orders.Count,
            Completed = audit.Completed,
            Cancelled = audit.Cancelled,
            DeadLettered = audit.DeadLettered,
            Lost = audit.Lost,
            DoubledEffects = audit.Doubled,
            StockBalanced = audit.IsStockBalanced,
            EventsPerSecond = (long)(_tracker.HandledEvents / elapsed.TotalSeconds),
            P50Ms = Percentile(latencies, 0.50),
            P99Ms = Percentile(latencies, 0.99),
        };
    }

    private bool IsGood(RunReport report, Audit audit) =>
        report.Placed == _options.Orders &&
        report.Placed == report.Completed + report.Cancelled + report.DeadLettered &&
        report is { Lost: 0, DoubledEffects: 0, StockBalanced: true } &&
        audit.IsMoneyBalanced;

    private void Print(RunReport report, Audit audit, TimeSpan elapsed)
    {
        foreach (var problem in _refused.Take(10).Select(refusal => $"An order was refused, {refusal}").Concat(audit.Findings.Take(20)))
            Console.Error.WriteLine(problem);
        if (_options.IsJson)
        {
            Console.WriteLine(JsonSerializer.Serialize(report, ShopJson.Default.RunReport));
            return;
        }

        Console.WriteLine($"""
            {report.Placed} orders on {report.Store} in {elapsed.TotalSeconds:0.0} s, {report.EventsPerSecond} events a second.
            {report.Completed} completed, {report.Cancelled} cancelled, {report.DeadLettered} in the dead letters, {report.Lost} lost.
            {report.DoubledEffects} effects doubled, stock {(report.StockBalanced ? "balanced" : "NOT balanced")}.
            From POST to the end: {report.P50Ms} ms at the median, {report.P99Ms} ms for the slowest hundredth.
            """);
    }

    private static double Percentile(IReadOnlyList<TimeSpan> sorted, double share) =>
        sorted.Count == 0 ? 0 : Math.Round(sorted[(int)((sorted.Count - 1) * share)].TotalMilliseconds, 1);
}
