using System.Globalization;
using System.Security.Cryptography;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>The names of the files in a data directory, and how a file comes to be: whole, or not at all.</summary>
internal static class JournalFiles
{
    /// <summary>Behind the name of a file that is being made. Whoever opens the directory deletes what a crash left of it.</summary>
    public const string NewSuffix = ".new";

    /// <summary>Behind the name of a tail that a crash cut off and recovery took out of the journal.</summary>
    public const string SetAsideSuffix = ".bad";

    private const string SegmentSuffix = ".journal";
    private const string SnapshotSuffix = ".snapshot";

    /// <summary>Twenty digits: every unsigned 64-bit number, and names sort like numbers.</summary>
    private const int Digits = 20;

    public static string SegmentName(long segment) => segment.ToString("D20", CultureInfo.InvariantCulture) + SegmentSuffix;

    public static string SnapshotName(long coveredLsn) => coveredLsn.ToString("D20", CultureInfo.InvariantCulture) + SnapshotSuffix;

    /// <summary>The numbers of all segments, in order.</summary>
    public static List<long> Segments(IStorageDevice device) => Numbers(device, SegmentSuffix);

    /// <summary>The covered LSNs of all snapshots, in order.</summary>
    public static List<long> Snapshots(IStorageDevice device) => Numbers(device, SnapshotSuffix);

    /// <summary>Whether a file was being made when a crash came.</summary>
    public static bool IsUnfinished(string name) =>
        name.EndsWith(SegmentSuffix + NewSuffix, StringComparison.Ordinal) || name.EndsWith(SnapshotSuffix + NewSuffix, StringComparison.Ordinal);

    public static ulong NewSalt() => BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(sizeof(ulong)));

    public static string PathOf(IStorageDevice device, string name) => Path.Combine(device.Path, name);

    private static List<long> Numbers(IStorageDevice device, string suffix)
    {
        var numbers = new List<long>();
        foreach (var name in device.List())
        {
            if (!name.EndsWith(suffix, StringComparison.Ordinal))
                continue;
            if (name.Length != Digits + suffix.Length
                || !long.TryParse(name.AsSpan(0, Digits), NumberStyles.None, CultureInfo.InvariantCulture, out var number))
                throw new StreamException(
                    StreamErrorCode.Corrupt, $"'{PathOf(device, name)}' has a name that no release gave it. Move it to another directory.");
            numbers.Add(number);
        }

        numbers.Sort();
        return numbers;
    }
}
