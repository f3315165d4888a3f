using System.Buffers;
using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What a handler knows of the message it handles, and where its effects go: messages and state documents that leave in one commit with the
/// acknowledgement. One per attempt; not for concurrent use.
/// </summary>
public sealed class MessageContext
{
    private readonly Delivery _delivery;
    private readonly Settlement _settlement;
    private List<CommitCondition>? _required;
    private CommitOutputs? _outputs;
    private int _published;
    private StateSession? _state;

    internal MessageContext(Delivery delivery, Settlement settlement) => (_delivery, _settlement) = (delivery, settlement);

    internal Delivery Delivery => _delivery;

    /// <summary>The call of a batch handler that the message is part of, once that begins.</summary>
    internal BatchContext? Batch { get; set; }

    /// <summary>The stream the message was published to, also when it comes back from a retry.</summary>
    public string Stream => Plan.Home;

    /// <summary>The priority lane the message came by, or <see langword="null"/>: the stream itself.</summary>
    public string? Lane => Plan.Lane?.Name;

    /// <summary>The consumer group.</summary>
    public string Group => Plan.Group;

    /// <summary>The name of this process in the group.</summary>
    public string Consumer => Plan.Consumer;

    /// <summary>The ID of the entry delivered. A retry is another entry: <see cref="MessageHeaders.SourceId"/> stays.</summary>
    public EntryId EntryId => _delivery.Id;

    /// <summary>Everything the entry says about the message.</summary>
    public MessageHeaders Headers => field ??= _delivery.ReadHeaders(Plan);

    /// <summary>The fields of the entry.</summary>
    public EntryFields Fields => _delivery.Entry.Fields;

    /// <summary>The message ID. Stays the same over all attempts.</summary>
    public string MessageId => Headers.MessageId;

    /// <summary>The conversation the message belongs to. Outputs go on with it.</summary>
    public string CorrelationId => Headers.CorrelationId;

    /// <summary>The message that caused this one, or <see langword="null"/>.</summary>
    public string? CausationId => Headers.CausationId;

    /// <summary>What the message is about, or <see langword="null"/>.</summary>
    public string? Subject => Headers.Subject;

    /// <summary>The message's declared name.</summary>
    public string Type => Headers.Type;

    /// <summary>The version it was published in, before upcasters.</summary>
    public int Version => Headers.Version;

    /// <summary>When the message was made.</summary>
    public DateTimeOffset Time => Headers.Time;

    /// <summary>Which attempt this is, 1 for the first. See <see cref="ConsumerOptions.MaxAttempts"/>.</summary>
    public int Attempt => _delivery.Attempt;

    /// <summary>Deliveries of this entry including this one, 1 for the first. See <see cref="ConsumerOptions.MaxDeliveries"/>.</summary>
    public long DeliveryCount => _delivery.PriorDeliveries + _delivery.Entry.DeliveryCount;

    /// <summary>
    /// Cancelled when another consumer may have taken the entry over: nothing the handler does now will be committed. The token the handler
    /// gets is cancelled too, and also by the time limit and by an end that cannot wait.
    /// </summary>
    public CancellationToken LeaseLost => _delivery.LeaseLost;

    /// <summary>
    /// Holds as long as the message is this attempt's: the fence for a commit that code around the handler makes itself while the handler runs. The commit
    /// of the acknowledgement has it anyway.
    /// </summary>
    public CommitCondition StillHeld => CommitCondition.StillHeld(_delivery.Stream, Group, Consumer, _delivery.Held);

    /// <summary>What code around the handler keeps with this attempt, for <see cref="ConsumerOptions.OnSettling"/>. Default: nothing.</summary>
    public object? Tag { get; set; }

    /// <summary>State documents of <see cref="Stream"/> that are written in the same commit as the acknowledgement.</summary>
    /// <exception cref="InvalidOperationException">The message was settled by hand already.</exception>
    public StateSession State
    {
        get
        {
            ThrowIfSettled();
            return _state ??= new(_settlement.Store, Core.Serializer, Stream);
        }
    }

    /// <summary>
    /// Publishes a message in the same commit as the acknowledgement: exactly once for each message handled, or not at all. The correlation
    /// goes on, the cause is the message handled, and the message ID is derived from it, so that every redelivery would publish the same.
    /// </summary>
    /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
    /// <param name="stream">The stream; on a cluster, in the hash slot of this one.</param>
    /// <param name="message">The message; serialized now.</param>
    /// <param name="options">More about the message; <see cref="PublishOptions.Delay"/> schedules it. Default: nothing.</param>
    /// <exception cref="ArgumentException">The stream has no such lane.</exception>
    /// <exception cref="InvalidOperationException">
    /// The message type has no declared name, or the message was settled by hand already.
    /// </exception>
    public void Publish<T>(string stream, T message, PublishOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(message);
        ThrowIfSettled();
        Publisher.RefuseTrim(options);
        stream = Core.StreamOf(stream, options);
        var fields = EncodeOutput(message, options);
        (_outputs ??= []).Add(options?.Delay is { } delay
            ? new CommitChange.Schedule(stream, fields, delay)
            : new CommitChange.Append(stream, fields));
    }

