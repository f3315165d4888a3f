using System.Text;
using Millrace.Embedded;
using Millrace.Embedded.Inspection;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Records;
using Millrace.Streams.Names;
using Millrace.Tests.Engine;
using Millrace.Tests.Tidy;

namespace Millrace.Tests.Journal;

/// <summary>
/// Directories that earlier releases wrote are read for ever: each is committed with what it holds as text. When one of these fails, stored data of users
/// can no longer be read.
/// </summary>
/// <remarks>
/// A new version of the format, or a new kind of record, gets directories of its own beside the old ones: <c>MILLRACE_GOLDEN_WRITE=v4</c> writes
/// them before they are read.
/// <c>journal</c> has every mutation of its time in its segments, <c>snapshot</c> every kind of value in its snapshot.
/// </remarks>
public sealed class GoldenDirectoryTests
{
    private const string StateFile = "state.txt";

    private static readonly (string Name, SampleKind Kind)[] Directories = [("journal", SampleKind.Closed), ("snapshot", SampleKind.SnapshotClosed)];

    private static string Root => Path.Combine(Repository.Root, "tests", "Millrace.Tests", "Journal", "Golden");

    [Fact]
    public async Task Directories_of_earlier_releases_open_with_what_they_held()
    {
        if (Environment.GetEnvironmentVariable("MILLRACE_GOLDEN_WRITE") is { } version)
            await WriteAsync(version);

        var golden = Directory.GetFiles(Root, StateFile, SearchOption.AllDirectories).Select(static file => Path.GetDirectoryName(file)!).ToList();
        Assert.True(golden.Count >= 2);
        foreach (var directory in golden)
        {
            using var copy = new JournalDirectory();
            CopyFiles(directory, copy.Path);
            Assert.Empty(DirectoryCheck.Run(copy.Path).Damages);

            await using (var store = SampleDirectory.Open(copy.Path))
            {
                await store.OpenAsync(TestContext.Current.CancellationToken);
                Assert.Equal(await File.ReadAllTextAsync(Path.Combine(directory, StateFile), TestContext.Current.CancellationToken), StateText(store));
                await store.AppendAsync("new", EntryFields.Create(("f", "v")), cancellationToken: TestContext.Current.CancellationToken);
            }

            await using var again = SampleDirectory.Open(copy.Path);
            await again.OpenAsync(TestContext.Current.CancellationToken);
            Assert.Equal(1, (await again.GetStreamInfoAsync("new", TestContext.Current.CancellationToken))?.Length);
        }
    }

    [Fact]
    public void Golden_directories_hold_every_mutation_and_every_kind_of_value()
    {
        var journals = Directory.GetDirectories(Root).Select(static version => DirectorySurvey.Read(Path.Combine(version, "journal"))).ToList();
        Assert.All(journals, static journal => Assert.True(journal.Files.Count(static file => file.Kind == "segment") > 2));
        Assert.Equal(
            Enum.GetNames<MutationKind>().Order(StringComparer.Ordinal),
            journals.SelectMany(static journal => journal.RecordsByKind.Keys).Distinct().Order(StringComparer.Ordinal));

        var report = DirectorySurvey.Read(Path.Combine(Root, "v3", "snapshot"));
        Assert.Single(report.Files, static file => file.Kind == "snapshot");
        Assert.Equal(
            Enum.GetValues<ValueKind>(),
            StateReplay.Run(report, skipDamage: false).Engine.Databases
                .SelectMany(static keys => keys.Values).Select(static value => value.Kind).Distinct().Order());
    }

    private static async Task WriteAsync(string version)
    {
        foreach (var (name, kind) in Directories)
        {
            var directory = Directory.CreateDirectory(Path.Combine(Root, version, name)).FullName;
            using var sample = await SampleDirectory.WriteAsync(kind);
            sample.CopyTo(directory);
            File.Delete(Path.Combine(directory, DataDirectory.LockName));
            using var copy = sample.Copy();
            await using var store = SampleDirectory.Open(copy.Path);
            await store.OpenAsync(TestContext.Current.CancellationToken);
            await File.WriteAllTextAsync(Path.Combine(directory, StateFile), StateText(store), TestContext.Current.CancellationToken);
        }
    }

    private static void CopyFiles(string from, string to)
    {
        foreach (var file in Directory.EnumerateFiles(from).Where(static file => Path.GetFileName(file) != StateFile))
            File.Copy(file, Path.Combine(to, Path.GetFileName(file)));
    }

    /// <summary>Everything a store holds, in words that no encoding of ours shapes.</summary>
    private static string StateText(EmbeddedStreamStore store)
    {
        store.EnterTurnBesidesTime();
        try
        {
            return StateText(store.EngineNeedsLock);
        }
        finally
        {
            store.ExitTurn();
        }
    }

    private static string StateText(StreamEngine engine)
    {
        var options = engine.Options;
        var text = new StringBuilder(
            $"blocks of {options.StreamNodeMaxEntries}, IDs for {options.StreamIdmpDurationSeconds} s, {options.StreamIdmpMaxSize} of them\n");
        for (var database = 0; database < StreamEngine.DatabaseCount; database++)
        {
            engine.Select(database);
            if (engine.Keyspace.Count == 0)
                continue;
            text.Append($"database {database}\n").Append(EngineRun.Dump(engine));
            foreach (var (key, value) in engine.Keyspace.OrderBy(static item => item.Key, StringComparer.Ordinal))
            {
                var items = value switch
                {
                    ListValue list => Enumerable.Range(0, list.Count).Select(i => Convert.ToHexString(list[i])),
                    SetValue set => set.Members.Order(KeyText.ByteComparer).Select(Hex),
                    _ => null,
                };
                if (items is not null)
                    text.Append($"{key}: {value.TypeName}, expires {value.ExpiresMs}: {string.Join(' ', items)}\n");
            }
        }

        engine.Select(0);
        return text.Replace("\r", "").ToString();
    }

    private static string Hex(string name)
    {
        var bytes = new byte[KeyText.ByteCount(name)];
        KeyText.Encode(name, bytes);
        return Convert.ToHexString(bytes);
    }
}
