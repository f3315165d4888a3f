using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>Every test ends with a restart of the store, after which all must be as it was.</summary>
public sealed class EmbeddedDiskConformance : StoreConformance
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-conformance-").FullName;

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
            Directory.Delete(_directory, recursive: true);
        }
    }

    protected override ValueTask<IStreamStore> CreateStoreAsync() =>
        new(new EmbeddedStreamStore(new() { Directory = _directory, Sync = SyncPolicy.Never }));

    protected override ValueTask ReopenAsync() => CloseAndOpenAsync();
}
