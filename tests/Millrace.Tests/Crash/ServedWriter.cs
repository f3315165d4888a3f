using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Crash;

/// <summary>An operation that was acknowledged, with the moments (timestamps) between which it took place.</summary>
internal readonly record struct Acknowledged(ServedOperation Operation, long SentAt, long AckedAt);

/// <summary>
/// One connection that writes, reads, acknowledges and claims as fast as it gets replies, and keeps what it knows: the state of everything
/// acknowledged, and the one operation whose outcome it never heard.
/// </summary>
/// <param name="number">Which of the writers it is.</param>
/// <param name="seed">Draws what it does.</param>
/// <param name="longestBurst">Entries it sends at most without waiting for the first one's reply.</param>
internal sealed class ServedWriter(int number, int seed, int longestBurst = 20)
{
    private readonly Random _random = new(seed);
    private int _groupsMade;
    private volatile bool _isCutOff;

    /// <summary>Everything acknowledged, taken together.</summary>
    public ServedState State { get; set; } = new();

    /// <summary>Sent and not answered, or answered with an error: it may have happened or not.</summary>
    public ServedOperation? Unknown { get; set; }

    /// <summary>The error reply that ended the last run; null: the connection broke.</summary>
    public string? Error { get; private set; }

    /// <summary>How the last run ended.</summary>
    public string End { get; private set; } = "";

    /// <summary>When it came (timestamp).</summary>
    public long ErrorAt { get; private set; }

    /// <summary>Everything acknowledged since the list was cleared.</summary>
    public List<Acknowledged> History { get; } = [];

    /// <summary>Works until the connection breaks or an error comes, on a thread of its own.</summary>
    /// <param name="endpoint">The server.</param>
    /// <param name="onAcknowledged">Called after each acknowledged operation, on that thread.</param>
    public Task RunAsync(IPEndPoint endpoint, Action onAcknowledged) =>
        Task.Factory.StartNew(() => Run(endpoint, onAcknowledged), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);

    /// <summary>Replies that come from now on are not heard: the machine has no power any more.</summary>
    public void CutOff() => _isCutOff = true;

    private void Run(IPEndPoint endpoint, Action onAcknowledged)
    {
        Assert.Null(Unknown);
        Error = null;
        _isCutOff = false;
        try
        {
            using var client = new RawConnection(endpoint);
            while (TryDo(client, Next()))
                onAcknowledged();
        }
        catch (Exception e) when (e is NoReplyException or SocketException)
        {
            // What a killed server looks like from here. What was under way is in Unknown.
            End = e.Message;
        }
    }

    private bool TryDo(RawConnection client, ServedOperation operation)
    {
        var commands = operation.Commands.ToList();
        Unknown = operation;
        var sentAt = TimeProvider.System.GetTimestamp();
        client.Send(commands);
        var replies = new List<RespNode>();
        foreach (var _ in commands)
            replies.Add(RespNode.Parse(client.Read()));
        if (_isCutOff)
            return false;
        if (replies.Select(FindError).FirstOrDefault(static error => error is not null) is { } error)
        {
            End = error.Text;
            (Error, ErrorAt) = (error.Text, TimeProvider.System.GetTimestamp());
            return false;
        }

        operation.Apply(State, replies);
        Unknown = null;
        History.Add(new(operation, sentAt, TimeProvider.System.GetTimestamp()));
        return true;
    }

    /// <summary>The error that a reply is, or that one command of a transaction got.</summary>
    private static RespNode? FindError(RespNode reply) => reply.IsError ? reply : reply.Children?.Find(static part => part.IsError);

    private ServedOperation Next()
    {
        if (!State.Groups.Contains(ServedLoad.MainGroup(number)))
            return new ServedOperation.CreateGroup(ServedLoad.MainGroup(number));
        var other = State.Groups.FirstOrDefault(name => name != ServedLoad.MainGroup(number));
        return _random.Next(100) switch
        {
            < 10 => new ServedOperation.Append(number, State.Entries.Count, _random.Next(longestBurst) + 1),
            < 25 => new ServedOperation.Read(number, "a", _random.Next(1, 30)),
            < 40 when State.Pending.Count > 0 => new ServedOperation.Ack(number, Pick(1 + State.Pending.Count / 2)),
            < 50 when State.Pending.Count > 0 => new ServedOperation.Claim(number, _random.Next(2) == 0 ? "a" : "b", Pick(5)),
            < 55 => new ServedOperation.Transaction(number, State.Transactions),
            < 56 => new ServedOperation.CreateGroup(NewGroup()),
            < 57 when other is not null => new ServedOperation.DestroyGroup(other),
            _ => new ServedOperation.Append(number, State.Entries.Count, 1),
        };
    }

    private Millrace.Streams.EntryId[] Pick(int atMost) =>
        [.. State.Pending.Keys.OrderBy(_ => _random.Next()).Take(_random.Next(1, atMost + 1))];

    private string NewGroup()
    {
        // A name whose creation is unknown may exist, and was adopted then.
        string name;
        do
            name = string.Create(CultureInfo.InvariantCulture, $"g{number}-{_groupsMade++}");
        while (State.Groups.Contains(name));
        return name;
    }
}
