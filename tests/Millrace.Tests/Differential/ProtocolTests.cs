using System.Net;
using System.Net.Sockets;
using System.Text;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Differential;

/// <summary>What is no request, or hardly one, gets the replies of redis-server 7.0.15, and the connection ends where its does.</summary>
public sealed class ProtocolTests(SharedRedis redis, SharedMillrace millrace)
{
    private const string Ping = "*1\r\n$4\r\nPING\r\n";

    [Theory]
    [InlineData("PING\r\n")]
    [InlineData("PING\n")]
    [InlineData("  PING  x \r\n")]
    [InlineData("\r\n\n\r\nPING\r\n")]
    [InlineData("ECHO \"a\\x41\\n\\r\\t\\b\\a\\q\\\"\"\r\n")]
    [InlineData("ECHO 'a\\'b\\n'\r\n")]
    [InlineData("ECHO \"\\xg1\\x4\"\r\n")]
    [InlineData("ECHO a\"b c\"\r\n")]
    [InlineData("ECHO \"a\"b\r\n")]
    [InlineData("ECHO \"a\r\n")]
    [InlineData("ECHO 'a\r\n")]
    [InlineData("ECHO \"\"\r\n")]
    [InlineData("*0\r\n" + Ping)]
    [InlineData("*-1\r\n" + Ping)]
    [InlineData("*-5\r\n" + Ping)]
    [InlineData("*+1\r\n" + Ping)]
    [InlineData("*01\r\n" + Ping)]
    [InlineData("* 1\r\n" + Ping)]
    [InlineData("*\r\n" + Ping)]
    [InlineData("*a\r\n" + Ping)]
    [InlineData("*2147483648\r\n" + Ping)]
    [InlineData("*99999999999999999999\r\n" + Ping)]
    [InlineData("*1\r\n:4\r\nPING\r\n")]
    [InlineData("*1\r\nPING\r\n")]
    [InlineData("*1\r\n\r\n" + Ping)]
    [InlineData("*1\r\n$\r\nPING\r\n")]
    [InlineData("*1\r\n$-1\r\n" + Ping)]
    [InlineData("*1\r\n$+4\r\nPING\r\n")]
    [InlineData("*1\r\n$04\r\nPING\r\n")]
    [InlineData("*1\r\n$ 4\r\nPING\r\n")]
    [InlineData("*1\r\n$4a\r\nPING\r\n")]
    [InlineData("*1\r\n$4294967296\r\nPING\r\n")]
    [InlineData("*1\r\n$99999999999999999999\r\nPING\r\n")]
    [InlineData("*1\r\n$4\r\nPINGxx" + Ping)]
    [InlineData("*2\r\n$0\r\n\r\n$1\r\nx\r\n" + Ping)]
    [InlineData("*2\r\n$4\r\nECHO\r\n$0\r\n\r\n")]
    [InlineData("*2\r\n$6\r\nPI\r\nNG\r\n$1\r\nx\r\n")]
    [InlineData("POST / HTTP/1.1\r\nHost: a\r\n\r\nPING\r\n")]
    [InlineData("Host: a\r\nPING\r\n")]
    [InlineData("GET / HTTP/1.1\r\nHost: a\r\n\r\nPING\r\n")]
    [InlineData("QUIT\r\nPING\r\n")]
    [InlineData("QUIT x\r\nPING\r\n")]
    public async Task Input_gets_the_replies_of_redis_server(string input)
    {
        var bytes = Encoding.Latin1.GetBytes(input);

        var expected = await ExchangeAsync(new(IPAddress.Loopback, (await redis.StartedAsync()).Port), bytes);

        Assert.Equal(expected, await ExchangeAsync((await millrace.StartedAsync()).Endpoint, bytes));
    }

    [Theory]
    [InlineData(60_000)]
    [InlineData(100_000)]
    public async Task Long_line_gets_the_replies_of_redis_server(int length) =>
        await Input_gets_the_replies_of_redis_server($"ECHO {new string('x', length)}");

    /// <summary>Everything that comes back until the connection ends: the input is followed by a QUIT, which a server that broke off never sees.</summary>
    private static async Task<string> ExchangeAsync(IPEndPoint endpoint, byte[] input)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        deadline.CancelAfter(TimeSpan.FromMinutes(1));
        using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(endpoint, deadline.Token);
        await using var stream = new NetworkStream(socket);
        var replies = new StringBuilder();
        var buffer = new byte[4096];
        await UntilClosedAsync(async () =>
        {
            await stream.WriteAsync(input, deadline.Token);
            await stream.WriteAsync("\r\n*1\r\n$4\r\nQUIT\r\n"u8.ToArray(), deadline.Token);
        });
        await UntilClosedAsync(async () =>
        {
            while (await stream.ReadAsync(buffer, deadline.Token) is > 0 and var count)
                replies.Append(Encoding.Latin1.GetString(buffer, 0, count));
        });
        return replies.ToString();
    }

    // Closed with our last bytes unread, a connection fails, which loses nothing that was received before.
    private static async Task UntilClosedAsync(Func<Task> exchange)
    {
        try
        {
            await exchange();
        }
        catch (IOException)
        {
        }
    }
}
