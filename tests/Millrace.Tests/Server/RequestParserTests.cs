using System.Text;
using Millrace.Server;
using Millrace.Server.Connections;

namespace Millrace.Tests.Server;

public sealed class RequestParserTests
{
    /// <summary>What a client may send, and the requests in it.</summary>
    public static TheoryData<string, string[]> Inputs => new()
    {
        { "*1\r\n$4\r\nPING\r\n", ["PING"] },
        { "*2\r\n$4\r\nECHO\r\n$0\r\n\r\n*1\r\n$4\r\nPING\r\n", ["ECHO|", "PING"] },
        { "*2\r\n$4\r\nECHO\r\n$4\r\na\r\nb\r\n", ["ECHO|a\r\nb"] },
        { "*0\r\n*-1\r\n*1\r\n$1\r\na\r\n", ["a"] },
        { "PING\r\n  ECHO  \"a b\"\r\n\r\n*1\r\n$1\r\nx\r\n", ["PING", "ECHO|a b", "x"] },
        { "ECHO \"\\x41\\n\\\"\" 'it\\'s'\n", ["ECHO|A\n\"|it's"] },
        { "*3\r\n$1\r\na\r\n$10\r\n0123456789\r\n$1\r\nc\r\n*1\r\n$1\r\nd\r\n", ["a|0123456789|c", "d"] },
    };

    [Theory]
    [MemberData(nameof(Inputs))]
    public void Requests_are_found_however_they_arrive(string input, string[] expected)
    {
        var bytes = Encoding.Latin1.GetBytes(input);
        for (var chunk = 1; chunk <= bytes.Length; chunk++)
        {
            for (var maxRequests = 1; maxRequests <= 3; maxRequests++)
                Assert.Equal(expected, ParseInChunks(bytes, chunk, maxRequests, out _));
        }
    }

    [Theory]
    [InlineData("*a\r\n", "ERR Protocol error: invalid multibulk length")]
    [InlineData("*9999999\r\n", "ERR Protocol error: invalid multibulk length")]
    [InlineData("*1\r\n:1\r\n", "ERR Protocol error: expected '$', got ':'")]
    [InlineData("*1\r\n$-1\r\n", "ERR Protocol error: invalid bulk length")]
    [InlineData("*1\r\n$99999999999\r\n", "ERR Protocol error: invalid bulk length")]
    [InlineData("ECHO \"a\r\n", "ERR Protocol error: unbalanced quotes in request")]
    [InlineData("ECHO \"a\"b\r\n", "ERR Protocol error: unbalanced quotes in request")]
    public void Damage_is_named_after_the_requests_before_it(string damage, string error)
    {
        var bytes = Encoding.Latin1.GetBytes("*1\r\n$4\r\nPING\r\n" + damage);
        for (var chunk = 1; chunk <= bytes.Length; chunk++)
        {
            Assert.Equal(["PING"], ParseInChunks(bytes, chunk, 10, out var found));
            Assert.Equal(error, found);
        }
    }

    [Fact]
    public void Line_without_an_end_is_refused_above_the_limit()
    {
        var parser = new RequestParser(new RespServerOptions { MaxInlineBytes = 100 });

        parser.Parse(Encoding.ASCII.GetBytes(new string('x', 101)), 10);

        Assert.Equal("ERR Protocol error: too big inline request", parser.ProtocolError);
    }

    [Theory]
    [InlineData("*2\r\n$4\r\nECHO\r\n$101\r\n", "invalid bulk length")]
    [InlineData("*3\r\n$4\r\nECHO\r\n$100\r\n<100>\r\n$100\r\n", "invalid bulk length")]
    [InlineData("*6\r\n", "invalid multibulk length")]
    [InlineData("*<201>", "too big mbulk count string")]
    [InlineData("*1\r\n$<201>", "too big bulk count string")]
    public void Request_above_a_limit_is_refused_before_it_comes(string input, string error)
    {
        var parser = new RequestParser(new RespServerOptions
        {
            MaxBulkBytes = 100, MaxCommandBytes = 200, MaxArguments = 5, MaxInlineBytes = 200,
        });

        parser.Parse(Encoding.ASCII.GetBytes(input.Replace("<100>", new string('x', 100)).Replace("<201>", new string('1', 201))), 10);

        Assert.Equal($"ERR Protocol error: {error}", parser.ProtocolError);
    }

    [Fact]
    public void Client_that_has_not_authenticated_gets_room_for_a_login_only()
    {
        var parser = new RequestParser(new RespServerOptions()) { IsRestricted = true };

        parser.Parse("*2\r\n$4\r\nAUTH\r\n$20000\r\n"u8, 10);

        Assert.Equal("ERR Protocol error: unauthenticated bulk length", parser.ProtocolError);
    }

    [Fact]
    public void Request_behind_a_blocking_one_is_found_again()
    {
        var bytes = "*1\r\n$1\r\na\r\n*1\r\n$1\r\nb\r\n*1\r\n$1"u8.ToArray();
        var parser = new RequestParser(new RespServerOptions());
        parser.Parse(bytes, 10);

        var end = parser.StopAt(parser.Requests[0].End);

        parser.Parse(bytes.AsSpan(end), 10);
        Assert.Equal("b", Describe(parser, parser.Requests[0], bytes.AsSpan(end)));
        Assert.Equal(1, parser.Requests.Length);
    }

    private static List<string> ParseInChunks(byte[] bytes, int chunk, int maxRequests, out string? error)
    {
        var parser = new RequestParser(new RespServerOptions());
        var found = new List<string>();
        int start = 0, end = 0;
        while ((end < bytes.Length || parser.IsFull) && parser.ProtocolError is null)
        {
            if (!parser.IsFull)
                end = Math.Min(bytes.Length, end + chunk);
            var input = bytes.AsSpan(start, end - start);
            var consumed = parser.Parse(input, maxRequests);
            foreach (var request in parser.Requests)
                found.Add(Describe(parser, request, input));
            start += consumed;
        }

        error = parser.ProtocolError;
        return found;
    }

    private static string Describe(RequestParser parser, Request request, ReadOnlySpan<byte> input)
    {
        var words = new List<string>();
        foreach (var argument in parser.ArgumentsOf(request))
            words.Add(Encoding.Latin1.GetString((request.Own ?? input).Slice(argument.Start, argument.Length)));
        return string.Join('|', words);
    }
}
