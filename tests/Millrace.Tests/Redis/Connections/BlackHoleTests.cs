using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis.Connections;

/// <summary>Lines that look open and are dead, and servers that take connections and drop them.</summary>
public sealed class BlackHoleTests(SharedRedis redis)
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    /// <summary>
    /// StackExchange.Redis#2919: after a write that failed, callers got the replies of others. #1670, #3063: a hung server was never given up.
    /// </summary>
    [Fact]
    public async Task Line_in_a_black_hole_is_given_up_at_the_time_limit_and_its_late_replies_reach_nobody()
    {
        await using var proxy = CuttingProxy.Start((await redis.StartedAsync()).Port);
        await using var client = ClientOf(proxy.Port, options => options.CommandTimeout = TimeSpan.FromSeconds(2));
        Assert.Equal("0", await EchoAsync(client, 0));
        proxy.BlackHole();

        var lost = Enumerable.Range(1, 50).Select(i => EchoAsync(client, i)).ToArray();
        foreach (var caller in lost)
        {
            var failure = await Assert.ThrowsAsync<StreamException>(() => caller.WaitAsync(Deadline));
            Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
            Assert.IsType<TimeoutException>(failure.InnerException);
        }

        var next = Enumerable.Range(100, 50).Select(i => EchoAsync(client, i)).ToArray();
        await Eventually.TrueAsync("another line is opened", () => new(proxy.AcceptedCount == 2));
        proxy.Restore();

        for (var i = 0; i < next.Length; i++)
            Assert.Equal($"{100 + i}", await next[i].WaitAsync(Deadline));
        Assert.Equal(2, proxy.AcceptedCount);
    }

    /// <summary>Finding 9 of the research on reliability: probes rest while bytes of ours are not acknowledged.</summary>
    [Fact]
    public async Task Bytes_that_nobody_takes_break_the_line_before_a_longer_time_limit()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "TCP_USER_TIMEOUT");
        await using var proxy = CuttingProxy.Start((await redis.StartedAsync()).Port);
        await using var client = ClientOf(proxy.Port, options =>
            (options.CommandTimeout, options.KeepAlive) = (TimeSpan.FromHours(1), TimeSpan.FromSeconds(1)));
        await EchoAsync(client, 0);
        proxy.BlackHole();

        // More than the buffers of both ends take.
        var large = client.ExecuteAsync(new RespCommand("ECHO").Add(new byte[30 * 1024 * 1024]), default).AsTask();
        var behind = EchoAsync(client, 1);
        var failure = await Assert.ThrowsAsync<StreamException>(() => large.WaitAsync(Deadline));
        proxy.Restore();

        // The other one was still waiting for the write when the line broke, and went out on the next.
        Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
        Assert.Equal("1", await behind.WaitAsync(Deadline));
    }

    /// <summary>Where localhost is also ::1, at which nobody listens, the connection stands on a second descriptor.</summary>
    [Fact]
    public async Task Limits_of_a_silent_line_are_set_on_the_connection_that_stands()
    {
        Assert.SkipUnless(OperatingSystem.IsLinux(), "TCP_USER_TIMEOUT");
        var options = OptionsOf((await redis.StartedAsync()).Port);
        (options.Host, options.KeepAlive) = ("localhost", TimeSpan.FromSeconds(3));

        using var socket = await RedisConnector.DialAsync(options, default);

        var userTimeout = new byte[4];
        socket.GetRawSocketOption(6, 18, userTimeout);
        Assert.Equal(6_000, BitConverter.ToInt32(userTimeout));
        Assert.Equal(3, socket.GetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime));
    }

    /// <summary>redisson#3076: every caller reconnected for itself. watermill-redisstream#32: a flood of errors from broken connections.</summary>
    [Fact]
    public async Task Callers_of_a_server_that_drops_connections_share_the_attempts()
    {
        using var server = new DroppingServer();
        await using var client = ClientOf(server.Port, options => options.ConnectAttempts = 3);

        // The first attempt is held until everybody waits for it.
        var callers = Enumerable.Range(0, 200).Select(i => (Task)EchoAsync(client, i)).ToList();
        callers.AddRange(Enumerable.Range(0, 50).Select(_ => ReadAsync(client)));
        server.Drop();

        foreach (var caller in callers)
        {
            var failure = await Assert.ThrowsAsync<StreamException>(() => caller.WaitAsync(Deadline));
            Assert.Equal(StreamErrorCode.Unavailable, failure.Code);
            Assert.Contains("Nothing was sent", failure.Message, StringComparison.Ordinal);
        }

        Assert.Equal(3, server.AcceptedCount);

        // From now on a call costs one attempt, not three.
        await Assert.ThrowsAsync<StreamException>(() => EchoAsync(client, 0));
        await Assert.ThrowsAsync<StreamException>(() => ReadAsync(client));
        Assert.Equal(5, server.AcceptedCount);
    }

    /// <summary>dapr components-contrib, pubsub.redis: what fails is tried again without any pause.</summary>
    [Fact]
    public async Task Attempt_of_a_call_after_a_failed_one_waits_for_its_pause()
    {
        var time = new ManualTimeProvider();
        using var server = new DroppingServer();
        server.Drop();
        var pause = TimeSpan.FromMinutes(10);
        await using var client = ClientOf(server.Port, time: time, configure: options =>
            (options.ConnectAttempts, options.ReconnectDelay, options.MaxReconnectDelay) = (1, pause, pause));
        await Assert.ThrowsAsync<StreamException>(() => EchoAsync(client, 0));

        var next = EchoAsync(client, 1);
        await time.WaitForTimerAsync(pause / 2, pause);
        Assert.Equal(1, server.AcceptedCount);
        time.Advance(pause);

        // The clock may have passed the attempt's own time limit already, before the server saw it.
        await Assert.ThrowsAsync<StreamException>(() => next.WaitAsync(Deadline));
        await Eventually.TrueAsync("the attempt is made", () => new(server.AcceptedCount == 2));
    }

    [Fact]
    public async Task Replies_trickled_byte_by_byte_reach_their_callers()
    {
        await using var proxy = CuttingProxy.Start((await redis.StartedAsync()).Port);
        proxy.IsTrickling = true;
        await using var store = new RedisStreamStore(OptionsOf(proxy.Port));
        var stream = Guid.NewGuid().ToString("N");
        await store.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        var reading = store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [stream], Block = Deadline }).AsTask();

        // What looks like the frames of the protocol, in every length around a border.
        var values = Enumerable.Range(0, 40).Select(i => $"$3\r\n*{i}\r\n" + new string('\n', i)).ToArray();
        var ids = await Task.WhenAll(values.Select(value => store.AppendAsync(stream, EntryFields.Create(("v", value))).AsTask()));

        Assert.Equal(ids.Min(), (await reading)[0].Entries[0].Id);
        var entries = await store.RangeAsync(stream, new());
        Assert.Equal(ids.Order(), entries.Select(entry => entry.Id));
        for (var i = 0; i < ids.Length; i++)
            Assert.Equal(values[i], entries.Single(entry => entry.Id == ids[i]).Fields.GetText("v"u8));
    }

    private static async Task<string> EchoAsync(RedisClient client, int value) =>
        (await client.ExecuteAsync(new RespCommand("ECHO").Add(value.ToString(CultureInfo.InvariantCulture)), default)).Text;

    private static Task ReadAsync(RedisClient client) => client.ExecuteBlockingAsync(
        new RespCommand("XREAD").Add("BLOCK").Add(1).Add("STREAMS").Add("orders").Add("$"), TimeSpan.FromMilliseconds(1), default).AsTask();

    private static RedisClient ClientOf(int port, Action<RedisOptions>? configure = null, TimeProvider? time = null)
    {
        var options = OptionsOf(port);
        configure?.Invoke(options);
        return new(options, time ?? TimeProvider.System, NullLogger.Instance);
    }

    private static RedisOptions OptionsOf(int port) => new()
    {
        Host = "127.0.0.1",
        Port = port,
        ConnectTimeout = TimeSpan.FromSeconds(20),
        CommandTimeout = TimeSpan.FromSeconds(20),
        ReconnectDelay = TimeSpan.FromMilliseconds(2),
        MaxReconnectDelay = TimeSpan.FromMilliseconds(50),
    };

    /// <summary>Accepts connections and closes them, from when it is told to.</summary>
    private sealed class DroppingServer : IDisposable
    {
        private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
        private readonly TaskCompletionSource _dropping = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _acceptedCount;

        public DroppingServer()
        {
            _listener.Start();
            _ = AcceptAsync();
        }

        public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

        public int AcceptedCount => Volatile.Read(ref _acceptedCount);

        public void Drop() => _dropping.TrySetResult();

        public void Dispose() => _listener.Dispose();

        private async Task AcceptAsync()
        {
            try
            {
                while (true)
                {
                    using var client = await _listener.AcceptSocketAsync();
                    Interlocked.Increment(ref _acceptedCount);
                    await _dropping.Task;
                }
            }
            catch (Exception exception) when (exception is SocketException or ObjectDisposedException)
            {
                // The listener was stopped.
            }
        }
    }
}
