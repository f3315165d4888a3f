using System.Text.Json;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>Reads and changes the head of a projection, from any process.</summary>
internal sealed class ProjectionPlan(IStreamStore store, ProjectionNames names)
{
    // Control operations are rare; who is overtaken so often meets something else.
    private const int MaxTries = 20;

    /// <summary>The head and its version, or <see langword="null"/>: no process has begun yet.</summary>
    public async ValueTask<(ProjectionHead Head, long Version)?> ReadAsync(CancellationToken cancellationToken) =>
        Parse(await store.GetStateAsync(names.Head, cancellationToken).ConfigureAwait(false));

    public static (ProjectionHead Head, long Version)? Parse(StateDocument? document) => document is null
        ? null
        : (JsonSerializer.Deserialize(document.Payload.Span, ProjectionJson.Default.ProjectionHead)!, document.Version);

    public CommitCondition Unchanged(long? version) =>
        version is { } known ? CommitCondition.StateIs(names.Head, known) : CommitCondition.StateAbsent(names.Head);

    public CommitChange Put(ProjectionHead head) =>
        new CommitChange.PutState(names.Head, JsonSerializer.SerializeToUtf8Bytes(head, ProjectionJson.Default.ProjectionHead));

    /// <summary>A note that wakes who waits.</summary>
    public CommitChange Tell(string what) => new CommitChange.Append(names.Notes, EntryFields.Create(("what", what)));

    /// <summary>Changes the head, again on the newer one when somebody was faster, or the answer was lost.</summary>
    /// <param name="change">The new head, or <see langword="null"/>: nothing is to be done. Finds out itself whether it was done before.</param>
    /// <param name="note">What the note says.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether there was something to do.</returns>
    /// <exception cref="InvalidOperationException">No process has begun yet.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<bool> ChangeAsync(Func<ProjectionHead, ProjectionHead?> change, string note, CancellationToken cancellationToken)
    {
        var isUnknown = false;
        for (var tries = 1; ; tries++)
        {
            var (head, version) = await ReadAsync(cancellationToken).ConfigureAwait(false) ?? throw new InvalidOperationException(
                $"The projection '{names.Projection}' of '{names.Source}' has not begun: no process that adds it has run.");
            if (change(head) is not { } changed)
                return isUnknown;
            try
            {
                var commit = new Commit { Conditions = [Unchanged(version)], Changes = [Put(changed), Tell(note)] };
                if ((await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied)
                    return true;
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.OutcomeUnknown && tries < MaxTries)
            {
                isUnknown = true;
            }

            if (tries >= MaxTries)
                throw new StreamException(StreamErrorCode.Busy, $"Others changed the projection '{names.Projection}' at each of {tries} tries.");
        }
    }
}
