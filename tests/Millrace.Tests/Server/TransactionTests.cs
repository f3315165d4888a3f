using Millrace.Tests.Journal;

namespace Millrace.Tests.Server;

/// <summary>MULTI, EXEC, DISCARD, WATCH, UNWATCH.</summary>
public sealed class TransactionTests
{
    [Fact]
    public async Task Exec_runs_what_was_queued()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("-ERR EXEC without MULTI\r\n", client.Exchange("EXEC"));
        Assert.Equal("-ERR DISCARD without MULTI\r\n", client.Exchange("DISCARD"));
        Assert.Equal("+OK\r\n", client.Exchange("MULTI"));
        Assert.Equal("-ERR MULTI calls can not be nested\r\n", client.Exchange("MULTI"));
        Assert.Equal("-ERR WATCH inside MULTI is not allowed\r\n", client.Exchange("WATCH a"));
        Assert.Equal("+QUEUED\r\n", client.Exchange("ECHO one"));
        Assert.Equal("+QUEUED\r\n", client.Exchange("SELECT x"));
        Assert.Equal("+QUEUED\r\n", client.Exchange("PING"));
        Assert.Equal("*3\r\n$3\r\none\r\n-ERR value is not an integer or out of range\r\n+PONG\r\n", client.Exchange("EXEC"));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
    }

    [Fact]
    public async Task Exec_is_one_record_of_the_journal_so_that_a_crash_leaves_all_of_it_or_nothing()
    {
        using var directory = new JournalDirectory();
        await using var server = await TestServer.StartAsync(directory: directory.Path);
        using var client = server.Connect();
        client.Exchange("XADD s 1-1 f v");
        var before = Lsn();
        client.Exchange("MULTI");
        client.Exchange("XADD s 1-2 f v");
        client.Exchange("XADD s 1-2 f v");
        client.Exchange("XADD t 1-1 f v");
        client.Exchange("SET k v");
        Assert.Contains("-ERR The ID specified", client.Exchange("EXEC"), StringComparison.Ordinal);
        Assert.Equal(before + 1, Lsn());
        Assert.Equal(":2\r\n", client.Exchange("XLEN s"));
        client.Exchange("MULTI");
        client.Exchange("XLEN s");
        client.Exchange("EXEC");
        Assert.Equal(before + 1, Lsn());

        long Lsn()
        {
            server.Store.BeginTurn();
            try
            {
                return server.Store.LastLsnNeedsLock;
            }
            finally
            {
                server.Store.ExitTurn();
            }
        }
    }

    [Fact]
    public async Task Exec_with_arguments_ends_the_transaction()
    {
        const string aborted = "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n";
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(aborted, client.Exchange("EXEC x"));
        client.Exchange("MULTI");
        client.Exchange("ECHO one");
        Assert.Equal(aborted, client.Exchange("EXEC x"));
        Assert.Equal("-ERR EXEC without MULTI\r\n", client.Exchange("EXEC"));
    }

    [Fact]
    public async Task Exec_refuses_when_a_command_could_not_be_queued()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("MULTI");
        Assert.StartsWith("-ERR unknown command 'NOPE'", client.Exchange("NOPE"), StringComparison.Ordinal);
        Assert.Equal("+QUEUED\r\n", client.Exchange("PING"));
        Assert.Equal("-EXECABORT Transaction discarded because of previous errors.\r\n", client.Exchange("EXEC"));
        client.Exchange("MULTI");
        Assert.Equal("-ERR wrong number of arguments for 'echo' command\r\n", client.Exchange("ECHO"));
        Assert.Equal("+OK\r\n", client.Exchange("DISCARD"));
        Assert.Equal("+PONG\r\n", client.Exchange("PING"));
    }

    [Fact]
    public async Task Exec_does_nothing_when_a_watched_key_changed()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal("+OK\r\n", client.Exchange("WATCH watched"));
        await server.Store.AppendAsync("watched", Millrace.Streams.EntryFields.Create(("f", "v")));
        client.Exchange("MULTI");
        client.Exchange("PING");
        Assert.Equal("*-1\r\n", client.Exchange("EXEC"));

        // EXEC ends the watch, and so does UNWATCH.
        client.Exchange("MULTI");
        Assert.Equal("*0\r\n", client.Exchange("EXEC"));
        client.Exchange("WATCH watched");
        await server.Store.AppendAsync("watched", Millrace.Streams.EntryFields.Create(("f", "v")));
        Assert.Equal("+OK\r\n", client.Exchange("UNWATCH"));
        client.Exchange("MULTI");
        Assert.Equal("*0\r\n", client.Exchange("EXEC"));

        // A change of another key is none of it.
        client.Exchange("WATCH watched");
        await server.Store.AppendAsync("other", Millrace.Streams.EntryFields.Create(("f", "v")));
        client.Exchange("MULTI");
        Assert.Equal("*0\r\n", client.Exchange("EXEC"));
    }

    [Fact]
    public async Task Writes_of_the_process_while_keys_are_watched_leave_nothing_behind()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        client.Exchange("WATCH watched");

        for (var i = 0; i < 100; i++)
            await server.Store.AppendAsync($"s{i}", Millrace.Streams.EntryFields.Create(("f", "v")));
        Assert.Empty(server.Store.EngineNeedsLock.Touched);
        for (var i = 0; i < 100; i++)
            await server.Store.AppendAsync("watched", Millrace.Streams.EntryFields.Create(("f", "v")));
        Assert.Single(server.Store.EngineNeedsLock.Touched);
        Assert.Equal("+OK\r\n", client.Exchange("MULTI"));
        Assert.Equal("*-1\r\n", client.Exchange("EXEC"));
        Assert.Empty(server.Store.EngineNeedsLock.Watched);
    }
}
