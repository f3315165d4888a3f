using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>
/// Says how projections do, waits for them, and tells them what to do: pause, resume, rebuild, skip. What it changes is kept in the store and holds for
/// whichever process runs the projection, also after a restart. A singleton, in every process that adds the projection.
/// </summary>
public sealed class ProjectionControl
{
    // Events passed over that a call tells; who has more looks elsewhere first.
    private const int MaxSkipped = 1_000;

    // A wait in the process that runs the projection looks at the store as often, in case another has taken over.
    private static readonly TimeSpan OwnerWait = TimeSpan.FromSeconds(1);

    private readonly Dictionary<string, ProjectionRuntime> _projections;
    private readonly IStreamStore _store;
    private readonly TimeProvider _time;

    internal ProjectionControl(IEnumerable<ProjectionRuntime> projections, IStreamStore store, TimeProvider time)
    {
        _projections = projections.ToDictionary(one => one.Definition.Name, StringComparer.Ordinal);
        (_store, _time) = (store, time);
    }

    internal IReadOnlyCollection<ProjectionRuntime> Runtimes => _projections.Values;

    /// <summary>Every projection of this process and what it is at here. No round trip.</summary>
    public IReadOnlyList<ProjectionReport> Local => [.. _projections.Values.Select(one => one.Status.Report)];

    /// <summary>How a projection does, whichever process runs it. About seven round trips.</summary>
    /// <param name="projection">Its name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<ProjectionReport> GetAsync(string projection, CancellationToken cancellationToken = default)
    {
        var (definition, target, status) = Find(projection);
        var names = definition.Names;
        var documents = await _store.GetStatesAsync([names.Head, names.Pulse], cancellationToken).ConfigureAwait(false);
        var local = status.Report;
        if (ProjectionPlan.Parse(documents[0]) is not { } plan)
            return local with { State = status.IsRunning ? local.State : ProjectionState.Idle };

        var head = plan.Head;
        var checkpoint = await target.LoadAsync(head.Live.Number, cancellationToken).ConfigureAwait(false);
        if (await LiveAsync(Find(projection), cancellationToken).ConfigureAwait(false) != head.Live.Number)
            return await GetAsync(projection, cancellationToken).ConfigureAwait(false); // Swapped, and perhaps removed, before it was read.
        var info = await _store.GetStreamInfoAsync(names.Source, cancellationToken).ConfigureAwait(false);
        var next = await _store.RangeAsync(names.Source, new() { Start = checkpoint.Position.Next(), Count = 1 }, cancellationToken).ConfigureAwait(false);
        var age = next is [var entry, ..] ? _time.GetUtcNow() - new MessageHeaders(entry.Id, entry.Fields).Time : TimeSpan.Zero;
        return new()
        {
            Name = names.Projection,
            Source = names.Source,
            State = head.IsPaused ? ProjectionState.Paused
                : head.Live.Failure is not null ? ProjectionState.Stopped
                : documents[1] is null ? ProjectionState.Idle
                : status.IsRunning && local.State == ProjectionState.Failing ? ProjectionState.Failing
                : next.Count > 0 ? ProjectionState.CatchingUp : ProjectionState.Live,
            Detail = head.Live.Failure ?? (status.IsRunning ? local.Detail : null) ?? head.Owner,
            Generation = head.Live.Number,
            Checkpoint = checkpoint,
            Head = info?.LastGeneratedId ?? EntryId.Zero,
            Lag = next.Count == 0 ? 0 : Math.Max(1, (info?.EntriesAdded ?? 0) - checkpoint.Entries),
            TimeLag = age < TimeSpan.Zero ? TimeSpan.Zero : age,
            BuildingGeneration = head.Building?.Number,
            BuildingCheckpoint = head.Building is { } building
                ? await target.LoadAsync(building.Number, cancellationToken).ConfigureAwait(false)
                : ProjectionCheckpoint.Start,
            BuildingFailure = head.Building is null ? null : head.Building.Failure ?? (status.IsRunning ? local.BuildingFailure : null),
        };
    }

