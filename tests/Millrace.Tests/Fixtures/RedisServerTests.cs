namespace Millrace.Tests.Fixtures;

public sealed class RedisServerTests(SharedRedis shared)
{
    [Fact]
    public async Task StartAsync_answers_on_its_own_port()
    {
        await using var server = await RedisServer.StartAsync("--maxmemory", "20mb");

        Assert.Equal("PONG", await server.CliAsync("PING"));
        Assert.Equal("maxmemory\n20971520", await server.CliAsync("CONFIG", "GET", "maxmemory"));
        Assert.NotEqual(server.Port, (await shared.StartedAsync()).Port);
    }

    [Fact]
    public async Task StartAgainAsync_after_a_kill_keeps_the_port_and_what_was_on_disk()
    {
        await using var server = await RedisServer.StartAsync("--appendonly", "yes", "--appendfsync", "always");
        var port = server.Port;
        await server.CliAsync("SET", "survivor", "yes");

        await server.KillAsync();
        await Assert.ThrowsAsync<InvalidOperationException>(() => server.CliAsync("PING"));
        await server.StartAgainAsync();

        Assert.Equal(port, server.Port);
        Assert.Equal("yes", await server.CliAsync("GET", "survivor"));
    }

    [Fact]
    public async Task StartAsync_of_a_wrong_option_shows_what_the_server_said()
    {
        var exception = await Assert.ThrowsAsync<InvalidOperationException>(() => RedisServer.StartAsync("--no-such-option", "1"));

        Assert.Contains("no-such-option", exception.Message, StringComparison.Ordinal);
    }
}
