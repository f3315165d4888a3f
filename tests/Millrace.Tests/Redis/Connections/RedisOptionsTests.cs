using Millrace.Redis;

namespace Millrace.Tests.Redis.Connections;

public sealed class RedisOptionsTests
{
    [Theory]
    [InlineData("localhost", "localhost", 6379)]
    [InlineData("redis.example:7000", "redis.example", 7000)]
    [InlineData(" 10.0.0.1:7000 , db=1", "10.0.0.1", 7000)]
    [InlineData("[::1]:7000", "::1", 7000)]
    [InlineData("::1", "::1", 6379)]
    [InlineData("[::1]", "::1", 6379)]
    [InlineData("redis://redis.example", "redis.example", 6379)]
    [InlineData("redis://redis.example:7000/2", "redis.example", 7000)]
    [InlineData("REDISS://[::1]:7000", "::1", 7000)]
    public void Endpoint_is_read_from_every_form(string text, string host, int port)
    {
        var options = RedisOptions.Parse(text);

        Assert.Equal(host, options.Host);
        Assert.Equal(port, options.Port);
    }

    [Fact]
    public void List_sets_every_option()
    {
        var options = RedisOptions.Parse(
            "h:1,user=u,password=p=w,db=2,SSL=true,tlsHost=t,name=n,connectTimeout=10,connectAttempts=3,reconnectDelay=4,"
            + "maxReconnectDelay=50,commandTimeout=60,keepAlive=7,maxPipelinedCommands=8,maxPipelinedBytes=9,maxReplyBytes=100000");

        Assert.Equal(("u", "p=w", 2, true, "t", "n"),
            (options.User, options.Password, options.Database, options.UseTls, options.TlsHost, options.ClientName));
        Assert.Equal((10, 3, 4, 50, 60, 7), (
            options.ConnectTimeout.TotalMilliseconds, options.ConnectAttempts, options.ReconnectDelay.TotalMilliseconds,
            options.MaxReconnectDelay.TotalMilliseconds, options.CommandTimeout.TotalMilliseconds, options.KeepAlive.TotalSeconds));
        Assert.Equal((8, 9, 100_000), (options.MaxPipelinedCommands, options.MaxPipelinedBytes, options.MaxReplyBytes));
    }

    [Fact]
    public void Url_sets_user_password_database_tls_and_options()
    {
        var options = RedisOptions.Parse("rediss://us%40er:pass%2Cword%3A@redis.example:7000/5?name=shop&commandTimeout=250");

        Assert.Equal(("us@er", "pass,word:", 5, true, "shop"),
            (options.User, options.Password, options.Database, options.UseTls, options.ClientName));
        Assert.Equal(TimeSpan.FromMilliseconds(250), options.CommandTimeout);
        Assert.Null(RedisOptions.Parse("redis://:secret@h").User);
        Assert.Equal("secret", RedisOptions.Parse("redis://:secret@h").Password);
    }

    [Fact]
    public void Errors_are_listed_all_at_once()
    {
        var exception = Assert.Throws<FormatException>(() => RedisOptions.Parse("h:x,tsl=true,db=one,connectAttempts=0,name=a b"));

        Assert.Contains("port", exception.Message, StringComparison.Ordinal);
        Assert.Contains("'tsl'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("'db'", exception.Message, StringComparison.Ordinal);
        Assert.Contains("ConnectAttempts", exception.Message, StringComparison.Ordinal);
        Assert.Contains("ClientName", exception.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData("a:1,b:2")]
    [InlineData("h,user=u")]
    [InlineData("h,tlsHost=x")]
    [InlineData("h,tlsAuthorityFile=missing.pem,ssl=true")]
    [InlineData("redis://h/one")]
    [InlineData("redis://h:99999")]
    [InlineData("redis://")]
    public void Text_that_makes_no_sense_is_refused(string text) => Assert.Throws<FormatException>(() => RedisOptions.Parse(text));

    [Theory]
    [InlineData("h,password=can,ary")]
    [InlineData("h,password=can,ary=x")]
    [InlineData("h,password=canary,port=1")]
    [InlineData("redis://u:canary@h:99999")]
    [InlineData("redis://u:canary@h/one?x=1")]
    public void Error_never_repeats_a_password(string text)
    {
        var exception = Assert.Throws<FormatException>(() => RedisOptions.Parse(text));

        Assert.DoesNotContain("can", exception.Message.Replace("cannot", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.DoesNotContain("ary", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Text_form_carries_no_secret() =>
        Assert.Equal("h:6379", RedisOptions.Parse("h,user=u,password=canary").ToString());
}
