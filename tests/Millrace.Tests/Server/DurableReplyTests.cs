using System.Net;
using System.Net.Sockets;
using Millrace.Embedded;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Server;

/// <summary>Replies that wait for the disk.</summary>
public sealed class DurableReplyTests : IDisposable
{
    private const int Clients = 50;
    private const int RequestsOfEach = 200;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-durable-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    /// <summary>The end of one send used to take back the replies of the next one, when that had begun on another thread.</summary>
    [Fact]
    public async Task Reply_is_not_lost_when_the_next_request_comes_while_its_send_ends()
    {
        await using var server = await TestServer.StartAsync(directory: _directory, sync: SyncPolicy.Always);
        await Task.WhenAll(Enumerable.Range(0, Clients).Select(_ => AppendOneByOneAsync(server.Port))).WaitAsync(Deadline);
        using var connection = server.Connect();
        Assert.Equal($":{Clients * RequestsOfEach}\r\n", connection.Exchange("XLEN s"));
    }

    /// <summary>A full disk used to end every connection without a word.</summary>
    [Fact]
    public async Task Client_is_told_why_its_reply_is_not_shown_when_the_disk_is_full()
    {
        await using var server = await TestServer.StartAsync(directory: _directory);
        using var client = server.Connect();
        Assert.Equal("$3\r\n1-0\r\n", client.Exchange("XADD s 1-0 f kept"));
        JournalFailureTests.ReplaceDescriptor(Directory.GetFiles(_directory, "*.journal").Single(), "/dev/full");

        Assert.StartsWith("-UNSYNCED ", client.Exchange("XADD s 2-0 f lost"), StringComparison.Ordinal);
        Assert.Throws<NoReplyException>(() => client.Exchange("PING"));

        // Memory has an entry of which nobody knows whether a restart will find it, and that nobody may see.
        using var other = server.Connect();
        Assert.StartsWith("-MISCONF ", other.Exchange("XADD s 3-0 f refused"), StringComparison.Ordinal);
        Assert.StartsWith("-MISCONF ", other.Exchange("XLEN s"), StringComparison.Ordinal);
        Assert.Contains("aof_last_write_status:err", other.Exchange("INFO persistence"), StringComparison.Ordinal);
    }

    /// <summary>The reply used to come at once, because the command has no keys; a crash then took the setting back.</summary>
    [Fact]
    public async Task Setting_that_is_journaled_is_acknowledged_only_when_the_journal_has_it()
    {
        await using var server = await TestServer.StartAsync(directory: _directory);
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("CONFIG SET stream-node-max-entries 7"));
        JournalFailureTests.ReplaceDescriptor(Directory.GetFiles(_directory, "*.journal").Single(), "/dev/full");

        Assert.StartsWith("-UNSYNCED ", client.Exchange("CONFIG SET stream-node-max-entries 2"), StringComparison.Ordinal);

        using var other = server.Connect();
        Assert.StartsWith("*2\r\n", other.Exchange("CONFIG GET stream-node-max-entries"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Client_is_told_when_the_disk_has_failed_and_something_is_due()
    {
        var time = new ManualTimeProvider();
        await using var server = await TestServer.StartAsync(time: time, directory: _directory);
        using var writer = server.Connect();
        Assert.Equal("+OK\r\n", writer.Exchange("SET kept v PX 1000"));
        JournalFailureTests.ReplaceDescriptor(Directory.GetFiles(_directory, "*.journal").Single(), "/dev/full");
        writer.Exchange("SET lost v");

        time.Advance(TimeSpan.FromSeconds(2));

        using var reader = server.Connect();
        Assert.StartsWith("-MISCONF The journal ", reader.Exchange("PING"), StringComparison.Ordinal);
        Assert.Throws<NoReplyException>(() => reader.ReadText());
        await Eventually.TrueAsync("clients are forgotten although nothing can become due", () => new(server.Server.Clients.Count == 0));
    }

    private static async Task AppendOneByOneAsync(int port)
    {
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var reply = new byte[64];
        for (var i = 0; i < RequestsOfEach; i++)
        {
            await socket.SendAsync("XADD s * f v\r\n"u8.ToArray());

            // A reply of two lines.
            for (var received = 0; reply.AsSpan(0, received).Count((byte)'\n') < 2;)
                received += await socket.ReceiveAsync(reply.AsMemory(received)) is var count and > 0 ? count : throw new EndOfStreamException();
        }
    }
}
