using System.Globalization;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Server;

namespace Millrace.Tests.Fixtures;

/// <summary>A store of a test's own, whose memory can be limited.</summary>
public abstract class LimitedStore : IAsyncDisposable
{
    // Far more than what a test writes on a store that is full, so that the embedded store's reserve, a sixteenth of it, suffices.
    private const int BallastEntries = 80;
    private const int BallastBytes = 100_000;

    // Documents that expire while a test runs.
    private const int SlackBytes = 20_000;

    private LimitedStore()
    {
    }

    public abstract IStreamStore Store { get; }

    /// <summary>In this process.</summary>
    /// <param name="whenFull">With <see cref="WhenFull.Wait"/> publishers wait for ever, which nothing that makes room may.</param>
    public static Task<LimitedStore> StartEmbeddedAsync(WhenFull whenFull) => Task.FromResult<LimitedStore>(new Embedded(whenFull));

    /// <summary>A Redis of its own.</summary>
    public static async Task<LimitedStore> StartRedisAsync() => new OnRedis(await RedisServer.StartAsync());

    /// <summary>Our server.</summary>
    public static async Task<LimitedStore> StartServerAsync() => new OnServer(await TestServer.StartAsync());

    /// <summary>Sets the limit of memory, 0 for none.</summary>
    public abstract Task LimitAsync(long maxMemoryBytes);

    /// <summary>Fills the store: now publishers find no memory.</summary>
    public async Task FillAsync()
    {
        var ballast = EntryFields.Create(("v", new('x', BallastBytes)));
        for (var i = 0; i < BallastEntries; i++)
            await Store.AppendAsync("ballast", ballast);
        await LimitToWhatIsUsedAsync();
    }

    /// <summary>As <see cref="FillAsync"/>, on a store that holds much already.</summary>
    public async Task LimitToWhatIsUsedAsync()
    {
        await LimitAsync(await UsedBytesAsync() - SlackBytes);
        await CheckIsFullAsync();
    }

    public async Task CheckIsFullAsync()
    {
        var result = Assert.Single(await Store.CommitAsync([new() { Changes = [new CommitChange.PutState(new("some", "document"), default)] }]));
        Assert.Equal(StreamErrorCode.OutOfMemory, result.Failure?.Code);
    }

    public abstract ValueTask DisposeAsync();

    /// <summary>What the store will certainly use for as long as nothing is taken out of it.</summary>
    protected abstract Task<long> UsedBytesAsync();

    private sealed class Embedded(WhenFull whenFull) : LimitedStore
    {
        private readonly EmbeddedStreamStore _store = new(new() { WhenFull = whenFull, MaxWaitWhenFull = TimeSpan.FromDays(1) });

        public override IStreamStore Store => _store;

        public override Task LimitAsync(long maxMemoryBytes)
        {
            _store.LimitMemory(maxMemoryBytes);
            return Task.CompletedTask;
        }

        public override ValueTask DisposeAsync() => _store.DisposeAsync();

        protected override Task<long> UsedBytesAsync() => Task.FromResult(_store.UsedMemory());
    }

    private sealed class OnRedis(RedisServer server) : LimitedStore
    {
        // Buffers of connections count, too, and come and go.
        private const int BufferBytes = 500_000;

        public override IStreamStore Store { get; } = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));

        public override Task LimitAsync(long maxMemoryBytes) => server.CliAsync("CONFIG", "SET", "maxmemory", $"{maxMemoryBytes}");

        public override async ValueTask DisposeAsync()
        {
            await Store.DisposeAsync();
            await server.DisposeAsync();
        }

        protected override async Task<long> UsedBytesAsync()
        {
            const string name = "used_memory:";
            var lines = (await server.CliAsync("INFO", "memory")).Split('\n', StringSplitOptions.TrimEntries);
            var used = lines.Single(line => line.StartsWith(name, StringComparison.Ordinal))[name.Length..];
            return long.Parse(used, CultureInfo.InvariantCulture) - BufferBytes;
        }
    }

    private sealed class OnServer(TestServer server) : LimitedStore
    {
        public override IStreamStore Store { get; } = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });

        public override Task LimitAsync(long maxMemoryBytes)
        {
            server.Store.LimitMemory(maxMemoryBytes);
            return Task.CompletedTask;
        }

        public override async ValueTask DisposeAsync()
        {
            await Store.DisposeAsync();
            await server.DisposeAsync();
        }

        protected override Task<long> UsedBytesAsync() => Task.FromResult(server.Store.UsedMemory());
    }
}
