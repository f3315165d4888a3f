using Millrace.Tests.Clients;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Crash;

/// <summary><c>millrace serve</c> when the process may not open more files: who is connected is served, and nothing spins.</summary>
[Collection(nameof(AloneCollection))]
public sealed class ServedDescriptorTests(ITestOutputHelper output)
{
    private const int FewDescriptors = 320;
    private const string Refusal = "max number of clients reached";

    [Fact]
    public async Task Server_with_few_descriptors_tells_who_is_too_many_and_goes_on_with_its_journal()
    {
        var directory = Directory.CreateTempSubdirectory("millrace-few-").FullName;
        var clients = new List<RawConnection>();
        try
        {
            await using var server = new MillraceServer("--data", directory, "--fsync", "no")
            {
                Wrapper = ["prlimit", $"--nofile={FewDescriptors}:{FewDescriptors}"],
            };
            await server.StartAgainAsync();
            var refused = 0;
            for (var i = 0; i < FewDescriptors; i++)
            {
                var client = new RawConnection(server.Endpoint);
                if (IsServed(client))
                    clients.Add(client);
                else
                    refused++;
            }

            output.WriteLine($"{clients.Count} clients served, {refused} told that they are too many");
            Assert.True(clients.Count > 20 && refused > 20);

            // Past the 64 MiB at which the journal goes on in another file.
            var large = new string('x', 1024 * 1024);
            for (var i = 0; i < 70; i++)
                Assert.False(clients[i % clients.Count].Ask("XADD", "s", "*", "f", large).IsError);

            // Places are free again a moment after their clients have left.
            clients.ForEach(static client => client.Dispose());
            await Fixtures.Eventually.TrueAsync("new clients are served", () =>
            {
                using var client = new RawConnection(server.Endpoint);
                return new(IsServed(client));
            });
            await server.KillAsync();
            await server.StartAgainAsync();
            using var last = new RawConnection(server.Endpoint);
            Assert.Equal("70", last.Ask("XLEN", "s").Text);
        }
        finally
        {
            clients.ForEach(static client => client.Dispose());
            Directory.Delete(directory, recursive: true);
        }
    }

    /// <summary>Only accepting fails, as when another process has taken the last descriptors of the system for a moment.</summary>
    [Fact]
    public async Task Server_that_cannot_accept_pauses_between_attempts_and_says_so_once()
    {
        const int Faults = 12;
        using var faults = new InjectedFaults("accept4", "EMFILE", $"1..{Faults}");
        await using var server = new MillraceServer("--memory") { Wrapper = faults.Wrapper };
        await server.StartAgainAsync();
        var startedAt = TimeProvider.System.GetTimestamp();
        using var client = new RawConnection(server.Endpoint);
        Assert.Equal("PONG", client.Ask("PING").Text);
        var took = TimeProvider.System.GetElapsedTime(startedAt);
        await server.KillAsync();
        output.WriteLine($"{faults.Count()} accepts failed; the client was served {took.TotalMilliseconds:F0} ms after it came");
        Assert.True(faults.Count() >= Faults);

        // A tenth of a second after each; a loop that does not pause is through at once.
        Assert.True(took > TimeSpan.FromSeconds(0.5), $"Served after {took}.");
        Assert.Equal(1, server.Output.Split("No client can be accepted").Length - 1);
    }

    private static bool IsServed(RawConnection client)
    {
        var reply = client.Ask("PING");
        Assert.True(reply.Text == "PONG" || reply.Text.Contains(Refusal, StringComparison.Ordinal), reply.Text);
        return !reply.IsError;
    }
}
