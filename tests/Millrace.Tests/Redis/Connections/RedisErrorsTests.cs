using System.Text;
using Millrace.Redis.Connections;
using Millrace.Streams;

namespace Millrace.Tests.Redis.Connections;

public sealed class RedisErrorsTests
{
    [Theory]
    [InlineData("WRONGTYPE Operation against a key holding the wrong kind of value", StreamErrorCode.WrongType)]
    [InlineData("NOGROUP No such key 'k' or consumer group 'g'", StreamErrorCode.NoGroup)]
    [InlineData("CROSSSLOT Keys in request don't hash to the same slot", StreamErrorCode.CrossSlot)]
    [InlineData("NOAUTH Authentication required.", StreamErrorCode.AuthenticationFailed)]
    [InlineData("WRONGPASS invalid username-password pair or user is disabled.", StreamErrorCode.AuthenticationFailed)]
    [InlineData("NOPERM this user has no permissions", StreamErrorCode.PermissionDenied)]
    [InlineData("DENIED Redis is running in protected mode", StreamErrorCode.PermissionDenied)]
    [InlineData("OOM command not allowed when used memory > 'maxmemory'.", StreamErrorCode.OutOfMemory)]
    [InlineData("READONLY You can't write against a read only replica.", StreamErrorCode.ReadOnly)]
    [InlineData("MISCONF Errors writing to the AOF file", StreamErrorCode.ReadOnly)]
    [InlineData("NOREPLICAS Not enough good replicas to write.", StreamErrorCode.ReadOnly)]
    [InlineData("UNSYNCED The journal takes no writes while its device is full", StreamErrorCode.OutcomeUnknown)]
    [InlineData("LOADING Redis is loading the dataset in memory", StreamErrorCode.Busy)]
    [InlineData("BUSY Redis is busy running a script.", StreamErrorCode.Busy)]
    [InlineData("MASTERDOWN Link with MASTER is down", StreamErrorCode.Busy)]
    [InlineData("CLUSTERDOWN The cluster is down", StreamErrorCode.Busy)]
    [InlineData("TRYAGAIN Multiple keys request during rehashing of slot", StreamErrorCode.Busy)]
    [InlineData("UNBLOCKED the stream key no longer exists", StreamErrorCode.Busy)]
    [InlineData("BUSYGROUP Consumer Group name already exists", StreamErrorCode.ServerError)]
    [InlineData("EXECABORT Transaction discarded because of previous errors.", StreamErrorCode.ServerError)]
    [InlineData("UNKILLABLE Sorry the script already executed write commands", StreamErrorCode.ServerError)]
    [InlineData("NOTBUSY No scripts in execution right now.", StreamErrorCode.ServerError)]
    [InlineData("NOPROTO unsupported protocol version", StreamErrorCode.ServerError)]
    [InlineData("BUSYKEY Target key name already exists.", StreamErrorCode.ServerError)]
    [InlineData("ASK 3999 127.0.0.1:6381", StreamErrorCode.ServerError)]
    [InlineData("ERR unknown command 'X'", StreamErrorCode.ServerError)]
    [InlineData("NOSCRIPT No matching script.", StreamErrorCode.ServerError)]
    [InlineData("MOVED 3999 127.0.0.1:6381", StreamErrorCode.ServerError)]
    [InlineData("ERR WRONGTYPE is only a word here", StreamErrorCode.ServerError)]
    [InlineData("NOGROUP", StreamErrorCode.NoGroup)]
    [InlineData("", StreamErrorCode.ServerError)]
    public void Error_maps_by_its_first_word_alone(string error, StreamErrorCode expected) =>
        Assert.Equal(expected, RedisErrors.Map(Encoding.UTF8.GetBytes(error)));

    /// <summary>A server that refuses for now is asked again; one that would only refuse again is not.</summary>
    [Fact]
    public void Error_is_transient_where_the_same_call_may_succeed_later()
    {
        string[] transient =
            ["LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "UNBLOCKED", "READONLY", "MISCONF", "NOREPLICAS", "OOM", "UNSYNCED"];
        string[] final =
        [
            "ERR", "WRONGTYPE", "NOGROUP", "BUSYGROUP", "BUSYKEY", "CROSSSLOT", "MOVED", "ASK", "NOAUTH", "WRONGPASS", "NOPERM", "DENIED",
            "EXECABORT", "NOSCRIPT", "NOPROTO", "UNKILLABLE", "NOTBUSY",
        ];

        Assert.All(transient, code => Assert.True(ExceptionOf(code).IsTransient, code));
        Assert.All(final, code => Assert.False(ExceptionOf(code).IsTransient, code));
    }

    private static StreamException ExceptionOf(string code) =>
        RedisErrors.ToException("XADD", RespReply.Copy(Encoding.UTF8.GetBytes($"-{code} why\r\n"), 1));

    [Fact]
    public void Error_of_a_secret_command_shows_only_its_code()
    {
        var wire = Encoding.UTF8.GetBytes("-ERR unknown command 'AUTH', with args beginning with: 'canary'\r\n");
        var exception = RedisErrors.ToExceptionWithoutText("the log-in of user 'default'", RespReply.Copy(wire, 1));

        Assert.Equal("Redis refused the log-in of user 'default': ERR.", exception.Message);
    }

    [Fact]
    public void Error_shown_has_no_control_characters_and_a_bounded_length()
    {
        var wire = Encoding.UTF8.GetBytes($"!1007\r\nERR a\r\n{new string('b', 1000)}\r\n");
        var exception = RedisErrors.ToException("EVALSHA", RespReply.Copy(wire, 1));

        Assert.StartsWith("Redis refused EVALSHA: ERR a  bbb", exception.Message, StringComparison.Ordinal);
        Assert.True(exception.Message.Length < 600);
    }
}