    /// <summary>
    /// Schedules an output: <see cref="Publish"/> with <see cref="PublishOptions.Delay"/>. It leaves with the acknowledgement as any other, and the store
    /// keeps it until its time has come.
    /// </summary>
    /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
    /// <param name="stream">The stream; on a cluster, in the hash slot of this one.</param>
    /// <param name="message">The message; serialized now.</param>
    /// <param name="delay">From the moment of the commit, by the store's clock; zero to <see cref="StreamLimits.MaxDuration"/>.</param>
    /// <param name="options">More about the message; its own delay is overruled. Default: nothing.</param>
    /// <exception cref="ArgumentException">The delay is out of its bounds, or the stream has no such lane.</exception>
    /// <exception cref="InvalidOperationException">
    /// The message type has no declared name, or the message was settled by hand already.
    /// </exception>
    public void Schedule<T>(string stream, T message, TimeSpan delay, PublishOptions? options = null)
    {
        StreamArguments.CheckDuration(delay);
        Publish(stream, message, (options ?? new()) with { Delay = delay });
    }

    /// <summary>
    /// Makes the fields of an output as <see cref="Publish"/> does, correlation, cause and derived message ID included, for those who keep it elsewhere,
    /// such
    /// as an outbox in a database. Nothing leaves with the acknowledgement.
    /// </summary>
    /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
    /// <param name="message">The message; serialized now.</param>
    /// <param name="options">More about the message. Delay and trim mean nothing here. Default: nothing.</param>
    /// <exception cref="InvalidOperationException">The message type has no declared name.</exception>
    public EntryFields Encode<T>(T message, PublishOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(message);
        return EncodeOutput(message, options, isKept: true);
    }

    /// <summary>
    /// Adds a change of the store to the commit of the acknowledgement, for what <see cref="Publish"/> and <see cref="State"/> cannot say. Not for
    /// entries and documents that Millrace keeps itself.
    /// </summary>
    /// <param name="change">The change; on a cluster, in the hash slot of <see cref="Stream"/>.</param>
    /// <exception cref="InvalidOperationException">The message was settled by hand already.</exception>
    public void Enlist(CommitChange change)
    {
        ArgumentNullException.ThrowIfNull(change);
        ThrowIfSettled();
        (_outputs ??= []).Enlist(change);
    }

    /// <summary>
    /// Makes the effects and the acknowledgement depend on something in the store. When it does not hold nothing is applied and the handler runs
    /// again, so look at the store in each run.
    /// </summary>
    /// <param name="condition">The condition; on a cluster, in the hash slot of <see cref="Stream"/>.</param>
    /// <exception cref="InvalidOperationException">
    /// The message was settled by hand already, or the last ID of the stream is required a second time.
    /// </exception>
    public void Require(CommitCondition condition)
    {
        ArgumentNullException.ThrowIfNull(condition);
        ThrowIfSettled();
        if (condition is CommitCondition.LastId last && _required?.OfType<CommitCondition.LastId>().Any(other => other.Stream == last.Stream) == true)
            throw new InvalidOperationException($"The commit depends on the last ID of '{last.Stream}' already: append to a stream once a message.");
        (_required ??= []).Add(condition);
    }

    /// <summary>
    /// Acknowledges the message now, with the outputs and state so far, instead of when the handler returns. What the handler does
    /// afterwards cannot bring it back. One round trip.
    /// </summary>
    /// <param name="cancellationToken">Stops the waiting; the message may still be acknowledged.</param>
    /// <returns><see langword="false"/>: the lease was lost, nothing was written, another consumer handles the message.</returns>
    /// <exception cref="InvalidOperationException">The message was settled by hand already.</exception>
    /// <exception cref="CommitConflictException">
    /// A state document changed since it was read, or what was required does not hold; let it pass and the handler runs again.
    /// </exception>
    /// <exception cref="StreamException">
    /// The store refuses an output or state document for good. <see cref="StreamErrorCode.OutcomeUnknown"/>: an answer of the store was lost, or its disk
    /// failed meanwhile. Either all was written, or nothing and the message is delivered again; undo nothing, and let it pass.
    /// </exception>
    public ValueTask<bool> AckAsync(CancellationToken cancellationToken = default) =>
        SettleAsync(SettleAction.Ack.Instance, cancellationToken);

