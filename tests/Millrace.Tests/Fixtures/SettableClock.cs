using System.Globalization;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// The wall clock of another process, which can be set while it runs: libfaketime answers when it asks for the time. The clock that only goes
/// forward is left alone, as it is where the clock of a machine is set.
/// </summary>
public sealed class SettableClock : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-clock-").FullName;
    private TimeSpan _offset;

    public SettableClock()
    {
        Jump(TimeSpan.Zero);
        Variables = new Dictionary<string, string>
        {
            // redis-server has an allocator that asks for the time before libfaketime is ready to answer; the one of libc does not.
            ["LD_PRELOAD"] = $"{FindLibrary()}:libc.so.6",
            ["FAKETIME_TIMESTAMP_FILE"] = Path.Combine(_directory, "offset"),
            ["FAKETIME_NO_CACHE"] = "1",
            ["FAKETIME_DONT_FAKE_MONOTONIC"] = "1",
        };
    }

    /// <summary>What the process needs in its environment.</summary>
    public IReadOnlyDictionary<string, string> Variables { get; }

    /// <summary>Sets the clock forward or back.</summary>
    public void Jump(TimeSpan by)
    {
        _offset += by;

        // At once, or the process could read half of it.
        var next = Path.Combine(_directory, "next");
        File.WriteAllText(next, _offset.TotalSeconds.ToString("+0.000;-0.000", CultureInfo.InvariantCulture));
        File.Move(next, Path.Combine(_directory, "offset"), overwrite: true);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    private static string FindLibrary() =>
        Directory.EnumerateFiles("/usr/lib", "libfaketimeMT.so.1", new EnumerationOptions { RecurseSubdirectories = true, IgnoreInaccessible = true })
            .FirstOrDefault() ?? throw new InvalidOperationException("These tests set the clock of a server. Install: apt-get install faketime");
}
