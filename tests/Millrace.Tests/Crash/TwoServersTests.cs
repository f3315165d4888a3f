using Millrace.Tests.Clients;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Crash;

/// <summary>Two processes of <c>millrace serve</c> and one data directory.</summary>
public sealed class TwoServersTests(ITestOutputHelper output)
{
    /// <summary>The runtime's own switch: files are opened without any lock.</summary>
    private static readonly Dictionary<string, string?> WithoutLocks = new() { ["DOTNET_SYSTEM_IO_DISABLEFILELOCKING"] = "1" };

    [Fact]
    public async Task Second_server_names_the_holder_and_opens_once_that_was_killed()
    {
        var directory = Directory.CreateTempSubdirectory("millrace-two-").FullName;
        try
        {
            await using var first = await MillraceServer.StartAsync("--data", directory);
            using (var client = new RawConnection(first.Endpoint))
                Assert.Equal("1-0", client.Ask("XADD", "s", "1-0", "f", "v").Text);
            await using var second = new MillraceServer("--data", directory);
            Assert.Null(await second.Launch());
            Assert.Equal(1, await second.WaitForExitAsync());
            Assert.Contains($"in use by process {first.Process.Id} on", second.Output, StringComparison.Ordinal);
            using (var client = new RawConnection(first.Endpoint))
                Assert.Equal("2-0", client.Ask("XADD", "s", "2-0", "f", "v").Text);

            await first.KillAsync();
            await second.StartAgainAsync();
            using (var client = new RawConnection(second.Endpoint))
                Assert.Equal("2", client.Ask("XLEN", "s").Text);
            output.WriteLine("1 second process refused, 1 kill fired");
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Server_whose_directory_was_taken_in_spite_of_its_lock_stops_at_its_next_segment()
    {
        var directory = Directory.CreateTempSubdirectory("millrace-taken-").FullName;
        try
        {
            await using var older = new MillraceServer("--data", directory, "--fsync", "no") { Variables = WithoutLocks };
            await older.StartAgainAsync();
            using var client = new RawConnection(older.Endpoint);
            Assert.False(client.Ask("XADD", "s", "*", "f", "v").IsError);
            await using var newer = new MillraceServer("--data", directory, "--fsync", "no") { Variables = WithoutLocks };
            await newer.StartAgainAsync();

            // A segment has 64 MiB.
            var large = new string('x', 1024 * 1024);
            RespNode reply;
            var taken = 0;
            while (!(reply = client.Ask("XADD", "s", "*", "f", large)).IsError)
                Assert.True(++taken <= 70, "The older server goes on after the end of its segment.");
            output.WriteLine($"1 directory taken; the older server stopped after {taken} MiB: {reply.Text}");
            Assert.StartsWith("UNSYNCED ", reply.Text, StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }
}
