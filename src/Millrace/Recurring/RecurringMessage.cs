using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Recurring;

/// <summary>A recurring message as the application added it: a chain of ticks, each of which makes the message and schedules the next tick.</summary>
/// <remarks>
/// The chain lives in the store: its tick waits in the schedule of a stream of its own, a state document says which moment is next, and one
/// commit takes the tick, publishes the message, moves the document on and schedules the next tick. So a firing happens once, whoever makes it
/// and whatever dies in between. No clock of a process makes a firing before the store says that it is time: the ID of the tick does. The first
/// tick of a recurrence makes no message. It only says from when on the recurrence counts, by the clock of who began it or the store's, whichever is
/// behind, and never again what was made already.
/// <code>
/// {reports}:recurring:daily              ticks that are due, deleted when they have fired; one consumer group of all processes
/// {reports}:recurring:daily:scheduled    the tick that waits
/// {reports}:state:recurring/daily        recurrence, epoch, next, last
/// </code>
/// </remarks>
internal sealed class RecurringMessage
{
    public const string Group = "millrace";

    // Store and process count milliseconds apart: a tick that is early by no more is not sent round again.
    private static readonly TimeSpan EarlyBy = TimeSpan.FromMilliseconds(5);

    // A tick whose ID is older than this has waited, or this clock is ahead: the store is asked once more what time it is.
    private static readonly TimeSpan LateBy = TimeSpan.FromSeconds(1);

    // Each is lost to a firing or to another process, which is done then.
    private const int MaxConflicts = 10;

    private readonly Recurrence _recurrence;
    private readonly MissedFirings _missed;
    private readonly Action<MessageContext, string, DateTimeOffset, string> _publish;
    private readonly StateKey _state;

    // Whether this process has seen to the chain since it started. Until then a tick may come that another version scheduled.
    private volatile bool _hasStarted;

    // The moment this process has begun the chain anew for, when, and how often. The first time is enough, unless what breaks chains goes on; but where
    // this clock is ahead of the store's, the chain looks broken until it fires.
    private (DateTimeOffset? For, DateTimeOffset At, int Times) _begunAnew;

    public RecurringMessage(
        string name,
        string stream,
        Recurrence recurrence,
        MissedFirings missed,
        Type messageType,
        string? lane,
        Action<MessageContext, string, DateTimeOffset, string> publish)
    {
        (Name, Stream, _recurrence, _missed, MessageType, Lane, _publish) = (name, stream, recurrence, missed, messageType, lane, publish);
        _state = new(stream, $"recurring/{name}");
        Ticks = StreamNames.Derive(stream, $"recurring:{name}");
    }

    public string Name { get; }

    /// <summary>The stream it is published to.</summary>
    public string Stream { get; }

    public Type MessageType { get; }

    /// <summary>The lane of the stream, or <see langword="null"/>: the stream itself.</summary>
    public string? Lane { get; }

    /// <summary>The stream of its ticks.</summary>
    public string Ticks { get; }

    /// <summary>The consumer of its ticks. What fails, the next attempt or a new chain makes up for, so it gives up late and waits long.</summary>
    public ConsumerRegistration Consumer => ConsumerRegistration.ForDelegate<RecurringTick>(
        Ticks,
        Group,
        FireAsync,
        static options => (options.Concurrency, options.MaxAttempts, options.MaxDeliveries, options.OwnsStream) = (1, 1_000, 1_000, true));

    /// <summary>Begins the chain if there is none, or anew if the recurrence is another now or the chain is broken.</summary>
    /// <param name="publisher">Begins the commit.</param>
    /// <param name="now">The time.</param>
    /// <param name="isStart">Whether the process starts, and with it perhaps a new version of the application.</param>
    /// <param name="grace">
    /// How long a moment may be due, and the chain stand still, before it counts as broken. Where this process has begun it anew for the same moment, it
    /// waits for twice as long, and so on up to 32 times.
    /// </param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Whether a chain was begun.</returns>
    /// <exception cref="CommitConflictException">The chain moved each time while this was about to begin it anew; try again.</exception>
    public async Task<bool> EnsureAsync(
        Publisher publisher, DateTimeOffset now, bool isStart, TimeSpan grace, CancellationToken cancellationToken)
    {
        for (var conflicts = 1; ; conflicts++)
        {
            var result = await TryEnsureAsync(publisher, now, isStart, grace, cancellationToken).ConfigureAwait(false);
            if (result is not { IsApplied: false })
            {
                _hasStarted = true;
                return result is not null;
            }

            if (conflicts == MaxConflicts)
                throw new CommitConflictException(result.Conflict!);
        }
    }

