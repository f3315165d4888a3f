using System.Diagnostics;
using System.Globalization;
using System.Text;
using Millrace.CrashWriter;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Crash;

/// <summary>
/// A real process writes to one data directory and is killed with SIGKILL, again and again, at points drawn from a seed: while it starts and
/// recovers, or after a number of acknowledged writes. Between two rounds everything it ever acknowledged must be there.
/// </summary>
/// <remarks>
/// The fault model is a killed process, not a power cut: written bytes are the operating system's, so the sync policy makes no difference here.
/// <c>MILLRACE_CRASH_SEED</c> repeats a run.
/// </remarks>
public sealed class KillTests(ITestOutputHelper output)
{
    private const int Rounds = 20;
    private static readonly TimeSpan RoundDeadline = TimeSpan.FromSeconds(60);
    private static readonly string WriterPath = Path.Combine(AppContext.BaseDirectory, "Millrace.CrashWriter");

    [Fact]
    public async Task Process_killed_again_and_again_loses_nothing_it_acknowledged_and_invents_nothing()
    {
        var seed = Environment.GetEnvironmentVariable("MILLRACE_CRASH_SEED") is { } given
            ? int.Parse(given, CultureInfo.InvariantCulture)
            : Random.Shared.Next();
        var random = new Random(seed);
        output.WriteLine($"seed {seed}");
        var directory = Directory.CreateTempSubdirectory("millrace-crash-").FullName;
        try
        {
            var acknowledged = new Acknowledged();
            var kills = 0;
            for (var round = 0; round < Rounds; round++)
            {
                var sync = random.Next(2) == 0 ? SyncPolicy.Always : SyncPolicy.EverySecond;
                var linesBeforeKill = random.Next(4) == 0 ? 0 : random.Next(1, 1500);
                var delay = TimeSpan.FromMilliseconds(linesBeforeKill == 0 ? random.Next(250) : 0);
                if (await RunAndKillAsync(directory, sync, round, linesBeforeKill, delay, acknowledged))
                    kills++;
                await CheckAsync(directory, round, acknowledged);
            }

            output.WriteLine(
                $"{kills} kills fired; acknowledged and found: {acknowledged.Appends.Count} appends, {acknowledged.Commits.Count} commits, " +
                $"{acknowledged.Acks.Count} acks; in flight and found besides: {acknowledged.Surplus} entries");
            Assert.Equal(Rounds, kills);
            Assert.NotEmpty(acknowledged.Appends);
            Assert.NotEmpty(acknowledged.Commits);
            Assert.NotEmpty(acknowledged.Acks);
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    [Fact]
    public async Task Disk_that_fills_up_in_mid_write_ends_the_writer_and_leaves_what_it_acknowledged_and_no_torn_record()
    {
        using var directory = new JournalDirectory();
        var acknowledged = new Acknowledged();

        // The shell's limit on the size of a file is a full disk that needs no root: the write that crosses it is cut off, the next one fails.
        var start = new ProcessStartInfo("sh")
        {
            ArgumentList = { "-c", "trap '' XFSZ; ulimit -f 512; exec \"$@\"", "sh", WriterPath, directory.Path, "EverySecond", "0" },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            Environment = { ["DOTNET_EnableWriteXorExecute"] = "0" }, // Its double-mapped memory is a file, too large for the limit.
        };
        using var deadline = new CancellationTokenSource(RoundDeadline);
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(deadline.Token);
        while (await process.StandardOutput.ReadLineAsync(deadline.Token) is { } line)
            acknowledged.Add(line, error: "");
        await process.WaitForExitAsync(deadline.Token);

        // Of those that write at once either the one whose write it was ends first, which is in doubt, or one that came after it and was refused.
        Assert.Matches("^(OutcomeUnknown|ReadOnly): The journal ", await errors);
        Assert.NotEmpty(acknowledged.Appends);
        var log = new ListLogger();
        await directory.Open(logger: log).DisposeAsync();
        Assert.DoesNotContain(log.Lines, entry => entry.Contains("truncated"));
        await CheckAsync(directory.Path, round: 0, acknowledged);
    }

    /// <summary>Returns whether the kill hit a running process.</summary>
    private static async Task<bool> RunAndKillAsync(
        string directory, SyncPolicy sync, int round, int linesBeforeKill, TimeSpan delay, Acknowledged acknowledged)
    {
        var start = new ProcessStartInfo(WriterPath)
        {
            ArgumentList = { directory, sync.ToString(), round.ToString(CultureInfo.InvariantCulture) },
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var deadline = new CancellationTokenSource(RoundDeadline);
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync(deadline.Token);
        try
        {
            for (var lines = 0; lines < linesBeforeKill; lines++)
                acknowledged.Add(await process.StandardOutput.ReadLineAsync(deadline.Token), await Ended(errors));

            // Without a line to count, the delay is where the fault strikes: somewhere between the start of the runtime and the first writes.
            await Task.Delay(delay, deadline.Token);
            var wasRunning = !process.HasExited;
            process.Kill();

            // What it said before it died counts, too.
            while (await process.StandardOutput.ReadLineAsync(deadline.Token) is { } line)
                acknowledged.Add(line, error: "");
            await process.WaitForExitAsync(deadline.Token);
            return wasRunning;
        }
        finally
        {
            if (!process.HasExited)
                process.Kill();
        }
    }

    private static async Task<string> Ended(Task<string> errors) => errors.IsCompleted ? await errors : "";

    private static async Task CheckAsync(string directory, int round, Acknowledged acknowledged)
    {
        await using var store = new EmbeddedStreamStore(new EmbeddedStoreOptions { Directory = directory });
        await store.OpenAsync();
        var surplus = 0;

        var shared = await ReadAllAsync(store, CrashLoad.SharedStream);
        surplus += CheckEntries(shared, acknowledged.Appends, CrashLoad.Appenders, round, "appends");
        for (var committer = 0; committer < CrashLoad.Committers; committer++)
        {
            var entries = await ReadAllAsync(store, CrashLoad.CommitStream(committer));
            var expected = acknowledged.Commits.Where(commit => WriterOf(commit.Key) == committer).ToDictionary();
            surplus += CheckEntries(entries, expected, 1, round, $"commits of {committer}", entriesPerWrite: 2);
            Assert.True(entries.Count % 2 == 0, "A commit of two entries was applied by half.");

            var state = await store.GetStateAsync(CrashLoad.LastCommit(committer));
            Assert.Equal(entries.Count == 0 ? null : KeyOf(entries[^1]), state is null ? null : Encoding.UTF8.GetString(state.Payload.Span));
        }

        if (shared.Count > 0)
            await CheckPendingAsync(store, shared, acknowledged);
        acknowledged.Surplus = surplus;
    }

    /// <summary>Compares a stream with what was acknowledged; returns how many entries were in flight when a kill came.</summary>
    private static int CheckEntries(
        List<StreamEntry> entries, Dictionary<string, EntryId> expected, int writers, int round, string what, int entriesPerWrite = 1)
    {
        var found = new Dictionary<string, EntryId>();
        var nextIndex = new Dictionary<(int Round, int Writer), int>();
        var last = EntryId.Zero;
        foreach (var entry in entries)
        {
            Assert.True(entry.Id > last, $"{what}: {entry.Id} follows {last}.");
            last = entry.Id;
            var key = KeyOf(entry);
            Assert.Equal(CrashLoad.Fields(key), entry.Fields);
            Assert.True(found.TryAdd(key, entry.Id), $"{what}: {key} is there twice.");

            var parts = key.Split('/').Select(part => int.Parse(part, CultureInfo.InvariantCulture)).ToArray();
            var (owner, index) = ((parts[0], parts[1]), parts[2]);
            Assert.Equal(nextIndex.GetValueOrDefault(owner), index);
            nextIndex[owner] = index + 1;
        }

        foreach (var (key, id) in expected)
            Assert.True(
                found.GetValueOrDefault(key) == id,
                $"{what}: {key} was acknowledged as {id} and is {(found.TryGetValue(key, out var other) ? $"at {other}" : "lost")}.");

        // Each writer has one write in flight, so a kill leaves at most one a writer that was written and not acknowledged.
        var surplus = found.Count - expected.Count;
        Assert.InRange(surplus, 0, writers * entriesPerWrite * (round + 1));
        return surplus;
    }

    private static async Task CheckPendingAsync(EmbeddedStreamStore store, List<StreamEntry> shared, Acknowledged acknowledged)
    {
        var query = new PendingQuery { Count = StreamLimits.MaxBatch };
        var pending = (await store.PendingAsync(CrashLoad.SharedStream, CrashLoad.Group, query)).Select(entry => entry.Id).ToHashSet();
        Assert.DoesNotContain(acknowledged.Acks, pending.Contains);
        Assert.Subset(shared.Select(entry => entry.Id).ToHashSet(), pending);
    }

    private static async Task<List<StreamEntry>> ReadAllAsync(EmbeddedStreamStore store, string stream)
    {
        var all = new List<StreamEntry>();
        while (true)
        {
            var start = all.Count == 0 ? EntryId.Zero : all[^1].Id.Next();
            var entries = await store.RangeAsync(stream, new StreamRange { Start = start, Count = StreamLimits.MaxBatch });
            if (entries.Count == 0)
                return all;
            all.AddRange(entries);
        }
    }

    private static string KeyOf(StreamEntry entry) => entry.Fields.GetText("key"u8)!;

    private static int WriterOf(string key) => int.Parse(key.Split('/')[1], CultureInfo.InvariantCulture);

    /// <summary>What the writer said, over all rounds.</summary>
    private sealed class Acknowledged
    {
        public Dictionary<string, EntryId> Appends { get; } = [];

        public Dictionary<string, EntryId> Commits { get; } = [];

        public HashSet<EntryId> Acks { get; } = [];

        public int Surplus { get; set; }

        public void Add(string? line, string error)
        {
            var words = line?.Split(' ');
            switch (words)
            {
                case ["open"]:
                    break;
                case ["append", var key, var id]:
                    Appends.Add(key, EntryId.Parse(id));
                    break;
                case ["commit", var key, var first, var second]:
                    Commits.Add(Sibling(key), EntryId.Parse(first));
                    Commits.Add(key, EntryId.Parse(second));
                    break;
                case ["ack", var id]:
                    Acks.Add(EntryId.Parse(id));
                    break;
                default:
                    Assert.Fail($"The writer ended by itself, or said '{line}'. {error}");
                    break;
            }
        }

        /// <summary>The key of the first entry of a commit, from that of the second.</summary>
        private static string Sibling(string key)
        {
            var parts = key.Split('/');
            return CrashLoad.Key(
                int.Parse(parts[0], CultureInfo.InvariantCulture),
                int.Parse(parts[1], CultureInfo.InvariantCulture),
                int.Parse(parts[2], CultureInfo.InvariantCulture) - 1);
        }
    }
}
