using Millrace.Server.Commands;
using Millrace.Server.Connections;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server;

/// <summary>Clients that wait, and those who end their waits.</summary>
public sealed class WaitingClientTests
{
    /// <summary>What is due at once becomes so at the end of the turn, in which nobody was known to wait yet.</summary>
    [Fact]
    public async Task Entry_that_becomes_due_in_the_turn_in_which_a_client_begins_to_wait_wakes_it()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("PING");
        client.Send(
            new Command("MILLRACE.COMMIT", "2", "s", "{s}:scheduled", "salt", "0", "1", "0", "1", "schedule", "1", "2", "0", "2", "a", "b"),
            new Command("XREAD", "BLOCK", "0", "STREAMS", "s", "0"));
        Assert.Equal("*1\r\n*1\r\n:0\r\n", client.ReadText());
        Assert.EndsWith("*2\r\n$1\r\na\r\n$1\r\nb\r\n", client.ReadText(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wait_is_refused_when_the_rights_were_taken_away_meanwhile()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        using var other = server.Connect();
        other.Exchange("ACL SETUSER bob on nopass +@all ~*");
        client.Exchange("AUTH bob x");
        client.Send(new Command("BLPOP", "list", "0"), new Command("PING"));
        await Eventually.TrueAsync("the client waits", () => new(server.WaitingCount == 1));

        Assert.Equal("+OK\r\n", other.Exchange("ACL SETUSER bob resetkeys"));
        Assert.Equal(":1\r\n", other.Exchange("RPUSH list v"));

        Assert.Equal("-NOPERM No permissions to access a key\r\n", client.ReadText());
        Assert.Equal("+PONG\r\n", client.ReadText());
        Assert.Equal(":1\r\n", other.Exchange("LLEN list"));
    }

    [Fact]
    public async Task Wait_that_fails_unforeseen_ends_its_own_client_only()
    {
        await using var server = await TestServer.StartAsync();
        using var waiting = server.Connect();
        waiting.Exchange("PING");
        var client = Assert.Single(server.Server.Clients.Values);
        using var writer = server.Connect();
        var nowMs = server.Server.BeginTurn();
        client.BlockNeedsLock(new FailingCommand(client), null);
        server.Server.EndTurn(nowMs);

        Assert.Equal("$3\r\n1-1\r\n", writer.Exchange("XADD s 1-1 f v"));
        Assert.Throws<NoReplyException>(() => waiting.ReadText());
        Assert.Equal(0, server.WaitingCount);
        Assert.Equal("$3\r\n2-1\r\n", writer.Exchange("XADD s 2-1 f v"));
    }

    private sealed class FailingCommand(ClientConnection client)
        : BlockedCommand(client, StoredRequest.Copy(AllCommands.Table.Find("xread"u8)!, default, default), ["s"], null)
    {
        protected override bool TryRun(ref CommandCall call)
        {
            call.Ok();
            throw new InvalidOperationException("A bug.");
        }
    }
}
