using System.Diagnostics;
using Microsoft.AspNetCore.Connections;
using Millrace.Server.Commands;
using Millrace.Streams;

namespace Millrace.Server.Connections;

/// <summary>
/// What goes back. Replies are written into <see cref="Output"/> during turns, its own and those of others that serve it, and leave after the
/// turn, when everything they show is as durable as the policy promises. At most one send is under way; it takes all that has gathered.
/// </summary>
/// <remarks>
/// A client that does not read costs at most <see cref="RespServerOptions.MaxOutputBytes"/>. Its own requests can wait, so they do: above
/// <see cref="BusyBytes"/> the turn ends, and the next begins when everything is sent. What others send it (messages, what MONITOR shows) and a
/// single reply above the limit cannot wait without memory: then it is disconnected.
/// </remarks>
internal sealed partial class ClientConnection
{
    /// <summary>Replies waiting to be sent above which the client's next requests are not run yet.</summary>
    private const int BusyBytes = 1024 * 1024;

    /// <summary>The same for who has not authenticated: ten thousand of them must not cost ten gigabytes.</summary>
    private const int RestrictedBusyBytes = 4 * 1024;

    private const string DoesNotRead = "It does not read what it is sent.";

    private OutputBuffer _filling;
    private OutputBuffer _sending;

    /// <summary>The journal record up to which the filling replies show the store.</summary>
    private long _outputLsn;

    /// <summary>When a part of a long reply was sent, or of a long request received, last, in Unix milliseconds.</summary>
    private long _lastMovedMs;

    private bool _isSending;

    /// <summary>Nothing can be sent any more.</summary>
    private bool _isGone;

    /// <summary>Set while somebody waits for the sends to be done.</summary>
    private TaskCompletionSource? _drained;

    /// <summary>Guards the output. Taken after the store's lock, never before.</summary>
    public Lock OutputLock { get; } = new();

    /// <summary>Where replies are written, under <see cref="OutputLock"/>.</summary>
    public OutputBuffer Output => _filling;

    /// <summary>Bytes that wait to be sent or are being sent.</summary>
    public long OutputBytes => (long)_filling.Length + _sending.Length;

    /// <summary>Whether replies without an LSN yet show data, or what became of them. The others need not wait for the journal.</summary>
    public bool ShowsData { get; set; }

    /// <summary>
    /// The replies written so far must wait for this record. If they are more than the client may leave unread, it is disconnected. Under the
    /// output lock in which they were written: once it is released, a send under way takes them.
    /// </summary>
    public void SetOutputLsnNeedsLock(long lsn)
    {
        Debug.Assert(OutputLock.IsHeldByCurrentThread, "A send must not take replies before they know what they wait for.");
        _outputLsn = Math.Max(_outputLsn, lsn);
        if (!_filling.IsOverfull)
            return;
        _isGone = true;
        KillNeedsLock(DoesNotRead);
    }

    /// <summary>Sends what has gathered, unless a send is under way, which then takes it. Outside the store's lock.</summary>
    public void Flush()
    {
        lock (OutputLock)
        {
            if (_isSending || _isGone || _filling.Length == 0)
                return;
            _isSending = true;
        }

        _ = SendAsync();
    }

    /// <summary>Never fails: a connection that cannot be written to is closed.</summary>
    private async Task SendAsync()
    {
        try
        {
            var output = _connection.Transport.Output;
            while (TryTake(out var lsn))
            {
                await WhenDurableAsync(lsn);
                for (var rest = _sending.Written; !rest.IsEmpty;)
                {
                    var piece = rest[..Math.Min(rest.Length, BusyBytes)];
                    if ((await output.WriteAsync(piece)).IsCompleted)
                        throw new ConnectionAbortedException("The client is gone.");
                    rest = rest[piece.Length..];

                    // A client that takes long for a long reply is not idle.
                    if (!rest.IsEmpty)
                        Volatile.Write(ref _lastMovedMs, Server.NowMs);
                }
            }
        }
        catch (Exception e)
        {
            // The client is gone, or the journal failed and nothing more may be shown: it was told.
            Abort(e.Message);
            lock (OutputLock)
            {
                _isGone = true;
                EndSendNeedsLock();
            }
        }
    }

    /// <summary>
    /// Completes when the replies may be shown. When the journal failed they never may: the client is sent why in their place, and what it asked for may
    /// take effect or not.
    /// </summary>
    private async ValueTask WhenDurableAsync(long lsn)
    {
        try
        {
            await Server.Store.WhenDurableAsync(lsn);
        }
        catch (StreamException e)
        {
            _sending.Clear();
            _sending.WriteErrorLine(Errors.From(e));
            await _connection.Transport.Output.WriteAsync(_sending.Written);
            throw;
        }
    }

    /// <summary>Takes what has gathered for the next send; when there is nothing, the sending is over.</summary>
    private bool TryTake(out long lsn)
    {
        lock (OutputLock)
        {
            Debug.Assert(_isSending, "Only the sender takes.");
            _sending.Clear();
            lsn = _outputLsn;
            var hasMore = _filling.Length > 0 && !_isGone;
            if (hasMore)
                (_filling, _sending) = (_sending, _filling);
            _filling.LimitBytes = Server.Options.MaxOutputBytes - _sending.Length;
            if (!hasMore)
                EndSendNeedsLock();
            return hasMore;
        }
    }

    /// <summary>Nothing is being sent any more. From the moment the lock is released the next sender may be at work, so nothing may follow.</summary>
    private void EndSendNeedsLock()
    {
        _isSending = false;
        _sending.Clear();
        _drained?.TrySetResult();
        _drained = null;
    }

    /// <summary>Completes when little enough waits to be sent to run more requests. Usually at once.</summary>
    private ValueTask WhenDrainedAsync() =>
        OutputBytes < (MustAuthenticate ? RestrictedBusyBytes : BusyBytes) ? ValueTask.CompletedTask : WhenSentAsync();

    private ValueTask WhenSentAsync()
    {
        lock (OutputLock)
        {
            if (!_isSending)
                return ValueTask.CompletedTask;
            _drained ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
            return new(_drained.Task);
        }
    }
}