    /// <summary>Looks at the chain once. Answers <see langword="null"/> when there is nothing to do.</summary>
    private async Task<CommitResult?> TryEnsureAsync(
        Publisher publisher, DateTimeOffset now, bool isStart, TimeSpan grace, CancellationToken cancellationToken)
    {
        var commit = publisher.NewCommit(Stream);
        var state = await commit.State.GetAsync<RecurringState>(_state, cancellationToken).ConfigureAwait(false);
        var isChanged = state is null || (isStart && IsChanged(state));

        // One that makes up for what it missed, or was begun anew just now, is late and not broken. What moved in the future says nothing.
        var hasMoved = state?.MovedAt is { } moved && (now - moved).Duration() < grace;
        var last = state?.Next == _begunAnew.For ? _begunAnew : default;
        var isEarly = (now - last.At).Duration() < grace * (1 << Math.Min(last.Times, 5));
        var isBroken = (state is { IsNew: true } || state?.Next < now - grace) && !hasMoved && !isEarly;
        if (!isChanged && !isBroken)
            return null;

        var begun = Begin(state, now, isStart);
        commit.State.Put(_state, begun);
        if (begun.NextTick is { } due)
            commit.Publish(Ticks, new RecurringTick(due, begun.Epoch), Delayed(begun, now));
        var result = await commit.CommitAsync(cancellationToken).ConfigureAwait(false);
        if (result.IsApplied && isBroken)
            _begunAnew = (begun.Next, now, last.Times + 1);
        return result;
    }

    private bool IsChanged(RecurringState state) => state.Recurrence != _recurrence.ToString() || state.Missed != _missed;

    /// <summary>A chain that broke, or makes up for missed firings in another way now, goes on where it was. Only another recurrence begins now.</summary>
    private RecurringState Begin(RecurringState? state, DateTimeOffset now, bool isStart)
    {
        var epoch = (state?.Epoch ?? 0) + 1;
        if (state is not null && !isStart)
            return state with { Epoch = epoch, MovedAt = now }; // Perhaps of another version of the application.
        var recurrence = _recurrence.ToString();
        return state?.Recurrence == recurrence
            ? state with { Missed = _missed, Epoch = epoch, MovedAt = now }
            : new(recurrence, _missed, epoch, Next: null, now, state?.Last, BegunAt: now);
    }

    private async Task FireAsync(RecurringTick tick, MessageContext context, CancellationToken cancellationToken)
    {
        var state = await context.State.GetAsync<RecurringState>(_state, cancellationToken).ConfigureAwait(false);
        if (state is null || state.Epoch != tick.Epoch || state.NextTick != tick.Due)
            return; // Of a chain that is none any more.
        if (!_hasStarted && IsChanged(state))
        {
            // This came before our own look at the chain, and what this version says of it counts already.
            MoveOn(context, Begin(state, context.Clock.GetUtcNow(), isStart: true), context.Clock.GetUtcNow());
            return;
        }

        // What the store says counts: another version of the application may have begun the chain.
        var recurrence = state.Recurrence == _recurrence.ToString() ? _recurrence : Recurrence.Parse(state.Recurrence);
        var (now, ofStore) = (context.Clock.GetUtcNow(), TimeOf(context.EntryId));
        if (state.IsNew)
        {
            // However late this comes: the store said when the chain was begun, by the ID that the tick had first.
            var from = Min(tick.Due, TimeOf(context.Headers.SourceId));
            MoveOn(context, state with { BegunAt = null, Next = recurrence.Next(from < state.Last ? state.Last.Value : from) }, now);
            return;
        }

        if (now - ofStore > LateBy && !tick.IsDated)
        {
            context.Publish(Ticks, tick with { IsDated = true }, new() { Delay = TimeSpan.Zero });
            return;
        }

        now = Min(now, ofStore);
        if (tick.Due - now > EarlyBy)
        {
            context.Publish(Ticks, tick with { IsDated = false }, new() { Delay = Until(tick.Due, now) });
            return;
        }

        var due = state.Missed == MissedFirings.Latest ? recurrence.LastUntil(tick.Due, now) : tick.Due;
        _publish(context, Stream, due, $"{Name}@{due.UtcDateTime:O}");
        MoveOn(context, state with { Last = due, Next = recurrence.Next(due) }, now);
    }

    private void MoveOn(MessageContext context, RecurringState state, DateTimeOffset now)
    {
        context.State.Put(_state, state with { MovedAt = now });
        if (state.NextTick is { } due)
            context.Publish(Ticks, new RecurringTick(due, state.Epoch), Delayed(state, now));
    }

    /// <summary>The first tick comes at once.</summary>
    private static PublishOptions? Delayed(RecurringState state, DateTimeOffset now) =>
        state is { IsNew: false, Next: { } due } ? new() { Delay = Until(due, now) } : null;

    private static DateTimeOffset Min(DateTimeOffset one, DateTimeOffset other) => one < other ? one : other;

    private static DateTimeOffset TimeOf(EntryId id) =>
        DateTimeOffset.FromUnixTimeMilliseconds((long)Math.Min(id.Milliseconds, (ulong)DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()));

    private static TimeSpan Until(DateTimeOffset due, DateTimeOffset now) =>
        due <= now ? TimeSpan.Zero : due - now < StreamLimits.MaxDuration ? due - now : StreamLimits.MaxDuration;
}
