using Millrace.Embedded;
using Millrace.Streams.Engine.Records;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Journal;

public sealed class EveryMutationTests
{
    [Fact]
    public async Task Every_mutation_and_every_kind_of_value_survives_a_restart()
    {
        using var directory = new JournalDirectory();
        var time = new ManualTime();
        string before;
        await using (var store = new EmbeddedStreamStore(new() { Directory = directory.Path }, time))
        {
            var script = new EveryMutation(store, time);
            await script.RunAsync();

            // A tick without a limit is in older journals only, of which the golden directories are.
            Assert.Equal(Enum.GetValues<MutationKind>().Where(static kind => kind != MutationKind.Tick), script.Kinds.Order());
            Assert.Equal(
                Enum.GetValues<ValueKind>(),
                store.EngineNeedsLock.Databases.SelectMany(static keys => keys.Values).Select(static value => value.Kind).Distinct().Order());
            before = StateDigest.Of(store);
        }

        await using var after = new EmbeddedStreamStore(new() { Directory = directory.Path }, time);
        await after.OpenAsync(TestContext.Current.CancellationToken);
        Assert.Equal(before, StateDigest.Of(after));
    }
}
