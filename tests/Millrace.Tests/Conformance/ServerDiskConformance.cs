using Millrace.Embedded;
using Millrace.Server;

namespace Millrace.Tests.Conformance;

/// <summary>
/// Our server over a data directory. Every test ends with a restart, after which our client must find all as it was: what a command changes
/// through the server's door is in the journal, too.
/// </summary>
public sealed class ServerDiskConformance : RemoteConformance
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-conformance-").FullName;
    private EmbeddedStreamStore? _served;
    private RespServer? _server;

    public override async ValueTask DisposeAsync()
    {
        try
        {
            var before = await SnapshotAsync();
            await ReopenAsync();
            Assert.Equal(before, await SnapshotAsync());
        }
        finally
        {
            await base.DisposeAsync();
            await StopAsync();
            Directory.Delete(_directory, recursive: true);
        }
    }

    protected override async Task<int> StartedPortAsync()
    {
        if (_server is null)
        {
            _served = new(new() { Directory = _directory, Sync = SyncPolicy.Never });
            _server = new(_served, new() { Port = 0 });
            await _server.StartAsync();
        }

        return _server.Endpoint.Port;
    }

    protected override async ValueTask ReopenAsync()
    {
        await Store.DisposeAsync();
        await StopAsync();
        await InitializeAsync();
    }

    private async Task StopAsync()
    {
        await _server!.DisposeAsync();
        await _served!.DisposeAsync();
        _server = null;
    }
}
