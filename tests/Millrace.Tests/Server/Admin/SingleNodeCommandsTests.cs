namespace Millrace.Tests.Server.Admin;

/// <summary>What a server that stands alone answers to commands about clusters, replicas and modules.</summary>
public sealed class SingleNodeCommandsTests
{
    private const string NoCluster = "-ERR This instance has cluster support disabled\r\n";

    [Theory]
    [InlineData("CLUSTER INFO", NoCluster)]
    [InlineData("CLUSTER NODES", NoCluster)]
    [InlineData("CLUSTER KEYSLOT k", NoCluster)]
    [InlineData("CLUSTER KEYSLOT", "-ERR wrong number of arguments for 'cluster|keyslot' command\r\n")]
    [InlineData("CLUSTER foo", "-ERR unknown subcommand 'foo'. Try CLUSTER HELP.\r\n")]
    [InlineData("CLUSTER", "-ERR wrong number of arguments for 'cluster' command\r\n")]
    [InlineData("READONLY", NoCluster)]
    [InlineData("READWRITE", NoCluster)]
    [InlineData("ASKING", NoCluster)]
    [InlineData("MODULE LIST", "*0\r\n")]
    [InlineData("MODULE X", "-ERR unknown subcommand 'X'. Try MODULE HELP.\r\n")]
    [InlineData("REPLICAOF NO ONE", "+OK\r\n")]
    [InlineData("SLAVEOF no one", "+OK\r\n")]
    [InlineData("REPLICAOF a x", "-ERR Invalid master port\r\n")]
    [InlineData("REPLICAOF a 6379", "-ERR This server cannot be a replica of another one\r\n")]
    public async Task Command_for_other_servers_says_that_this_one_stands_alone(string command, string reply)
    {
        await using var server = await TestServer.StartAsync();
        using var client = server.Connect();
        Assert.Equal(reply, client.Exchange(command));
    }
}
