using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Millrace.Resp;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Fuzz;

/// <summary>
/// Sends damaged frames from several connections at once. After each round a fresh connection must be answered, and the server's memory
/// must be below the limit. Replies must be RESP.
/// </summary>
internal sealed class FuzzRun(IPEndPoint endpoint, int seed, Func<long> residentBytes, long maxResidentBytes)
{
    private const int Workers = 4;
    private const int ConnectionsPerRound = 25;

    // How long a connection listens for more before it closes: short, because most damaged pipelines get no answer at all.
    private const int ListenMs = 5;
    private const int SendTimeoutMs = 5_000;

    private readonly ConcurrentDictionary<string, long> _kinds = new(StringComparer.Ordinal);
    private readonly byte[][] _lastSent = new byte[Workers][];
    private long _connections;
    private long _frames;
    private long _bytes;

    /// <summary>Most memory the server was seen with after a round.</summary>
    public long PeakResidentBytes { get; private set; }

    /// <summary>Rounds until the time is over; throws when the server does not take one as it should.</summary>
    public async Task RunAsync(TimeSpan time)
    {
        var start = TimeProvider.System.GetTimestamp();
        for (var round = 0; round == 0 || TimeProvider.System.GetElapsedTime(start) < time; round++)
        {
            try
            {
                var number = round;
                await Task.WhenAll(Enumerable.Range(0, Workers).Select(worker => Task.Run(() => SendRound(worker, number))));
                CheckServer(round);
            }
            catch (Exception exception) when (exception is NoReplyException or SocketException or RespException)
            {
                throw new InvalidOperationException($"Seed {seed}, round {round}: {exception.Message}\n{Summary()}\n{LastSent()}", exception);
            }
        }
    }

    /// <summary>Counts, for the log.</summary>
    public string Summary() => $"""
        Fuzz seed {seed}: {_connections:N0} connections, {_frames:N0} frames, {_bytes:N0} bytes, memory at most {PeakResidentBytes / (1024 * 1024):N0} MiB
        {string.Join('\n', _kinds.OrderByDescending(kind => kind.Value).Take(30).Select(kind => $"  {kind.Value,10:N0} {kind.Key}"))}
        """;

    private void SendRound(int worker, int round)
    {
        var workerSeed = HashCode(seed, worker, round);
        var mutator = new FrameMutator(workerSeed);
        var random = new Random(workerSeed);
        for (var i = 0; i < ConnectionsPerRound; i++)
        {
            var bytes = _lastSent[worker] = mutator.Next();
            Interlocked.Increment(ref _connections);
            Interlocked.Add(ref _bytes, bytes.Length);
            Connect(bytes, random);
        }

        Interlocked.Add(ref _frames, mutator.Frames);
    }

    // The same on every machine and in every process, unlike System.HashCode.
    private static int HashCode(int seed, int worker, int round) => (((seed * 397) ^ worker) * 397) ^ round;

    private void Connect(byte[] bytes, Random random)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.NoDelay = true;
        socket.SendTimeout = SendTimeoutMs;
        socket.ReceiveTimeout = SendTimeoutMs;
        socket.Connect(endpoint);
        // Who says MONITOR is shown each command in one line, the large ones whole and quoted.
        var scanner = new RespFrameScanner(new RespLimits { MaxLineBytes = 8 * 1024 * 1024 });
        // A third goes in one piece, the others in pieces, some with a look at the replies in between.
        var rest = bytes.AsSpan();
        while (rest.Length > 0)
        {
            var length = random.Next(3) == 0 ? rest.Length : random.Next(1, Math.Min(rest.Length, 400) + 1);
            if (!TrySend(socket, rest[..length]))
                break;
            rest = rest[length..];
            if (random.Next(6) == 0 && !Listen(socket, scanner, 0))
                break;
        }

        // Some leave without reading: as a reset, or as a proper close.
        var end = random.Next(4);
        if (end > 0)
            Listen(socket, scanner, ListenMs);
        if (end == 1)
            socket.Shutdown(SocketShutdown.Send);
        else if (end == 0)
            socket.LingerState = new(true, 0);
    }

    private bool TrySend(Socket socket, ReadOnlySpan<byte> bytes)
    {
        try
        {
            socket.Send(bytes);
            return true;
        }
        catch (SocketException exception)
        {
            Count($"send: {exception.SocketErrorCode}");
            return false;
        }
    }

    // Reads what is there; whether the connection still stands.
    private bool Listen(Socket socket, RespFrameScanner scanner, int waitMs)
    {
        var buffer = new byte[64 * 1024];
        try
        {
            while (socket.Poll(TimeSpan.FromMilliseconds(waitMs), SelectMode.SelectRead))
            {
                var received = socket.Receive(buffer);
                if (received == 0)
                {
                    Count("closed by the server");
                    return false;
                }

                Scan(scanner, buffer.AsSpan(0, received));
            }
        }
        catch (SocketException exception)
        {
            Count($"receive: {exception.SocketErrorCode}");
            return false;
        }

        return true;
    }

    private void Scan(RespFrameScanner scanner, ReadOnlySpan<byte> input)
    {
        while (input.Length > 0)
        {
            var isStart = !scanner.IsInsideFrame;
            var isWhole = scanner.TryFindEnd(input, out var consumed);
            if (isStart)
                Count(KindOf(input[..consumed]));
            input = input[consumed..];
            if (!isWhole)
                return;
        }
    }

    private static string KindOf(ReadOnlySpan<byte> reply)
    {
        if (reply[0] != '-')
            return "reply";
        var words = Encoding.Latin1.GetString(reply[..Math.Min(reply.Length, 48)]).Split('\r')[0].Split('\'')[0].Split(' ');
        return string.Join(' ', words.Take(5));
    }

    private void CheckServer(int round)
    {
        using var connection = new RawConnection(endpoint);
        var reply = connection.Ask("PING");
        if (reply.Text != "PONG")
            throw new NoReplyException($"a fresh connection's PING got {reply}");

        // What the frames legitimately stored, and the setting that whole frames may have changed.
        if (round % 20 == 19)
            connection.Ask("FLUSHALL");
        PeakResidentBytes = Math.Max(PeakResidentBytes, residentBytes());
        if (PeakResidentBytes > maxResidentBytes)
            throw new NoReplyException($"the server holds {PeakResidentBytes:N0} bytes of memory, more than {maxResidentBytes:N0}");
    }

    private string LastSent() => string.Join('\n', from bytes in _lastSent
                                                  where bytes is not null
                                                  let text = Encoding.Latin1.GetString(bytes, 0, Math.Min(bytes.Length, 2000))
                                                  select new Command(text).ToString());

    private void Count(string kind) => _kinds.AddOrUpdate(kind, 1, (_, count) => count + 1);
}
