using Millrace.Embedded.Journal;
using Millrace.Tests.Clients;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Server.Admin;

/// <summary>SAVE and its kin, WAIT, WAITAOF, SHUTDOWN.</summary>
public sealed class PersistenceCommandsTests
{
    [Fact]
    public async Task Saves_of_a_server_in_memory_say_that_there_is_nothing_to_save_to()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        foreach (var command in (string[])["SAVE", "BGSAVE", "BGSAVE SCHEDULE", "BGREWRITEAOF"])
            Assert.Equal("-ERR This server keeps everything in memory: there is nothing to save to\r\n", client.Exchange(command));
        Assert.Equal("-ERR syntax error\r\n", client.Exchange("BGSAVE x"));
        Assert.Equal(
            "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.\r\n", client.Exchange("WAITAOF 1 0 0"));
        Assert.Equal("*2\r\n:0\r\n:0\r\n", client.Exchange("WAITAOF 0 0 0"));
    }

    [Fact]
    public async Task Saves_write_a_snapshot_and_tell_when()
    {
        using var directory = new JournalDirectory();
        await using var server = await TestServer.StartAsync(directory: directory.Path);
        using var client = server.Connect();
        client.Exchange("XADD s 1-1 a b");
        Assert.Equal("*2\r\n:0\r\n:0\r\n", client.Exchange("WAITAOF 0 0 0"));
        Assert.Contains("rdb_changes_since_last_save:1\r\n", client.Exchange("INFO persistence"));
        Assert.Equal("+OK\r\n", client.Exchange("SAVE"));
        Assert.True(File.Exists(Path.Combine(directory.Path, JournalFiles.SnapshotName(1))));
        Assert.Contains("rdb_changes_since_last_save:0\r\n", client.Exchange("INFO persistence"));
        Assert.Equal("*2\r\n:1\r\n:0\r\n", client.Exchange("WAITAOF 0 0 0"));
        Assert.InRange(
            long.Parse(client.Exchange("LASTSAVE")[1..^2]), DateTimeOffset.UtcNow.ToUnixTimeSeconds() - 60, DateTimeOffset.UtcNow.ToUnixTimeSeconds());
        client.Exchange("MULTI");
        Assert.Equal("-ERR Command not allowed inside a transaction\r\n", client.Exchange("SAVE"));
    }

    /// <summary>In one transaction, so that the snapshot cannot be over before all have been asked for.</summary>
    [Fact]
    public async Task Saves_in_the_background_are_one_at_a_time_and_one_more_at_most()
    {
        using var directory = new JournalDirectory();
        await using (var server = await TestServer.StartAsync(directory: directory.Path))
        {
            using var client = server.Connect();
            client.Exchange("XADD s 1-1 a b");
            client.Exchange("MULTI");
            string[] commands = ["BGSAVE", "BGSAVE", "BGSAVE SCHEDULE", "BGREWRITEAOF", "INFO persistence"];
            foreach (var command in commands)
                Assert.Equal("+QUEUED\r\n", client.Exchange(command));
            var replies = client.Exchange("EXEC");
            Assert.StartsWith(
                "*5\r\n+Background saving started\r\n-ERR Background save already in progress\r\n+Background saving scheduled\r\n" +
                "+Background append only file rewriting scheduled\r\n",
                replies);
            foreach (var field in (string[])["rdb_bgsave_in_progress:1", "aof_rewrite_in_progress:1", "aof_rewrite_scheduled:1"])
                Assert.Contains($"{field}\r\n", replies);
            await Eventually.TrueAsync(
                "the snapshots are written",
                () => new(client.Exchange("INFO persistence").Contains("rdb_bgsave_in_progress:0\r\n", StringComparison.Ordinal)));
            Assert.Contains("rdb_last_bgsave_status:ok\r\n", client.Exchange("INFO persistence"));
            client.Exchange("XADD s 1-2 a b");
        }

        Assert.Contains(JournalFiles.SnapshotName(1), directory.FileNames);
        await using var restarted = await TestServer.StartAsync(directory: directory.Path);
        using var again = restarted.Connect();
        Assert.Equal(":2\r\n", again.Exchange("XLEN s"));
    }

    [Fact]
    public async Task Waitaof_waits_for_the_journal_and_for_replicas_until_its_time_is_over()
    {
        using var directory = new JournalDirectory();
        await using var server = await TestServer.StartAsync(directory: directory.Path);
        using var client = server.Connect();
        client.Exchange("XADD s 1-1 a b");
        Assert.Equal("*2\r\n:0\r\n:0\r\n", client.Exchange("WAITAOF 0 0 0"));
        Assert.Equal("*2\r\n:1\r\n:0\r\n", client.Exchange("WAITAOF 1 0 0"));
        client.Exchange("XADD s 1-2 a b");
        Assert.Equal("*2\r\n:1\r\n:0\r\n", client.Exchange("WAITAOF 1 1 200"));
        Assert.Equal("-ERR value is out of range, value must between 0 and 1\r\n", client.Exchange("WAITAOF 2 0 0"));
        Assert.Equal("-ERR value is out of range, must be positive\r\n", client.Exchange("WAITAOF 1 -1 0"));
        Assert.Equal("-ERR timeout is negative\r\n", client.Exchange("WAITAOF 1 0 -1"));
    }

    [Fact]
    public async Task Wait_for_replicas_ends_with_its_time_or_when_it_is_told_to()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        using var other = server.Connect();
        Assert.Equal(":0\r\n", client.Exchange("WAIT 0 0"));
        Assert.Equal(":0\r\n", client.Exchange("WAIT -1 0"));
        Assert.Equal(":0\r\n", client.Exchange("WAIT 1 10"));
        Assert.Equal("-ERR value is not an integer or out of range\r\n", client.Exchange("WAIT x 0"));
        Assert.Equal("-ERR timeout is not an integer or out of range\r\n", client.Exchange("WAIT 0 x"));
        Assert.Equal("-ERR timeout is negative\r\n", client.Exchange("WAIT 0 -1"));
        var id = client.Exchange("CLIENT ID")[1..^2];
        client.Send(new Command("WAIT", "1", "0"));
        await Eventually.TrueAsync("the client waits", () => new(server.WaitingCount == 1));
        Assert.Equal(":1\r\n", other.Exchange($"CLIENT UNBLOCK {id}"));
        Assert.Equal(":0\r\n", client.ReadText());
    }

    [Fact]
    public async Task Debug_sleep_holds_up_the_caller_alone()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        using var other = server.Connect();
        var id = client.Exchange("CLIENT ID")[1..^2];
        client.Send(new Command("DEBUG", "SLEEP", "0.3"));
        await Eventually.TrueAsync("the client waits", () => new(server.WaitingCount == 1));
        Assert.Equal(":0\r\n", other.Exchange($"CLIENT UNBLOCK {id}"));
        Assert.Equal(1, server.WaitingCount);
        Assert.Equal("+OK\r\n", client.ReadText());
        Assert.Equal("+OK\r\n", client.Exchange("DEBUG SLEEP x"));
        Assert.Equal(
            "-ERR unknown subcommand or wrong number of arguments for 'JMAP'. Try DEBUG HELP.\r\n", client.Exchange("DEBUG JMAP"));
    }

    [Fact]
    public async Task Shutdown_takes_Redis_words_and_asks_for_the_end()
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        foreach (var words in (string[])["x", "SAVE NOSAVE", "ABORT NOW"])
            Assert.Equal("-ERR syntax error\r\n", client.Exchange($"SHUTDOWN {words}"));
        Assert.Equal("-ERR No shutdown in progress.\r\n", client.Exchange("SHUTDOWN ABORT"));
        Assert.Equal("-ERR Errors trying to SHUTDOWN. Check logs.\r\n", client.Exchange("SHUTDOWN SAVE"));
        Assert.False(server.ShutdownRequested.IsCompleted);
        Assert.Throws<NoReplyException>(() => client.Exchange("SHUTDOWN SAVE FORCE"));
        await server.ShutdownRequested;
    }

    [Fact]
    public async Task Shutdown_ends_the_process_with_0_and_keeps_what_was_written()
    {
        using var directory = new JournalDirectory();
        await using var server = await MillraceServer.StartAsync("--data", directory.Path, "--fsync", "no");
        using (var client = new RawConnection(server.Endpoint))
        {
            Assert.Equal("$3\r\n1-1\r\n", client.Exchange("XADD s 1-1 a b"));
            Assert.Throws<NoReplyException>(() => client.Exchange("SHUTDOWN NOSAVE NOW"));
        }

        Assert.Equal(0, await server.WaitForExitAsync());
        await server.StartAgainAsync();
        using var again = new RawConnection(server.Endpoint);
        Assert.Equal(":1\r\n", again.Exchange("XLEN s"));
    }
}