    /// <summary>Moves the message to the dead letters now, with the outputs and state so far. One round trip.</summary>
    /// <param name="reason">Why, for the people who read dead letters.</param>
    /// <param name="cancellationToken">Stops the waiting; the message may still be moved.</param>
    /// <returns><see langword="false"/>: the lease was lost, nothing was written, another consumer handles the message.</returns>
    /// <exception cref="InvalidOperationException">The message was settled by hand already.</exception>
    /// <exception cref="CommitConflictException">
    /// A state document changed since it was read, or what was required does not hold; let it pass and the handler runs again.
    /// </exception>
    /// <exception cref="StreamException">
    /// The store refuses an output or state document for good. <see cref="StreamErrorCode.OutcomeUnknown"/>: an answer of the store was lost, or its disk
    /// failed meanwhile. Either all was written, or nothing and the message is delivered again; undo nothing, and let it pass.
    /// </exception>
    public ValueTask<bool> RejectAsync(string reason, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(reason);
        return SettleAsync(new SettleAction.DeadLetter(reason, KeepOutputs: true), cancellationToken);
    }

    internal TimeProvider Clock => Core.Time;

    private MillraceCore Core => _settlement.Core;

    private GroupPlan Plan => _settlement.Plan;

    /// <summary>Whether the handler settled the message itself.</summary>
    internal bool IsSettled { get; private set; }

    /// <summary>
    /// Whether something leaves with the acknowledgement besides it: outputs, state documents, or what was enlisted and required.
    /// </summary>
    public bool HasEffects => _outputs is not null || _required is not null || _state is { HasChanges: true };

    /// <summary>Whether the effects depend on what may change meanwhile, so that the handler may have to run again.</summary>
    internal bool HasConditions => _required is not null || _state is { HasConditions: true };

    internal CommitOutputs? Outputs => _outputs;

    internal void AddEffectsTo(List<CommitCondition> conditions, List<CommitChange> changes)
    {
        conditions.AddRange(_required ?? []);
        _outputs?.AddTo(changes);
        _state?.AddTo(conditions, changes);
    }

    /// <summary>
    /// A UUID version 8 from SHA-256 of the message, the stream and group that handle it, and the position of the output: the same inputs
    /// give the same ID in every process and language. The stream, because a dead letter keeps its message ID.
    /// </summary>
    internal static Guid OutputId(string messageId, string stream, string group, int ordinal)
    {
        var names = $"{messageId}\n{stream}\n{group}\n";
        var rented = ArrayPool<byte>.Shared.Rent(Encoding.UTF8.GetMaxByteCount(names.Length) + sizeof(int));
        var length = Encoding.UTF8.GetBytes(names, rented);
        BinaryPrimitives.WriteInt32BigEndian(rented.AsSpan(length), ordinal);
        Span<byte> digest = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(rented.AsSpan(0, length + sizeof(int)), digest);
        ArrayPool<byte>.Shared.Return(rented);
        digest[6] = (byte)((digest[6] & 0x0F) | 0x80);
        digest[8] = (byte)((digest[8] & 0x3F) | 0x80);
        return new Guid(digest[..16], bigEndian: true);
    }

    private EntryFields EncodeOutput(object message, PublishOptions? options, bool isKept = false) => Core.Codec.Encode(message, new()
    {
        MessageId = OutputId(MessageId, Stream, Group, _published++),
        Time = isKept || options?.Delay is not null ? Core.Time.GetUtcNow() : null,
        Options = options,
        CorrelationId = CorrelationId,
        CausationId = MessageId,
        TraceParent = Telemetry.TraceParent,
    });

    private async ValueTask<bool> SettleAsync(SettleAction action, CancellationToken cancellationToken)
    {
        ThrowIfSettled();
        IsSettled = true;
        _delivery.IsSettledByHand = true;
        try
        {
            return await _settlement.SettleByHandAsync(_delivery, this, action, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not StreamException { Code: StreamErrorCode.OutcomeUnknown })
        {
            // Nothing was applied, so the handler's end decides: it fails, or runs again with fresh state. Of a wait that was cancelled nobody knows yet.
            _delivery.IsInDoubt |= exception is OperationCanceledException;
            IsSettled = false;
            _delivery.IsSettledByHand = false;
            throw;
        }
    }

    private void ThrowIfSettled()
    {
        if (IsSettled)
            throw new InvalidOperationException($"The message {MessageId} was settled already; a message is settled once.");
    }
}
