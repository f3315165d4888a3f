namespace Millrace.Projections;

/// <summary>
/// Where a projection keeps its read model, and with it the checkpoint: both are saved together, and so each event is folded in exactly once. State
/// documents need no target of yours, see <c>AddProjection&lt;TView&gt;</c>; write one for a database, a search index, or a file.
/// </summary>
/// <remarks>
/// A read model has generations: while a rebuild makes the next one, the old one serves queries and goes on. Keep their data apart, by a column or
/// a table name with the number. Numbers do not come again, also when the store forgot everything or its last rebuild: they are random, from 1 to
/// 2,147,483,646, and not in the order of the generations. One call at a time by one process; two processes may call at once while one takes over
/// from another, which the checkpoint decides.
/// </remarks>
public interface IProjectionTarget
{
    /// <summary>Reads the checkpoint of a generation.</summary>
    /// <param name="generation">The generation.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>What was saved last, or <see cref="ProjectionCheckpoint.Start"/>: nothing was.</returns>
    ValueTask<ProjectionCheckpoint> LoadAsync(int generation, CancellationToken cancellationToken);

    /// <summary>
    /// Folds events in and saves <see cref="ProjectionBatch.Checkpoint"/>, both or neither, if the checkpoint is still
    /// <see cref="ProjectionBatch.After"/>: let the statement that saves it have that as its condition.
    /// </summary>
    /// <param name="batch">The events; there may be none, only a checkpoint to save.</param>
    /// <param name="cancellationToken">Cancelled when the process stops or is no longer the one that runs the projection.</param>
    /// <returns>
    /// Whether it was saved. <see langword="false"/>: the checkpoint was another, because another process runs the projection, or an earlier answer
    /// was lost; nothing was saved, and the checkpoint is read anew.
    /// </returns>
    /// <exception cref="ProjectionEventException">
    /// An event cannot be folded in, see <see cref="ProjectionOptions.WhenPoisoned"/>. Anything else that is thrown is tried again after a wait.
    /// </exception>
    ValueTask<bool> ApplyAsync(ProjectionBatch batch, CancellationToken cancellationToken);

    /// <summary>Removes a generation that no query reads any more, with its checkpoint; in parts, between which events are folded.</summary>
    /// <param name="generation">The generation. Its number never comes again.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>Whether nothing is left of it; otherwise it is called again soon.</returns>
    ValueTask<bool> RemoveAsync(int generation, CancellationToken cancellationToken);
}
