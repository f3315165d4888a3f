namespace Millrace.Streams;

/// <summary>One-at-a-time forms and intents written in terms of the contract.</summary>
public static class StreamStoreExtensions
{
    extension(IStreamStore store)
    {
        /// <summary>Applies one commit. One round trip.</summary>
        /// <param name="commit">The commit.</param>
        /// <param name="cancellationToken">Stops the waiting.</param>
        /// <returns>Applied or conflicted.</returns>
        /// <exception cref="StreamException">The store refused it, see <see cref="CommitResult.Failure"/>, or could not be asked.</exception>
        public async ValueTask<CommitResult> CommitAsync(Commit commit, CancellationToken cancellationToken = default)
        {
            var result = (await store.CommitAsync([commit], cancellationToken).ConfigureAwait(false))[0];
            return result.Failure is null ? result : throw result.Failure;
        }

        /// <summary>Reads one state document, or <see langword="null"/> when there is none. One round trip.</summary>
        /// <param name="key">The document.</param>
        /// <param name="cancellationToken">Stops the waiting.</param>
        public async ValueTask<StateDocument?> GetStateAsync(StateKey key, CancellationToken cancellationToken = default) =>
            (await store.GetStatesAsync([key], cancellationToken).ConfigureAwait(false))[0];

        /// <summary>
        /// Gives held entries back to their group, as <see cref="CommitChange.Release"/> does. Fenced: entries somebody else took are left
        /// alone. One round trip.
        /// </summary>
        /// <param name="stream">The stream.</param>
        /// <param name="group">The group.</param>
        /// <param name="consumer">The consumer that holds them.</param>
        /// <param name="held">The entries.</param>
        /// <param name="delay">When they are to be delivered again. Default: at once.</param>
        /// <param name="cancellationToken">Stops the waiting.</param>
        /// <returns>The IDs that were still held and are now given back.</returns>
        public async ValueTask<IReadOnlyList<EntryId>> ReleaseAsync(
            string stream,
            string group,
            string consumer,
            IReadOnlyList<HeldEntry> held,
            TimeSpan delay = default,
            CancellationToken cancellationToken = default)
        {
            ArgumentNullException.ThrowIfNull(held);
            if (held.Count == 0)
                return [];

            var commits = held.Select(entry => new Commit
            {
                Conditions = [CommitCondition.StillHeld(stream, group, consumer, entry)],
                Changes = [new CommitChange.Release(stream, group, entry, delay)],
                IsUpkeep = true,
            });
            var results = await store.CommitAsync([.. commits], cancellationToken).ConfigureAwait(false);
            return results.FirstOrDefault(result => result.Failure is not null)?.Failure is { } failure
                ? throw failure
                : [.. held.Where((_, i) => results[i].IsApplied).Select(entry => entry.Id)];
        }
    }
}