    /// <summary>
    /// Queries the read model of a target: runs the query with the generation that serves queries, and again with the next one if that one was replaced
    /// meanwhile, and so perhaps removed. One round trip after the query; one more before the first, and a query more after a rebuild.
    /// </summary>
    /// <remarks>
    /// Not inside a transaction that sees the database as it was when it began, such as one of the level repeatable read, or any of SQLite: the next
    /// generation is not whole there.
    /// </remarks>
    /// <typeparam name="TResult">What the query finds.</typeparam>
    /// <param name="projection">Its name.</param>
    /// <param name="query">
    /// Reads, and changes nothing, as it may run again. It is given the generation whose data to read; 0, which none has, while no process has run the
    /// projection.
    /// </param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>What the query found in a generation that served queries all the while.</returns>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="StreamException">The store failed. What the query throws is thrown, unless its generation was replaced.</exception>
    public async ValueTask<TResult> QueryAsync<TResult>(
        string projection, Func<int, CancellationToken, Task<TResult>> query, CancellationToken cancellationToken = default)
    {
        var runtime = Find(projection);
        ArgumentNullException.ThrowIfNull(query);
        if (runtime.ServingGeneration == 0)
            runtime.ServingGeneration = await LiveAsync(runtime, cancellationToken).ConfigureAwait(false);
        while (true)
        {
            // A number never comes again: a generation that serves queries before and after did so in between.
            var generation = runtime.ServingGeneration;
            var querying = query(generation, cancellationToken);
            await ((Task)querying).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            var live = await LiveAsync(runtime, cancellationToken).ConfigureAwait(false);
            runtime.ServingGeneration = live;

            // What failed in a generation that was replaced is asked of the next one: where each has a table, it may be gone.
            if (live == generation)
                return await querying.ConfigureAwait(false);
        }
    }

