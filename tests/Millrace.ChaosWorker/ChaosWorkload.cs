using Millrace.Streams;

namespace Millrace.ChaosWorker;

/// <summary>
/// The consumers of a chaos run: a group with outputs and state, one with nothing but acknowledgements, one that handles the outputs, one that keeps
/// the order of keys; and two, one of them ordered, among whose messages one ends its process. Each handler writes down that it begins, and that it
/// is about to fail or return.
/// </summary>
/// <param name="worker">Who it is in the history.</param>
/// <param name="history">Where it writes.</param>
/// <param name="time">The clock of its work.</param>
/// <param name="die">Ends the process, and notes that before.</param>
public sealed class ChaosWorkload(string worker, IHistory history, TimeProvider time, Action die)
{
    public const string Jobs = "jobs";
    public const string Outputs = "done";

    /// <summary>Short jobs, and one that kills.</summary>
    public const string Risky = "risky";

    /// <summary>Of <see cref="Jobs"/>: writes state and an output.</summary>
    public const string Work = "work";

    /// <summary>Of <see cref="Jobs"/>: a plain acknowledgement.</summary>
    public const string Audit = "audit";

    /// <summary>Of <see cref="Outputs"/>: writes state.</summary>
    public const string Tally = "tally";

    /// <summary>Of <see cref="Jobs"/>, ordered by key: writes state.</summary>
    public const string InOrder = "in-order";

    /// <summary>Of <see cref="Risky"/>: writes state.</summary>
    public const string Risk = "risk";

    /// <summary>Of <see cref="Risky"/>, ordered by key: writes state.</summary>
    public const string RiskInOrder = "risk-in-order";

    /// <summary>The processes of a run on a server.</summary>
    public const int Workers = 4;

    public const int MaxAttempts = 4;

    /// <summary>Of the groups of <see cref="Jobs"/>: deaths are the run's doing there, not the messages'.</summary>
    public const int ManyDeliveries = 1_000;

    /// <summary>Of the groups of <see cref="Risky"/>: the deaths of a message that kills. Short jobs do not meet so many faults.</summary>
    public const int FewDeliveries = 6;

    /// <summary>How long a message that kills waits for it, so that short ones that run beside it are through.</summary>
    private static readonly TimeSpan Fuse = TimeSpan.FromMilliseconds(50);

    /// <summary>The keys whose state the jobs change.</summary>
    public static IReadOnlyList<string> Keys { get; } = [.. Enumerable.Range(0, 12).Select(i => $"key{i}")];

    public static TimeSpan Lease { get; } = TimeSpan.FromSeconds(1);

    /// <summary>A process or server that does not come back for so long has stalled: a few of those, and a lease that needs renewing is lost.</summary>
    public static double StallMs => Lease.TotalMilliseconds / 8;

    public static string LedgerOf(string group, string key) => $"ledger/{group}/{key}";

    public void AddTo(MillraceBuilder millrace) => millrace
        .AddConsumer<Job>(Jobs, Work, RunWithEffectsAsync, Configure)
        .AddConsumer<Job>(Jobs, Audit, RunAsync, Configure)
        .AddConsumer<Done>(Outputs, Tally, TallyAsync, Configure)
        .AddConsumer<Job>(Jobs, InOrder, RunWithStateAsync, ConfigureInOrder)
        .AddConsumer<Job>(Risky, Risk, RunWithStateAsync, ConfigureRisk)
        .AddConsumer<Job>(Risky, RiskInOrder, RunWithStateAsync, options =>
        {
            ConfigureRisk(options);
            ConfigureInOrder(options);
            options.MaxDeliveries = FewDeliveries;
        })
        .Configure(options => options.DrainTimeout = TimeSpan.FromMilliseconds(500));

