using System.Globalization;
using System.Net;

namespace Millrace.Tests.Differential;

/// <summary>One of the two servers, and the connections a script has to it.</summary>
internal sealed class Side(IPEndPoint endpoint) : IDisposable
{
    /// <summary>Connections besides the main one, which may block.</summary>
    public const int Blockers = 2;

    private readonly RawConnection?[] _blockers = new RawConnection?[Blockers];
    private readonly string[] _blockerIds = new string[Blockers];
    private RawConnection? _main;
    private RawConnection? _control;
    private int _protocol;

    /// <summary>What a test may put between the server and the comparison, to see a wrong reply found.</summary>
    public Func<Command, byte[], byte[]>? Falsify { get; init; }

    /// <summary>The connection that sends most commands.</summary>
    public RawConnection Main => _main!;

    /// <summary>Empties the server, gives it the settings scripts start from, and connects anew.</summary>
    public void Reset(int protocol)
    {
        Dispose();
        _protocol = protocol;
        _control = Connect();
        foreach (var command in (string[][])
                 [["FLUSHALL"], ["CONFIG", "SET", "stream-node-max-bytes", "0"], ["CONFIG", "SET", "stream-node-max-entries", "100"]])
        {
            var reply = _control.Ask(command);
            if (reply.IsError)
                throw new InvalidOperationException($"{endpoint} refuses {string.Join(' ', command)}: {reply.Text}");
        }

        _main = Connect();
    }

    /// <summary>A connection that may block.</summary>
    public RawConnection Blocker(int index)
    {
        if (_blockers[index] is { } connected)
            return connected;

        var connection = _blockers[index] = Connect();
        _blockerIds[index] = connection.Ask("CLIENT", "ID").Text;
        return connection;
    }

    /// <summary>Waits until a connection that was sent a command either waits in it or has a reply here; whether it waits.</summary>
    public bool IsBlocked(int index)
    {
        var connection = Blocker(index);
        if (connection.HasInput)
            return false;

        var start = TimeProvider.System.GetTimestamp();
        while (true)
        {
            var client = _control!.Ask("CLIENT", "LIST", "ID", _blockerIds[index]).Text;
            if (connection.HasInput)
                return false;
            if (client.Contains(" flags=b", StringComparison.Ordinal))
                return true;
            if (TimeProvider.System.GetElapsedTime(start) > TimeSpan.FromSeconds(20))
                throw new NoReplyException($"neither blocked nor answered: {client}");
        }
    }

    /// <summary>Frees a connection that waits, by its own ID on this server; the answer to CLIENT UNBLOCK.</summary>
    public byte[] Unblock(int index, string how)
    {
        _control!.Send(new Command("CLIENT", "UNBLOCK", _blockerIds[index], how));
        return _control.Read().ToArray();
    }

    /// <summary>What entries-added says of a stream in the database of the main connection; 0 without one.</summary>
    public long EntriesAdded(string key) =>
        Main.Ask("XINFO", "STREAM", key).Find("entries-added") is { } added ? long.Parse(added.Text, CultureInfo.InvariantCulture) : 0;

    public void Dispose()
    {
        _main?.Dispose();
        _control?.Dispose();
        foreach (var blocker in _blockers)
            blocker?.Dispose();
        Array.Clear(_blockers);
    }

    private RawConnection Connect()
    {
        var connection = new RawConnection(endpoint);
        if (_protocol == 3 && connection.Ask("HELLO", "3").IsError)
            throw new InvalidOperationException($"{endpoint} refuses HELLO 3.");
        return connection;
    }
}
