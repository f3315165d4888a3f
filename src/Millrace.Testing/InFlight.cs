using System.Globalization;
using System.Text;
using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>What a host has not done with yet, at one moment.</summary>
internal sealed class InFlight
{
    private readonly List<GroupWork> _groups = [];
    private bool _recurringHasBegun = true;

    private InFlight()
    {
    }

    public static InFlight None { get; } = new();

    /// <summary>The handlers that run.</summary>
    public IReadOnlyList<HandlerRun> Handlers { get; private init; } = [];

    /// <summary>Whether there is nothing.</summary>
    public bool IsNone => Handlers.Count == 0 && IsNoneBesideHandlers;

    /// <summary>Whether nothing is in flight but handlers that run, and the groups they run in, which wait for them in all lanes.</summary>
    public bool IsNoneBesideHandlers => _recurringHasBegun &&
        _groups.TrueForAll(work => Handlers.Any(run => run.Stream == work.Plan.Home && run.Group == work.Plan.Group));

    /// <summary>
    /// Whether nothing will happen, as far as one can see, before time passes: what is pending is in nobody's hands, and what is unread behind it may
    /// have no room before some of that is handled.
    /// </summary>
    public bool MayWaitForTime => Handlers.Count == 0 && _recurringHasBegun &&
        _groups.TrueForAll(static work => !work.IsMissing && (work.Unread == 0 || work.Pending > 0 || work.State == WorkerState.Failing));

    public static async ValueTask<InFlight> LookAsync(IStreamStore store, MillraceService service, HandlerWatch handlers)
    {
        var found = new InFlight { Handlers = handlers.Running, _recurringHasBegun = service.RecurringBegun.IsCompleted };
        foreach (var consumer in service.Consumers)
        {
            var state = consumer.Current.State;
            if (state is WorkerState.StandingBy or WorkerState.Halted or WorkerState.Stopping or WorkerState.Died)
                continue;
            var main = await LookAsync(store, consumer.Plan.Stream, consumer.Plan.Group).ConfigureAwait(false);
            var again = await LookAsync(store, consumer.Plan.Again, consumer.Plan.Group).ConfigureAwait(false);

            // A parked key waits for its time like any retry, and what is behind it waits for the key, in the store as well where no more may wait here.
            // A group that may not read has nothing in flight but what has begun; except that it hands back the rest when it is paused, and not ordered.
            var parked = consumer.Parked();
            var isBarred = state is WorkerState.Paused or WorkerState.Tripped;
            var keepsRest = state == WorkerState.Tripped || (isBarred && consumer.Plan.OrderKeys is not null);
            var work = new GroupWork(consumer.Plan, state, IsMissing: main is null || again is null)
            {
                Unread = isBarred || parked.IsFull ? 0 : (main?.Unread ?? 0) + (again?.Unread ?? 0),
                Pending = keepsRest ? consumer.BegunCount() : (main?.Pending ?? 0) + (again?.Pending ?? 0) - parked.Entries,
            };
            if (work is not { IsMissing: false, Unread: 0, Pending: <= 0 })
                found._groups.Add(work);
        }

        return found;
    }

    /// <summary>The same, for people.</summary>
    public string Describe(DateTimeOffset now)
    {
        var text = new StringBuilder();
        foreach (var run in Handlers)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n- A handler of group '{run.Group}' of '{run.Stream}' runs since ")
                .Append(CultureInfo.InvariantCulture, $"{now - run.StartedAt} of virtual time: {run.Message}, attempt {run.Attempt}.");
        }

        foreach (var work in _groups)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n- Group '{work.Plan.Group}' of '{work.Plan.Stream}' ({work.State}): ")
                .Append(work.IsMissing ? "it is not there yet." : $"{work.Unread} unread or due, {work.Pending} delivered and not settled.");
        }

        if (!_recurringHasBegun)
            text.Append("\n- Recurring messages have not begun.");
        if (Handlers.Count > 0)
            text.Append("\nA handler that waits for the clock needs AdvanceAsync(…, whileHandlersRun: true); one that waits for the test, the test.");
        else if (_groups.Count > 0)
            text.Append("\nWhat is delivered and in no handler's hands comes back after its lease: AdvanceAsync lets that time pass.");
        return text.ToString();
    }

    private static async ValueTask<(long Unread, long Pending)?> LookAsync(IStreamStore store, string stream, string group)
    {
        var schedule = await store.GetScheduleAsync(stream).ConfigureAwait(false);
        var groups = await store.GetGroupsAsync(stream).ConfigureAwait(false);
        if (groups.FirstOrDefault(info => info.Name == group) is not { } info)
            return null;

        // After some deletions the store does not know how many there are, only whether there are any.
        var unread = info.Lag ?? ((await store.GetStreamInfoAsync(stream).ConfigureAwait(false))?.LastEntry?.Id > info.LastDeliveredId ? 1 : 0);
        return (unread + (schedule.NextIn == TimeSpan.Zero ? 1 : 0), info.PendingCount);
    }

    private sealed record GroupWork(GroupPlan Plan, WorkerState State, bool IsMissing)
    {
        public required long Unread { get; init; }

        public required long Pending { get; init; }
    }
}