    private async Task RunWithEffectsAsync(Job job, MessageContext context, CancellationToken token)
    {
        Note(Happened.Begin, context);
        await DoAsync(job, context, token);
        await AddToLedgerAsync(context.MessageId, job.Key, context, token);
        context.Publish(Outputs, new Done(context.MessageId, job.Key, context.DeliveryCount, context.Attempt));
        Note(Happened.End, context);
    }

    private async Task RunWithStateAsync(Job job, MessageContext context, CancellationToken token)
    {
        Note(Happened.Begin, context);
        await DoAsync(job, context, token);
        await AddToLedgerAsync(context.MessageId, job.Key, context, token);
        Note(Happened.End, context);
    }

    private async Task RunAsync(Job job, MessageContext context, CancellationToken token)
    {
        Note(Happened.Begin, context);
        await DoAsync(job, context, token);
        Note(Happened.End, context);
    }

    private async Task TallyAsync(Done done, MessageContext context, CancellationToken token)
    {
        Note(Happened.Begin, context);
        await AddToLedgerAsync(context.MessageId, done.Key, context, token);
        Note(Happened.End, context);
    }

    private async Task DoAsync(Job job, MessageContext context, CancellationToken token)
    {
        if (job.WorkMs > 0)
            await Task.Delay(TimeSpan.FromMilliseconds(job.WorkMs), time, job.IsDeaf ? CancellationToken.None : token);
        if (job.Kind == JobKind.Rejected)
            throw new MessageRejectedException("It is a job to reject.");
        if (job.Kind == JobKind.Kills && job.Victim == context.Group)
        {
            await Task.Delay(Fuse, time, token);
            die();
            await Task.Delay(Timeout.InfiniteTimeSpan, token);
        }

        if (job.Kind is JobKind.Works or JobKind.Kills || (job.Kind == JobKind.FailsFirst && context.Attempt > job.Failures))
            return;
        Note(Happened.Fail, context);
        throw new InvalidOperationException($"Attempt {context.Attempt} fails.");
    }

    private async Task AddToLedgerAsync(string message, string key, MessageContext context, CancellationToken token)
    {
        var name = LedgerOf(context.Group, key);
        var ledger = await ReadAsync(name, context, token) ?? new([]);
        await Task.Yield(); // Whoever meets here has read the same.
        ledger.Messages.Add(message);
        context.State.Put(name, ledger);
    }

    /// <summary>Waits for a store that is away: otherwise it would be the handler that fails, and attempts could not be told in advance.</summary>
    private async Task<Ledger?> ReadAsync(string name, MessageContext context, CancellationToken token)
    {
        while (true)
        {
            try
            {
                return await context.State.GetAsync<Ledger>(name, token);
            }
            catch (StreamException exception) when (exception.IsTransient)
            {
                await Task.Delay(TimeSpan.FromMilliseconds(50), time, token);
            }
        }
    }

    private void Note(Happened what, MessageContext context) => history.Add(new(history.NowMs, what)
    {
        Who = worker,
        Group = context.Group,
        Message = context.MessageId,
        Entry = context.EntryId.ToString(),
        Deliveries = context.DeliveryCount,
        Attempt = context.Attempt,
    });

    private static void Configure(ConsumerOptions options)
    {
        options.Concurrency = 4;
        options.Prefetch = 8;
        options.Lease = Lease;
        options.HandlerTimeout = Timeout.InfiniteTimeSpan;
        options.MaxAttempts = MaxAttempts;
        options.RetryBaseDelay = TimeSpan.FromMilliseconds(20);
        options.RetryMaxDelay = TimeSpan.FromMilliseconds(200);
        options.MaxDeliveries = ManyDeliveries;
    }

    private static void ConfigureRisk(ConsumerOptions options)
    {
        Configure(options);
        options.MaxDeliveries = FewDeliveries;
    }

    private static void ConfigureInOrder(ConsumerOptions options)
    {
        Configure(options);
        options.OrderedBy = nameof(Job.Key);

        // One process reads, so it needs a place for each key where others have four processes.
        options.Concurrency = Keys.Count;
    }
}
