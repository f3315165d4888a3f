using System.Diagnostics;
using System.Globalization;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>The server of a chaos run: redis-server that syncs its log before it answers, or ours that does.</summary>
internal abstract class ChaosServer : IAsyncDisposable
{
    public abstract string Name { get; }

    public abstract int Port { get; }

    public static async Task<ChaosServer> StartAsync(string name)
    {
        var clock = new SettableClock();
        if (name == ServerOfKind.Redis)
            return new Redis(await RedisServer.StartAsync(clock.Variables, "--appendonly", "yes", "--appendfsync", "always"), clock);
        var directory = Directory.CreateTempSubdirectory("millrace-chaos-").FullName;
        var variables = clock.Variables.ToDictionary(variable => variable.Key, variable => (string?)variable.Value);
        var server = new MillraceServer("--data", directory, "--fsync", "always") { Variables = variables };
        await server.StartAgainAsync();
        return new Ours(server, directory, clock);
    }

    /// <summary>What setting its clock is called in a history: what it excuses is not the same everywhere.</summary>
    public abstract ChaosFault FaultOfJump(TimeSpan by);

    /// <summary>Sets its wall clock.</summary>
    public void Jump(TimeSpan by) => Clock.Jump(by);

    protected abstract SettableClock Clock { get; }

    public abstract Task KillAsync();

    public abstract Task StartAgainAsync();

    public abstract void Pause();

    public abstract void Continue();

    /// <summary>Deletes everything.</summary>
    public Task FlushAsync() => CliAsync("FLUSHALL");

    /// <summary>Sets what the keys may take; 0 for no limit.</summary>
    public Task LimitMemoryAsync(long maxMemoryBytes) => CliAsync("CONFIG", "SET", "maxmemory", $"{maxMemoryBytes}");

    private async Task CliAsync(params string[] command)
    {
        using var cli = Process.Start(new ProcessStartInfo("redis-cli", ["-p", Port.ToString(CultureInfo.InvariantCulture), "-e", .. command])
        {
            RedirectStandardOutput = true,
        })!;
        var reply = await cli.StandardOutput.ReadToEndAsync();
        await cli.WaitForExitAsync();
        if (cli.ExitCode != 0)
            throw new InvalidOperationException($"{command[0]} failed: {reply}");
    }

    public abstract ValueTask DisposeAsync();

    private sealed class Redis(RedisServer server, SettableClock clock) : ChaosServer
    {
        protected override SettableClock Clock => clock;

        public override string Name => ServerOfKind.Redis;

        public override int Port => server.Port;

        public override Task KillAsync() => server.KillAsync();

        public override Task StartAgainAsync() => server.StartAgainAsync();

        public override ChaosFault FaultOfJump(TimeSpan by) => by > TimeSpan.Zero ? ChaosFault.RedisClockForward : ChaosFault.RedisClockBack;

        public override void Pause() => server.Stop();

        public override void Continue() => server.Continue();

        public override async ValueTask DisposeAsync()
        {
            await server.DisposeAsync();
            clock.Dispose();
        }
    }

    private sealed class Ours(MillraceServer server, string directory, SettableClock clock) : ChaosServer
    {
        protected override SettableClock Clock => clock;

        public override string Name => ServerOfKind.Millrace;

        public override int Port => server.Endpoint.Port;

        public override Task KillAsync() => server.KillAsync();

        public override Task StartAgainAsync() => server.StartAgainAsync();

        public override ChaosFault FaultOfJump(TimeSpan by) => ChaosFault.ClockJump;

        public override void Pause() => Signals.Stop(server.Process);

        public override void Continue() => Signals.Continue(server.Process);

        public override async ValueTask DisposeAsync()
        {
            await server.DisposeAsync();
            Directory.Delete(directory, recursive: true);
            clock.Dispose();
        }
    }
}
