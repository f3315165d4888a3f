using System.Diagnostics;
using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// One delivery from its entry to the decision what is to become of it: delivery limit → route → decode → upcast → deduplicate → trace →
/// time limit → handler. Decides, but settles nothing.
/// </summary>
internal sealed class DeliveryPipeline(
    MillraceCore core,
    GroupPlan plan,
    HandlerInvoker invoker,
    BatchHandlers batches,
    Settlement settlement,
    UndecodableEntries undecodable,
    Deduplication deduplication,
    ILogger logger)
{
    private readonly ConsumerOptions _options = plan.Options;
    private readonly RetryPolicy _retries = new(plan.Options);

    // A batch has a time limit of its own, which begins when the batch does.
    private readonly HandlerTokens _tokens = new(plan.IsBatch ? Timeout.InfiniteTimeSpan : plan.Options.HandlerTimeout, core.Time);

    public async ValueTask<PipelineResult> RunAsync(Delivery delivery)
    {
        var envelope = EnvelopeCodec.Decode(delivery.Entry.Fields);
        if (Refuse(delivery) is { } refused)
            return new(refused);
        if (!TryDecode(envelope, out var type, out var route, out var message, out var verdict))
            return new(verdict is SettleAction.DeadLetter dead ? undecodable.Decide(delivery, dead) : verdict);
        if (delivery.Seen is not null && await FindDuplicateAsync(delivery).ConfigureAwait(false) is { } duplicate)
            return duplicate;

        using var activity = Telemetry.StartProcess(plan.Stream, plan.Group, delivery.Entry.Fields);
        var context = new MessageContext(delivery, settlement);
        Exception? failure;
        var started = core.Meter.StartProcess();
        try
        {
            var token = delivery.BeginRun(_tokens);
            failure = plan.IsBatch
                ? await batches.InvokeAsync(route.Handler, message, context, token).ConfigureAwait(false)
                : await invoker.InvokeAsync(route.Handler, message, context, token).ConfigureAwait(false);
            if (failure is OperationCanceledException && token.IsCancellationRequested && delivery.Cause == CancelCause.None)
                failure = new TimeoutException($"The handler took longer than its time limit of {_options.HandlerTimeout}.", failure);
        }
        finally
        {
            delivery.EndRun(_tokens);
        }

        if (ReferenceEquals(failure, BatchHandlers.NotBegun) && delivery.Cause == CancelCause.None)
        {
            activity?.ActivityTraceFlags = ActivityTraceFlags.None; // Not to be exported: no handler ran.
            return new(SettleAction.Abandon.Instance, HasBegun: false);
        }

        core.Meter.EndProcess(started, plan, type, failure);
        if (failure is null)
            return new(SettleAction.Ack.Instance, context);
        Telemetry.Fail(activity, failure);
        if (!context.IsSettled)
            return new(Decide(delivery, failure), context, failure);

        // The handler had the last word already; what came afterwards cannot bring the message back.
        LogMessages.FailedAfterSettling(logger, failure, plan.Stream, plan.Group, delivery.Id);
        return new(SettleAction.Ack.Instance, context);
    }

    /// <summary>What becomes of a message whose handler, or whose commit, failed.</summary>
    public SettleAction Decide(Delivery delivery, Exception failure)
    {
        if (delivery.Cause != CancelCause.None)
            return SettleAction.Abandon.Instance;
        var action = _retries.Decide(delivery.Attempt, failure);
        return action is SettleAction.DeadLetter { Reason: DeadLetterReasons.AttemptsExhausted } &&
            delivery.Turn?.Key is not null && _options.WhenExhausted == WhenExhausted.Park
            ? new SettleAction.Retry(Timeout.InfiniteTimeSpan, failure)
            : action;
    }

    /// <summary>What never reaches a handler, whatever it says: entries that are gone, and those that may kill it.</summary>
    private SettleAction? Refuse(Delivery delivery)
    {
        if (delivery.Entry.Fields.Count == 0)
            return SettleAction.Ack.Instance; // Deleted while it was pending: there is nothing left to handle.
        return delivery.PriorDeliveries + delivery.Entry.DeliveryCount > _options.MaxDeliveries
            ? new SettleAction.DeadLetter(DeadLetterReasons.DeliveryLimit)
            : null;
    }

    /// <summary>A message the group has handled within its window; or one that cannot be looked up, which counts as failed.</summary>
    private async ValueTask<PipelineResult?> FindDuplicateAsync(Delivery delivery)
    {
        try
        {
            return await deduplication.IsDuplicateAsync(delivery).ConfigureAwait(false) ? new(SettleAction.Ack.Instance) : null;
        }
        catch (StreamException failure)
        {
            return new(Decide(delivery, failure), Failure: failure);
        }
    }

    /// <summary>Finds the handler and reads the message it takes; otherwise says what is to become of the entry.</summary>
    private bool TryDecode(
        in IncomingEnvelope envelope,
        [NotNullWhen(true)] out MessageType? type,
        out HandlerRoute route,
        [NotNullWhen(true)] out object? message,
        [NotNullWhen(false)] out SettleAction? verdict)
    {
        message = null;
        if (!plan.Routes.TryFind(envelope, out type, out route, out verdict))
            return false;
        if (TryReadMessage(envelope, type, route.Version, out message, out var error))
            return true;
        verdict = new SettleAction.DeadLetter(DeadLetterReasons.UndecodableData, error);
        return false;
    }

    public static bool TryReadMessage(
        in IncomingEnvelope envelope, MessageType type, int version, [NotNullWhen(true)] out object? message, out Exception? error)
    {
        message = null;
        error = null;
        if (envelope.Data is not { } data || !envelope.IsJson)
        {
            error = new FormatException(
                envelope.IsJson ? "The entry has no field 'data'." : "The data are not JSON by their 'datacontenttype'.");
            return false;
        }

        try
        {
            var read = MessageSerializer.Deserialize(data.Span, type.Json)
                ?? throw new FormatException("The data are the JSON value null.");
            message = type.Upcast(read, version);
            return true;
        }
        catch (Exception exception)
        {
            // Converters, constructors and upcasters are the application's code and may throw anything; the same data throw it every time.
            error = exception;
            return false;
        }
    }
}

/// <summary>What the pipeline decided.</summary>
/// <param name="Action">What is to become of the delivery.</param>
/// <param name="Context">What the handler left, if one ran.</param>
/// <param name="Failure">What the handler threw, if it did.</param>
/// <param name="HasBegun">Whether it went its way. Otherwise the gate closed on it, and it is to wait there again.</param>
internal readonly record struct PipelineResult(
    SettleAction Action, MessageContext? Context = null, Exception? Failure = null, bool HasBegun = true);
