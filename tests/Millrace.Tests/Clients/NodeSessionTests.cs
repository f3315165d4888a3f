using Millrace.Tests.Tidy;

namespace Millrace.Tests.Clients;

/// <summary>Sessions of the two Redis clients of Node, in both protocols, with a restart of the server in the middle.</summary>
public sealed class NodeSessionTests(NodePackages packages) : IClassFixture<NodePackages>
{
    public static TheoryData<string, string, int> Sessions
    {
        get
        {
            TheoryData<string, string, int> sessions = [];
            foreach (var server in (string[])[ServerOfKind.Redis, ServerOfKind.Millrace])
            {
                foreach (var script in (string[])["ioredis.mjs", "node-redis.mjs"])
                {
                    sessions.Add(server, script, 2);
                    sessions.Add(server, script, 3);
                }
            }

            return sessions;
        }
    }

    [Theory]
    [MemberData(nameof(Sessions))]
    public async Task Client_gets_what_it_expects(string kind, string script, int protocol)
    {
        await using var server = await ServerOfKind.StartAsync(kind);
        await using var node = Tool.StartIn(packages.Directory, "node", script, server.Endpoint.ToString(), $"{protocol}");

        await node.WaitForLineAsync("restart");
        await server.RestartAsync();
        await node.WriteLineAsync("restarted");
        var exitCode = await node.WaitForExitAsync();

        Assert.True(exitCode == 0, node.Output);
        Assert.True(int.Parse(node.Output.Split('\n')[^1].Split(' ')[0]) > 50, node.Output);
    }
}

/// <summary>The packages the sessions need, installed once in a directory of its own under artifacts; newer scripts are copied there.</summary>
public sealed class NodePackages : IAsyncLifetime
{
    private static readonly string Source = Path.Combine(Repository.Root, "tests", "Millrace.Tests", "Clients", "node");

    /// <summary>Where scripts and packages are.</summary>
    public string Directory { get; } = Path.Combine(Repository.Root, "artifacts", "node-clients");

    public async ValueTask InitializeAsync()
    {
        var manifest = await File.ReadAllTextAsync(Path.Combine(Source, "package.json"));
        // Written last, so that an install that was cut off is done again.
        var mark = Path.Combine(Directory, "installed.json");
        System.IO.Directory.CreateDirectory(Directory);
        foreach (var file in System.IO.Directory.GetFiles(Source))
            File.Copy(file, Path.Combine(Directory, Path.GetFileName(file)), overwrite: true);
        if (File.Exists(mark) && await File.ReadAllTextAsync(mark) == manifest)
            return;

        await using var npm = Tool.StartIn(Directory, "npm", "install", "--no-audit", "--no-fund", "--loglevel=error");
        Assert.True(await npm.WaitForExitAsync() == 0, npm.Output);
        await File.WriteAllTextAsync(mark, manifest);
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;
}
