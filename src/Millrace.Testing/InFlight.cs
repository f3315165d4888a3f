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

    /// <summary>Whether nothing is in flight but handlers that run, and the groups they run in, which wait for them.</summary>
    public bool IsNoneBesideHandlers => _recurringHasBegun &&
        _groups.TrueForAll(work => Handlers.Any(run => run.Stream == work.Plan.Stream && run.Group == work.Plan.Group));

    /// <summary>Whether nothing will happen, as far as one can see, before time passes: what is pending is in nobody's hands.</summary>
    public bool MayWaitForTime => Handlers.Count == 0 && _recurringHasBegun &&
        _groups.TrueForAll(static work => !work.IsMissing && (work.Unread == 0 || work.State == WorkerState.Failing));

    public static async ValueTask<InFlight> LookAsync(IStreamStore store, MillraceService service, HandlerWatch handlers)
    {
        var found = new InFlight { Handlers = handlers.Running, _recurringHasBegun = service.RecurringBegun.IsCompleted };
        foreach (var consumer in service.Consumers)
        {
            // A group that may not read has nothing in flight but what still runs, and, when it is paused, what it is handing back.
            var state = consumer.Current.State;
            if (state is not (WorkerState.Starting or WorkerState.Reading or WorkerState.Failing or WorkerState.Paused))
                continue;
            foreach (var stream in (string[])[consumer.Plan.Stream, consumer.Plan.Again])
            {
                var work = await LookAsync(store, consumer.Plan, stream, state).ConfigureAwait(false);
                if (work is not { IsMissing: false, Unread: 0, Pending: 0 })
                    found._groups.Add(work);
            }
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

        foreach (var (plan, stream, unread, pending, isMissing, state) in _groups)
        {
            text.Append(CultureInfo.InvariantCulture, $"\n- Group '{plan.Group}' of '{stream}' ({state}): ")
                .Append(isMissing ? "it is not there yet." : $"{unread} unread or due, {pending} delivered and not settled.");
        }

        if (!_recurringHasBegun)
            text.Append("\n- Recurring messages have not begun.");
        if (Handlers.Count > 0)
            text.Append("\nA handler that waits for the clock needs AdvanceAsync(…, whileHandlersRun: true); one that waits for the test, the test.");
        else if (_groups.Count > 0)
            text.Append("\nWhat is delivered and in no handler's hands comes back after its lease: AdvanceAsync lets that time pass.");
        return text.ToString();
    }

    private static async ValueTask<GroupWork> LookAsync(IStreamStore store, GroupPlan plan, string stream, WorkerState state)
    {
        var schedule = await store.GetScheduleAsync(stream).ConfigureAwait(false);
        var groups = await store.GetGroupsAsync(stream).ConfigureAwait(false);
        if (groups.FirstOrDefault(group => group.Name == plan.Group) is not { } info)
            return new(plan, stream, 0, 0, IsMissing: true, state);

        // After some deletions the store does not know how many there are, only whether there are any.
        var unread = info.Lag ?? ((await store.GetStreamInfoAsync(stream).ConfigureAwait(false))?.LastEntry?.Id > info.LastDeliveredId ? 1 : 0);
        unread = state == WorkerState.Paused ? 0 : unread + (schedule.NextIn == TimeSpan.Zero ? 1 : 0);
        return new(plan, stream, unread, info.PendingCount, IsMissing: false, state);
    }

    private sealed record GroupWork(GroupPlan Plan, string Stream, long Unread, long Pending, bool IsMissing, WorkerState State);
}
