using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;
using Millrace.Server.Connections;
using Millrace.Streams;

namespace Millrace.Server;

/// <summary>Who is connected: the coming and going of clients, how many there may be, and how long they may be silent.</summary>
public sealed partial class RespServer
{
    /// <summary>How often silent clients are looked for: one may stay so much longer than its time.</summary>
    private static readonly TimeSpan IdleCheckPeriod = TimeSpan.FromSeconds(1);

    /// <summary>Connections beyond the limit that are being told so.</summary>
    private const int RefusedAtATime = 16;

    private readonly ConcurrentDictionary<long, ClientConnection> _clients = new();

    /// <summary>Set while clients may not be silent for ever.</summary>
    private readonly ITimer _idleTimer;

    private long _lastClientId;

    /// <summary>Connections that are served; counted apart, because the dictionary takes all its locks to count.</summary>
    private int _clientCount;

    private long _receivedCount;
    private long _rejectedCount;

    /// <summary>Connections that were served since the start or the last reset.</summary>
    internal long ReceivedCount => Volatile.Read(ref _receivedCount);

    /// <summary>Connections that were one too many since then.</summary>
    internal long RejectedCount => Volatile.Read(ref _rejectedCount);

    /// <summary>The connections by ID.</summary>
    internal IReadOnlyDictionary<long, ClientConnection> Clients => _clients;

    /// <summary>Bytes of replies that wait to be sent.</summary>
    internal long OutputBytes => _clients.Values.Sum(static client => client.OutputBytes);

    /// <summary>There are descriptors for so many clients: more could not be told that they are too many.</summary>
    private void LimitClients(int most)
    {
        if (most >= Options.MaxClients)
            return;
        most = Math.Max(most, 1);
        ServerLog.FewerClients(_logger, most, Options.MaxClients);
        Options.MaxClients = most;
    }

    private async Task ServeAsync(ConnectionContext connection)
    {
        try
        {
            if (Interlocked.Increment(ref _clientCount) > Options.MaxClients)
            {
                Interlocked.Increment(ref _rejectedCount);
                await connection.Transport.Output.WriteAsync("-ERR max number of clients reached\r\n"u8.ToArray());
            }
            else
            {
                Interlocked.Increment(ref _receivedCount);
                await ServeAsync(new ClientConnection(this, connection, Interlocked.Increment(ref _lastClientId), NowMs));
            }
        }
        finally
        {
            Interlocked.Decrement(ref _clientCount);
        }
    }

    private async Task ServeAsync(ClientConnection client)
    {
        _clients.TryAdd(client.Id, client);
        try
        {
            await client.RunAsync();
        }
        catch (IOException)
        {
            // Over TLS, a client that is gone without having said so.
        }
        finally
        {
            _clients.TryRemove(client.Id, out _);
            Forget(client);
        }
    }

    internal void ResetStatisticsNeedsLock()
    {
        Statistics.Reset();
        Volatile.Write(ref _receivedCount, 0);
        Volatile.Write(ref _rejectedCount, 0);
    }

    /// <summary>A client is gone: nothing may wait for it any more.</summary>
    private void Forget(ClientConnection client)
    {
        Store.EnterTurnBesidesTime();
        try
        {
            client.EndWaitNeedsLock(static _ => { });
            client.Transaction.Discard();
            ForgetListenerNeedsLock(client);
            Pause.Forget(client);
        }
        finally
        {
            Store.ExitTurn();
        }
    }

    /// <summary>A client is sent nothing but replies any more.</summary>
    internal void ForgetListenerNeedsLock(ClientConnection client)
    {
        Subscriptions.Forget(client);
        Monitors.Forget(client);
    }

    /// <summary>Disconnects who was silent for too long. Who waits for a key or a message is not silent: the server is.</summary>
    private void EndIdleClients()
    {
        try
        {
            var nowMs = BeginTurn();
            try
            {
                foreach (var (_, client) in _clients)
                {
                    var isSilent = !client.IsWaiting && !client.IsListener;
                    if (isSilent && nowMs - client.LastActiveMs > Options.IdleTimeout.TotalMilliseconds)
                        client.KillNeedsLock("It was silent for too long.");
                }
            }
            finally
            {
                EndTurn(nowMs);
            }
        }
        catch (StreamException)
        {
            // The store is closed, which ends the clients as well.
        }
    }
}
