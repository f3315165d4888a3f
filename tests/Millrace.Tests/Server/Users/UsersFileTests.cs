using System.Net;
using Millrace.Embedded;
using Millrace.Server;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Users;

/// <summary>The file of users: at the start, ACL LOAD and ACL SAVE, and what it takes to listen beyond loopback.</summary>
public sealed class UsersFileTests : IDisposable
{
    private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("millrace-users-");

    private string UsersPath => Path.Combine(_directory.FullName, "users.acl");

    private static CancellationToken Cancellation => TestContext.Current.CancellationToken;

    public void Dispose() => _directory.Delete(recursive: true);

    [Fact]
    public async Task Saved_users_come_back_with_the_next_server()
    {
        await File.WriteAllTextAsync(UsersPath, "\n  user bob on nopass +@all -get ~b (~c +get)\r\n\nuser default on >s3cret ~* &* +@all\n", Cancellation);
        string[] list;
        await using (var server = await StartAsync())
        {
            using var client = server.Connect();
            Assert.Equal("-NOAUTH Authentication required.\r\n", client.Exchange("PING"));
            Assert.Equal("+OK\r\n", client.Exchange("AUTH s3cret"));
            client.Send(new Command("ACL", "SETUSER", "u\xff", "on", ">p", "%R~k\xfe*", "&c", "+@stream"));
            Assert.Equal("+OK\r\n", client.ReadText());
            Assert.Equal("+OK\r\n", client.Exchange("ACL SAVE"));
            list = [.. client.Ask("ACL", "LIST").Children!.Select(line => line.Text)];
            Assert.Equal(3, list.Length);
        }

        Assert.Equal([UsersPath], Directory.GetFiles(_directory.FullName));
        await using var next = await StartAsync();
        using var again = next.Connect();
        again.Exchange("AUTH s3cret");
        Assert.Equal(list, again.Ask("ACL", "LIST").Children!.Select(line => line.Text));
    }

    [Fact]
    public async Task Load_takes_all_users_or_none()
    {
        await File.WriteAllTextAsync(UsersPath, "user alice on nopass +@all\nuser bob on nopass +@all", Cancellation);
        await using var server = await StartAsync();
        using var admin = server.Connect();
        using var alice = server.Connect();
        using var bob = server.Connect();
        alice.Exchange("AUTH alice x");
        bob.Exchange("AUTH bob x");
        admin.Exchange("ACL SETUSER carol");
        await File.WriteAllTextAsync(UsersPath, "user alice on\nuser dave +nosuch", Cancellation);
        Assert.Equal(
            $"-ERR {UsersPath}:2: Error in applying operation '+nosuch': Unknown command or category name in ACL. " +
            "WARNING: ACL errors detected, no change to the previously active ACL rules was performed\r\n",
            admin.Exchange("ACL LOAD"));
        Assert.Equal("*4\r\n$5\r\nalice\r\n$3\r\nbob\r\n$5\r\ncarol\r\n$7\r\ndefault\r\n", admin.Exchange("ACL USERS"));

        // Who stays has the new rights at once; who is no more is disconnected.
        await File.WriteAllTextAsync(UsersPath, "user alice on +acl|whoami", Cancellation);
        Assert.Equal("+OK\r\n", admin.Exchange("ACL LOAD"));
        Assert.Equal("*2\r\n$5\r\nalice\r\n$7\r\ndefault\r\n", admin.Exchange("ACL USERS"));
        Assert.Equal("$5\r\nalice\r\n", alice.Exchange("ACL WHOAMI"));
        Assert.StartsWith("-NOPERM", alice.Exchange("PING"), StringComparison.Ordinal);
        Assert.Throws<NoReplyException>(() => bob.Exchange("PING"));
    }

    [Theory]
    [InlineData("usr a", ":1 should start with user keyword followed by the username.")]
    [InlineData("user", ":1 should start with user keyword followed by the username.")]
    [InlineData("\nuser a on\n# users\nuser a", ":3 should start with user keyword followed by the username. {0}:4: duplicate user 'a'.")]
    [InlineData("user a +nosuch", ":1: Error in applying operation '+nosuch': Unknown command or category name in ACL.")]
    [InlineData("user a ( +get", ":1: Unmatched parenthesis in selector definition.")]
    [InlineData("user a secret", ":1: Syntax error.")]
    [InlineData("user a #12", ":1: The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters.")]
    public async Task Bad_line_fails_the_start_and_says_where_and_why(string text, string problem)
    {
        await File.WriteAllTextAsync(UsersPath, text, Cancellation);
        var error = await Assert.ThrowsAsync<InvalidDataException>(StartAsync);
        Assert.Equal(UsersPath + problem.Replace("{0}", UsersPath, StringComparison.Ordinal), error.Message);
    }

    [Fact]
    public async Task Password_option_counts_for_the_default_user_of_the_file()
    {
        await File.WriteAllTextAsync(UsersPath, "user default on nopass ~* &* +@all", Cancellation);
        await using var server = await TestServer.StartAsync(options => (options.UsersFile, options.Password) = (UsersPath, "s3cret"));
        using var client = server.Connect();
        Assert.Equal("-NOAUTH Authentication required.\r\n", client.Exchange("PING"));
        Assert.Equal("+OK\r\n", client.Exchange("AUTH s3cret"));
        Assert.Equal("+OK\r\n", client.Exchange("ACL LOAD"));
        using var later = server.Connect();
        Assert.Equal("-NOAUTH Authentication required.\r\n", later.Exchange("PING"));
    }

    [Theory]
    [InlineData("user alice on >p +@all", false)]
    [InlineData("user default on nopass +@all", false)]
    [InlineData("user default off", true)]
    [InlineData("user default on >p", true)]
    public async Task File_that_lets_everybody_in_is_refused_beyond_loopback(string text, bool isAccepted)
    {
        await File.WriteAllTextAsync(UsersPath, text, Cancellation);
        await using var store = new EmbeddedStreamStore(new());
        var options = new RespServerOptions { Address = IPAddress.Any, Port = 0, UsersFile = UsersPath };
        if (isAccepted)
        {
            await using var server = new RespServer(store, options);
            return;
        }

        var error = Assert.Throws<InvalidDataException>(() => new RespServer(store, options));
        Assert.StartsWith($"{UsersPath} lets everybody in", error.Message, StringComparison.Ordinal);
        options.Password = "p";
        await using var withPassword = new RespServer(store, options);
    }

    [Fact]
    public async Task Address_beyond_loopback_needs_a_password_or_users()
    {
        await using var store = new EmbeddedStreamStore(new());
        Assert.Throws<ArgumentException>(() => new RespServer(store, new() { Address = IPAddress.Any, Port = 0 }));
    }

    [Fact]
    public async Task Save_that_fails_leaves_the_file_as_it_was()
    {
        await File.WriteAllTextAsync(UsersPath, "user alice on", Cancellation);
        await using var server = await StartAsync();
        using var client = server.Connect();
        File.Delete(UsersPath);
        Directory.CreateDirectory(UsersPath);
        Assert.StartsWith("-ERR There was an error trying to save the ACLs: ", client.Exchange("ACL SAVE"), StringComparison.Ordinal);
        Assert.Equal([UsersPath], Directory.GetFileSystemEntries(_directory.FullName));
        Assert.StartsWith("-ERR ", client.Exchange("ACL LOAD"), StringComparison.Ordinal);
        Assert.Equal("*2\r\n$5\r\nalice\r\n$7\r\ndefault\r\n", client.Exchange("ACL USERS"));
    }

    private Task<TestServer> StartAsync() => TestServer.StartAsync(options => options.UsersFile = UsersPath);
}
