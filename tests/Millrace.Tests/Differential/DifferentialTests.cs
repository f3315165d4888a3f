using System.Globalization;
using System.Net;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Differential;

/// <summary>
/// Random commands on redis-server 7.0.15 and on our server: every reply is the same, byte for byte, but for <see cref="VersionChanges"/>.
/// <list type="table">
/// <item><term>MILLRACE_DIFF_SEEDS</term><description>so many seeds, from 1; 200 is the full run. Default: what the slice allows.</description></item>
/// <item><term>MILLRACE_DIFF_COMMANDS</term><description>commands of a seed; default 5,000.</description></item>
/// <item><term>MILLRACE_DIFF_SEED</term><description>only this one.</description></item>
/// <item><term>MILLRACE_DIFF_TARGET</term><description>host:port of a running server to test, which is emptied; or `redis`.</description></item>
/// </list>
/// </summary>
public sealed class DifferentialTests
{
    // Enough to see a pattern; more would only be shrunk for long.
    private const int MaxReports = 10;

    [Fact]
    public async Task Random_commands_get_the_replies_of_redis_server()
    {
        await using var reference = await RedisServer.StartAsync();
        await using var subject = await StartSubjectAsync();
        using var run = new DifferentialRun(reference.Port, subject.Endpoint);
        var commands = Number("MILLRACE_DIFF_COMMANDS") ?? 5_000;
        var isLong = Number("MILLRACE_DIFF_SEEDS") is not null;
        List<string> reports = [];
        var start = TimeProvider.System.GetTimestamp();
        foreach (var seed in Seeds())
        {
            if (run.Run(seed, commands) is { } report)
            {
                reports.Add(report);
                Console.WriteLine(report);
            }

            if (reports.Count >= (isLong ? MaxReports : 1))
                break;
        }

        var elapsed = TimeProvider.System.GetElapsedTime(start);
        Console.WriteLine($"{run.Summary()}  {run.Compared / elapsed.TotalSeconds:N0} commands/s");
        Assert.True(reports.Count == 0, string.Join("\n\n", reports));
        Assert.True(run.Compared >= commands);
    }

    private static IEnumerable<int> Seeds()
    {
        if (Number("MILLRACE_DIFF_SEED") is { } only)
            return [only];
        return Number("MILLRACE_DIFF_SEEDS") is { } count ? Enumerable.Range(1, count) : SeedsOfSlice();
    }

    // Two that are always the same, then seeds nobody has tried, for a third of the slice.
    private static IEnumerable<int> SeedsOfSlice()
    {
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);
        var start = TimeProvider.System.GetTimestamp();
        yield return 1;
        yield return 2;
        while (TimeProvider.System.GetElapsedTime(start) < TimeSpan.FromSeconds(slice / 3))
            yield return Random.Shared.Next();
    }

    private static int? Number(string variable) =>
        Environment.GetEnvironmentVariable(variable) is { Length: > 0 } text ? int.Parse(text, CultureInfo.InvariantCulture) : null;

    private static async Task<Subject> StartSubjectAsync()
    {
        var target = Environment.GetEnvironmentVariable("MILLRACE_DIFF_TARGET");
        if (target == "redis")
        {
            var redis = await RedisServer.StartAsync();
            return new(new(IPAddress.Loopback, redis.Port), redis);
        }

        if (!string.IsNullOrEmpty(target))
            return new(IPEndPoint.Parse(target), null);

        var server = await MillraceServer.StartAsync("--memory");
        return new(server.Endpoint, server);
    }

    private sealed record Subject(IPEndPoint Endpoint, IAsyncDisposable? Owner) : IAsyncDisposable
    {
        public ValueTask DisposeAsync() => Owner?.DisposeAsync() ?? ValueTask.CompletedTask;
    }
}
