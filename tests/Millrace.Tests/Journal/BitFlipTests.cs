using System.Diagnostics;
using System.Globalization;
using Millrace.Embedded.Inspection;
using Millrace.Streams;
using Millrace.Tests.Crash;

namespace Millrace.Tests.Journal;

/// <summary>
/// A flipped bit anywhere in a data directory is never served as data. Redis serves it: its append-only file has no checksums.
/// </summary>
/// <remarks><c>MILLRACE_FLIPS=10000</c> is the full run, <c>MILLRACE_FLIP_SEED=N</c> repeats one.</remarks>
public sealed class BitFlipTests
{
    /// <summary>A salvage of one in so many of the directories that were refused.</summary>
    private const int SalvageEach = 20;

    private readonly Dictionary<string, int> _outcomes = [];

    [Fact]
    public async Task Flipped_bit_anywhere_is_refused_or_harmless_and_never_served()
    {
        var seed = FaultRun.Number("MILLRACE_FLIP_SEED", Random.Shared.Next());
        TestContext.Current.SendDiagnosticMessage($"MILLRACE_FLIP_SEED={seed}");
        var flips = FaultRun.Number("MILLRACE_FLIPS", 0);
        var slice = double.Parse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS") ?? "30", CultureInfo.InvariantCulture);
        var random = new Random(seed);
        var samples = new List<SampleDirectory>();
        var started = Stopwatch.GetTimestamp();
        var count = 0;
        try
        {
            foreach (var kind in Enum.GetValues<SampleKind>())
                samples.Add(await SampleDirectory.WriteAsync(kind));
            while (flips > 0 ? count < flips : Stopwatch.GetElapsedTime(started).TotalSeconds < slice / 2)
                await FlipAsync(samples[count++ % samples.Count], random);
        }
        catch (Exception e)
        {
            throw new InvalidOperationException($"Flip {count} with MILLRACE_FLIP_SEED={seed}: {e.Message}", e);
        }
        finally
        {
            samples.ForEach(static sample => sample.Dispose());
        }

        var summary = string.Join(", ", _outcomes.OrderBy(static item => item.Key, StringComparer.Ordinal).Select(static item => $"{item.Value} {item.Key}"));
        TestContext.Current.TestOutputHelper?.WriteLine($"Seed {seed}: {count} bits flipped: {summary}.");
        Assert.True(count > 0 && _outcomes.GetValueOrDefault("refused") > 0 && _outcomes.GetValueOrDefault("cut off as a torn tail") > 0, summary);
    }

    private async Task FlipAsync(SampleDirectory sample, Random random)
    {
        using var copy = sample.Copy();
        var (file, bit) = Flip(copy.Path, random);
        var where = $"{Path.GetFileName(file)} bit {bit} of {new FileInfo(file).Length} bytes";
        var before = Fingerprint(copy.Path);
        var report = DirectoryCheck.Run(copy.Path);
        Assert.Equal(before, Fingerprint(copy.Path));

        var log = new ListLogger();
        await using var store = SampleDirectory.Open(copy.Path, log);
        try
        {
            await store.OpenAsync(TestContext.Current.CancellationToken);
        }
        catch (StreamException e)
        {
            Count("refused");
            Assert.Equal(StreamErrorCode.Corrupt, e.Code);
            Assert.Contains(copy.Path, e.Message, StringComparison.Ordinal);
            Assert.True(report.Damages.Count > 0, $"{where}: the start refused what verify found whole: {e.Message}");
            Assert.Equal(before, Fingerprint(copy.Path));
            if (_outcomes["refused"] % SalvageEach == 0)
                await SalvageAsync(sample, copy.Path, where);
            return;
        }

        Assert.True(report.Damages.Count == 0, $"{where}: verify found damage in what opens: {string.Join(' ', report.Damages)}");
        var digest = StateDigest.Of(store);
        var isTorn = log.Lines.Exists(static line => line.Contains("cut off", StringComparison.Ordinal));
        if (digest == sample.DigestAt(sample.LastLsn))
        {
            Count(isTorn ? "of no record cut off" : "harmless");
            return;
        }

        Assert.True(isTorn, $"{where}: opened with other data, and said nothing");
        Assert.NotNull(report.Tail);
        var lsn = sample.LsnOf(digest);
        Assert.True(lsn >= sample.SyncedLsn, $"{where}: opened with the data of record {lsn}, and {sample.SyncedLsn} was synced");
        Count("cut off as a torn tail");
    }

    /// <summary>What is in front of the damage comes back exactly; with what is behind, the result opens.</summary>
    private async Task SalvageAsync(SampleDirectory sample, string damaged, string where)
    {
        foreach (var skipDamage in new[] { false, true })
        {
            using var target = new JournalDirectory();
            try
            {
                DirectorySalvage.Run(damaged, target.Path, skipDamage);
            }
            catch (StreamException)
            {
                Count("from which nothing could be saved");
                continue;
            }

            await using var store = SampleDirectory.Open(target.Path);
            await store.OpenAsync(TestContext.Current.CancellationToken);
            Count(skipDamage ? "salvaged with what follows" : "salvaged");
            if (!skipDamage && where.Contains(".journal", StringComparison.Ordinal))
                Assert.True(sample.LsnOf(StateDigest.Of(store)) >= 0, $"{where}: the salvaged data never was");
        }
    }

    /// <summary>Each file as likely as its size, so that each bit is as likely as any other.</summary>
    private static (string File, long Bit) Flip(string path, Random random)
    {
        var files = Directory.GetFiles(path).Order(StringComparer.Ordinal).ToArray();
        var bit = random.NextInt64(files.Sum(static file => new FileInfo(file).Length) * 8);
        var at = 0;
        for (; bit >= new FileInfo(files[at]).Length * 8; at++)
            bit -= new FileInfo(files[at]).Length * 8;

        var bytes = File.ReadAllBytes(files[at]);
        bytes[bit / 8] ^= (byte)(1 << (int)(bit % 8));
        File.WriteAllBytes(files[at], bytes);
        return (files[at], bit);
    }

    /// <summary>Names and bytes of all files but the lock, which whoever opens the directory writes.</summary>
    private static string Fingerprint(string path) => string.Join('\n', Directory.GetFiles(path)
        .Where(static file => !file.EndsWith("LOCK", StringComparison.Ordinal)).Order(StringComparer.Ordinal)
        .Select(static file => $"{Path.GetFileName(file)} {Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(file)))}"));

    private void Count(string outcome) => _outcomes[outcome] = _outcomes.GetValueOrDefault(outcome) + 1;
}
