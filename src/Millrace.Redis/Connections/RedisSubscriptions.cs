using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Redis.Connections;

/// <summary>Pub/sub on one connection, which is opened with the first subscription and renewed for as long as there may be any.</summary>
internal sealed class RedisSubscriptions(RedisConnector connector, RedisOptions options, TimeProvider time, ILogger logger)
    : IAsyncDisposable
{
    private readonly CancellationTokenSource _closing = new();
    private readonly LogLimit _interruptions = new(time);

    // Guards the fields below.
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Channel> _channels = [];
    private RedisConnection? _connection;       // May be broken: the next one subscribes to every channel there is then.
    private int _breaks;                        // How often it was to be made anew. One begun before may lead to another server.
    private Task? _running;

    private sealed class Channel
    {
        // Replaced, never changed: messages are handed out without the lock.
        public Action<ReadOnlyMemory<byte>>[] Handlers { get; set; } = [];

        // Completes when the server has confirmed; a new one for each connection.
        public TaskCompletionSource Confirmed { get; set; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Subscription(RedisSubscriptions owner, string channel, Action<ReadOnlyMemory<byte>> handler) : IAsyncDisposable
    {
        private int _isDisposed;

        public ValueTask DisposeAsync()
        {
            if (Interlocked.Exchange(ref _isDisposed, 1) == 0)
                owner.Unsubscribe(channel, handler);
            return ValueTask.CompletedTask;
        }
    }

    public async ValueTask<IAsyncDisposable> SubscribeAsync(
        string name, Action<ReadOnlyMemory<byte>> onMessage, CancellationToken cancellationToken)
    {
        var subscription = new Subscription(this, name, onMessage);
        try
        {
            await Add(name, onMessage).WaitAsync(cancellationToken).ConfigureAwait(false);
            return subscription;
        }
        catch
        {
            await subscription.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Breaks the connection there is, which is then made anew, also one that is being made.</summary>
    public void Break(Exception reason)
    {
        RedisConnection? connection;
        lock (_lock)
        {
            _breaks++;
            connection = _connection;
        }

        connection?.Break(reason);
    }

    public async ValueTask DisposeAsync()
    {
        Task? running;
        lock (_lock)
        {
            _closing.Cancel();
            running = _running;
        }

        if (running is not null)
            await running.ConfigureAwait(false);
    }

    private Task Add(string name, Action<ReadOnlyMemory<byte>> handler)
    {
        lock (_lock)
        {
            var isNew = !_channels.TryGetValue(name, out var channel);
            channel ??= _channels[name] = new();
            channel.Handlers = [.. channel.Handlers, handler];
            if (isNew)
                _connection?.TrySend(new RespCommand("SUBSCRIBE").Add(name));
            _running ??= Task.Run(RunAsync, CancellationToken.None);
            return channel.Confirmed.Task;
        }
    }

    private void Unsubscribe(string name, Action<ReadOnlyMemory<byte>> handler)
    {
        lock (_lock)
        {
            if (!_channels.TryGetValue(name, out var channel))
                return;
            var index = Array.IndexOf(channel.Handlers, handler);
            channel.Handlers = [.. channel.Handlers.Where((_, i) => i != index)];
            if (channel.Handlers.Length > 0)
                return;
            _channels.Remove(name);
            _connection?.TrySend(new RespCommand("UNSUBSCRIBE").Add(name));
        }
    }

    private async Task RunAsync()
    {
        var failures = 0;
        while (true)
        {
            Exception reason;
            try
            {
                reason = await ServeAsync().ConfigureAwait(false);
                failures = 1;
            }
            catch (Exception exception)
            {
                reason = exception;
                failures += options.ConnectAttempts;
            }

            FailWaiting(reason);
            if (_closing.IsCancellationRequested)
                return;

            var delay = connector.DelayAfter(failures);
            if (_interruptions.Allows())
                logger.SubscriptionsInterrupted(options.ToString(), delay.TotalMilliseconds, reason.Message);
            await Task.Delay(delay, time, _closing.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Serves the subscriptions until the connection breaks.</summary>
    /// <returns>Why it broke.</returns>
    private async Task<Exception> ServeAsync()
    {
        var breaks = Volatile.Read(ref _breaks);
        var connection = await connector.ConnectAsync(options.ConnectAttempts, [], _closing.Token).ConfigureAwait(false);
        try
        {
            connection.PushReceived = Receive;
            lock (_lock)
            {
                if (breaks != _breaks)
                    return new IOException("It was being made when the others were made anew.");
                _connection = connection;
                var subscribe = new RespCommand("SUBSCRIBE");
                foreach (var name in _channels.Keys)
                    subscribe.Add(name);
                if (_channels.Count > 0)
                    connection.TrySend(subscribe);
            }

            await connection.Closed.WaitAsync(_closing.Token).ConfigureAwait(false);
            return connection.Failure!;
        }
        finally
        {
            await connection.DisposeAsync().ConfigureAwait(false);
        }
    }

    private void Receive(RespReply reply)
    {
        if (reply.IsError)
        {
            FailWaiting(RedisErrors.ToException("SUBSCRIBE", reply));
            return;
        }

        if (reply.Count != 3)
            return;
        Channel? channel;
        lock (_lock)
            _channels.TryGetValue(reply[1].Text, out channel);

        if (reply[0].Span.SequenceEqual("subscribe"u8))
        {
            channel?.Confirmed.TrySetResult();
        }
        else if (reply[0].Span.SequenceEqual("message"u8) && channel is not null)
        {
            var message = reply[2].Bytes;
            foreach (var handler in channel.Handlers)
                handler(message);
        }
    }

    // Whoever waits for a first confirmation learns why there is none; those who had theirs wait for the next connection.
    private void FailWaiting(Exception reason)
    {
        lock (_lock)
        {
            foreach (var channel in _channels.Values)
            {
                channel.Confirmed.TrySetException(reason as StreamException ?? new StreamException(
                    _closing.IsCancellationRequested ? StreamErrorCode.Closed : StreamErrorCode.Unavailable,
                    $"The subscription at Redis at {options} was interrupted. {reason.Message}",
                    reason));
                _ = channel.Confirmed.Task.Exception;   // Observed: perhaps nobody waits.
                channel.Confirmed = new(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }
}
