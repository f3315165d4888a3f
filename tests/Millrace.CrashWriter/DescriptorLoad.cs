using System.Globalization;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.CrashWriter;

/// <summary>
/// Uses up the process's descriptors and writes on, past where the journal would begin its next segment; then gives them back and writes more. Says
/// how many descriptors it took, and the number of segments before and after that.
/// </summary>
public static class DescriptorLoad
{
    /// <summary>Asks the program for this load.</summary>
    public const string Argument = "descriptors";

    /// <summary>Where the entries go.</summary>
    public const string Stream = "large";

    /// <summary>Above a segment, in entries of one mebibyte.</summary>
    public const int Entries = 70;

    private static readonly EntryFields Large = EntryFields.Create(("v", new string('x', 1024 * 1024)));

    /// <summary>Writes.</summary>
    public static async Task RunAsync(string directory, SyncPolicy sync)
    {
        // No snapshot, which would begin a segment of its own.
        await using var store = new EmbeddedStreamStore(new() { Directory = directory, Sync = sync, SnapshotAfterBytes = long.MaxValue });
        await store.AppendAsync(Stream, Large);
        var taken = TakeAll();
        for (var i = 1; i < Entries; i++)
            await store.AppendAsync(Stream, Large);
        foreach (var descriptor in taken)
            descriptor.Dispose();
        var segments = CountSegments(directory);

        await store.AppendAsync(Stream, Large);
        await store.AppendAsync(Stream, Large);
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{taken.Count} {segments} {CountSegments(directory)}"));
    }

    private static List<IDisposable> TakeAll()
    {
        List<IDisposable> taken = [];
        try
        {
            while (true)
                taken.Add(File.OpenHandle("/dev/null"));
        }
        catch (IOException)
        {
            return taken;
        }
    }

    private static int CountSegments(string directory) => Directory.GetFiles(directory, "*.journal").Length;
}