    /// <summary>
    /// Waits until queries see all up to a position: read your own writes with what an append or a publish gave. In the process that runs the projection it
    /// is told; any other asks the store every <see cref="ProjectionOptions.WaitInterval"/>.
    /// </summary>
    /// <param name="projection">Its name.</param>
    /// <param name="position">
    /// An entry ID of the source, such as <see cref="EventSourcing.AppendResult.Position"/>; <see langword="null"/>: the last entry there is now.
    /// </param>
    /// <param name="timeout">How long to wait; zero: only to look.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="TimeoutException">The time is over. The message says how far the projection is, and what it is at.</exception>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask WaitForAsync(string projection, EntryId? position, TimeSpan timeout, CancellationToken cancellationToken = default)
    {
        var runtime = Find(projection);
        ArgumentOutOfRangeException.ThrowIfLessThan(timeout, TimeSpan.Zero);
        var started = _time.GetTimestamp();
        var wanted = position ?? (await _store.GetStreamInfoAsync(runtime.Definition.Source, cancellationToken).ConfigureAwait(false))?.LastEntry?.Id
            ?? EntryId.Zero;
        while (true)
        {
            var changed = runtime.Status.Changed;
            var local = runtime.Status.Report;
            if (runtime.Status.IsRunning && local.Checkpoint.Position >= wanted)
                return;
            var left = timeout - _time.GetElapsedTime(started);
            if (await LoadAsync(runtime, cancellationToken).ConfigureAwait(false) >= wanted)
                return;
            if (left <= TimeSpan.Zero)
                throw await TimedOutAsync(projection, wanted, timeout, cancellationToken).ConfigureAwait(false);
            if (runtime.Status.IsRunning)
                await WaitForChangeAsync(runtime.Status, changed, wanted, left, cancellationToken).ConfigureAwait(false);
            else
                await Task.Delay(Shorter(left, runtime.Definition.Options.WaitInterval), _time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Stops folding, in whichever process, until <see cref="ResumeAsync"/>. Queries go on. Two round trips.</summary>
    /// <param name="projection">Its name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether it was not paused already.</returns>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="InvalidOperationException">No process has run it yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<bool> PauseAsync(string projection, CancellationToken cancellationToken = default) =>
        ChangeAsync(projection, static head => head.IsPaused ? null : head with { IsPaused = true }, "pause", cancellationToken);

    /// <summary>Goes on after a pause, and tries again what had stopped. Two round trips, about four to accept a loss.</summary>
    /// <param name="projection">Its name.</param>
    /// <param name="acceptLoss">
    /// Whether to go on without the entries that the source lacks where it stands now. A source that was deleted or went back is then read from its first
    /// entry on, into the views as they are: where it still has some that are in them, rebuild the projection as well. Default: no.
    /// </param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether it was paused or had stopped.</returns>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="InvalidOperationException">No process has run it yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<bool> ResumeAsync(string projection, bool acceptLoss = false, CancellationToken cancellationToken = default)
    {
        var runtime = Find(projection);
        IReadOnlyList<string> accepted = acceptLoss ? await AcceptAsync(runtime, cancellationToken).ConfigureAwait(false) : [];
        return await ChangeAsync(
            projection,
            head => head is { IsPaused: false, Live.Failure: null, Building: null or { Failure: null } }
                ? null
                : head.WithoutFailures() with { IsPaused = false, AcceptedLosses = acceptLoss ? accepted : head.AcceptedLosses },
            "resume",
            cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Passes over an entry at which the projection has stopped, and goes on. It is recorded, see <see cref="GetSkippedAsync"/>.</summary>
    /// <param name="projection">Its name.</param>
    /// <param name="entryId">The entry of the source; one that can be folded in is not passed over.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether anything had stopped.</returns>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="InvalidOperationException">No process has run it yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<bool> SkipAsync(string projection, EntryId entryId, CancellationToken cancellationToken = default) => ChangeAsync(
        projection,
        head => head is { Live.Failure: null, Building: null or { Failure: null } } ? null : head.WithoutFailures() with { Skip = entryId.ToString() },
        $"skip {entryId}",
        cancellationToken);

    /// <summary>
    /// Builds the read model anew beside the one that serves queries, from the first entry, and puts it in its place when it has come as far. The old one goes
    /// on meanwhile, and is removed afterwards. Returns at once; see <see cref="ProjectionReport.BuildingGeneration"/>. Two round trips.
    /// </summary>
    /// <param name="projection">Its name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether no rebuild was under way already.</returns>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="InvalidOperationException">No process has run it yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<bool> RebuildAsync(string projection, CancellationToken cancellationToken = default) =>
        ChangeAsync(projection, static head => head.Building is null ? head.Rebuild(head.Version) : null, "rebuild", cancellationToken);

    /// <summary>Gives a rebuild up and removes what there is of it; not one that a new version needs. Two round trips.</summary>
    /// <param name="projection">Its name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether there was one.</returns>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="InvalidOperationException">No process has run it yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public ValueTask<bool> CancelRebuildAsync(string projection, CancellationToken cancellationToken = default) => ChangeAsync(
        projection,
        static head => head.Building is { } building && building.Version == head.Live.Version ? head.WithoutBuilding() : null,
        "cancel",
        cancellationToken);

    /// <summary>
    /// Folds the view of one stream anew from that stream's own events, as far as the projection has come. For views whose key is their stream, of a category.
    /// Folds then see the entry IDs of that stream; events that the projection passed over are passed over here, too. Costs the stream's events, the list of
    /// those passed over, and what the category has that is not folded in yet.
    /// </summary>
    /// <param name="projection">Its name.</param>
    /// <param name="stream">The stream, such as <c>order-17</c>.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="ArgumentException">This process adds no such projection, or it reads this very stream.</exception>
    /// <exception cref="InvalidOperationException">
    /// The views are not by stream, or not ours; no process has run the projection yet, or this one has another version; or the first events of the stream
    /// were trimmed.
    /// </exception>
    /// <exception cref="ProjectionEventException">An event cannot be folded in.</exception>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="StreamException">The store failed; or <see cref="StreamErrorCode.Busy"/>: events came at each of 20 tries.</exception>
    public async ValueTask RebuildStreamAsync(string projection, string stream, CancellationToken cancellationToken = default)
    {
        var runtime = Find(projection);
        ArgumentException.ThrowIfNullOrEmpty(stream);
        if (runtime.Target is not IStreamRebuilder views)
            throw new InvalidOperationException($"The projection '{projection}' has a target of its own, which alone can do that.");
        await views.RebuildAsync(stream, runtime.Definition.Options.Version, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Which events the generation that serves queries passed over; the last 1,000, newest first. Two round trips.</summary>
    /// <param name="projection">Its name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="ArgumentException">This process adds no such projection.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<IReadOnlyList<SkippedEvent>> GetSkippedAsync(string projection, CancellationToken cancellationToken = default)
    {
        var runtime = Find(projection);
        var generation = await LiveAsync(runtime, cancellationToken).ConfigureAwait(false);
        if (generation == 0)
            return [];
        var range = new StreamRange { Count = MaxSkipped, IsReversed = true };
        var entries = await _store.RangeAsync(runtime.Definition.Names.Skipped(generation), range, cancellationToken).ConfigureAwait(false);
        return [.. entries.Select(static entry => new SkippedEvent(entry.Id, entry.Fields.GetText(ProjectionNames.SkippedReason) ?? ""))];
    }

    internal ProjectionRuntime Find(string projection) => _projections.TryGetValue(projection, out var found)
        ? found
        : throw new ArgumentException($"This process has no projection '{projection}'.", nameof(projection));

    private ValueTask<bool> ChangeAsync(
        string projection, Func<ProjectionHead, ProjectionHead?> change, string note, CancellationToken cancellationToken) =>
        new ProjectionPlan(_store, Find(projection).Definition.Names).ChangeAsync(change, note, cancellationToken);

    /// <summary>The generation that serves queries; 0: no process has begun yet.</summary>
    private async ValueTask<int> LiveAsync(ProjectionRuntime runtime, CancellationToken cancellationToken) =>
        (await new ProjectionPlan(_store, runtime.Definition.Names).ReadAsync(cancellationToken).ConfigureAwait(false))?.Head.Live.Number ?? 0;

    private async ValueTask<EntryId> LoadAsync(ProjectionRuntime runtime, CancellationToken cancellationToken)
    {
        var generation = await LiveAsync(runtime, cancellationToken).ConfigureAwait(false);
        return generation == 0 ? EntryId.Zero : (await runtime.Target.LoadAsync(generation, cancellationToken).ConfigureAwait(false)).Position;
    }

    private async ValueTask<IReadOnlyList<string>> AcceptAsync(ProjectionRuntime runtime, CancellationToken cancellationToken)
    {
        var plan = await new ProjectionPlan(_store, runtime.Definition.Names).ReadAsync(cancellationToken).ConfigureAwait(false);
        List<string> accepted = [];
        foreach (var generation in new[] { plan?.Head.Live, plan?.Head.Building }.OfType<Generation>())
        {
            var checkpoint = await runtime.Target.LoadAsync(generation.Number, cancellationToken).ConfigureAwait(false);
            accepted.Add(ProjectionWorker.Acceptance(generation.Number, checkpoint.Position));
        }

        return accepted;
    }

    /// <summary>Waits here while this process runs the projection: each of its commits is a change.</summary>
    private async ValueTask WaitForChangeAsync(
        ProjectionStatus status, Task changed, EntryId wanted, TimeSpan left, CancellationToken cancellationToken)
    {
        var until = Task.Delay(Shorter(left, OwnerWait), _time, cancellationToken);
        while (status.IsRunning && status.Report.Checkpoint.Position < wanted && await Task.WhenAny(changed, until).ConfigureAwait(false) != until)
            changed = status.Changed;
        cancellationToken.ThrowIfCancellationRequested();
    }

    private async ValueTask<TimeoutException> TimedOutAsync(
        string projection, EntryId wanted, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var report = await GetAsync(projection, cancellationToken).ConfigureAwait(false);
        return new($"The projection '{projection}' is not at {wanted} within {timeout}, but at {report.Checkpoint.Position}: {report.State}, {report.Detail}.");
    }

    private static TimeSpan Shorter(TimeSpan one, TimeSpan other) => one < other ? one : other;
}
