using System.Net;
using System.Text.RegularExpressions;
using Millrace.Server.Commands;
using Millrace.Tests.Differential;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server.Users;

/// <summary>ACL, reply by reply as redis-server 7.0.15 answers it, but for what later versions word or show otherwise.</summary>
public sealed class AclReplyTests
{
    /// <summary>Rights of keys as the flags of key specifications name them.</summary>
    private static readonly (string Flag, KeyRights Rights)[] KeyFlags =
        [("access", KeyRights.Read), ("insert", KeyRights.Write), ("update", KeyRights.Write), ("delete", KeyRights.Write)];

    /// <summary>Each line a command; <c>^</c> stands for a blank in an argument. A line that begins with a blank goes over a second connection.</summary>
    private const string Rules = """
        ACL WHOAMI
        ACL LIST
        ACL USERS
        ACL CAT
        ACL CAT nope
        ACL CAT a b
        ACL HELP
        ACL NOPE
        ACL
        ACL WHOAMI x
        ACL SETUSER
        ACL SETUSER a^b
        ACL SETUSER alice
        ACL LIST
        ACL GETUSER alice
        ACL GETUSER nobody
        ACL SETUSER alice ON >p >p %R~a* %W~b* ~c &ch* +@read
        ACL GETUSER alice
        ACL SETUSER alice %W~a* ~c &ch* &d <p nopass ALLCOMMANDS
        ACL LIST
        ACL SETUSER alice >q resetkeys resetchannels +@all -get
        ACL LIST
        ACL SETUSER alice #148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 allkeys allchannels nocommands +get +GET
        ACL LIST
        ACL SETUSER alice !148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940 +@all -@dangerous -config +config|GET
        ACL GETUSER alice
        ACL SETUSER alice (+get ~x) ( +set %r~y )
        ACL GETUSER alice
        ACL LIST
        ACL SETUSER alice ( ) ()
        ACL GETUSER alice
        ACL SETUSER alice clearselectors
        ACL LIST
        ACL SETUSER alice reset
        ACL LIST
        ACL SETUSER alice resetpass skip-sanitize-payload off
        ACL SETUSER alice sanitize-payload
        ACL SETUSER bob %~x
        ACL SETUSER bob %X~a
        ACL SETUSER bob %RR~a
        ACL SETUSER bob ~a^b
        ACL SETUSER bob &a^b
        ACL SETUSER bob +nosuch
        ACL SETUSER bob -nosuch
        ACL SETUSER bob +@nosuch
        ACL SETUSER bob +get|
        ACL SETUSER bob +config|nosuch
        ACL SETUSER bob -config|nosuch
        ACL SETUSER bob +config|get|x
        ACL SETUSER bob -select|0
        ACL SETUSER bob !abc
        ACL SETUSER bob #abc
        ACL SETUSER bob #148DE9C5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940
        ACL SETUSER bob <nope
        ACL SETUSER bob foo
        ACL SETUSER bob (
        ACL SETUSER bob )
        ACL SETUSER bob (+get
        ACL SETUSER bob (+nosuch)
        ACL SETUSER bob (on)
        ACL SETUSER bob +
        ACL SETUSER bob -
        ACL SETUSER bob #
        ACL SETUSER bob +@
        ACL SETUSER bob |
        ACL SETUSER bob +|x
        ACL SETUSER bob allkeys ~a
        ACL SETUSER bob ~* %R~a
        ACL SETUSER bob allchannels &a
        ACL USERS
        ACL SETUSER bob & ~ > +select|0 +select|0 +SELECT|x
        ACL LIST
        ACL SETUSER bob +select
        ACL LIST
        ACL DELUSER
        ACL DELUSER nope
        ACL DELUSER bob default alice
        ACL USERS
        ACL DELUSER alice alice
        ACL GENPASS 0
        ACL GENPASS 4097
        ACL GENPASS x
        ACL GENPASS 1 2
        ACL LOG x
        ACL LOG 1 2
        ACL LOG -1
        ACL LOG RESET
        ACL SAVE
        ACL LOAD
        ACL SAVE x
        ACL DRYRUN
        ACL DRYRUN default
        ACL DRYRUN nope get
        ACL DRYRUN default nope
        ACL DRYRUN default config nope
        ACL DRYRUN default get
        ACL DRYRUN default config get
        ACL DRYRUN default get a
        CLIENT KILL USER nope
        """;

