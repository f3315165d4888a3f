using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Messages and state documents that are applied all together or not at all. Made by <see cref="Publisher.NewCommit"/>; for one use, by
/// one caller at a time.
/// </summary>
public sealed class CommitScope
{
    private readonly IStreamStore _store;
    private readonly MillraceCore _core;
    private readonly PublishOptions? _options;
    private readonly CommitOutputs _outputs = [];
    private readonly List<CommitCondition> _required = [];
    private bool _isCommitted;

    internal CommitScope(MillraceCore core, IStreamStore store, string stream, PublishOptions? options)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        (_store, _core, _options) = (store, core, options);
        State = new(store, core.Serializer, stream);
    }

    /// <summary>The state documents of the commit.</summary>
    public StateSession State { get; }

    /// <summary>Adds a message to the commit. Nothing is sent yet.</summary>
    /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="message">The message; serialized now.</param>
    /// <param name="options">
    /// More about the message; <see cref="PublishOptions.Delay"/> schedules it. Default: the options of the scope.
    /// </param>
    /// <exception cref="ArgumentException">The stream has no such lane.</exception>
    /// <exception cref="InvalidOperationException">The message type has no declared name, or the scope was committed.</exception>
    public void Publish<T>(string stream, T message, PublishOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(message);
        ThrowIfCommitted();
        options ??= _options;
        Publisher.RefuseTrim(options);
        stream = _core.StreamOf(stream, options);
        var fields = _core.Encode(message, options);
        _outputs.Add(options?.Delay is { } delay
            ? new CommitChange.Schedule(stream, fields, delay)
            : new CommitChange.Append(stream, fields));
    }

    /// <summary>
    /// Adds a message that the store keeps until its time has come: <see cref="Publish"/> with <see cref="PublishOptions.Delay"/>. Nothing is sent yet.
    /// </summary>
    /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="message">The message; serialized now.</param>
    /// <param name="delay">From the moment of the commit, by the store's clock; zero to <see cref="StreamLimits.MaxDuration"/>.</param>
    /// <param name="options">More about the message; its own delay is overruled. Default: the options of the scope.</param>
    /// <exception cref="ArgumentException">The delay is out of its bounds, or the stream has no such lane.</exception>
    /// <exception cref="InvalidOperationException">The message type has no declared name, or the scope was committed.</exception>
    public void Schedule<T>(string stream, T message, TimeSpan delay, PublishOptions? options = null)
    {
        StreamArguments.CheckDuration(delay);
        Publish(stream, message, (options ?? _options ?? new()) with { Delay = delay });
    }

    /// <summary>Adds a change of the store to the commit, for what <see cref="Publish"/> and <see cref="State"/> cannot say.</summary>
    /// <param name="change">The change; on a cluster, in the hash slot of the others.</param>
    /// <exception cref="InvalidOperationException">The scope was committed.</exception>
    public void Enlist(CommitChange change)
    {
        ArgumentNullException.ThrowIfNull(change);
        ThrowIfCommitted();
        _outputs.Enlist(change);
    }

    /// <summary>Makes the commit depend on something in the store: where it does not hold, nothing is applied.</summary>
    /// <param name="condition">The condition; on a cluster, in the hash slot of the changes.</param>
    /// <exception cref="InvalidOperationException">The scope was committed.</exception>
    public void Require(CommitCondition condition)
    {
        ArgumentNullException.ThrowIfNull(condition);
        ThrowIfCommitted();
        _required.Add(condition);
    }

    /// <summary>
    /// Applies the commit. One round trip; none when there is nothing to write. May be called once, whatever comes of it.
    /// </summary>
    /// <param name="cancellationToken">Stops the waiting; the commit may still be applied.</param>
    /// <returns>
    /// Applied, with the IDs of the messages published at once in order; or conflicted, naming the condition that does not hold.
    /// </returns>
    /// <exception cref="StreamException">
    /// The store refused or failed. <see cref="StreamErrorCode.OutcomeUnknown"/>: the commit may have been applied, as a whole.
    /// </exception>
    public async ValueTask<CommitResult> CommitAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfCommitted();
        _isCommitted = true;
        var conditions = new List<CommitCondition>(_required);
        var changes = new List<CommitChange>(_outputs.Count);
        _outputs.AddTo(changes);
        State.AddTo(conditions, changes);
        if (changes.Count == 0)
            return CommitResult.Applied([]);

        var commit = new Commit { Conditions = conditions, Changes = changes };
        try
        {
            var result = await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
            if (result.IsApplied)
                _core.Meter.Sent(_outputs);
            return result;
        }
        catch (Exception exception)
        {
            _core.Meter.Sent(_outputs, exception);
            _core.Refusals.Note(exception);
            throw;
        }
    }

    private void ThrowIfCommitted()
    {
        if (_isCommitted)
            throw new InvalidOperationException("This commit was already sent; begin a new one, with fresh state.");
    }
}
