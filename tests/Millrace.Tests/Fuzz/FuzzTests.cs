using System.Globalization;
using System.Net;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Fuzz;

/// <summary>
/// Garbage on the port: no crash, no hang, no growth. MILLRACE_FUZZ_SECONDS runs for so long (600 is the full run), MILLRACE_FUZZ_SEED
/// repeats a seed, MILLRACE_FUZZ_TARGET names the host:port of a running server to take instead, whose memory is not seen then.
/// </summary>
public sealed class FuzzTests
{
    // The runtime, its heap for a few hundred connections, and what 20 rounds may store; far below what one believed length would take.
    private const long MaxResidentBytes = 512L * 1024 * 1024;

    [Fact]
    public async Task Garbage_neither_crashes_nor_blocks_nor_fills_the_server()
    {
        var target = Environment.GetEnvironmentVariable("MILLRACE_FUZZ_TARGET");
        await using var server = string.IsNullOrEmpty(target) ? await MillraceServer.StartAsync("--memory") : null;
        var seed = Number("MILLRACE_FUZZ_SEED") ?? Random.Shared.Next();
        var run = new FuzzRun(server?.Endpoint ?? IPEndPoint.Parse(target!), seed, () => server?.ResidentBytes ?? 0, MaxResidentBytes);
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);

        await run.RunAsync(TimeSpan.FromSeconds(Number("MILLRACE_FUZZ_SECONDS") ?? slice / 3));

        Console.WriteLine(run.Summary());
        Assert.True(server?.IsRunning ?? true, server?.Output);
    }

    /// <summary>The fuzzer itself: real Redis stands what ours must stand, and a server that is gone is noticed.</summary>
    [Fact]
    public async Task Fuzzer_gets_answers_from_redis_server_and_notices_its_end()
    {
        var server = await RedisServer.StartAsync();
        var run = new FuzzRun(new(IPAddress.Loopback, server.Port), 7, () => 0, MaxResidentBytes);

        await run.RunAsync(TimeSpan.FromSeconds(1));
        var summary = run.Summary();
        await server.DisposeAsync();

        Assert.Contains("-ERR Protocol error", summary, StringComparison.Ordinal);
        Assert.Contains("reply", summary, StringComparison.Ordinal);
        await Assert.ThrowsAnyAsync<Exception>(() => run.RunAsync(TimeSpan.FromSeconds(1)));
    }

    private static int? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;
}