    private const string Rights = """
        ACL SETUSER w on nopass %R~r* %W~w* ~b* &c* +@all -@dangerous +acl +client -xlen -select +select|1 +config|get
         AUTH w
         AUTH nobody x
         AUTH w x y
         AUTH w x
         ACL WHOAMI
         GET r1
         GET w1
         SET w1 x
         SET r1 x
         SET w1 x get
         SET b1 x GET
         DEL b1
         EXISTS r1 w1
         EXISTS r1 x1
         XLEN r1
         XADD w2 1-1 f v
         XADD r2 1-1 f v
         XREAD STREAMS r2 w2 0 0
         XREAD STREAMS r2 b2 0 0
         XREAD COUNT 1 STREAMS
         XREADGROUP GROUP g c COUNT
         XREADGROUP GROUP STREAMS c STREAMS w1 >
         XGROUP CREATE w2 g $
         XGROUP CREATE r2 g $
         RENAME w2 b2
         RENAME b1 w2
         COPY r9 w9
         COPY w9 r9
         INCR w3
         LPUSH w4 x
         LPOP w4
         SELECT 1
         SELECT 0
         SELECT 2
         CONFIG GET nosuch
         CONFIG SET maxmemory 1
         FLUSHALL
         KEYS *
         PUBLISH d x
         PUBLISH c1 x
         SPUBLISH d x
         PSUBSCRIBE c
         SUBSCRIBE c1 d
         SSUBSCRIBE d
         PUBSUB CHANNELS
         MULTI
         GET w1
         XLEN r1
         GET r1
         EXEC
         MULTI
         SET b1 x
         GET w1
         DISCARD
         HELLO 2 AUTH nobody x
         ACL LOG 20
         ACL LOG RESET
        ACL DRYRUN w GET w1
        ACL DRYRUN w GET r1
        ACL DRYRUN w SET r1 x
        ACL DRYRUN w SET w1 x get
        ACL DRYRUN w XLEN r1
        ACL DRYRUN w PUBLISH d x
        ACL DRYRUN w PSUBSCRIBE c*
        ACL DRYRUN w PSUBSCRIBE c* d
        ACL DRYRUN w UNSUBSCRIBE d
        ACL DRYRUN w COPY r1 w1
        ACL DRYRUN w COPY w1 r1
        ACL DRYRUN w RENAMENX w1 w2
        ACL DRYRUN w RENAMENX b1 w1
        ACL DRYRUN w XREADGROUP GROUP a b STREAMS w1 >
        ACL DRYRUN w SELECT 1
        ACL DRYRUN w SELECT 2
         MULTI
         GET r1
         SET w1 x
         GET b1
        ACL SETUSER w resetkeys ~w* -get
         EXEC
         ACL LOG
        ACL SETUSER w -exec -multi
         EXEC
         MULTI
         AUTH default x
         RESET
         ACL WHOAMI
        ACL SETUSER s nopass on -@all (+get ~a) (+set ~b) (+get +xlen ~c)
        ACL DRYRUN s get a
        ACL DRYRUN s get b
        ACL DRYRUN s get c
        ACL DRYRUN s set a x
        ACL DRYRUN s ping
        ACL DRYRUN s auth x
        ACL DRYRUN s del a c
        ACL SETUSER default >secret
        ACL WHOAMI
        ACL GETUSER default
         AUTH x
         GET x
         RESET
         GET x
         EXEC
         HELLO
         HELLO 3 AUTH default wrong
         AUTH secret
         ACL WHOAMI
        ACL SETUSER default off
         PING
         RESET
         AUTH secret
         AUTH default secret
        ACL SETUSER default on nopass
         PING
         ACL WHOAMI
        """;

