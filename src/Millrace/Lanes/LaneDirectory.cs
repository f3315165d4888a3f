using System.Runtime.ExceptionServices;
using System.Text;
using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Registry;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// The lanes that streams have, whichever process declared them: a document beside each stream, its lanes in order with a space between. A process
/// that consumes a stream and knows fewer would pass over the messages of the others and never notice, so it does not start; and where a lane came
/// while it ran, its log and its health check say so.
/// </summary>
/// <remarks>Costs one call for each stream at the start, all at once, and every 10 s.</remarks>
internal sealed class LaneDirectory(MillraceCore core, IStreamStore store, bool consumes, ILogger logger)
{
    private readonly HashSet<string> _consumed = consumes ? [.. core.Groups.Select(static plan => plan.Home)] : [];

    // By stream; replaced as a whole.
    private IReadOnlyDictionary<string, string> _errors = new Dictionary<string, string>();

    /// <summary>The streams this process passes over a part of, one sentence each.</summary>
    public IReadOnlyList<string> Errors => [.. Volatile.Read(ref _errors).Values];

    /// <summary>The lanes of a stream, in order.</summary>
    public static async ValueTask<IReadOnlyList<string>> ReadAsync(IStreamStore store, string stream, CancellationToken cancellationToken) =>
        Parse(await store.GetStateAsync(KeyOf(stream), cancellationToken).ConfigureAwait(false));

    /// <summary>The lanes of a stream that this process did not declare.</summary>
    public static async ValueTask<IReadOnlyList<string>> FindUnknownAsync(
        MillraceCore core, IStreamStore store, string stream, CancellationToken cancellationToken) =>
        [.. (await ReadAsync(store, stream, cancellationToken).ConfigureAwait(false)).Except(core.LanesOf(stream))];

    /// <summary>Takes a lane out of the document; somebody who still declares it puts it back.</summary>
    public static ValueTask RemoveAsync(IStreamStore store, string stream, string lane, CancellationToken cancellationToken) =>
        ChangeAsync(store, stream, known => known.Except([lane]), cancellationToken);

    /// <summary>Writes down the lanes of this process, and looks for those of others.</summary>
    /// <exception cref="MillraceConfigurationException">It would pass over a part of a stream it consumes.</exception>
    public async Task BeginAsync(CancellationToken cancellationToken)
    {
        (_errors, var failure) = await LookAsync(cancellationToken).ConfigureAwait(false);
        if (_errors.Count > 0)
            throw new MillraceConfigurationException(Errors);
        if (failure is StreamException { IsTransient: true })
            LogMessages.LanesUnknown(logger, failure); // Consumers start while a store is away for a moment; the loop looks again.
        else if (failure is not null)
            ExceptionDispatchInfo.Throw(failure);
    }

    /// <summary>Does the same again and again until cancelled, for lanes that come later and stores that forget. Never throws.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        var isFailing = false; // So that an outage is logged once.
        while (_consumed.Count + core.Lanes.Count > 0)
        {
            await Task.Delay(ConsumerPresence.Interval, core.Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (cancellationToken.IsCancellationRequested)
                return;
            var (errors, failure) = await LookAsync(cancellationToken).ConfigureAwait(false);
            foreach (var error in errors.Values.Except(Errors))
                LogMessages.LanesMissed(logger, error);
            Volatile.Write(ref _errors, errors);
            if (failure is not null && !isFailing && !cancellationToken.IsCancellationRequested)
                LogMessages.LanesUnknown(logger, failure);
            isFailing = failure is not null;
        }
    }

    /// <summary>Looks at every stream. Of one that cannot be looked at stays what was known, and nothing of it keeps the others from being seen.</summary>
    /// <returns>The errors by stream; and why one of them could not be looked at, a failure that stays before one that may pass.</returns>
    private async Task<(IReadOnlyDictionary<string, string> Errors, Exception? Failure)> LookAsync(CancellationToken cancellationToken)
    {
        var looks = await Task.WhenAll(_consumed.Union(core.Lanes.Keys).Select(stream => LookAsync(stream, cancellationToken))).ConfigureAwait(false);
        return (
            looks.Where(static look => look.Error is not null).ToDictionary(static look => look.Stream, static look => look.Error!),
            looks.Select(static look => look.Failure).OfType<Exception>().MinBy(static failure => failure is StreamException { IsTransient: true }));
    }

    private async Task<(string Stream, string? Error, Exception? Failure)> LookAsync(string stream, CancellationToken cancellationToken)
    {
        try
        {
            var (declared, known) = (core.LanesOf(stream), await ReadAsync(store, stream, cancellationToken).ConfigureAwait(false));
            if (_consumed.Contains(stream) && known.Except(declared).ToList() is [_, ..] unknown)
                return (stream, $"The stream '{stream}' has lanes that this process consumes nothing of: {string.Join(", ", unknown)}. " +
                    "Declare them with AddLanes, or take out with PriorityLanes.RemoveAsync what is no lane any more.", null);
            if (declared.Except(known).Any())
                await ChangeAsync(store, stream, others => others.Union(declared), cancellationToken).ConfigureAwait(false);
            return (stream, null, null);
        }
        catch (Exception failure)
        {
            return (stream, _errors.GetValueOrDefault(stream), failure); // Told by the caller.
        }
    }

    /// <summary>Again on the newer document for as long as others are faster; each time one of them is through.</summary>
    private static async ValueTask ChangeAsync(
        IStreamStore store, string stream, Func<IReadOnlyList<string>, IEnumerable<string>> change, CancellationToken cancellationToken)
    {
        var key = KeyOf(stream);
        while (true)
        {
            var document = await store.GetStateAsync(key, cancellationToken).ConfigureAwait(false);
            string[] lanes = [.. change(Parse(document)).Order(StringComparer.Ordinal)];
            var commit = new Commit
            {
                Conditions = [document is null ? CommitCondition.StateAbsent(key) : CommitCondition.StateIs(key, document.Version)],
                Changes =
                [
                    lanes.Length == 0
                        ? new CommitChange.DeleteState(key)
                        : new CommitChange.PutState(key, Encoding.ASCII.GetBytes(string.Join(' ', lanes))),
                ],
                IsUpkeep = true,
            };
            if ((await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied)
                return;
        }
    }

    private static string[] Parse(StateDocument? document) =>
        document is null ? [] : Encoding.ASCII.GetString(document.Payload.Span).Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private static StateKey KeyOf(string stream) => new(stream, "millrace/lanes");
}