    [Theory]
    [InlineData(Rules, 2)]
    [InlineData(Rules, 3)]
    [InlineData(Rights, 2)]
    public async Task Replies_are_those_of_redis(string script, int protocol)
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await TestServer.StartAsync();
        using var theirs = new RawConnection(new(IPAddress.Loopback, redis.Port));
        using var theirSecond = new RawConnection(new(IPAddress.Loopback, redis.Port));
        using var ours = server.Connect();
        using var ourSecond = server.Connect();
        theirs.Ask("HELLO", $"{protocol}");
        ours.Ask("HELLO", $"{protocol}");
        var differences = new List<string>();
        foreach (var line in script.Split('\n'))
        {
            string[] words = [.. line.Trim().Split(' ').Select(word => word.Replace('^', ' '))];
            var isSecond = line.StartsWith(' ');
            var expected = WithoutSanitizing(Flatten((isSecond ? theirSecond : theirs).Ask(words)));
            var actual = WithoutSanitizing(Flatten((isSecond ? ourSecond : ours).Ask(words)));
            if (expected != AsVersion70(actual))
                differences.Add($"{line}\n{expected}not\n{AsVersion70(actual)}");
        }

        Assert.Equal("", string.Join('\n', differences));
    }

    [Fact]
    public async Task Categories_and_key_rights_are_those_of_redis()
    {
        await using var redis = await RedisServer.StartAsync();
        await using var server = await TestServer.StartAsync();
        using var theirs = new RawConnection(new(IPAddress.Loopback, redis.Port));
        using var ours = server.Connect();
        var compared = 0;
        var differences = new List<string>();
        foreach (var command in AllCommands.Table.AllWithSubcommands)
        {
            var expected = theirs.Ask("COMMAND", "INFO", command.FullName).Children![0];

            // 7.2 made WAIT a blocking command, and what only refuses because there is no cluster needs no more rights than that.
            if (expected.Children is null || command is { Name: "wait" } or { Group: "cluster" })
                continue;
            var actual = ours.Ask("COMMAND", "INFO", command.FullName).Children![0];
            var rights = command.FindKeyRights is null && expected.Children[8].Children is [var key] ? RightsOf(key) : command.KeyRights;
            var (theirLine, ourLine) = ($"{Sorted(expected.Children[6])} {rights}", $"{Sorted(actual.Children![6])} {command.KeyRights}");
            if (theirLine != ourLine)
                differences.Add($"{command.FullName}: {theirLine}, not {ourLine}");
            compared++;
        }

        Assert.Empty(differences);
        Assert.InRange(compared, 90, AllCommands.Table.Count);
    }

    private static string Sorted(RespNode names) => string.Join(' ', names.Children!.Select(name => name.Text).Order(StringComparer.Ordinal));

    private static KeyRights RightsOf(RespNode specification)
    {
        var rights = KeyRights.None;
        foreach (var flag in specification.Find("flags")!.Children!)
            rights |= KeyFlags.FirstOrDefault(known => known.Flag == flag.Text).Rights;
        return rights;
    }

    /// <summary>A line per element, without what the clock or the connection decides and without what 7.2 added to the log.</summary>
    private static string Flatten(RespNode node)
    {
        foreach (var entry in node.Children ?? [])
        {
            foreach (var field in (string[])["age-seconds", "client-info", "entry-id", "timestamp-created", "timestamp-last-updated"])
                entry.Remove(field);
        }

        if (node.Remove("id"))
            node.Remove("version");
        return node.Children is { } children
            ? $"{(char)node.Prefix}[\n{string.Concat(children.Select(Flatten))}]\n"
            : $"{(char)node.Prefix}{node.Text}\n";
    }

    /// <summary>7.2 shows it for every user, 7.0 only after it was given.</summary>
    private static string WithoutSanitizing(string reply) => Regex.Replace(reply, @"\$sanitize-payload\n| sanitize-payload", "");

    /// <summary>7.2 words refusals otherwise.</summary>
    private static string AsVersion70(string reply)
    {
        reply = reply.Replace("HELLO <proto> AUTH", "HELLO AUTH")
            .Replace("NOPERM No permissions to access a key", "NOPERM this user has no permissions to access one of the keys used as arguments")
            .Replace("NOPERM No permissions to access a channel", "NOPERM this user has no permissions to access one of the channels used as arguments");
        reply = Regex.Replace(reply, @"NOPERM User \S+ has", "NOPERM this user has");
        return Regex.Replace(reply, @"\$User \S+ has", "$This user has");
    }
}
